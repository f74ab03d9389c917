"""The control room's process: it binds, opens what routes stand on, serves, and leaves in order.

It is started by the bot, which hands it a socket that is bound already and lets it go by closing its standard input; or by hand,
beside a running bot or over a finished journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version as package_version

import structlog
import uvicorn
from fastapi import FastAPI

from bot.journal.errors import JournalError
from bot.journal.queries import Queries
from bot.runtime.process import loading
from bot.secrets import Secrets
from bot.settings import Loaded
from bot.web.app import create_app
from bot.web.place import Place, WebError, told
from bot.web.prompt import PromptProtocol
from bot.web.reports import Reports
from bot.web.room import ControlRoom
from bot.web.security.binding import refusal
from bot.web.security.store import AccessStore
from bot.web.stream.ending import abort_unread
from bot.web.stream.link import BotLink
from bot.web.stream.ring import Ring

log = structlog.get_logger(__name__)

_GRACE_SECONDS = 3
_READ_SECONDS = 0.3
_STOP_SECONDS = 5.0


@asynccontextmanager
async def open_room(loaded: Loaded, secrets: Secrets) -> AsyncIterator[ControlRoom]:
    """What routes stand on, closed at the end. `WebError` if there is no journal to show."""
    settings = loaded.settings
    data_dir = settings.bot.data_dir
    async with AsyncExitStack() as closing:
        try:
            queries = await asyncio.to_thread(Queries, settings.database_url)
        except JournalError as error:
            message = f"there is nothing to show: {error}; start the bot first, such as `python -m bot --paper`"
            raise WebError(message) from error
        closing.callback(queries.close)
        access = await AccessStore.open(data_dir, _now)
        closing.push_async_callback(access.close)
        reports = Reports(loaded)
        closing.push_async_callback(reports.close)
        ring = Ring(now=_now)
        link = await closing.enter_async_context(BotLink(data_dir, _now, ring))
        yield ControlRoom(loaded, secrets, queries, link, ring, access, reports, _now, package_version("arbiter-desk"), closing)


Announce = Callable[[str, str], None]
"""Is given the address, and the one-time URL that lets a browser in, once both work."""


async def serve(loaded: Loaded, secrets: Secrets, listening: socket.socket, announce: Announce, *, stop: asyncio.Event) -> None:
    """Serve on this socket until told to stop; `WebError` if it may not be served on, or there is nothing to show."""
    why = refusal(listening.getsockname()[0], secrets)
    if why is not None:
        raise WebError(why)
    host, port = listening.getsockname()[:2]
    place = Place(host, port, os.getpid())
    async with open_room(loaded, secrets) as room:
        with loading():
            app = create_app(room)
        server = _Server(configured(app))
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="uvicorn")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            with told(loaded.settings.bot.data_dir, place):
                announce(place.url, f"{place.url}/enter?key={await room.access.issue_link()}")
                await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            room.stopping.set()
            server.should_exit = True
            stopped.cancel()
            await asyncio.wait([serving], timeout=_READ_SECONDS)
            abort_unread(server.server_state.connections)
            await asyncio.wait([serving], timeout=_STOP_SECONDS)
            if not serving.done():
                serving.cancel()
            await asyncio.gather(serving, stopped, return_exceptions=True)


def configured(app: FastAPI) -> uvicorn.Config:
    """How uvicorn serves it: bounded in connections, heads and messages, and silent about itself."""
    return uvicorn.Config(
        app,
        http=PromptProtocol,
        log_config=None,
        log_level="warning",
        lifespan="off",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=32_768,
        limit_concurrency=512,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ws_max_size=65_536,
    )


class _Server(uvicorn.Server):
    """uvicorn without its hands on the process's signals: whoever runs it owns them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def _now() -> int:
    return time.time_ns() // 1_000_000
