"""The books: positions in lots, cash, fees, realised and unrealised P&L, equity, and who earned it.

Money is `Decimal` and balances to the last digit: cash only changes by fills and cash movements, a lot's fee is split over its
closings without loss, and `equity - starting cash - movements = realised + unrealised`. Lots are first in, first out: the source
that opened a lot is credited, the one that closed it is recorded. Marks are floats: statistics, recomputed from the exact books
after every fill so that they cannot drift.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from bot.core.decision import Tier
from bot.core.facts import LotClosed
from bot.core.market import Instrument, Side
from bot.core.orders import ZERO, Fill, OrderRequest
from bot.core.values import value

# Fee shares are cut at 16 decimals, the remainder going to the last share, so that sums of money stay within Decimal's 28 digits.
_GRAIN = Decimal("1e-16")


@dataclass(slots=True)
class Lot:
    """What is left of one opening fill. `amount` is unsigned; `fee` is the entry fee not yet charged to a closing."""

    amount: Decimal
    price: Decimal
    fee: Decimal
    opened: int
    source: str
    tier: Tier
    decision_id: str | None


@dataclass(slots=True)
class Position:
    """One symbol's net position: positive is long. `amount_float` and `mark` serve valuation only."""

    amount: Decimal = ZERO
    lots: list[Lot] = field(default_factory=list)
    realised: Decimal = ZERO
    amount_float: float = 0.0
    mark: float = 0.0

    @property
    def average(self) -> Decimal | None:
        """Mean entry price of the open lots, None when flat."""
        if len(self.lots) == 1:
            return self.lots[0].price
        if not self.lots:
            return None
        return sum((lot.amount * lot.price for lot in self.lots), ZERO) / sum((lot.amount for lot in self.lots), ZERO)

    @property
    def unrealised(self) -> float:
        """Worth of the open lots at the mark, less what they cost and their entry fees."""
        if not self.lots:
            return 0.0
        sign = 1 if self.amount > 0 else -1
        if len(self.lots) == 1:
            lot = self.lots[0]
            return self.amount_float * self.mark - float(sign * lot.amount * lot.price) - float(lot.fee)
        paid = sum((lot.amount * lot.price for lot in self.lots), ZERO)
        fees = sum((lot.fee for lot in self.lots), ZERO)
        return self.amount_float * self.mark - float(sign * paid) - float(fees)


@value
class Booking:
    """What one fill did: P&L realised (net of the fees of the closed part), the fee's value, and the lots it closed."""

    realised: Decimal
    fee_value: Decimal
    closed: tuple[LotClosed, ...]


