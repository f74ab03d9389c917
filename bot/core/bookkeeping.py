"""Bookkeeping: a fill reaches the books once, and everything that hangs on it follows.

It is booked by the venue's trade id, whenever and however often it arrives; the decision behind it is executed; lots close;
protection is armed or dropped; losses are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from bot.core.decision import Fate
from bot.core.effects import Severity
from bot.core.facts import DecisionFate, FillBooked, PositionChanged
from bot.core.market import Instrument
from bot.core.orders import ZERO, Fill, Leg, Order, OrderRequest
from bot.core.portfolio import Booking
from bot.core.risk import ABSURD
from bot.core.shadow import Shadows
from bot.core.state import Bench, DeskState, ExitWanted, Outbox


@dataclass(slots=True)
class Bookkeeping:
    """The books of one desk."""

    state: DeskState
    out: Outbox
    shadows: Shadows

    def book(self, order: Order, fill: Fill) -> bool:
        """Book a fill once, by its trade id; False, and counted, if it was booked before or cannot be of this order."""
        request = order.request
        if fill.id in order.fill_ids:
            self.state.ignore("fill-repeated")
            return False
        fault = fill_fault(fill, request, self.state.instruments[request.symbol])
        if fault is not None:
            self.state.ignore("fill-absurd")
            self.out.notify(Severity.CRITICAL, "A fill cannot be booked", f"{fill.id} of order {request.id}: {fault}")
            return False
        order.fill_ids[fill.id] = None
        order.filled += fill.amount
        order.cost += fill.amount * fill.price
        self._value_fee(fill)
        booking = self.state.portfolio.book(fill, request, self.state.instruments[request.symbol], self.state.now)
        self.state.portfolio.mark(request.symbol, self.state.prices.get(request.symbol, float(fill.price)))
        self._tell(order, fill, booking)
        self._after_fill(order, booking)
        return True

    def position_fact(self, symbol: str) -> PositionChanged:
        """The symbol's position as it stands."""
        position = self.state.portfolio.positions[symbol]
        protection = self.state.protections.get(symbol)
        return PositionChanged(
            self.state.now,
            symbol,
            position.amount,
            position.average,
            position.mark,
            position.realised,
            position.unrealised,
            position.lots[0].source if position.lots else None,
            protection.stop_loss if protection else None,
            protection.take_profit if protection else None,
            protection.trailing_stop if protection else None,
        )

    def _tell(self, order: Order, fill: Fill, booking: Booking) -> None:
        """Record the fill, the fate it settles, and the lots it closed."""
        state, request = self.state, order.request
        decision = state.open.pop(request.decision_id or "", None)
        worse = (float(fill.price) / request.reference - 1.0) * request.side.sign
        self.out.record(
            FillBooked(
                state.now,
                fill,
                request.source,
                request.tier,
                request.confidence,
                request.decision_id,
                booking.realised,
                booking.fee_value,
                worse,
            ),
            durable=True,
        )
        if decision is not None:
            verdict_id = state.bench(request.symbol).verdict_id
            self.out.record(
                DecisionFate(
                    state.now,
                    decision.id,
                    decision.source,
                    decision.tier,
                    decision.symbol,
                    Fate.EXECUTED,
                    verdict_id=verdict_id,
                    reason=f"order {request.id}",
                )
            )
        for lot in booking.closed:
            self.out.record(lot, durable=True)

    def _after_fill(self, order: Order, booking: Booking) -> None:
        """Arm or drop protection, count losses, tell the position."""
        state, symbol = self.state, order.request.symbol
        bench = state.bench(symbol)
        position = state.portfolio.positions[symbol]
        if booking.closed:
            state.risk.count(order.request.id, booking.realised < ZERO, state.now)
        left = not position.amount or (bool(booking.closed) and self._dust(symbol, position.amount))
        if left:
            state.protections.pop(symbol, None)
            state.risk.last_exit[symbol] = state.now
            bench.exit = None
            self.shadows.book_flat(symbol)
        elif order.request.leg is Leg.ENTRY:
            self._arm(bench, order)
        if not left and state.risk.flattening and bench.exit is None:
            cause = f"flatten:{order.request.id}"
            wanted = ExitWanted(Leg.FLATTEN, cause, position.mark, order.request.source, commanded=True)
            bench.want_exit(wanted)
        self.out.record(self.position_fact(symbol), durable=True)

    def _arm(self, bench: Bench, order: Order) -> None:
        """Protection takes hold with an entry's first fill, also with one that comes after the position was left."""
        guarding, armed = bench.guard, self.state.protections.get(bench.symbol)
        if guarding is None or guarding.decision_id != order.request.decision_id:
            return
        if armed is None or armed.decision_id != guarding.decision_id:
            self.state.protections[bench.symbol] = replace(guarding, peak=float(order.average or 0), since=self.state.now)

    def _dust(self, symbol: str, amount: Decimal) -> bool:
        """Whether what is left of a position is too little for any order: as good as flat."""
        instrument = self.state.instruments[symbol]
        return abs(amount) < max(instrument.min_amount, instrument.amount_step)

    def _value_fee(self, fill: Fill) -> None:
        """A fee in a currency that no quote has valued in the books yet is worth what the market says now."""
        books = self.state.portfolio
        price = self.state.prices.get(f"{fill.fee_currency}/{books.currency}")
        if fill.fee and price is not None and fill.fee_currency not in books.asset_marks:
            books.mark_asset(fill.fee_currency, price)


def fill_fault(fill: Fill, request: OrderRequest, instrument: Instrument) -> str | None:
    """Why a fill cannot be of this order, or None."""
    if fill.symbol != request.symbol or fill.side is not request.side:
        return f"it is a {fill.side.value} of {fill.symbol}, the order a {request.side.value} of {request.symbol}"
    for name, value in (("amount", fill.amount), ("price", fill.price), ("fee", fill.fee)):
        if not value.is_finite() or abs(value) > ABSURD or (name != "fee" and value <= ZERO):
            return f"{name} {value} is not a possible figure"
    if fill.fee_currency == instrument.base and fill.fee >= fill.amount:
        return f"its fee {fill.fee} {fill.fee_currency} leaves nothing of {fill.amount}"
    return None
