"""A wire to the server that a test can cut or stall at a moment of its choice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from urllib.parse import urlsplit, urlunsplit

from bot.journal.loops import LoopThread


class Cut(Enum):
    """When the wire breaks."""

    NEVER = auto()
    BEFORE_COMMIT = auto()  # the server never hears of it
    AFTER_COMMIT = auto()  # the server commits, the answer is lost
    STALL = auto()  # nothing more comes through, and nobody is told


class Proxy:
    """Stands between the journal and `url`, in a thread of its own: the journal may block the test's loop."""

    def __init__(self, url: str, loop: LoopThread) -> None:
        self._loop = loop
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._parts = parts
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.cut = Cut.NEVER
        self.cut_and_refuse = False
        self.was_cut = threading.Event()
        self.url = ""

    async def start(self) -> None:
        """Take connections."""
        port = urlsplit(self.url).port or 0
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        port = self._server.sockets[0].getsockname()[1]
        user = self._parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._parts._replace(netloc=f"{user}@127.0.0.1:{port}"))

    def refuse(self) -> None:
        """Break the connections there are and take no more."""
        self._loop.run(self.stop(), 5)

    def accept(self) -> None:
        """Take connections again, where it did."""
        self._loop.run(self.start(), 5)

    async def stop(self) -> None:
        """Refuse connections and break those there are."""
        if self._server is not None:
            self._server.close()
            self._break()
            await self._server.wait_closed()
            self._server = None

    def _break(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, up_writer}
        answered = asyncio.create_task(self._answers(up_reader, writer))
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if b"COMMIT\0" in data and self.cut is Cut.BEFORE_COMMIT:
                    break
                if self.cut is not Cut.STALL:
                    up_writer.write(data)
                if b"COMMIT\0" in data and self.cut is Cut.AFTER_COMMIT:
                    await answered
                    break
        if self.cut in {Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT}:
            self.cut = Cut.NEVER
            if self.cut_and_refuse and self._server is not None:
                self._server.close()
            self.was_cut.set()
        for each in (writer, up_writer):
            each.transport.abort()
        await answered
        self._writers -= {writer, up_writer}

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if b"COMMIT\0" in data and self.cut is Cut.AFTER_COMMIT:
                    break
                if self.cut is not Cut.STALL:
                    writer.write(data)
        writer.transport.abort()


@contextmanager
def wire(url: str) -> Iterator[Proxy]:
    """A proxy, ended with the test."""
    with LoopThread("proxy") as loop:
        proxy = Proxy(url, loop)
        proxy.accept()
        try:
            yield proxy
        finally:
            proxy.refuse()
