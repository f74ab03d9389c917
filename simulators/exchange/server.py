"""The exchange simulator put together: a market in real time behind one listening socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Self

import structlog
from aiohttp import web

from bot.market.simulated import DEFAULT_SYMBOLS, SimulatedMarket
from bot.market.simulated_path import BLOCK
from simulators.exchange.admin import AdminRoutes
from simulators.exchange.faults import Burst, Clear, Disconnect, Ending, Fault, Poison, Shock, Switchboard
from simulators.exchange.hub import Hub
from simulators.exchange.pump import Pump
from simulators.exchange.rest import RestRoutes
from simulators.exchange.venue import Clock, Venue

log = structlog.get_logger(__name__)

_STEP_MS = 1_000
_MAX_CACHED_BLOCKS = 4_096


def wall_clock() -> int:
    """Milliseconds UTC."""
    return time.time_ns() // 1_000_000


class ExchangeSimulator:
    """A Binance-dialect spot exchange on loopback; `async with` starts and stops it.

    It begins with `history` seconds of the market of `seed` behind it and goes on in real time. `port` 0 takes a free one;
    `clock` (milliseconds UTC) must keep real pace. `OSError` when the port is taken.
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
    ) -> None:
        if history < 1:
            message = f"history is {history} seconds; it must be at least 1"
            raise ValueError(message)
        blocks = min(_MAX_CACHED_BLOCKS, len(symbols) * (history // BLOCK + 16))
        genesis = (clock() // _STEP_MS - history) * _STEP_MS
        self.market = SimulatedMarket(seed, symbols, genesis, _STEP_MS, quotes_per_second, blocks)
        self.venue = Venue(self.market, clock)
        self.faults = Switchboard()
        self.hub = Hub(self.venue.symbols, self.faults)
        self.rest = RestRoutes(self.venue, self.faults, weight_limit)
        self.pump = Pump(self.venue, self.hub, self.faults)
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None
        self._pumping: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where REST is, once started."""
        return f"http://{self._host}:{self._port}"

    @property
    def ws_url(self) -> str:
        """Where websockets are, once started."""
        return f"ws://{self._host}:{self._port}"

    def ccxt_config(self) -> dict[str, object]:
        """What to pass to the constructor of an unmodified ccxt `binance` so that it speaks to this exchange and to no other."""
        api = {name: f"{self.url}{path}" for name, path in _PATHS.items()}
        sockets = {"spot": f"{self.ws_url}/stream/ws", "ws-api": {"spot": f"{self.ws_url}/ws-api/v3"}}
        return {
            "urls": {"api": {**api, "ws": sockets}},
            "options": {
                "defaultType": "spot",
                "fetchMarkets": {"types": ["spot"]},
                "fetchCurrencies": False,
                "fetchMargins": False,
                "fetchOpenOrders": {"warnWithoutSymbol": False},
            },
        }

    def inject(self, fault: Fault) -> None:
        """Make a fault happen, or switch it on; `ValueError` or `LookupError` when it cannot be."""
        match fault:
            case Burst():
                self.market.burst(fault.symbol, self._next_index(), fault.trades)
            case Shock():
                self.market.shock(fault.symbol, self._next_index(), fault.factor)
            case Poison():
                self.hub.poison(fault.frames, lambda name: fnmatchcase(name, fault.streams))
            case Disconnect():
                self.hub.disconnect(fault.how)
            case _:
                self.faults.apply(fault)
        log.info("fault_injected", fault=fault.fault)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """REST requests by path, websocket and pump counters, and what the faults did."""
        return {"rest": self.rest.hits, "ws": self.hub.counts, "pump": self.pump.counts, "faults": self.faults.counts}

    async def __aenter__(self) -> Self:
        for symbol in self.market.symbols:
            self.market.bar(symbol, self._next_index())
        app = web.Application()
        app.add_routes([web.get(path, self.hub.serve) for path in ("/stream", "/stream/{tail:.*}", "/ws", "/ws/{tail:.*}")])
        app.add_routes(AdminRoutes(self.faults, self.inject, self.counts).routes())
        app.add_routes(self.rest.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        self._pumping = asyncio.create_task(self.pump.run(), name="exchange-pump")
        self._pumping.add_done_callback(_report)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._pumping is not None
        assert self._runner is not None
        self._pumping.cancel()
        try:
            with suppress(asyncio.CancelledError):
                await self._pumping
        finally:
            self.faults.apply(Clear())
            self.hub.disconnect(Ending.CLOSE)
            await self._runner.cleanup()

    async def wait(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; raises what the pump died of, should it."""
        assert self._pumping is not None
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopping, self._pumping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        if self._pumping.done():
            self._pumping.result()

    def _next_index(self) -> int:
        """The first step of which nothing has been told yet."""
        return max(self.market.index_at(self.venue.now()), self.pump.index) + 1


def _report(pumping: asyncio.Task[None]) -> None:
    """Say at once that the pump died; whoever waits for or leaves the simulator gets the exception itself."""
    if not pumping.cancelled() and (problem := pumping.exception()) is not None:
        log.error("pump_died", problem=repr(problem))


_PATHS = {
    "public": "/api/v3",
    "private": "/api/v3",
    "v1": "/api/v1",
    "sapi": "/sapi/v1",
    "sapiV2": "/sapi/v2",
    "sapiV3": "/sapi/v3",
    "sapiV4": "/sapi/v4",
}
