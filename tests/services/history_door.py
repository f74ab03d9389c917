"""A server before the exchange that passes requests on and, for candles, loses, repeats and spoils rows on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

Rows = list[list[Any]]


class Door:
    """Answers on loopback as the exchange behind it does; `change` may alter a page of candles, `asked` are their requests."""

    def __init__(self, behind: str) -> None:
        self._behind = behind
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.change: Callable[[Rows], Rows] = lambda rows: rows
        self.asked: list[dict[str, str]] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._pass_on)
        self._session = aiohttp.ClientSession()
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _pass_on(self, request: web.Request) -> web.Response:
        assert self._session is not None
        async with self._session.request(request.method, f"{self._behind}{request.path_qs}") as answer:
            body = await answer.read()
            told = {name: value for name, value in answer.headers.items() if name in {"Content-Type", "Retry-After"}}
            status = answer.status
        if request.path.endswith("/klines"):
            self.asked.append(dict(request.query))
            if status == 200:
                body = json.dumps(self.change(json.loads(body))).encode()
        return web.Response(body=body, status=status, headers=told)
