"""Server-sent events: every envelope for programs, bells and points for a tab."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from typing import Any

import orjson
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bot.outlets.envelope import Channel
from bot.web.problems import Problem
from bot.web.stream.bells import Doorbell, event
from bot.web.stream.ending import until_any, until_disconnected
from bot.web.stream.link import BotLink
from bot.web.stream.ring import Subscription

log = structlog.get_logger(__name__)

KEEP_ALIVE_SECONDS = 15.0
SEND_SECONDS = 20.0
_RETRY = b"retry: 2000\n"


class EventStream(Response):
    """Writes chunks until they end, the client goes, or one of `ends` comes; a client that takes none for 20 s is left alone."""

    media_type = "text/event-stream"

    def __init__(
        self,
        subscription: Subscription,
        chunks: AsyncGenerator[bytes, None],
        ends: Iterable[Callable[[], Coroutine[Any, Any, object]]],
    ) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        # What has a body is tagged, compared and kept by those who see it on its way; this has none, as yet.
        del self.headers["content-length"]
        del self.body
        self._subscription = subscription
        self._chunks = chunks
        self._ends = tuple(ends)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        try:
            ends = (until_disconnected(receive), *(end() for end in self._ends))
            await until_any(self._write(send), *ends, close=self._subscription.close)
        except Problem as problem:
            log.warning("stream_ended", path=scope["path"], reason=str(problem))
        except (OSError, TimeoutError) as error:
            log.info("stream_reader_lost", path=scope["path"], reason=type(error).__name__)
        finally:
            self._subscription.close()
            await self._chunks.aclose()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for chunk in self._chunks:
            async with asyncio.timeout(SEND_SECONDS):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def envelopes(subscription: Subscription, link: BotLink, extra: Iterable[Channel]) -> AsyncGenerator[bytes, None]:
    """Every envelope of the subscription. Beside each silence stands the id up to which the reader knows everything."""
    with link.wants(extra):
        yield _RETRY + b"id: %b\n\n" % subscription.position.encode()
        silent = False
        while not subscription.closed:
            if batch := subscription.take():
                yield b"".join([entry.frame for entry in batch])
            elif silent:
                yield b": keep-alive\nid: %b\n\n" % subscription.position.encode()
            silent = not await subscription.wait(KEEP_ALIVE_SECONDS)


async def rings(
    subscription: Subscription, hello: Callable[[], Awaitable[object]], clock: Callable[[], float] | None = None
) -> AsyncGenerator[bytes, None]:
    """First `hello`, then bells and points for one tab; `clock` counts milliseconds.

    `hello` comes again with each bot that comes, and `pulse` with each of its heartbeats. Where `hello` meets a `Problem` the
    stream ends, and the tab comes back.
    """
    read = clock or _monotonic
    doorbell, number, wrote = Doorbell(), 0, read()
    yield _RETRY + event("hello", orjson.dumps(await hello()))
    while not subscription.closed:
        now, out = read(), []
        for entry in subscription.take():
            doorbell.hear(entry.bells, now)
            if entry.point:
                out.append(entry.point)
            elif entry.type == "health.heartbeat":
                out.append(event("pulse", b"%d" % entry.number))
            elif entry.type == "link.up":
                out.append(event("hello", orjson.dumps(await hello())))
        for name in doorbell.ring(now):
            number += 1
            out.append(event(name, b"%d" % number))
        if out or now - wrote >= KEEP_ALIVE_SECONDS * 1_000:
            wrote = now
            yield b"".join(out) or b": keep-alive\n\n"
        due = doorbell.next_due()
        await subscription.wait(KEEP_ALIVE_SECONDS if due is None else max(0.0, (due - read()) / 1_000))


def _monotonic() -> float:
    return time.monotonic_ns() / 1_000_000
