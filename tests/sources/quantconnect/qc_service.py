"""A service that answers as it is told, over a real socket, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from sources.quantconnect.client import Client
from sources.quantconnect.limits import Limits

USER = "123456"
TOKEN = "deadbeef"
NOW = 1_772_449_200.0
QUICK = Limits(
    requests=10_000,
    window_s=1.0,
    burst=5_000,
    call_s=5.0,
    attempt_s=2.0,
    pause_s=0.001,
    compile_pause_s=0.001,
    busy_pause_s=0.001,
)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer that is not an envelope."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False  # the connection, instead of any answer


Answer = Mapping[str, Any] | Page
Script = Answer | list[Answer] | Callable[[dict[str, Any]], Answer] | Callable[[dict[str, Any]], Awaitable[Answer]]


@dataclass(slots=True)
class Service:
    """`answers` by endpoint: one for ever, a list in its order (the last for ever), or a function of the request's fields."""

    answers: dict[str, Script] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    url: str = ""

    def bodies(self, endpoint: str) -> list[dict[str, Any]]:
        return [body for name, body in self.asked if name == endpoint]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        body = await fields(request)
        self.asked.append((endpoint, body))
        self.headers.append(request.headers.copy())
        self.times.append(asyncio.get_running_loop().time())
        answer = await self._answer(endpoint, body)
        if not isinstance(answer, Page):
            return web.Response(body=orjson.dumps({"success": True, **answer}), content_type="application/json")
        if answer.drop:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)

    async def _answer(self, endpoint: str, body: dict[str, Any]) -> Answer:
        script = self.answers.get(endpoint, Page(b"Not Found", 404))
        if isinstance(script, list):
            return script.pop(0) if len(script) > 1 else script[0]
        if not callable(script):
            return script
        answer = script(body)
        return await answer if isinstance(answer, Awaitable) else answer


async def fields(request: web.Request) -> dict[str, Any]:
    """The fields of a request, JSON or multipart; files as bytes."""
    if request.content_type != "multipart/form-data":
        found = orjson.loads(await request.read() or b"{}")
        assert isinstance(found, dict)
        return found
    form = await request.post()
    return {key: part.file.read() if isinstance(part, web.FileField) else part for key, part in form.items()}


def no(reason: str) -> dict[str, Any]:
    """The service's no."""
    return {"success": False, "errors": [reason]}


@asynccontextmanager
async def serving(**answers: Script) -> AsyncIterator[Service]:
    """A service that listens; endpoints are written with `__` for the slash here."""
    service = Service({name.replace("__", "/"): script for name, script in answers.items()})
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/api/v2/{endpoint:.*}", service.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    service.url = f"http://{host}:{port}/api/v2"
    try:
        yield service
    finally:
        await runner.cleanup()


def client_of(service: Service, limits: Limits = QUICK, **more: Any) -> Client:
    """A client of that service, that neither pauses nor draws unless it is told to."""
    return Client(USER, TOKEN, base_url=service.url, limits=limits, **{"draw": lambda: 0.0, **more})
