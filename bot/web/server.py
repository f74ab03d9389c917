"""The control room's process: it binds, opens what routes stand on, serves, and leaves in order.

It is started by the bot, which hands it a socket that is bound already and lets it go by closing its standard input; or by hand,
beside a running bot or over a finished journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path

import orjson
import structlog
import uvicorn

from bot.journal.errors import JournalError
from bot.journal.queries import Queries
from bot.secrets import Secrets
from bot.settings import Loaded
from bot.web.app import create_app
from bot.web.room import ControlRoom
from bot.web.security.binding import refusal
from bot.web.security.store import AccessStore
from bot.web.stream.link import BotLink
from bot.web.stream.ring import Ring

log = structlog.get_logger(__name__)

PLACE_FILE = "web.json"
_GRACE_SECONDS = 3
_STOP_SECONDS = 5.0


class WebError(Exception):
    """The control room cannot be opened; the text is one line with the remedy."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the control room listens."""

    host: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its address in a browser; a wildcard address is reached as this machine."""
        shown = "127.0.0.1" if self.host in {"0.0.0.0", "::", ""} else self.host  # noqa: S104 - recognised, not bound
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}"

    @classmethod
    def read(cls, data_dir: Path) -> Place | None:
        """Where the control room of a data directory listens; None if none runs."""
        try:
            found = orjson.loads((data_dir / PLACE_FILE).read_bytes())
            place = cls(str(found["host"]), int(found["port"]), int(found["pid"]))
            os.kill(place.pid, 0)
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return place


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there; `WebError` if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(128)
    except OSError as error:
        made.close()
        remedy = "choose another by --web-port N (0: any free one), or leave the control room out by --no-web"
        message = f"the control room cannot listen on {host}:{port} ({error.strerror or error}); {remedy}"
        raise WebError(message) from error
    return made


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
        ring = Ring(now=_now)
        link = await closing.enter_async_context(BotLink(data_dir, _now, ring))
        yield ControlRoom(loaded, secrets, queries, link, ring, access, _now, package_version("arbiter-desk"), closing)


async def serve(loaded: Loaded, secrets: Secrets, listening: socket.socket, *, stop: asyncio.Event) -> None:
    """Serve on this socket until told to stop. On standard output one line of JSON says when, and where, with a one-time URL."""
    why = refusal(listening.getsockname()[0], secrets)
    if why is not None:
        raise WebError(why)
    host, port = listening.getsockname()[:2]
    place = Place(host, port, os.getpid())
    async with open_room(loaded, secrets) as room:
        server = _Server(
            uvicorn.Config(
                create_app(room),
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=32_768,
                limit_concurrency=512,
                timeout_graceful_shutdown=_GRACE_SECONDS,
                ws_max_size=65_536,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="uvicorn")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            with _told(loaded.settings.bot.data_dir, place):
                await _announce(room, place)
                await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            room.stopping.set()
            server.should_exit = True
            stopped.cancel()
            await asyncio.wait([serving], timeout=_STOP_SECONDS)
            if not serving.done():
                serving.cancel()
            await asyncio.gather(serving, stopped, return_exceptions=True)


class _Server(uvicorn.Server):
    """uvicorn without its hands on the process's signals: whoever runs it owns them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


@contextlib.contextmanager
def _told(data_dir: Path, place: Place) -> Iterator[None]:
    """Say in the data directory where the control room is, for as long as it is."""
    path = data_dir / PLACE_FILE
    draft = data_dir / f".{PLACE_FILE}.{place.pid}"
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(orjson.dumps({"host": place.host, "port": place.port, "pid": place.pid}))
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


async def _announce(room: ControlRoom, place: Place) -> None:
    key = await room.access.issue_link()
    line = {"ready": True, "url": f"{place.url}/enter?key={key}", "address": place.url}
    sys.stdout.write(orjson.dumps(line).decode() + "\n")
    sys.stdout.flush()


def _now() -> int:
    return time.time_ns() // 1_000_000
