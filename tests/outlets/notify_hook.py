"""A web hook on loopback: a real service to tell things to, with faults; and a channel that leads to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from bot.core.effects import Notify, Severity
from bot.outlets.notifying.channel import Channel, ChannelRules, Delivery
from bot.outlets.notifying.service import AppriseService

CANARY = "canary9secret7token"


class Hook:
    """Keeps what it is posted and answers as it is told to: `answers` are its next statuses; it waits while `silent` is clear."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.silent = asyncio.Event()
        self.silent.set()
        self.port = 0
        self._news = asyncio.Condition()

    async def post(self, request: web.Request) -> web.Response:
        body = await request.json() if request.content_type == "application/json" else dict(await request.post())
        async with self._news:
            self.posts.append(body)
            self._news.notify_all()
        await self.silent.wait()
        return web.Response(status=self.answers.pop(0) if self.answers else 200, text=f"said {CANARY}")

    async def heard(self, count: int, seconds: float = 10.0) -> list[dict[str, Any]]:
        """Wait until so many posts came."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.posts) >= count)
        return self.posts

    @property
    def url(self) -> str:
        """An address with a secret in every place that can hold one."""
        return f"json://user:{CANARY}pw@127.0.0.1:{self.port}/{CANARY}path?+X-Token={CANARY}header"


@asynccontextmanager
async def standing_hook() -> AsyncIterator[Hook]:
    """One that listens."""
    hook = Hook()
    app = web.Application()
    app.router.add_post("/{path:.*}", hook.post)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook.port = int(runner.addresses[0][1])
    try:
        yield hook
    finally:
        hook.silent.set()
        await runner.cleanup()


class Kept:
    """What became of messages."""

    def __init__(self) -> None:
        self.rows: list[Delivery] = []
        self._news = asyncio.Event()

    def __call__(self, delivery: Delivery) -> None:
        self.rows.append(delivery)
        self._news.set()

    async def ended(self, count: int) -> list[Delivery]:
        async with asyncio.timeout(10):
            while len(self.rows) < count:
                self._news.clear()
                await self._news.wait()
        return self.rows


@asynccontextmanager
async def open_channel(
    hook: Hook, kept: Kept, *, service: AppriseService | None = None, mark: str = "", **rules: Any
) -> AsyncIterator[Channel]:
    given: dict[str, Any] = {"least": Severity.INFO, "pause": 0.02, "timeout": 5.0} | rules
    channel = Channel("phone", service or AppriseService(hook.url), ChannelRules(**given), lambda: 1_000, record=kept, mark=mark)
    task = asyncio.create_task(channel.run())
    try:
        yield channel
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def notice(text: str = "x", severity: Severity = Severity.WARNING, title: str = "Market data") -> Notify:
    return Notify(severity, title, text)
