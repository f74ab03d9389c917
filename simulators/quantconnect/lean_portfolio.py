"""Money and orders of a LEAN run: securities, holdings, cash, the filling of orders on bars, and the trades that were closed.

Orders fill as LEAN's default models fill them on bars: a market order at once at the last close, a limit order in a later bar
that goes through its price, a stop in a later bar that reaches it. All money is in one account currency. What a fill costs is
said in `lean_costs`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from simulators.quantconnect.lean_costs import (
    FeeModel,
    NullSlippageModel,
    Order,
    SlippageModel,
    modelled_fee,
    usual_fee,
)
from simulators.quantconnect.lean_types import (
    BySymbol,
    OrderDirection,
    OrderStatus,
    OrderType,
    SecurityType,
    Symbol,
    TradeBar,
)

_TINY = 1e-12
_MAX_OPEN = 1_000


def lot_of(symbol: Symbol) -> float:
    """The amount step: a whole share, a thousandth of a cent's worth of most coins."""
    return 1.0 if symbol.security_type in (SecurityType.EQUITY, SecurityType.FOREX, SecurityType.CFD) else 1e-5


class Security:
    """A subscribed security, its last bar and what its fills cost; `currency` is the account's."""

    def __init__(self, symbol: Symbol, holdings: Holding, leverage: float, currency: str = "USD") -> None:
        self.symbol, self.holdings, self.leverage, self.currency = symbol, holdings, leverage, currency
        self.fee_model: FeeModel | None = None
        self.slippage_model: SlippageModel = NullSlippageModel()
        self.price = self.open = self.high = self.low = self.close = self.volume = 0.0
        self.bar: TradeBar | None = None

    @property
    def has_data(self) -> bool:
        """Whether there has been a bar."""
        return self.bar is not None

    @property
    def invested(self) -> bool:
        """Whether something of it is held."""
        return self.holdings.invested

    def set_fee_model(self, model: FeeModel) -> None:
        """Fees by a model from now on, instead of the usual ones."""
        self.fee_model = model

    def set_slippage_model(self, model: SlippageModel) -> None:
        """Slippage of market and stop fills from now on; none without."""
        self.slippage_model = model

    def fee(self, order: Order, price: float) -> float:
        """What a fill of the order at this price costs, in the account currency."""
        if self.fee_model is None:
            return usual_fee(self.symbol, order.quantity, price)
        return modelled_fee(self.fee_model, self, order, self.currency)

    def slipped(self, order: Order, price: float) -> float:
        """Where the order fills when it is decided at this price: further up when it buys, further down when it sells."""
        if order.type is OrderType.LIMIT:
            return price
        slippage = float(self.slippage_model.get_slippage_approximation(self, order))
        return price + math.copysign(slippage, order.quantity)

    def take(self, bar: TradeBar) -> None:
        """The next bar."""
        self.bar = bar
        self.open, self.high, self.low, self.close, self.volume = bar.open, bar.high, bar.low, bar.close, bar.volume
        self.price = self.holdings.price = bar.close


class Holding:
    """A position: signed quantity and average price."""

    def __init__(self, symbol: Symbol) -> None:
        self.symbol = symbol
        self.quantity = self.average_price = self.price = self.total_fees = self.profit = 0.0

    @property
    def invested(self) -> bool:
        """Whether there is a position."""
        return self.quantity != 0

    @property
    def is_long(self) -> bool:
        """Whether it gains as the price rises."""
        return self.quantity > 0

    @property
    def is_short(self) -> bool:
        """Whether it gains as the price falls."""
        return self.quantity < 0

    @property
    def holdings_value(self) -> float:
        """Signed worth."""
        return self.quantity * self.price

    @property
    def absolute_quantity(self) -> float:
        """The quantity without its sign."""
        return abs(self.quantity)

    @property
    def unrealized_profit(self) -> float:
        """Gain if it were closed now, before fees."""
        return (self.price - self.average_price) * self.quantity

    @property
    def unrealized_profit_percent(self) -> float:
        """The same as a fraction of what it cost."""
        cost = abs(self.quantity) * self.average_price
        return self.unrealized_profit / cost if cost else 0.0


