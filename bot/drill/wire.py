"""A wire to a server that a drill can cut and mend: what goes in at its own port comes out at the server's."""

from __future__ import annotations

import asyncio
from contextlib import suppress

_CHUNK = 65_536


class Wire:
    """From a port of loopback, the same for as long as it lives, to `host:port`; cut, it breaks what is open and refuses more."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._target = port
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Let connections through."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
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
        far: asyncio.StreamWriter | None = None
        try:
            answers, far = await asyncio.open_connection(self._host, self._target)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pour(reader, far))
                both.create_task(_pour(answers, writer))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way until that end is closed, then close the other."""
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
