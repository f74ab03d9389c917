"""The bot's own small listener: `/metrics`, `/healthz`, `/readyz`. It answers while the control room is down.

It listens on loopback unless told otherwise in so many words: what it serves is the state of somebody's money. Whoever connects
and says nothing, or asks and does not read, holds one of a few connections for a while, and then loses it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import structlog

from bot.outlets.errors import OutletError

if TYPE_CHECKING:
    from aiohttp import web

    from bot.outlets.metrics import Metrics

_log = structlog.get_logger(__name__)

Readiness = Callable[[], Sequence[str] | Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """Where to listen. Port 0 takes any free one; `allow_remote` permits an address that others can reach; times are seconds.

    An answer may take `timeout`, a connection may be open for `life`, and `connections` of them at once.
    """

    host: str = "127.0.0.1"
    port: int = 9464
    allow_remote: bool = False
    enabled: bool = True
    timeout: float = 3.0
    life: float = 60.0
    connections: int = 64


class Listener:
    """Serves metrics and health. `ready` gives the reasons why the bot is not ready, none if it is."""

    def __init__(self, settings: ListenerSettings, metrics: Metrics, ready: Readiness) -> None:
        self._settings = settings
        self._metrics = metrics
        self._ready = ready
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._port = 0
        self.refused = 0

    @property
    def port(self) -> int:
        """The port it listens on; 0 before it does."""
        return self._port

    async def start(self) -> None:
        """Listen. `OutletError` if the address is not allowed or already taken."""
        from aiohttp import web  # noqa: PLC0415 - aiohttp costs the command line's start 0.2 s

        host, port = self._settings.host, self._settings.port
        if not self._settings.allow_remote and not _loopback(host):
            message = f"metrics.host {host!r} is not a loopback address; use 127.0.0.1, or set metrics.allow_remote: true"
            raise OutletError(message)
        app = web.Application(client_max_size=1_024)
        app.router.add_get("/metrics", self._bounded(self._serve_metrics))
        app.router.add_get("/healthz", self._bounded(self._serve_health))
        app.router.add_get("/readyz", self._bounded(self._serve_ready))
        runner = web.AppRunner(app, handle_signals=False, access_log=None, keepalive_timeout=15.0, shutdown_timeout=1.0)
        await runner.setup()
        self._runner = runner
        served = runner.server
        assert served is not None  # it is set up
        try:
            self._server = await asyncio.get_running_loop().create_server(lambda: self._protocol(served), host, port)
        except OSError as error:
            await self.close()
            message = f"metrics.port {port} on {host} cannot be had ({error.strerror or error}); choose another, or 0 for any"
            raise OutletError(message) from error
        self._port = int(self._server.sockets[0].getsockname()[1])
        self._sweeper = asyncio.create_task(self._sweep(served), name="listener-sweep")

    async def close(self) -> None:
        """Stop listening."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
            self._sweeper = None
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            self._port = 0

    def _protocol(self, served: web.Server) -> asyncio.Protocol:
        """For a connection that was just made: one too many is closed again, unheard."""
        if len(served.connections) < self._settings.connections:
            return served()
        self.refused += 1
        return _Refusal()

    async def _sweep(self, served: web.Server) -> None:
        """Close the connections whose life is over: once they have their answer, and without it the next time."""
        since: dict[object, float] = {}
        loop, life = asyncio.get_running_loop(), self._settings.life
        while True:
            await asyncio.sleep(life / 6)
            now = loop.time()
            since = {each: since.get(each, now) for each in served.connections}
            for each in served.connections:
                age = now - since[each]
                if age > life * 1.5 and each.transport is not None:
                    each.transport.abort()  # to close it would wait for who does not read
                elif age > life:
                    each.close()

    def _bounded(
        self, serve: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The same handler within a time; what goes wrong inside is told to the log, not to the caller."""
        from aiohttp import web  # noqa: PLC0415

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                async with asyncio.timeout(self._settings.timeout):
                    return await serve(request)
            except TimeoutError:
                return web.json_response({"status": "timeout"}, status=503)
            except Exception:  # noqa: BLE001 - an outlet's boundary: a failing check is an answer, not a traceback for a stranger
                _log.exception("listener_failed", path=request.path)
                return web.json_response({"status": "error"}, status=500)

        return handle

    async def _serve_metrics(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web  # noqa: PLC0415

        body, content_type = await self._metrics.scrape(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _serve_health(self, _: web.Request) -> web.StreamResponse:
        """That this answers is the proof: it runs on the desk's own loop."""
        return _answer({"status": "alive"}, 200)

    async def _serve_ready(self, _: web.Request) -> web.StreamResponse:
        found = self._ready()
        reasons = list(found if isinstance(found, Sequence) else await found)
        return _answer({"status": "not ready" if reasons else "ready", "reasons": reasons}, 503 if reasons else 200)


class _Refusal(asyncio.Protocol):
    """Closes the connection as soon as it is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Goodbye."""
        transport.close()


def _answer(content: dict[str, object], status: int) -> web.StreamResponse:
    from aiohttp import web  # noqa: PLC0415

    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
