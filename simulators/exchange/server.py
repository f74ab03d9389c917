"""The exchange simulator put together: a market in real time, and accounts that trade on it, behind one listening socket."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Self

import structlog
from aiohttp import web

from bot.market.simulated import DEFAULT_SYMBOLS, SimulatedMarket
from bot.market.simulated_path import BLOCK
from simulators.exchange.account_faults import Telling
from simulators.exchange.accounts import Accounts
from simulators.exchange.admin import AdminRoutes
from simulators.exchange.answer_faults import Answers
from simulators.exchange.audit import AuditRoutes, Opening
from simulators.exchange.faults import Ending, Switchboard
from simulators.exchange.gate import Gate
from simulators.exchange.hub import Hub
from simulators.exchange.limits import WeightLimit
from simulators.exchange.listen_keys import ListenKeys
from simulators.exchange.matching import Engine
from simulators.exchange.mischief import Fault, Mischief
from simulators.exchange.okx_orders import OkxOrders
from simulators.exchange.okx_rest import OkxRoutes
from simulators.exchange.okx_ws import OkxSockets
from simulators.exchange.orders import Rules
from simulators.exchange.private import PrivateApi
from simulators.exchange.pump import Pump
from simulators.exchange.random_faults import Chance
from simulators.exchange.rest import RestRoutes
from simulators.exchange.rest_private import PrivateRoutes
from simulators.exchange.scenarios import Player, Step
from simulators.exchange.user_streams import UserStreams
from simulators.exchange.venue import Clock, Venue
from simulators.exchange.wsapi import PATH as WS_API_PATH
from simulators.exchange.wsapi import WsApi

log = structlog.get_logger(__name__)

_STEP_MS = 1_000
_MAX_CACHED_BLOCKS = 4_096
DEMO_ACCOUNT = Opening("demo-key", "demo-secret", "demo-passphrase", {"USDT": Decimal(10_000)})
"""The account that is there unless others are asked for."""


def wall_clock() -> int:
    """Milliseconds UTC."""
    return time.time_ns() // 1_000_000


class ExchangeSimulator:
    """A spot exchange on loopback, market and accounts; `async with` starts and stops it.

    It begins with `history` seconds of the market of `seed` behind it and goes on in real time. `port` 0 takes a free one;
    `clock` (milliseconds UTC) must keep real pace. `order_limit` is new orders per ten seconds and account. `scenario` is played
    from the start on. With `tls` there is a second port that speaks it (see `redirect`). `OSError` when the port is taken.
    """

    def __init__(
        self,
        seed: int = 7,
        symbols: Sequence[str] = DEFAULT_SYMBOLS,
        port: int = 0,
        host: str = "127.0.0.1",
        history: int = 600,
        quotes_per_second: int = 5,
        weight_limit: int = 6_000,
        clock: Clock = wall_clock,
        accounts: Sequence[Opening] = (DEMO_ACCOUNT,),
        order_limit: int = 100,
        scenario: Sequence[Step] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if history < 1:
            message = f"history is {history} seconds; it must be at least 1"
            raise ValueError(message)
        blocks = min(_MAX_CACHED_BLOCKS, len(symbols) * (history // BLOCK + 16))
        genesis = (clock() // _STEP_MS - history) * _STEP_MS
        self.market = SimulatedMarket(seed, symbols, genesis, _STEP_MS, quotes_per_second, blocks)
        self.venue = Venue(self.market, clock)
        chance = Chance()
        self.faults, self.answers, self.telling = Switchboard(), Answers(), Telling(chance=chance)
        self.engine = Engine(self.venue, _rules(self.market), Accounts(), lambda: self.faults.skew_ms)
        self.hub = Hub(self.venue.symbols, self.faults)
        self.streams = UserStreams(self.telling, self.faults)
        self.engine.sinks.append(self.streams.tell)
        self.pump = Pump(self.venue, self.hub, self.faults, self.engine)
        self.gate = Gate(self.faults, self.answers, chance)
        self.audit = AuditRoutes(self.engine, self.venue.now)
        self.keys = ListenKeys(self._now)
        weights = WeightLimit(weight_limit, clock)
        api = PrivateApi(self.engine, self.venue, self.telling, order_limit)
        known = self.engine.accounts
        self._market_rest = RestRoutes(self.venue, self.faults, weights, self.engine.rules, order_limit)
        self._private_rest = PrivateRoutes(api, known, self.venue, weights, self.keys, self.answers, self._now)
        self._ws_api = WsApi(
            api, known, self.venue, weights, self.streams, self.keys, self.faults, self.answers, self._now
        )  # fmt: skip
        okx = OkxOrders(self.engine, self.venue, self.telling)
        self._okx_rest = OkxRoutes(okx, known, self.venue, self.engine.rules, self.answers, self._now)
        self._okx_sockets = OkxSockets(
            okx, known, self.venue, self.hub, self.streams, self.faults, self.answers, self._now
        )  # fmt: skip
        self.pump.followers.append(self._okx_sockets)
        self.mischief = Mischief(
            self.market, self.engine, self.hub, self.streams, self.keys, self.faults, self.answers, self.telling,
            self.venue.now, self._next_index, chance,
        )  # fmt: skip
        for opening in accounts:
            self.audit.open(opening)
        self._player = Player(scenario, self.inject)
        self.gate.observers.append(self._player.observe)
        self._host, self._port = host, port
        self._tls, self.tls_port = tls, 0
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        """Where REST is, once started."""
        return f"http://{self._host}:{self._port}"

    @property
    def ws_url(self) -> str:
        """Where websockets are, once started."""
        return f"ws://{self._host}:{self._port}"

    def ccxt_config(self, key: str | None = None) -> dict[str, object]:
        """What to pass to the constructor of an unmodified ccxt `binance` so that it speaks to this exchange and to no other.

        With `key`, as the account of that API key; `LookupError` when there is none.
        """
        api = {name: f"{self.url}{path}" for name, path in _PATHS.items()}
        sockets = {"spot": f"{self.ws_url}/stream/ws", "ws-api": {"spot": f"{self.ws_url}/ws-api/v3"}}
        return {
            **self._credentials(key),
            "urls": {"api": {**api, "ws": sockets}},
            "options": {
                "defaultType": "spot",
                "fetchMarkets": {"types": ["spot"]},
                "fetchCurrencies": False,
                "fetchMargins": False,
                "fetchOpenOrders": {"warnWithoutSymbol": False},
            },
        }

    def okx_config(self, key: str | None = None) -> dict[str, object]:
        """The same for an unmodified ccxt `okx`; set `has["fetchCurrencies"]` of the instance to False as well."""
        return {
            **self._credentials(key),
            "urls": {"api": {"rest": self.url, "ws": f"{self.ws_url}/ws/v5"}},
            "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}},
        }

    def _credentials(self, key: str | None) -> dict[str, object]:
        if key is None:
            return {}
        account = self.engine.accounts.get(key)
        if account is None:
            message = f"no account has the key {key!r}"
            raise LookupError(message)
        return {"apiKey": key, "secret": account.terms.secret, "password": account.terms.passphrase}

    def inject(self, fault: Fault) -> None:
        """Make a fault happen, or switch it on; `ValueError` or `LookupError` when it cannot be."""
        self.mischief.inject(fault)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """REST requests by path, websocket, account stream and pump counters, and what the faults did."""
        return {
            "rest": self.gate.hits,
            "ws": self.hub.counts,
            "user": self.streams.counts,
            "pump": self.pump.counts,
            "faults": self.mischief.counts(),
        }

    async def __aenter__(self) -> Self:
        for symbol in self.market.symbols:
            self.market.bar(symbol, self._next_index())
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
            if self._tls is not None:
                await web.TCPSite(self._runner, self._host, 0, ssl_context=self._tls).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        self.tls_port = self._runner.addresses[-1][1] if self._tls is not None else 0
        self._tasks = [
            asyncio.create_task(self.pump.run(), name="exchange-pump"),
            asyncio.create_task(self._player.run(), name="exchange-scenario"),
        ]
        for task in self._tasks:
            task.add_done_callback(_report)
        return self

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self.gate.middleware()])
        app.add_routes([web.get(f"/ws/v5/{access}", self._okx_sockets.serve) for access in ("public", "private", "business")])
        app.add_routes([web.get(path, self._stream) for path in ("/stream", "/stream/{tail:.*}", "/ws", "/ws/{tail:.*}")])
        app.add_routes([web.get(WS_API_PATH, self._ws_api.serve)])
        app.add_routes(AdminRoutes(self.mischief, self.counts).routes())
        app.add_routes(self.audit.routes())
        app.add_routes(self._okx_rest.routes())
        app.add_routes(self._private_rest.routes())
        app.add_routes(self._market_rest.routes())
        return app

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """A socket of market data, or one that a listen key names: as the last part of the path, or in the query."""
        for name in (request.path.rpartition("/")[2], request.query.get("listenKey", ""), request.query.get("streams", "")):
            if self.keys.owner(name) is not None:
                return await self._ws_api.serve_listen_key(request, name, wrapped="streams" in request.query)
        return await self.hub.serve(request)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._runner is not None
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        self.mischief.clear()
        self.hub.disconnect(Ending.CLOSE)
        self.streams.close()
        await self._runner.cleanup()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def wait(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; raises what the pump died of, should it."""
        pumping = self._tasks[0]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopping, pumping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        if pumping.done():
            pumping.result()

    def _next_index(self) -> int:
        """The first step of which nothing has been told yet."""
        return max(self.market.index_at(self.venue.now()), self.pump.index) + 1

    def _now(self) -> int:
        """The venue's clock, as wrong as the faults make it."""
        return self.venue.now() + self.faults.skew_ms


def _rules(market: SimulatedMarket) -> dict[str, Rules]:
    return {
        one.symbol: Rules(one.symbol, one.base, one.quote, one.price_step, one.amount_step, one.min_amount, one.min_cost)
        for one in market.instruments().values()
    }


def _report(task: asyncio.Task[None]) -> None:
    """Say at once that a task died; whoever waits for or leaves the simulator gets the exception itself."""
    if not task.cancelled() and (problem := task.exception()) is not None:
        log.error("task_died", task=task.get_name(), problem=repr(problem))


_PATHS = {
    "public": "/api/v3",
    "private": "/api/v3",
    "v1": "/api/v1",
    "sapi": "/sapi/v1",
    "sapiV2": "/sapi/v2",
    "sapiV3": "/sapi/v3",
    "sapiV4": "/sapi/v4",
}
