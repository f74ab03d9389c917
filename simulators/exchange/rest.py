"""The REST side: public market data under `/api/v3`, with weights, limits and errors as the venue has them."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from bot.core.market import timeframe_ms
from simulators.exchange import dialect
from simulators.exchange.faults import Switchboard
from simulators.exchange.limits import WeightLimit
from simulators.exchange.pump import BOOK_LEVELS
from simulators.exchange.topics import INTERVALS
from simulators.exchange.venue import Venue

Answer = object
Question = Callable[["Query"], Answer]

_MAX_LIMIT = 1_000
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50), (5_000, 250))


class Rejected(ValueError):  # noqa: N818 - the venue's word
    """The venue's answer to a bad request: its error code and message, sent with HTTP 400."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Query:
    """The parameters of one request, read as the venue reads them; `Rejected` where they cannot be."""

    def __init__(self, request: web.Request, venue: Venue) -> None:
        self._given = request.query
        self._venue = venue

    def has(self, name: str) -> bool:
        """Whether the parameter was sent."""
        return name in self._given

    def text(self, name: str) -> str:
        """A parameter that must be there."""
        value = self._given.get(name, "")
        if not value:
            raise Rejected(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return value

    def whole(self, name: str) -> int | None:
        """A whole number that is not negative, None when it was not sent."""
        value = self._given.get(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) < 20):
            raise Rejected(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
        return int(value)

    def limit(self, default: int) -> int:
        """`limit`, at most 1000."""
        given = self.whole("limit")
        if given == 0:
            raise Rejected(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(given or default, _MAX_LIMIT)

    def symbol(self) -> str:
        """`symbol` as ccxt names it."""
        return self._known(self.text("symbol"))

    def symbols(self) -> list[str]:
        """`symbol`, or `symbols` (a JSON list), or all of them."""
        if self.has("symbol"):
            return [self.symbol()]
        if not self.has("symbols"):
            return list(self._venue.ids)
        try:
            names = orjson.loads(self.text("symbols"))
        except orjson.JSONDecodeError:
            names = None
        if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
            raise Rejected(-1100, "Illegal characters found in parameter 'symbols'.")
        return [self._known(name) for name in names]

    def interval(self) -> int:
        """`interval` in milliseconds."""
        name = self.text("interval")
        if name not in INTERVALS:
            raise Rejected(-1120, "Invalid interval.")
        return timeframe_ms(name)

    def _known(self, name: str) -> str:
        symbol = self._venue.symbols.get(name)
        if symbol is None:
            raise Rejected(-1121, "Invalid symbol.")
        return symbol


class RestRoutes:
    """Answers questions of the market; `hits` counts requests by path."""

    def __init__(self, venue: Venue, faults: Switchboard, weight_limit: int) -> None:
        self._venue = venue
        self._faults = faults
        self._weights = WeightLimit(weight_limit, venue.now)
        self.hits: Counter[str] = Counter()

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
            self.hits[request.path] += 1
            if (refused := await self._misbehave(request)) is not None:
                return refused
            refusal = self._weights.charge(weigh(request))
            headers = {"X-MBX-USED-WEIGHT": str(self._weights.used), "X-MBX-USED-WEIGHT-1M": str(self._weights.used)}
            if refusal is not None:
                headers["Retry-After"] = str(refusal.retry_after)
                text = f"Too much request weight used; current limit is {self._weights.limit} request weight per 1 MINUTE."
                return _json(dialect.error(-1003, text), refusal.status, headers)
            try:
                return _json(ask(Query(request, self._venue)), 200, headers)
            except Rejected as problem:
                return _json(dialect.error(problem.code, str(problem)), 400, headers)

        return handle

    async def _misbehave(self, request: web.Request) -> web.Response | None:
        """Wait and refuse as the faults want it."""
        if delay := self._faults.delay(request.path):
            await asyncio.sleep(delay)
        fault = self._faults.refusal(request.path)
        if fault is None:
            return None
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        if fault.code >= 500:  # a gateway's word, not the venue's
            return web.Response(
                text=f"<html><body>{fault.code}</body></html>", status=fault.code, headers=headers, content_type="text/html"
            )
        code = -1003 if fault.code in (418, 429) else -1000
        return _json(dialect.error(code, f"simulated status {fault.code}"), fault.code, headers)

    async def _unknown(self, request: web.Request) -> web.Response:
        self.hits["unknown"] += 1
        return _json(dialect.error(-1000, f"The path {request.method} {request.path} does not exist here."), 404, {})

    def _exchange_info(self, query: Query) -> Answer:
        listings = [(self._venue.ids[symbol], self._venue.market.listing(symbol)) for symbol in query.symbols()]
        return dialect.exchange_info(listings, self._venue.now() + self._faults.skew_ms, self._weights.limit)

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
            trades = [trade for trade in self._venue.newest_trades(symbol, _MAX_LIMIT) if trade.ts <= end][-limit:]
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


def _json(body: object, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")


def _flat(weight: int) -> Callable[[web.Request], int]:
    return lambda _: weight


def _by_symbols(one: int, many: int) -> Callable[[web.Request], int]:
    return lambda request: one if "symbol" in request.query else many


def _depth_weight(request: web.Request) -> int:
    text = request.query.get("limit", "100")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else math.inf
    return next((weight for bound, weight in _DEPTH_WEIGHTS if limit <= bound), _DEPTH_WEIGHTS[-1][1])
