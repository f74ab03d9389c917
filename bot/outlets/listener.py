"""The bot's own small listener: `/metrics`, `/healthz`, `/readyz`. It answers while the control room is down.

It listens on loopback unless told otherwise in so many words: what it serves is the state of somebody's money.
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
    """Where to listen. Port 0 takes any free one; `allow_remote` permits an address that others can reach; times are seconds."""

    host: str = "127.0.0.1"
    port: int = 9464
    allow_remote: bool = False
    enabled: bool = True
    timeout: float = 3.0


class Listener:
    """Serves metrics and health. `ready` gives the reasons why the bot is not ready, none if it is."""

    def __init__(self, settings: ListenerSettings, metrics: Metrics, ready: Readiness) -> None:
        self._settings = settings
        self._metrics = metrics
        self._ready = ready
        self._runner: web.AppRunner | None = None
        self._port = 0

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
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await self.close()
            message = f"metrics.port {port} on {host} cannot be had ({error.strerror or error}); choose another, or 0 for any"
            raise OutletError(message) from error
        self._port = int(runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            self._port = 0

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
