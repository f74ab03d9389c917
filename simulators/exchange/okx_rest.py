"""OKX over REST: `/api/v5`, with its signatures. Errors come as `{"code", "msg", "data"}`, most of them with HTTP 200."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import orjson
from aiohttp import web

from bot.core.market import timeframe_ms
from simulators.exchange import okx_dialect as wire
from simulators.exchange.accounts import Account, Accounts
from simulators.exchange.answer_faults import Answers
from simulators.exchange.dialect import Wire
from simulators.exchange.okx_orders import Given, OkxOrders, whole
from simulators.exchange.orders import Rules, VenueOrder
from simulators.exchange.query import Rejected
from simulators.exchange.topics import INTERVALS
from simulators.exchange.venue import BOOK_LEVELS, Venue

_PATIENCE_MS = 30_000
_MAX_CANDLES = 300
_BULK = 20

Public = Callable[[Given], list[object]]
Private = Callable[[Account, Given], list[object]]


def sign(secret: str, payload: str) -> str:
    """The venue's signature: base64 of the HMAC-SHA256."""
    return base64.b64encode(hmac.new(secret.encode(), payload.encode(), hashlib.sha256).digest()).decode()


def interval(bar: str) -> int:
    """`1m`, `1H`, `1Dutc` in milliseconds; `Rejected` for another."""
    name = bar.removesuffix("utc")
    name = name[:-1] + name[-1:].lower() if name[-1:] in ("H", "D") else name
    if name not in INTERVALS:
        raise Rejected(51000, "Parameter bar error")
    return timeframe_ms(name)


def login(accounts: Accounts, key: str, phrase: str, payload: str, signature: str) -> Account:
    """The account that signed; `Rejected` with the venue's code otherwise."""
    account = accounts.get(key)
    if account is None:
        raise Rejected(50111, "Invalid OK-ACCESS-KEY", 401)
    if not hmac.compare_digest(account.terms.passphrase, phrase):
        raise Rejected(50105, "Request header OK-ACCESS-PASSPHRASE incorrect.", 401)
    if not hmac.compare_digest(sign(account.terms.secret, payload), signature):
        raise Rejected(50113, "Invalid Sign", 401)
    return account