@dataclass(slots=True)
class Portfolio:
    """Cash and positions in one accounting currency.

    `earned` is realised P&L by the source that opened. `assets` holds what fees in a third currency took (negative amounts),
    valued by `asset_marks`. `moved` is the sum of deposits and withdrawals: it moves baselines, never the P&L.
    """

    currency: str
    cash: Decimal
    start: Decimal
    moved: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    positions: dict[str, Position] = field(default_factory=dict)
    assets: dict[str, Decimal] = field(default_factory=dict)
    asset_marks: dict[str, float] = field(default_factory=dict)
    earned: dict[str, Decimal] = field(default_factory=dict)
    equity: float = 0.0
    exposure: float = 0.0

    @classmethod
    def opening(cls, currency: str, cash: Decimal) -> Portfolio:
        """A flat book that begins with `cash`."""
        return cls(currency, cash, cash, equity=float(cash))

    def amount(self, symbol: str) -> Decimal:
        """Signed position of a symbol."""
        position = self.positions.get(symbol)
        return position.amount if position is not None else ZERO

    def pnl(self, symbol: str) -> float:
        """Realised plus unrealised P&L of one symbol since the books began."""
        position = self.positions.get(symbol)
        return float(position.realised) + position.unrealised if position is not None else 0.0

    @property
    def unrealised(self) -> float:
        """Unrealised P&L of every open position."""
        return sum(position.unrealised for position in self.positions.values())

    def held_by(self, source: str) -> Decimal:
        """What the open lots of a source cost, in the accounting currency."""
        held = ZERO
        for position in self.positions.values():
            for lot in position.lots:
                if lot.source == source:
                    held += lot.amount * lot.price
        return held

    def attribution(self) -> dict[str, float]:
        """P&L by the source that opened: what its closed lots realised and what its open ones are worth now."""
        earned = {source: float(amount) for source, amount in self.earned.items()}
        for position in self.positions.values():
            sign = 1 if position.amount > 0 else -1
            for lot in position.lots:
                value = float(lot.amount) * sign * (position.mark - float(lot.price)) - float(lot.fee)
                earned[lot.source] = earned.get(lot.source, 0.0) + value
        return earned

    def mark(self, symbol: str, price: float) -> None:
        """Value a position at a new price: O(1)."""
        position = self.positions.get(symbol)
        if position is None or not position.amount_float:
            return
        change = position.amount_float * (price - position.mark)
        position.mark = price
        self.equity += change
        self.exposure += change if position.amount_float > 0 else -change

    def mark_asset(self, currency: str, price: float) -> None:
        """Value a third currency in which fees were paid."""
        self.asset_marks[currency] = price
        if currency in self.assets:
            self._revalue()

    def move_cash(self, amount: Decimal) -> None:
        """A deposit or withdrawal."""
        self.cash += amount
        self.moved += amount
        self._revalue()

    def book(self, fill: Fill, request: OrderRequest, instrument: Instrument, at: int) -> Booking:
        """Enter a fill. Opens, closes or flips; every figure that money depends on is exact."""
        position = self.positions.get(fill.symbol)
        if position is None:
            position = self.positions[fill.symbol] = Position()
        amount, fee_value = self._settle_fee(fill, instrument)
        self.cash -= fill.side.sign * fill.amount * fill.price
        closing = amount if position.amount * fill.side.sign < 0 else ZERO
        closing = min(closing, abs(position.amount))
        exit_fee = _share(fee_value, closing, amount)
        closed = _close(position, fill, request, closing, exit_fee, at) if closing else ()
        opening = amount - closing
        if opening:
            entry_fee = fee_value - exit_fee
            position.lots.append(Lot(opening, fill.price, entry_fee, at, request.source, request.tier, request.decision_id))
        if not position.amount:
            # The mark of an earlier trade is no worth of this one.
            position.mark = float(fill.price)
        position.amount += fill.side.sign * amount
        position.amount_float = float(position.amount)
        realised = sum((lot.pnl for lot in closed), ZERO)
        position.realised += realised
        self.realised += realised
        for lot in closed:
            self.earned[lot.opener] = self.earned.get(lot.opener, ZERO) + lot.pnl
        self.fees += fee_value
        self._revalue()
        return Booking(realised, fee_value, closed)

    def _settle_fee(self, fill: Fill, instrument: Instrument) -> tuple[Decimal, Decimal]:
        """Charge the fee where it was taken: the amount that arrived, and the fee's value in the accounting currency.

        A fee in the base currency of a buy (Binance's way) arrives as less of the base, at the fill's price.
        """
        if not fill.fee or fill.fee_currency == instrument.quote:
            self.cash -= fill.fee
            return fill.amount, fill.fee
        if fill.fee_currency == instrument.base:
            # What is missing from the base was paid for all the same: the fee is cost, valued at the fill's price, and the
            # lot that remains carries it, so cash and lots stay consistent.
            return fill.amount - fill.side.sign * fill.fee, fill.fee * fill.price
        self.assets[fill.fee_currency] = self.assets.get(fill.fee_currency, ZERO) - fill.fee
        value = Decimal(repr(self.asset_marks.get(fill.fee_currency, 0.0)))
        return fill.amount, _grained(fill.fee * value)

    def _revalue(self) -> None:
        """Recompute the floats from the exact books."""
        equity, exposure = float(self.cash), 0.0
        for position in self.positions.values():
            value = position.amount_float * position.mark
            equity += value
            exposure += abs(value)
        for currency, amount in self.assets.items():
            equity += float(amount) * self.asset_marks.get(currency, 0.0)
        self.equity, self.exposure = equity, exposure


def _close(
    position: Position, fill: Fill, request: OrderRequest, closing: Decimal, exit_fee: Decimal, at: int
) -> tuple[LotClosed, ...]:
    """Take `closing` off the lots, oldest first; fees are split so that their parts add up exactly."""
    sign = 1 if position.amount > 0 else -1
    rest, fee_rest = closing, exit_fee
    closed: list[LotClosed] = []
    while rest > 0 and position.lots:
        lot = position.lots[0]
        part = min(lot.amount, rest)
        whole = part == lot.amount
        entry_part = _share(lot.fee, part, lot.amount)
        exit_part = fee_rest if part == rest else _share(exit_fee, part, closing)
        pnl = sign * part * (fill.price - lot.price) - entry_part - exit_part
        closed.append(
            LotClosed(
                at,
                fill.symbol,
                Side.BUY if sign > 0 else Side.SELL,
                part,
                lot.price,
                fill.price,
                lot.opened,
                lot.source,
                lot.tier,
                lot.decision_id,
                request.source,
                request.leg.value,
                entry_part + exit_part,
                pnl,
            )
        )
        rest -= part
        fee_rest -= exit_part
        if whole:
            position.lots.pop(0)
        else:
            lot.amount -= part
            lot.fee -= entry_part
    return tuple(closed)


def _share(fee: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """The share of a fee that falls on `part` of `whole`."""
    if part == whole or not fee:
        return fee
    return _grained(fee * part / whole)


def _grained(value: Decimal) -> Decimal:
    """Cut at the grain; a sum so large that it has no room for the grain keeps what digits it has."""
    try:
        return value.quantize(_GRAIN)
    except InvalidOperation:
        return value
