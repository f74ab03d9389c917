"""A small web server for feeds on loopback that answers as each test tells it to, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from xml.sax.saxutils import escape

from aiohttp import web

from tests.sources.news.news_world import NOW

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class FeedService:
    """Answers with each handler of `answers` once, the last one forever; `heard` are the headers of requests, by path."""

    answers: list[Handler] = field(default_factory=list)
    heard: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    root: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Remember and answer."""
        self.heard.append((request.path, {name.lower(): value for name, value in request.headers.items()}))
        handler = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await handler(request)


@asynccontextmanager
async def serving(*answers: Handler) -> AsyncIterator[FeedService]:
    """A service on loopback."""
    service = FeedService(list(answers))
    app = web.Application()
    app.router.add_get("/{path:.*}", service.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        service.root = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield service
    finally:
        await runner.cleanup()


def says(
    body: str | bytes, status: int = 200, headers: dict[str, str] | None = None, kind: str = "application/rss+xml"
) -> Handler:
    """Answers with that."""

    async def handler(request: web.Request) -> web.StreamResponse:
        del request
        told = body.encode() if isinstance(body, str) else body
        return web.Response(body=told, status=status, headers=headers, content_type=kind)

    return handler


def rss(titles: Sequence[str], at: int | None = NOW - 60_000, summary: str = "") -> str:
    """A feed of these titles, all of one date (ms UTC), or of none."""
    date = "" if at is None else f"<pubDate>{formatdate(at / 1000, usegmt=True)}</pubDate>"
    text = f"<description>{escape(summary)}</description>" if summary else ""
    items = "".join(
        f"<item><title>{escape(title)}</title><guid>{number}-{len(title)}</guid>{date}{text}</item>"
        for number, title in enumerate(titles)
    )
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>t</title>{items}</channel></rss>'