class Portfolio(BySymbol[Holding]):
    """Holdings by symbol, and the cash."""

    def __init__(self, cash: float) -> None:
        super().__init__()
        self.cash = cash
        self.total_fees = self.total_net_profit = self.volume = 0.0

    @property
    def total_holdings_value(self) -> float:
        """Absolute worth of all positions."""
        return sum(abs(one.holdings_value) for one in self.values())

    @property
    def total_portfolio_value(self) -> float:
        """Equity: cash and positions."""
        return self.cash + sum(one.holdings_value for one in self.values())

    @property
    def total_unrealized_profit(self) -> float:
        """Of all positions."""
        return sum(one.unrealized_profit for one in self.values())

    @property
    def invested(self) -> bool:
        """Whether anything is held."""
        return any(one.invested for one in self.values())


@dataclass(slots=True)
class OrderEvent:
    """What became of an order."""

    order_id: int
    number: int
    symbol: Symbol
    ms: int
    status: OrderStatus
    direction: OrderDirection
    quantity: float
    fill_price: float = 0.0
    fill_quantity: float = 0.0
    fee: float = 0.0
    message: str = ""

    def as_json(self, algorithm_id: str, currency: str) -> dict[str, object]:
        """As REST answers write it: words for the enumerations, what is empty left out."""
        words = {OrderStatus.PARTIALLY_FILLED: "partiallyFilled"}
        row: dict[str, object] = {
            "algorithmId": algorithm_id,
            "id": f"{algorithm_id}-{self.order_id}-{self.number}",
            "orderId": self.order_id,
            "orderEventId": self.number,
            "symbol": str(self.symbol.id),
            "symbolValue": self.symbol.value,
            "symbolPermtick": self.symbol.value,
            "time": self.ms / 1000,
            "status": words.get(self.status, self.status.name.lower()),
            "fillPrice": self.fill_price,
            "fillPriceCurrency": self.symbol.quote,
            "fillQuantity": self.fill_quantity,
            "direction": self.direction.name.lower(),
            "isAssignment": False,
            "quantity": self.quantity,
        }
        if self.fee:
            row |= {"orderFeeAmount": self.fee, "orderFeeCurrency": currency}
        if self.message:
            row["message"] = self.message
        return row


