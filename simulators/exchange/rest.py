"""The REST side: public market data under `/api/v3`, with weights, limits and errors as the venue has them."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping

import orjson
from aiohttp import web

from simulators.exchange import dialect
from simulators.exchange.faults import Switchboard
from simulators.exchange.limits import WeightLimit
from simulators.exchange.orders import Rules
from simulators.exchange.query import MAX_LIMIT, Query, Rejected
from simulators.exchange.venue import BOOK_LEVELS, Venue

Answer = object
Question = Callable[[Query], Answer]

_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50), (5_000, 250))


class RestRoutes:
    """Answers questions of the market. `rules` are the symbols' own of this moment, `orders` how many ten seconds allow."""

    def __init__(self, venue: Venue, faults: Switchboard, weights: WeightLimit, rules: Mapping[str, Rules], orders: int) -> None:
        self._venue = venue
        self._faults = faults
        self._weights = weights
        self._rules = rules
        self._order_limit = orders

    def routes(self) -> list[web.RouteDef]:
        """Everything that is answered under `/api/v3`."""
        questions: dict[str, tuple[Question, Callable[[web.Request], int]]] = {
            "ping": (lambda _: {}, _flat(1)),
            "time": (lambda _: {"serverTime": self._venue.now() + self._faults.skew_ms}, _flat(1)),
            "exchangeInfo": (self._exchange_info, _flat(20)),
            "klines": (self._klines, _flat(2)),
            "depth": (self._depth, _depth_weight),
            "trades": (self._trades, _flat(25)),
            "aggTrades": (self._agg_trades, _flat(4)),
            "ticker/24hr": (self._day_tickers, _by_symbols(2, 80)),
            "ticker/bookTicker": (self._book_tickers, _by_symbols(2, 4)),
            "ticker/price": (self._prices, _by_symbols(2, 4)),
        }
        routes = [web.get(f"/api/v3/{path}", self._handler(*question)) for path, question in questions.items()]
        return [*routes, web.route("*", "/{tail:(api|sapi)/.*}", self._unknown)]

    def _handler(self, ask: Question, weigh: Callable[[web.Request], int]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            headers: dict[str, str] = {}
            try:
                weigh_in(self._weights, weigh(request), headers)
                return answer(ask(Query(request.query, self._venue)), 200, headers)
            except Rejected as problem:
                return answer(dialect.error(problem.code, str(problem)), problem.status, headers)

        return handle

    async def _unknown(self, request: web.Request) -> web.Response:
        return answer(dialect.error(-1000, f"The path {request.method} {request.path} does not exist here."), 404, {})

    def _exchange_info(self, query: Query) -> Answer:
        listings = [(self._venue.ids[symbol], self._rules[symbol]) for symbol in query.symbols()]
        now = self._venue.now() + self._faults.skew_ms
        return dialect.exchange_info(listings, now, self._weights.limit, self._order_limit)

    def _klines(self, query: Query) -> Answer:
        symbol, length, limit = query.symbol(), query.interval(), query.limit(500)
        bars = self._venue.bars(symbol, length, limit, query.whole("startTime"), query.whole("endTime"))
        return [dialect.kline_row(bar, length) for bar in bars]

    def _depth(self, query: Query) -> Answer:
        return dialect.book_snapshot(self._venue.book(query.symbol(), min(query.limit(100), BOOK_LEVELS)))

    def _trades(self, query: Query) -> Answer:
        return [dialect.recent_trade(trade) for trade in self._venue.newest_trades(query.symbol(), query.limit(500))]

    def _agg_trades(self, query: Query) -> Answer:
        symbol, limit = query.symbol(), query.limit(500)
        number, start, end = query.whole("fromId"), query.whole("startTime"), query.whole("endTime")
        if number is not None:
            trades = self._venue.trades_from(symbol, number, limit)
        elif start is not None:
            trades = self._venue.trades_between(symbol, start, end if end is not None else self._venue.now(), limit)
        elif end is not None:
            trades = [trade for trade in self._venue.newest_trades(symbol, MAX_LIMIT) if trade.ts <= end][-limit:]
        else:
            trades = self._venue.newest_trades(symbol, limit)
        return [dialect.agg_trade(trade) for trade in trades]

    def _day_tickers(self, query: Query) -> Answer:
        rows = [dialect.day_ticker(self._venue.ids[symbol], self._venue.ticker(symbol)) for symbol in query.symbols()]
        return rows[0] if query.has("symbol") else rows

    def _book_tickers(self, query: Query) -> Answer:
        rows = [dialect.book_ticker(self._venue.ids[symbol], self._venue.quote(symbol)) for symbol in query.symbols()]
        return rows[0] if query.has("symbol") else rows

    def _prices(self, query: Query) -> Answer:
        prices = [(self._venue.ids[symbol], self._venue.live_bar(symbol).close) for symbol in query.symbols()]
        rows = [{"symbol": name, "price": dialect.number(price)} for name, price in prices]
        return rows[0] if query.has("symbol") else rows


def weigh_in(weights: WeightLimit, weight: int, headers: dict[str, str]) -> None:
    """Charge a request's weight and write the headers about it; `Rejected` when there was too much."""
    refusal = weights.charge(weight)
    headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = str(weights.used)
    if refusal is not None:
        headers["Retry-After"] = str(refusal.retry_after)
        text = f"Too much request weight used; current limit is {weights.limit} request weight per 1 MINUTE."
        raise Rejected(-1003, text, refusal.status)


def answer(body: object, status: int, headers: dict[str, str]) -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")


def _flat(weight: int) -> Callable[[web.Request], int]:
    return lambda _: weight


def _by_symbols(one: int, many: int) -> Callable[[web.Request], int]:
    return lambda request: one if "symbol" in request.query else many


def _depth_weight(request: web.Request) -> int:
    text = request.query.get("limit", "100")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else math.inf
    return next((weight for bound, weight in _DEPTH_WEIGHTS if limit <= bound), _DEPTH_WEIGHTS[-1][1])
