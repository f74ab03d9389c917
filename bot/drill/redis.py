"""A Redis for drills: real enough to be connected to, published to, and gone.

It reads requests, keeps nothing and answers as Redis does to those that the bot sends, so a drill needs no server installed.
"""

from __future__ import annotations

import asyncio
from collections import Counter

_OK = b"+OK\r\n"
_ANSWERS = {
    b"PING": b"+PONG\r\n",
    b"PUBLISH": b":0\r\n",
    b"XADD": b"$3\r\n0-1\r\n",
    b"HELLO": b"%3\r\n+server\r\n+redis\r\n+version\r\n+7.4.0\r\n+proto\r\n:3\r\n",
}


class StandIn:
    """Listens on one port of loopback for as long as it is up; `commands` counts what it was told."""

    def __init__(self) -> None:
        self.port = 0
        self.commands: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it is, up or not."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def up(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Break every connection and take no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while words := await _request(reader):
                name = words[0].upper()
                self.commands[name.decode(errors="replace")] += 1
                writer.write(_ANSWERS.get(name, _OK))
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


async def _request(reader: asyncio.StreamReader) -> list[bytes]:
    """The words of one request; none at the end."""
    head = await reader.readline()
    if not head.startswith(b"*"):
        return []
    words = []
    for _ in range(int(head[1:])):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words
