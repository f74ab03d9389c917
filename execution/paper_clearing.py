"""Clearing: what the paper venue admits, and how a trade moves the account.

An order is checked as a venue checks it (steps, minimums, funds) and its cost is locked. Every fill is exact: what leaves one
balance and the fee together are what arrives in the other. When money or position no longer suffices, the fill shrinks and
the order expires; a balance never goes below zero to please an order. State changes before the answer is emitted, because the
desk may act on the answer at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from bot.core.inputs import Closing, Filled, OrderAccepted, OrderClosed, OrderRefused
from bot.core.market import Instrument, Side
from bot.core.matching import ONE, FillModel, fee_of
from bot.core.orders import ZERO, Fill, OrderRequest, OrderType, TimeInForce
from bot.core.protocols import Emit
from execution.paper_account import PaperAccount
from execution.paper_book import PaperBook, PaperOrder

REMEMBERED = 10_000
"""How many finished order ids are kept, to refuse their repetition and to answer late cancels."""


def fault_of(request: OrderRequest, instrument: Instrument, price: Decimal | None) -> str | None:
    """Why a venue would refuse the order whatever the account holds, or None. `price` values it, None when nobody can yet."""
    if not instrument.active:
        return f"{request.symbol} is not trading"
    amount = request.amount
    if not amount.is_finite() or amount <= 0 or amount % instrument.amount_step:
        return f"amount {amount} is not a positive multiple of {instrument.amount_step}"
    if amount < instrument.min_amount:
        return f"amount {amount} is below the minimum of {instrument.min_amount}"
    most = instrument.max_market_amount if request.type is OrderType.MARKET else None
    most = instrument.max_amount if most is None else most
    if most is not None and amount > most:
        return f"amount {amount} is above the maximum of {most}"
    fault = _price_fault(request, instrument)
    if fault is None and price is not None and amount * price < instrument.min_cost:
        return f"cost {amount * price} is below the minimum of {instrument.min_cost}"
    return fault


def _price_fault(request: OrderRequest, instrument: Instrument) -> str | None:
    limits = request.type in {OrderType.LIMIT, OrderType.STOP_LIMIT}
    stops = request.type in {OrderType.STOP, OrderType.STOP_LIMIT}
    for name, price, wanted in (("price", request.price, limits), ("trigger", request.trigger, stops)):
        if (price is not None) is not wanted:
            return f"a {request.type} order {'needs' if wanted else 'takes no'} {name}"
        if price is not None and (price <= 0 or price % instrument.price_step):
            return f"{name} {price} is not a positive multiple of {instrument.price_step}"
    if request.post_only and (request.type is not OrderType.LIMIT or request.time_in_force is not TimeInForce.GTC):
        return "post-only belongs to a resting limit order"
    return None


class Clearing:
    """Admits, fills and closes orders on one account. `books` are the symbols' markets and resting orders."""

    def __init__(self, instruments: Mapping[str, Instrument], model: FillModel, emit: Emit, account: PaperAccount) -> None:
        self.instruments = instruments
        self.model = model
        self.account = account
        self.books: dict[str, PaperBook] = {}
        self.working: dict[str, PaperOrder] = {}
        self.finished: dict[str, str] = {}
        self.forgotten = 0
        self._emit = emit

    def book(self, symbol: str) -> PaperBook:
        """The symbol's book, made when it is first wanted."""
        book = self.books.get(symbol)
        if book is None:
            book = self.books[symbol] = PaperBook()
        return book

    def admit(self, order: PaperOrder, price: Decimal | None, at: int) -> bool:
        """Accept an order and lock what it may cost at `price`, or refuse it with the reason."""
        request = order.request
        instrument = self.instruments.get(request.symbol)
        if instrument is None:
            return self.refuse(request, f"the venue has no {request.symbol}", at)
        fault = fault_of(request, instrument, price) or self._reserve(order, instrument, price)
        if fault is not None:
            return self.refuse(request, fault, at)
        self.working[request.id] = self.book(request.symbol).resting[request.id] = order
        self._emit(OrderAccepted(at, request.id, order.venue_id))
        return order.open

    def admit_pair(self, stop: PaperOrder, target: PaperOrder, prices: tuple[Decimal | None, Decimal | None], at: int) -> None:
        """Accept two orders of which one cancels the other, under one lock, or refuse both with the reason."""
        instrument = self.instruments[stop.request.symbol]
        faults = [fault_of(order.request, instrument, price) for order, price in zip((stop, target), prices, strict=True)]
        # The stop of a buy is the dearer of the two, and a sell's two lock the same: its lock serves either.
        fault = faults[0] or faults[1] or self._reserve(stop, instrument, prices[0])
        for order, other in ((stop, target), (target, stop)):
            if fault is not None:
                order.open = self.refuse(order.request, fault, at)
            else:
                order.partner = other.request.id
                self.working[order.request.id] = self.book(order.request.symbol).resting[order.request.id] = order
        for order in (stop, target):
            if order.open:
                self._emit(OrderAccepted(at, order.request.id, order.venue_id))

    def refuse(self, request: OrderRequest, reason: str, at: int) -> bool:
        """Say no: the order never lived. Returns False, so that a check can end with it."""
        self._remember(request.id, "refused")
        self._emit(OrderRefused(at, request.id, reason))
        return False

    def fill(
        self, order: PaperOrder, amount: Decimal, price: Decimal, ts: int, at: int, evidence: str, *, maker: bool = False
    ) -> Decimal:
        """Trade up to `amount` at `price`, as far as funds and reduce-only allow; returns what was traded.

        Ends the order when it is complete, or when what is left can never be paid; and its partner, whose lock it takes over.
        """
        request = order.request
        instrument = self.instruments[request.symbol]
        wanted = amount
        partner = self._partner(order)
        if partner is not None:
            order.reserved, partner.reserved = order.reserved + partner.reserved, ZERO
        amount = min(amount, self._coverable(order, amount, price, instrument, maker))
        if amount <= 0 or (amount < wanted and request.time_in_force is TimeInForce.FOK):
            self.close(order, Closing.EXPIRED, self._shortage(request), at)
            return ZERO
        fee, currency = fee_of(request.side, amount, price, instrument, self.model, maker)
        if partner is not None:
            self._release(partner, Closing.EXPIRED.value)
        self._settle(order, instrument, amount, amount * price, fee)
        order.filled += amount
        order.fills += 1
        complete = order.filled == request.amount
        if complete:
            self._release(order, "filled")
        fill = Fill(
            f"{request.id}-{order.fills}",
            request.id,
            request.symbol,
            request.side,
            amount,
            price,
            fee,
            currency,
            ts,
            maker,
            evidence,
        )
        if partner is not None:
            self._tell_partner(partner, Closing.EXPIRED, at)
        self._emit(Filled(at, fill))
        if amount < wanted and order.open:
            self.close(order, Closing.EXPIRED, self._shortage(request), at)
        return amount

    def close(self, order: PaperOrder, how: Closing, reason: str, at: int) -> None:
        """End an order that did not fill whole, and its partner; does nothing to one that has ended."""
        if not order.open:
            return
        partner = self._partner(order)
        self._release(order, how.value)
        if partner is not None:
            self._release(partner, how.value)
        self._emit(OrderClosed(at, order.request.id, how, order.filled, reason))
        if partner is not None:
            self._tell_partner(partner, how, at)

    def _partner(self, order: PaperOrder) -> PaperOrder | None:
        return None if order.partner is None else self.working.get(order.partner)

    def _tell_partner(self, partner: PaperOrder, how: Closing, at: int) -> None:
        self._emit(OrderClosed(at, partner.request.id, how, partner.filled, f"{partner.partner} cancels it"))

    def _reserve(self, order: PaperOrder, instrument: Instrument, price: Decimal | None) -> str | None:
        request = order.request
        if request.reduce_only and self._reducible(request, instrument) <= 0:
            return "reduce-only: there is no position to reduce"
        if request.side is Side.SELL:
            currency, needed = instrument.base, request.amount if self.account.spot else ZERO
        else:
            currency = instrument.quote
            needed = ZERO if price is None else request.amount * price * (ONE + self._dearest_fee(instrument))
        if needed and not self.account.lock(currency, needed):
            return f"insufficient funds: {needed} {currency} needed, {self.account.available(currency)} free"
        order.reserved = needed
        return None

    def _dearest_fee(self, instrument: Instrument) -> Decimal:
        maker = instrument.maker_fee if self.model.maker_fee is None else self.model.maker_fee
        taker = instrument.taker_fee if self.model.taker_fee is None else self.model.taker_fee
        return max(maker, taker, ZERO)

    def _reducible(self, request: OrderRequest, instrument: Instrument) -> Decimal:
        return -request.side.sign * self.account.total(instrument.base)

    def _coverable(self, order: PaperOrder, amount: Decimal, price: Decimal, instrument: Instrument, maker: bool) -> Decimal:
        """How much of `amount` position and funds allow, in whole steps."""
        request = order.request
        if request.reduce_only:
            amount = min(amount, max(self._reducible(request, instrument), ZERO))
        if request.side is Side.SELL:
            if not self.account.spot:
                return amount
            return min(amount, order.reserved + self.account.available(instrument.base))
        funds = order.reserved + self.account.available(instrument.quote)
        fee, _ = fee_of(request.side, amount, price, instrument, self.model, maker)
        if amount * price + fee <= funds:
            return amount
        amount = instrument.floor_amount(funds / (price * (ONE + self._dearest_fee(instrument))))
        fee, _ = fee_of(request.side, amount, price, instrument, self.model, maker)
        return amount if amount * price + fee <= funds else amount - instrument.amount_step

    def _settle(self, order: PaperOrder, instrument: Instrument, amount: Decimal, cost: Decimal, fee: Decimal) -> None:
        if order.request.side is Side.BUY:
            order.reserved = self.account.pay(instrument.quote, cost + fee, order.reserved)
            self.account.credit(instrument.base, amount)
        else:
            order.reserved = self.account.pay(instrument.base, amount, order.reserved)
            self.account.credit(instrument.quote, cost - fee)

    def _release(self, order: PaperOrder, outcome: str) -> None:
        request = order.request
        order.open = False
        del self.books[request.symbol].resting[request.id], self.working[request.id]
        if order.reserved:
            instrument = self.instruments[request.symbol]
            self.account.unlock(instrument.quote if request.side is Side.BUY else instrument.base, order.reserved)
            order.reserved = ZERO
        self._remember(request.id, outcome)

    def _remember(self, order_id: str, outcome: str) -> None:
        self.finished.setdefault(order_id, outcome)
        if len(self.finished) > REMEMBERED:
            del self.finished[next(iter(self.finished))]
            self.forgotten += 1

    @staticmethod
    def _shortage(request: OrderRequest) -> str:
        return (
            "reduce-only: the position is closed, or funds ran out" if request.reduce_only else "insufficient funds for the rest"
        )
