"""What an account can order and ask at OKX, in that venue's parameters; REST and websockets share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation

from bot.core.market import Side
from simulators.exchange import okx_dialect as wire
from simulators.exchange.account_faults import Telling, Thing
from simulators.exchange.accounts import Account
from simulators.exchange.dialect import Wire
from simulators.exchange.matching import Engine
from simulators.exchange.orders import ZERO, Kind, OrderRefused, Reason, Ticket, TimeInForce, VenueOrder
from simulators.exchange.query import Rejected
from simulators.exchange.venue import Venue

Given = Mapping[str, object]

_MAX_ROWS = 100
_KINDS = {
    "limit": (Kind.LIMIT, TimeInForce.GTC),
    "market": (Kind.MARKET, TimeInForce.GTC),
    "post_only": (Kind.LIMIT_MAKER, TimeInForce.GTC),
    "ioc": (Kind.LIMIT, TimeInForce.IOC),
    "fok": (Kind.LIMIT, TimeInForce.FOK),
}


class OkxOrders:
    """Orders of accounts; what is refused is told in the row of its order (`sCode`), as the venue does."""

    def __init__(self, engine: Engine, venue: Venue, telling: Telling) -> None:
        self._engine = engine
        self._venue = venue
        self._telling = telling
        self.symbols = {wire.okx_id(symbol): symbol for symbol in venue.ids}

    def symbol(self, given: Given) -> str:
        """The symbol of `instId`; `Rejected` when there is none such."""
        found = self.symbols.get(str(given.get("instId", "")))
        if found is None:
            raise Rejected(51001, "Instrument ID does not exist")
        return found

    def place(self, account: Account, given: Given) -> Wire:
        """A new order: its id, or why not."""

        def act() -> VenueOrder:
            return self._engine.place(account, self._ticket(given), self._venue.now())

        return self._row(given, act)

    def place_algo(self, account: Account, given: Given) -> Wire:
        """A stop, a target, or both of which one cancels the other."""

        def act() -> VenueOrder:
            tickets = self._algo_tickets(given)
            if len(tickets) == 1:
                return self._engine.place(account, tickets[0], self._venue.now())
            pair = self._engine.place_pair(account, (tickets[0], tickets[1]), "", self._venue.now())
            return pair.orders[0]

        row = self._row(given, act)
        return {"algoId": row["ordId"], "algoClOrdId": row["clOrdId"], **row}

    def cancel(self, account: Account, given: Given) -> Wire:
        """Cancel by `ordId`, `algoId` or `clOrdId`: the order's id, or why not."""

        def act() -> VenueOrder:
            order = self._find(account, given, Reason.CANNOT_CANCEL)
            self._engine.cancel(account, order, self._venue.now())
            return order

        row = self._row(given, act)
        return {**row, "algoId": row["ordId"]}

    def one(self, account: Account, given: Given) -> VenueOrder:
        """The order asked for; `Rejected` when the venue says that there is none."""
        try:
            order = self._find(account, given, Reason.NO_ORDER)
        except OrderRefused as problem:
            raise Rejected(*wire.CODES[problem.reason], 200) from problem
        if self._telling.omitted(Thing.ORDER, [order.client_id]) is not None:
            raise Rejected(*wire.CODES[Reason.NO_ORDER], 200)
        return order

    def pending(self, account: Account, given: Given, waiting: bool) -> list[VenueOrder]:
        """Open orders, newest first: those that work, or those that wait for their trigger."""
        found = [order for order in self._page(account, given) if order.status.open and order.working is not waiting]
        left_out = self._telling.omitted(Thing.ORDER, [order.client_id for order in reversed(found)])
        return [order for order in found if order.client_id != left_out][:_MAX_ROWS]

    def history(self, account: Account, given: Given) -> list[VenueOrder]:
        """Closed orders, newest first; `state` picks some."""
        wanted = given.get("state")
        found = [order for order in self._page(account, given) if not order.status.open]
        return [order for order in found if wanted is None or wire.state(order.status) == wanted][: _limit(given)]

    def fills(self, account: Account, given: Given) -> list[Wire]:
        """Fills, newest first."""
        begin, end = whole(given, "begin") or 0, whole(given, "end")
        symbol = self.symbol(given) if given.get("instId") else None
        number = given.get("ordId")
        found = [
            fill
            for fill in reversed(account.fills)
            if fill.ts >= begin
            and (end is None or fill.ts <= end)
            and symbol in (None, fill.symbol)
            and (number is None or str(fill.order_id) == number)
        ]
        left_out = self._telling.omitted(Thing.TRADE, [str(fill.id) for fill in reversed(found)])
        rows = [wire.fill_row(fill, account.orders[fill.order_id].client_id) for fill in found if str(fill.id) != left_out]
        return rows[: _limit(given)]

    def balances(self, account: Account) -> Wire:
        """All balances, unless a fault leaves one out."""
        return wire.account_row(account, self._telling.omitted(Thing.BALANCE, sorted(account.balances)))

    def _page(self, account: Account, given: Given) -> list[VenueOrder]:
        symbol = self.symbol(given) if given.get("instId") else None
        after = whole(given, "after")  # older than this order
        orders = reversed(account.orders.values())
        return [order for order in orders if symbol in (None, order.symbol) and (after is None or order.id < after)]

    def _find(self, account: Account, given: Given, missing: Reason) -> VenueOrder:
        number = whole(given, "ordId") or whole(given, "algoId")
        client_id = str(given.get("clOrdId") or given.get("algoClOrdId") or "")
        if number is None and not client_id:
            raise Rejected(51000, "Either ordId or clOrdId is required")
        order = account.order(number, client_id)
        if order is None or (given.get("instId") and order.symbol != self.symbol(given)):
            raise OrderRefused(missing)
        return order

    def _row(self, given: Given, act: Callable[[], VenueOrder]) -> Wire:
        code, message, number = 0, "", ""
        client_id = str(given.get("clOrdId") or given.get("algoClOrdId") or "")
        now = self._venue.now()
        try:
            order = act()
            number, client_id = str(order.id), order.client_id
        except OrderRefused as problem:
            code, message = wire.CODES[problem.reason]
        except Rejected as problem:
            code, message = problem.code, str(problem)
        return {"ordId": number, "clOrdId": client_id, "tag": "", "ts": str(now), "sCode": str(code), "sMsg": message}

    def _ticket(self, given: Given) -> Ticket:
        symbol, side = self.symbol(given), _side(given)
        if given.get("ordType") not in _KINDS:
            raise Rejected(51000, "Parameter ordType error")
        kind, tif = _KINDS[str(given["ordType"])]
        client_id, size = _client_id(given), amount(given, "sz")
        if kind is Kind.MARKET and side is Side.BUY and given.get("tgtCcy", "quote_ccy") == "quote_ccy":
            return Ticket(symbol, side, kind, cost=size, client_id=client_id)
        price = amount(given, "px") if kind.limited else ZERO
        return Ticket(symbol, side, kind, size, None, price, ZERO, tif, client_id, crossing_cancels=True)

    def _algo_tickets(self, given: Given) -> list[Ticket]:
        symbol, side, size = self.symbol(given), _side(given), amount(given, "sz")
        found = []
        if given.get("triggerPx"):
            stop, last = amount(given, "triggerPx"), Decimal(repr(self._venue.last(symbol)))
            adverse = (stop < last) == (side is Side.SELL)
            found.append((adverse, stop, str(given.get("orderPx", "-1"))))
        for adverse, prefix in ((False, "tp"), (True, "sl")):
            if given.get(f"{prefix}TriggerPx"):
                found.append((adverse, amount(given, f"{prefix}TriggerPx"), str(given.get(f"{prefix}OrdPx", "-1"))))
        if not found:
            raise Rejected(51000, "Parameter triggerPx error")
        client_id = _client_id(given)
        tickets: list[Ticket] = []
        for adverse, stop, price in found:
            market = price == "-1"
            kind = Kind(("STOP_LOSS" if adverse else "TAKE_PROFIT") + ("" if market else "_LIMIT"))
            limit = ZERO if market else amount({"px": price}, "px")
            name = client_id if not tickets else ""
            tickets.append(Ticket(symbol, side, kind, size, None, limit, stop, TimeInForce.GTC, name))
        return tickets


def amount(given: Given, name: str) -> Decimal:
    """A positive decimal that must be there."""
    try:
        found = Decimal(str(given.get(name, "")))
    except InvalidOperation:
        found = ZERO
    if not found.is_finite() or found <= 0 or found > Decimal(10) ** 15:
        raise Rejected(51000, f"Parameter {name} error")
    return found


def whole(given: Given, name: str) -> int | None:
    """A whole number, None when it was not sent."""
    value = str(given.get(name) or "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise Rejected(51000, f"Parameter {name} error")
    return int(value)


def _limit(given: Given) -> int:
    return min(whole(given, "limit") or _MAX_ROWS, _MAX_ROWS)


def _side(given: Given) -> Side:
    if given.get("side") not in ("buy", "sell"):
        raise Rejected(51000, "Parameter side error")
    return Side(str(given["side"]))


def _client_id(given: Given) -> str:
    value = str(given.get("clOrdId") or given.get("algoClOrdId") or "")
    if len(value) > 32 or (value and not (value.isascii() and value.isalnum())):
        raise Rejected(51000, "Parameter clOrdId error")
    return value