class OkxRoutes:
    """Answers `/api/v5`. `now` is the venue's clock, wrong as the faults make it."""

    def __init__(
        self, orders: OkxOrders, accounts: Accounts, venue: Venue, rules: Mapping[str, Rules], answers: Answers,
        now: Callable[[], int],
    ) -> None:  # fmt: skip
        self._orders = orders
        self._accounts = accounts
        self._venue = venue
        self._rules = rules
        self._answers = answers
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """Everything under `/api/v5`."""
        orders = self._orders
        public: dict[str, Public] = {
            "public/time": lambda _: [{"ts": str(self._now())}],
            "public/instruments": self._instruments,
            "market/ticker": lambda given: [wire.ticker(self._venue.ticker(orders.symbol(given)), self._now())],
            "market/tickers": lambda _: [wire.ticker(self._venue.ticker(symbol), self._now()) for symbol in self._venue.ids],
            "market/books": self._book,
            "market/candles": self._candles,
            "market/history-candles": self._candles,
            "market/trades": self._trades,
            "system/status": lambda _: self._status(),
        }
        asked: dict[str, Private] = {
            "account/balance": lambda account, _: [orders.balances(account)],
            "account/config": lambda account, _: [self._config(account)],
            "asset/currencies": lambda _, __: [],
            "trade/order": lambda account, given: [wire.order_row(orders.one(account, given))],
            "trade/orders-pending": lambda account, given: _rows(orders.pending(account, given, waiting=False)),
            "trade/orders-history": lambda account, given: _rows(orders.history(account, given)),
            "trade/orders-history-archive": lambda account, given: _rows(orders.history(account, given)),
            "trade/fills": lambda account, given: [*orders.fills(account, given)],
            "trade/fills-history": lambda account, given: [*orders.fills(account, given)],
            "trade/order-algo": lambda account, given: [wire.algo_row(orders.one(account, given))],
            "trade/orders-algo-pending": lambda account, given: _algos(orders.pending(account, given, waiting=True)),
        }
        ordered: dict[str, Callable[[Account, Given], Wire]] = {
            "trade/order": orders.place,
            "trade/batch-orders": orders.place,
            "trade/cancel-order": orders.cancel,
            "trade/cancel-batch-orders": orders.cancel,
            "trade/order-algo": orders.place_algo,
            "trade/cancel-algos": orders.cancel,
        }
        found = [web.get(f"/api/v5/{path}", self._public(ask), allow_head=False) for path, ask in public.items()]
        found += [web.get(f"/api/v5/{path}", self._private(act), allow_head=False) for path, act in asked.items()]
        return [*found, *(web.post(f"/api/v5/{path}", self._bulk(act)) for path, act in ordered.items())]

    def _public(self, ask: Public) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                return _answer("0", "", ask(dict(request.query)))
            except Rejected as problem:
                return _answer(str(problem.code), str(problem), [], problem.status)

        return handle

    def _private(self, act: Private) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                account = await self._who(request)
                return _answer("0", "", act(account, dict(request.query)))
            except Rejected as problem:
                return _answer(str(problem.code), str(problem), [], problem.status)

        return handle

    def _bulk(self, act: Callable[[Account, Given], Wire]) -> Callable[[web.Request], Awaitable[web.Response]]:
        """One order or a list of them: 0 when all went well, 1 when none did, 2 when some did."""

        async def handle(request: web.Request) -> web.Response:
            try:
                account = await self._who(request)
                rows = [act(account, given) for given in _orders(await request.read())]
            except Rejected as problem:
                return _answer(str(problem.code), str(problem), [], problem.status)
            failed = sum(row["sCode"] != "0" for row in rows)
            code = "0" if not failed else "1" if failed == len(rows) else "2"
            return _answer(code, "" if code == "0" else "Operation failed.", [*rows])

        return handle

    async def _who(self, request: web.Request) -> Account:
        given = [request.headers.get(f"OK-ACCESS-{name}", "") for name in ("KEY", "PASSPHRASE", "TIMESTAMP", "SIGN")]
        if not all(given):
            raise Rejected(50103, "Request header OK-ACCESS-KEY can not be empty.", 401)
        key, phrase, stamp, signature = given
        try:
            sent = int(datetime.fromisoformat(stamp).timestamp() * 1_000)
        except ValueError:
            raise Rejected(50112, "Invalid OK-ACCESS-TIMESTAMP", 401) from None
        if abs(self._now() - sent) > _PATIENCE_MS:
            raise Rejected(50102, "Timestamp request expired", 401)
        body = (await request.read()).decode(errors="replace")
        return login(self._accounts, key, phrase, stamp + request.method + request.raw_path + body, signature)

    def _instruments(self, given: Given) -> list[object]:
        if given.get("instType") != "SPOT":
            return []
        return [wire.instrument(rules) for rules in self._rules.values()]

    def _book(self, given: Given) -> list[object]:
        levels = min(whole(given, "sz") or 1, BOOK_LEVELS)
        return [wire.book(self._venue.book(self._orders.symbol(given), levels), self._now())]

    def _candles(self, given: Given) -> list[object]:
        """Newest first; `before` and `after` are times that the candles are newer and older than."""
        length, limit = interval(str(given.get("bar", "1m"))), min(whole(given, "limit") or 100, _MAX_CANDLES)
        newer, older = whole(given, "before"), whole(given, "after")
        start, end = None if newer is None else newer + 1, None if older is None else older - 1
        bars = self._venue.bars(self._orders.symbol(given), length, limit, start, end)
        now = self._venue.now()
        return [wire.candle(bar, bar.ts + length <= now) for bar in reversed(bars)]

    def _trades(self, given: Given) -> list[object]:
        trades = self._venue.newest_trades(self._orders.symbol(given), min(whole(given, "limit") or 100, 500))
        return [wire.trade(trade) for trade in reversed(trades)]

    def _status(self) -> list[object]:
        return [{"state": "ongoing", "title": "maintenance"}] if self._answers.maintenance() is not None else []

    def _config(self, account: Account) -> Wire:
        permissions = "read_only,trade" + (",withdraw" if account.terms.may_withdraw else "")
        return {"uid": str(account.number), "acctLv": "1", "posMode": "net_mode", "perm": permissions}


def _rows(orders: list[VenueOrder]) -> list[object]:
    return [wire.order_row(order) for order in orders]


def _algos(orders: list[VenueOrder]) -> list[object]:
    return [wire.algo_row(order) for order in orders]


def _orders(body: bytes) -> list[Given]:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Rejected(50002, "JSON syntax error", 400) from None
    found = given if isinstance(given, list) else [given]
    if not (found and len(found) <= _BULK and all(isinstance(one, dict) for one in found)):
        raise Rejected(50014, "Parameter can not be empty", 400)
    return found


def _answer(code: str, message: str, rows: list[object], status: int = 200) -> web.Response:
    body = orjson.dumps({"code": code, "msg": message, "data": rows})
    return web.Response(body=body, status=status, content_type="application/json")
