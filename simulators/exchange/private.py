"""What an account can ask and order, in Binance's parameters; REST and the websocket API share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from bot.core.market import Side
from simulators.exchange import dialect_private as wire
from simulators.exchange.account_faults import Telling, Thing
from simulators.exchange.accounts import Account
from simulators.exchange.dialect import Wire
from simulators.exchange.limits import OrderLimit
from simulators.exchange.matching import Engine
from simulators.exchange.orders import Kind, OrderList, OrderRefused, Reason, Ticket, TimeInForce, VenueOrder
from simulators.exchange.query import Query, Rejected
from simulators.exchange.venue import Venue

_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
_KINDS = {kind.value: kind for kind in Kind}
_TIFS = {tif.value: tif for tif in TimeInForce}
_STYLES = {style: style for style in ("ACK", "RESULT", "FULL")}
_STOP_KINDS = {kind.value: kind for kind in Kind if kind.waits}
_TARGET_KINDS = {kind.value: kind for kind in (Kind.LIMIT_MAKER, Kind.TAKE_PROFIT, Kind.TAKE_PROFIT_LIMIT)}
_DEFAULT_TRADES = 500

Act = Callable[[Account, Query], object]


@dataclass(frozen=True, slots=True)
class Action:
    """Something an account may ask: its weight (`all_weight` without a symbol) and how many new orders it makes."""

    act: Act
    weight: int
    all_weight: int | None = None
    orders: int = 0


class PrivateApi:
    """Actions by name. `limit` new orders per ten seconds and account; venue errors are `Rejected`."""

    def __init__(self, engine: Engine, venue: Venue, telling: Telling, limit: int) -> None:
        self._engine = engine
        self._venue = venue
        self._telling = telling
        self._limit = limit
        self._limits: dict[str, OrderLimit] = {}
        self.actions: dict[str, Action] = {
            "order.place": Action(self._place, 1, orders=1),
            "order.test": Action(self._test, 1),
            "order.status": Action(self._status, 4),
            "order.cancel": Action(self._cancel, 1),
            "order.cancelReplace": Action(self._replace, 1, orders=1),
            "openOrders.status": Action(self._open_orders, 6, 80),
            "openOrders.cancelAll": Action(self._cancel_all, 1),
            "allOrders": Action(self._all_orders, 20),
            "myTrades": Action(self._my_trades, 20),
            "account.status": Action(self._account, 20),
            "orderList.place.oco": Action(self._place_pair, 1, orders=2),
            "orderList.place": Action(self._place_old_pair, 1, orders=2),
            "orderList.cancel": Action(self._cancel_pair, 1),
            "orderList.status": Action(self._pair_status, 4),
            "openOrderLists.status": Action(self._open_pairs, 6),
            "allOrderLists": Action(self._all_pairs, 20),
            "account.rateLimits.orders": Action(self._order_counts, 40),
        }

    def perform(self, action: Action, account: Account, query: Query) -> object:
        """Do it; `Rejected` with the venue's code otherwise."""
        if action.orders and not self.limit_of(account).charge(action.orders):
            text = f"Too many new orders; current limit is {self._limit} orders per 10 SECOND."
            raise Rejected(-1015, text, 429)
        try:
            return action.act(account, query)
        except OrderRefused as problem:
            raise _rejected(problem) from problem

    def limit_of(self, account: Account) -> OrderLimit:
        """The account's count of new orders."""
        return self._limits.setdefault(account.terms.key, OrderLimit(self._limit, self._venue.now))

    def _place(self, account: Account, query: Query) -> object:
        ticket = self._ticket(query)
        default = "FULL" if ticket.kind in (Kind.MARKET, Kind.LIMIT) else "ACK"
        style = query.choice("newOrderRespType", _STYLES, -1100, default)
        return wire.placed(self._engine.place(account, ticket, self._venue.now()), style)

    def _test(self, _: Account, query: Query) -> object:
        self._ticket(query)
        return {}

    def _ticket(self, query: Query) -> Ticket:
        symbol = query.symbol()
        side, kind = query.choice("side", _SIDES, -1117), query.choice("type", _KINDS, -1116)
        client_id = query.client_id("newClientOrderId")
        cost = query.amount("quoteOrderQty") if kind is Kind.MARKET else None
        _unwanted(query, kind, cost)
        tif = TimeInForce.GTC
        if kind.limited and kind is not Kind.LIMIT_MAKER:
            tif = query.choice("timeInForce", _TIFS, -1115)
        price = query.needed("price") if kind.limited else Decimal(0)
        stop = query.needed("stopPrice") if kind.waits else Decimal(0)
        amount = query.needed("quantity") if cost is None else Decimal(0)
        return Ticket(symbol, side, kind, amount, cost, price, stop, tif, client_id)

    def _find(self, account: Account, query: Query, missing: Reason) -> VenueOrder:
        symbol, number = query.symbol(), query.whole("orderId")
        client_id = query.client_id("origClientOrderId")
        if number is None and not client_id:
            raise Rejected(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        order = account.order(number, client_id)
        if order is None or order.symbol != symbol:
            raise OrderRefused(missing)
        return order

    def _status(self, account: Account, query: Query) -> object:
        order = self._find(account, query, Reason.NO_ORDER)
        if self._telling.omitted(Thing.ORDER, [order.client_id]) is not None:
            raise OrderRefused(Reason.NO_ORDER)
        return wire.order_row(order)

    def _cancel(self, account: Account, query: Query) -> object:
        order = self._find(account, query, Reason.CANNOT_CANCEL)
        restriction = query.choice(
            "cancelRestrictions", {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}, -1100, ""
        )
        if restriction and order.status.open and order.status.value != restriction:
            raise Rejected(-2011, "Order was not canceled due to cancel restrictions.")
        cancelled = self._engine.cancel(account, order, self._venue.now(), query.client_id("newClientOrderId"))
        pair = account.lists.get(order.list_id)
        return self._cancelled_pair(pair) if pair is not None else wire.cancelled(cancelled[0])

    def _replace(self, account: Account, query: Query) -> object:
        """Cancel, then place; with STOP_ON_FAILURE nothing is placed when there was nothing to cancel."""
        modes = {"STOP_ON_FAILURE": True, "ALLOW_FAILURE": False}
        stop = query.choice("cancelReplaceMode", modes, -1100)
        ticket, number = self._ticket(query), query.whole("cancelOrderId")
        order = account.order(number, query.client_id("cancelOrigClientOrderId"))
        now = self._venue.now()
        gone: Wire
        try:
            if order is None:
                raise OrderRefused(Reason.CANNOT_CANCEL)
            gone = wire.cancelled(self._engine.cancel(account, order, now, query.client_id("cancelNewClientOrderId"))[0])
            result = "SUCCESS"
        except OrderRefused as problem:
            gone, result = _error(problem), "FAILURE"
            if stop:
                raise _ReplaceFailed(-2022, result, "NOT_ATTEMPTED", gone, None) from problem
        try:
            placed = wire.placed(self._engine.place(account, ticket, now), "FULL")
        except OrderRefused as problem:
            code = -2021 if result == "SUCCESS" else -2022
            raise _ReplaceFailed(code, result, "FAILURE", gone, _error(problem)) from problem
        if result == "FAILURE":
            raise _ReplaceFailed(-2021, result, "SUCCESS", gone, placed)
        return {"cancelResult": result, "newOrderResult": "SUCCESS", "cancelResponse": gone, "newOrderResponse": placed}

    def _open_orders(self, account: Account, query: Query) -> object:
        symbols = query.symbols()
        return self._listed([order for order in account.open.values() if order.symbol in symbols])

    def _listed(self, orders: list[VenueOrder]) -> list[Wire]:
        left_out = self._telling.omitted(Thing.ORDER, [order.client_id for order in orders])
        return [wire.order_row(order) for order in orders if order.client_id != left_out]

    def _cancel_all(self, account: Account, query: Query) -> object:
        symbol, now = query.symbol(), self._venue.now()
        found: list[Wire] = []
        for order in [order for order in account.open.values() if order.symbol == symbol]:
            if not order.status.open:
                continue
            cancelled = self._engine.cancel(account, order, now)
            pair = account.lists.get(order.list_id)
            found.append(wire.cancelled(cancelled[0]) if pair is None else self._cancelled_pair(pair))
        if not found:
            raise OrderRefused(Reason.CANNOT_CANCEL)
        return found

    def _all_orders(self, account: Account, query: Query) -> object:
        symbol, limit = query.symbol(), query.limit(_DEFAULT_TRADES)
        orders = [order for order in account.orders.values() if order.symbol == symbol]
        first, start, end = query.whole("orderId"), query.whole("startTime"), query.whole("endTime")
        if first is not None:
            return self._listed([order for order in orders if order.id >= first][:limit])
        if start is None and end is None:
            return self._listed(orders[-limit:])
        last = end if end is not None else max((order.created for order in orders), default=0)
        return self._listed([order for order in orders if (start or 0) <= order.created <= last][:limit])

    def _my_trades(self, account: Account, query: Query) -> object:
        symbol, limit = query.symbol(), query.limit(_DEFAULT_TRADES)
        fills = [fill for fill in account.fills if fill.symbol == symbol]
        order, first = query.whole("orderId"), query.whole("fromId")
        start, end = query.whole("startTime"), query.whole("endTime")
        if order is not None:
            fills = [fill for fill in fills if fill.order_id == order]
        if start is not None or end is not None:
            fills = [fill for fill in fills if (start or 0) <= fill.ts and (end is None or fill.ts <= end)]
        if first is not None:
            fills = [fill for fill in fills if fill.id >= first]
        fills = fills[-limit:] if start is None and end is None and first is None else fills[:limit]
        left_out = self._telling.omitted(Thing.TRADE, [str(fill.id) for fill in fills])
        return [wire.trade_row(fill) for fill in fills if str(fill.id) != left_out]

    def _account(self, account: Account, query: Query) -> object:
        left_out = self._telling.omitted(Thing.BALANCE, sorted(account.balances))
        without_zeros = query.choice("omitZeroBalances", {"true": True, "false": False}, -1100, False)
        return wire.account_row(account, left_out, without_zeros)

    def _place_pair(self, account: Account, query: Query) -> object:
        side = query.choice("side", _SIDES, -1117)
        high, low = (_TARGET_KINDS, _STOP_KINDS) if side is Side.SELL else (_STOP_KINDS, _TARGET_KINDS)
        above = self._leg(query, "above", side, query.choice("aboveType", high, -1116))
        below = self._leg(query, "below", side, query.choice("belowType", low, -1116))
        return self._start_pair(account, query, (above, below))

    def _leg(self, query: Query, which: str, side: Side, kind: Kind) -> Ticket:
        tif = TimeInForce.GTC
        if kind.limited and kind is not Kind.LIMIT_MAKER:
            tif = query.choice(f"{which}TimeInForce", _TIFS, -1115)
        price = query.needed(f"{which}Price") if kind.limited else Decimal(0)
        stop = query.needed(f"{which}StopPrice") if kind.waits else Decimal(0)
        client_id = query.client_id(f"{which}ClientOrderId")
        return Ticket(query.symbol(), side, kind, query.needed("quantity"), None, price, stop, tif, client_id)

    def _place_old_pair(self, account: Account, query: Query) -> object:
        """The deprecated `order/oco`: a limit order and a stop-loss."""
        side, symbol, amount = query.choice("side", _SIDES, -1117), query.symbol(), query.needed("quantity")
        limit = Ticket(
            symbol, side, Kind.LIMIT_MAKER, amount, None, query.needed("price"), client_id=query.client_id("limitClientOrderId")
        )
        stop_limit = query.amount("stopLimitPrice")
        kind = Kind.STOP_LOSS if stop_limit is None else Kind.STOP_LOSS_LIMIT
        tif = TimeInForce.GTC if stop_limit is None else query.choice("stopLimitTimeInForce", _TIFS, -1115)
        client_id = query.client_id("stopClientOrderId")
        stop = Ticket(symbol, side, kind, amount, None, stop_limit or Decimal(0), query.needed("stopPrice"), tif, client_id)
        return self._start_pair(account, query, (limit, stop) if side is Side.SELL else (stop, limit))

    def _start_pair(self, account: Account, query: Query, legs: tuple[Ticket, Ticket]) -> object:
        reaches = [leg.stop if leg.kind.waits else leg.price for leg in legs]
        if reaches[0] <= reaches[1]:
            raise OrderRefused(Reason.BAD_LIST)
        pair = self._engine.place_pair(account, legs, query.client_id("listClientOrderId"), self._venue.now())
        return {**wire.order_list(pair), "orderReports": [wire.placed(order, "RESULT") for order in pair.orders]}

    def _find_pair(self, account: Account, query: Query, missing: Reason) -> OrderList:
        number, client_id = (
            query.whole("orderListId"),
            query.client_id("listClientOrderId") or query.client_id("origClientOrderId"),
        )
        for pair in reversed(account.lists.values()):
            if pair.id == number or (number is None and pair.client_id == client_id):
                return pair
        raise OrderRefused(missing)

    def _cancel_pair(self, account: Account, query: Query) -> object:
        pair = self._find_pair(account, query, Reason.CANNOT_CANCEL)
        order = next((order for order in pair.orders if order.status.open), None)
        if order is None:
            raise OrderRefused(Reason.CANNOT_CANCEL)
        self._engine.cancel(account, order, self._venue.now(), query.client_id("newClientOrderId"))
        return self._cancelled_pair(pair)

    def _cancelled_pair(self, pair: OrderList) -> Wire:
        return {**wire.order_list(pair), "orderReports": [wire.cancelled(order) for order in pair.orders]}

    def _pair_status(self, account: Account, query: Query) -> object:
        return wire.order_list(self._find_pair(account, query, Reason.NO_LIST))

    def _open_pairs(self, account: Account, _: Query) -> object:
        return [wire.order_list(pair) for pair in account.lists.values() if not pair.done]

    def _all_pairs(self, account: Account, query: Query) -> object:
        return [wire.order_list(pair) for pair in account.lists.values()][-query.limit(_DEFAULT_TRADES) :]

    def _order_counts(self, account: Account, _: Query) -> object:
        limit = self.limit_of(account)
        return [
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": limit.limit, "count": limit.used},
            {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000, "count": limit.today},
        ]


class _ReplaceFailed(Rejected):
    """A cancel-replace of which a part failed; `body` is the venue's whole answer."""

    def __init__(self, code: int, cancelled: str, placed: str, gone: Wire, made: Wire | None) -> None:
        message = "Order cancel-replace failed." if code == -2022 else "Order cancel-replace partially failed."
        super().__init__(code, message, 400 if code == -2022 else 409)
        parts = {"cancelResult": cancelled, "newOrderResult": placed, "cancelResponse": gone, "newOrderResponse": made}
        self.body = {"code": code, "msg": message, "data": parts}


def _rejected(problem: OrderRefused) -> Rejected:
    return Rejected(*wire.CODES[problem.reason])


def _error(problem: OrderRefused) -> Wire:
    code, message = wire.CODES[problem.reason]
    return {"code": code, "msg": message}


def _unwanted(query: Query, kind: Kind, cost: Decimal | None) -> None:
    """`Rejected` for parameters that the type does not take."""
    unwanted = [] if kind.limited else ["price", "timeInForce"]
    unwanted += [] if kind.waits else ["stopPrice"]
    unwanted += ["quantity"] if cost is not None else []
    for name in unwanted:
        if query.has(name):
            raise Rejected(-1106, f"Parameter '{name}' sent when not required.")