@dataclass(slots=True)
class OrderTicket:
    """An order, as the algorithm holds it. `cancel()` takes it back."""

    order_id: int
    symbol: Symbol
    quantity: float
    order_type: OrderType
    created_ms: int
    tag: str = ""
    limit_price: float = 0.0
    stop_price: float = 0.0
    status: OrderStatus = OrderStatus.NEW
    average_fill_price: float = 0.0
    quantity_filled: float = 0.0
    last_price: float = 0.0
    filled_ms: int = 0
    ended_ms: int = 0
    events: list[OrderEvent] = field(default_factory=list)
    canceller: Callable[[OrderTicket, str], None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status in (OrderStatus.NEW, OrderStatus.SUBMITTED)

    @property
    def direction(self) -> OrderDirection:
        """Its side."""
        return OrderDirection.BUY if self.quantity > 0 else OrderDirection.SELL

    @property
    def order(self) -> Order:
        """What was ordered."""
        return Order(self.order_id, self.symbol, self.quantity, self.order_type, self.limit_price, self.stop_price)

    def cancel(self, tag: str = "") -> bool:
        """Take the order back; False when it is too late."""
        if not self.is_open or self.canceller is None:
            return False
        self.canceller(self, tag)
        return True


@dataclass(slots=True)
class _Lot:
    """What was bought or sold short at one moment and is still held."""

    quantity: float
    price: float
    fee: float
    ms: int
    order_id: int
    highest: float
    lowest: float


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """A round trip; `mae` and `mfe` are the worst and the best it was worth, in money; `profit` is before fees."""

    symbol: Symbol
    entry_ms: int
    entry_price: float
    is_long: bool
    quantity: float
    exit_ms: int
    exit_price: float
    profit: float
    fees: float
    mae: float
    mfe: float
    orders: tuple[int, int]


class Ledger:
    """Orders of a run and what they did to the portfolio. `tell` hears every event of an order."""

    def __init__(
        self, portfolio: Portfolio, securities: BySymbol[Security], tell: Callable[[OrderTicket, OrderEvent], None]
    ) -> None:
        self.portfolio, self.securities = portfolio, securities
        self.orders: list[OrderTicket] = []
        self.trades: list[ClosedTrade] = []
        self.may_short = True
        self._tell = tell
        self._open: dict[int, OrderTicket] = {}
        self._lots: dict[Symbol, list[_Lot]] = {}

    @property
    def open_orders(self) -> list[OrderTicket]:
        """Those that may still fill."""
        return list(self._open.values())

    def submit(self, ticket: OrderTicket, now: int, refusal: str = "") -> OrderTicket:
        """Place an order; with a `refusal` it is invalid for that reason."""
        self.orders.append(ticket)
        security = self.securities[ticket.symbol]
        ticket.last_price = security.price
        refusal = refusal or self._objection(ticket, security)
        if refusal:
            self._end(ticket, now, OrderStatus.INVALID, refusal)
            return ticket
        ticket.status, ticket.canceller = OrderStatus.SUBMITTED, lambda one, tag: self.cancel(one, now, tag)
        self._event(ticket, now, OrderStatus.SUBMITTED)
        if ticket.order_type is OrderType.MARKET:
            self._fill(ticket, now, security.slipped(ticket.order, security.price))
        else:
            self._open[ticket.order_id] = ticket
        return ticket

    def cancel(self, ticket: OrderTicket, now: int, tag: str = "") -> None:
        """Take an open order back."""
        self._open.pop(ticket.order_id, None)
        ticket.tag = tag or ticket.tag
        self._end(ticket, now, OrderStatus.CANCELED)

    def on_bar(self, bar: TradeBar) -> None:
        """Fill what the bar reaches, and let it move the extremes of open lots."""
        for lot in self._lots.get(bar.symbol, ()):
            lot.highest, lot.lowest = max(lot.highest, bar.high), min(lot.lowest, bar.low)
        for ticket in [one for one in self._open.values() if one.symbol == bar.symbol]:
            price = _fill_price(ticket, bar)
            if price is None:
                continue
            del self._open[ticket.order_id]
            security = self.securities[ticket.symbol]
            price = security.slipped(ticket.order, price)
            refusal = self._objection(ticket, security, price)
            if refusal:
                self._end(ticket, bar.end_ms, OrderStatus.INVALID, refusal)
            else:
                self._fill(ticket, bar.end_ms, price)

    def _objection(self, ticket: OrderTicket, security: Security, price: float | None = None) -> str:
        """Why the order cannot be, or nothing."""
        if abs(ticket.quantity) < _TINY:
            return "Unable to submit order: the quantity is zero"
        if not security.price:
            return f"There is no data for {ticket.symbol} yet: the security does not have an accurate price"
        if len(self._open) >= _MAX_OPEN:
            return f"More than {_MAX_OPEN} open orders"
        held, price = security.holdings.quantity, price or ticket.limit_price or security.price
        after = held + ticket.quantity
        if not self.may_short and after < -lot_of(ticket.symbol) / 2:
            return f"Insufficient buying power to complete orders: a cash account holds {held:g} of {ticket.symbol}"
        growth = max(0.0, abs(after) - abs(held)) if held * after >= 0 else abs(after)
        need = growth * price / security.leverage + security.fee(ticket.order, price)
        released = abs(held) * price * 2 if held * after < 0 else 0.0
        free = self.portfolio.total_portfolio_value - self.portfolio.total_holdings_value / security.leverage + released
        if growth and need > free + 1e-6:
            return f"Insufficient buying power to complete orders: {need:.2f} is needed and {free:.2f} is free"
        return ""

    def _fill(self, ticket: OrderTicket, now: int, price: float) -> None:
        fee = self.securities[ticket.symbol].fee(ticket.order, price)
        holding = self.portfolio[ticket.symbol]
        self.portfolio.cash -= ticket.quantity * price + fee
        self.portfolio.total_fees += fee
        self.portfolio.volume += abs(ticket.quantity) * price
        holding.total_fees += fee
        self._match(ticket, now, price, fee, holding)
        ticket.status, ticket.average_fill_price, ticket.quantity_filled = OrderStatus.FILLED, price, ticket.quantity
        ticket.filled_ms = ticket.ended_ms = now
        self._event(ticket, now, OrderStatus.FILLED, price, fee)

    def _match(self, ticket: OrderTicket, now: int, price: float, fee: float, holding: Holding) -> None:
        """Close lots first in, first out, and open one with what is left."""
        lots, left = self._lots.setdefault(ticket.symbol, []), ticket.quantity
        while lots and abs(left) > _TINY and lots[0].quantity * left < 0:
            lot = lots[0]
            size = min(abs(lot.quantity), abs(left))
            self._close(ticket, lot, size, now, price, fee * size / abs(ticket.quantity))
            sign = math.copysign(1.0, left)
            left -= sign * size
            lot.fee *= 1 - size / abs(lot.quantity)
            lot.quantity += sign * size
            if abs(lot.quantity) <= _TINY:
                lots.pop(0)
        if abs(left) > _TINY:
            lots.append(_Lot(left, price, fee * abs(left / ticket.quantity), now, ticket.order_id, price, price))
        holding.quantity = math.fsum(lot.quantity for lot in lots) if lots else 0.0
        cost = math.fsum(lot.quantity * lot.price for lot in lots)
        holding.average_price = cost / holding.quantity if lots else 0.0

    def _close(self, ticket: OrderTicket, lot: _Lot, size: float, now: int, price: float, fee: float) -> None:
        sign = math.copysign(1.0, lot.quantity)
        best, worst = (lot.highest, lot.lowest) if sign > 0 else (lot.lowest, lot.highest)
        profit = sign * size * (price - lot.price)
        fees = fee + lot.fee * size / abs(lot.quantity)
        reach = [sign * size * (each - lot.price) for each in (worst, best)]
        mae, mfe = min(0.0, reach[0], profit), max(0.0, reach[1], profit)
        self.portfolio[ticket.symbol].profit += profit
        self.portfolio.total_net_profit += profit - fees
        self.trades.append(
            ClosedTrade(
                ticket.symbol,
                lot.ms,
                lot.price,
                sign > 0,
                size,
                now,
                price,
                profit,
                fees,
                mae,
                mfe,
                (lot.order_id, ticket.order_id),
            )
        )

    def _end(self, ticket: OrderTicket, now: int, status: OrderStatus, message: str = "") -> None:
        ticket.status, ticket.ended_ms = status, now
        self._event(ticket, now, status, message=message)

    def _event(
        self, ticket: OrderTicket, now: int, status: OrderStatus, price: float = 0.0, fee: float = 0.0, message: str = ""
    ) -> None:
        filled = ticket.quantity if status is OrderStatus.FILLED else 0.0
        event = OrderEvent(
            ticket.order_id, len(ticket.events) + 1, ticket.symbol, now, status, ticket.direction, ticket.quantity, price, filled,
            fee, message,
        )  # fmt: skip
        ticket.events.append(event)
        self._tell(ticket, event)


def _fill_price(ticket: OrderTicket, bar: TradeBar) -> float | None:
    """Where an open order fills in a bar, if it does."""
    buys = ticket.quantity > 0
    if ticket.order_type is OrderType.LIMIT:
        if buys:
            return min(ticket.limit_price, bar.high) if bar.low < ticket.limit_price else None
        return max(ticket.limit_price, bar.low) if bar.high > ticket.limit_price else None
    if buys:
        return max(ticket.stop_price, bar.open) if bar.high >= ticket.stop_price else None
    return min(ticket.stop_price, bar.open) if bar.low <= ticket.stop_price else None
