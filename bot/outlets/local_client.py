"""A client of the local feed: the command line and the control room speak to the running bot through it, and in no other way."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from bot.outlets.admission import LONGEST_MS, wall_ms
from bot.outlets.command import CommandResult
from bot.outlets.envelope import Channel
from bot.outlets.errors import Disconnected, NotRunning, Refused
from bot.outlets.rendezvous import FEED_FILE, Rendezvous

_LINE_LIMIT = 16 * 1024 * 1024
_SKEW_MS = 2_000


def new_nonce() -> str:
    """A name that no other command has."""
    return secrets.token_urlsafe(18)


@dataclass(frozen=True, slots=True)
class FeedMessage:
    """A message as a client reads it: fields of the envelope, and `payload`, the line as it came, to be passed on.

    A `resync` has no `seq`; its `data` tells how many were dropped.
    """

    type: str
    seq: int
    ts: str
    corr: str | None
    data: Mapping[str, Any]
    simulated: bool
    run: str = ""
    payload: bytes = field(default=b"", repr=False)

    @property
    def channel(self) -> str:
        """The channel it travelled on; `resync` for a resync."""
        return self.type.partition(".")[0]

    @classmethod
    def of(cls, line: Mapping[str, Any], payload: bytes = b"") -> FeedMessage:
        """From a parsed envelope or resync, and the bytes that it was parsed from."""
        if line["type"] == "resync":
            return cls("resync", 0, "", None, {"dropped": line["dropped"]}, simulated=False, payload=payload)
        told = (line["type"], line["seq"], line["ts"], line["corr"], line["data"], line["simulated"], line["run"])
        return cls(*told, payload)


@dataclass(frozen=True, slots=True)
class Hello:
    """Who answered."""

    bot: str
    run: str
    mode: str
    simulated: bool
    pid: int


class LocalClient:
    """One connection to the running bot. Use it as an async context manager, or `close` it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Hello, queue: int) -> None:
        self.hello = hello
        self.dropped = 0
        self._reader = reader
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[CommandResult]] = {}
        self._asked = 0
        self._limit = queue
        self._messages: deque[FeedMessage] = deque()
        self._arrived = asyncio.Event()
        self._ended = False
        self._task = asyncio.create_task(self._read(), name="local-client")

    @classmethod
    async def connect(cls, data_dir: Path, *, actor: str = "cli", timeout: float = 3.0, queue: int = 10_000) -> Self:
        """Find the bot of this data directory and greet it. `NotRunning` if none answers, `Refused` if the token is wrong."""
        place = Rendezvous.read(data_dir)
        stale = f"no bot is running in {data_dir} ({FEED_FILE} says process {place.pid}, but nothing answers there)"
        writer = None
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(place.host, place.port, limit=_LINE_LIMIT)
                writer.write(orjson.dumps({"token": place.token, "actor": actor}) + b"\n")
                greeting = orjson.loads(await reader.readuntil(b"\n"))
                if greeting["type"] == "refused":
                    message = f"the bot in {data_dir} refused this client: {greeting['error']}"
                    raise Refused(message)
                hello = Hello(*(greeting[name] for name in ("bot", "run", "mode", "simulated", "pid")))
        except (OSError, TimeoutError, EOFError, ValueError, LookupError, TypeError) as error:
            await _hang_up(writer)
            raise NotRunning(stale) from error
        except BaseException:
            await _hang_up(writer)
            raise
        return cls(reader, writer, hello, queue)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def command(
        self,
        name: str,
        args: Mapping[str, object] | None = None,
        *,
        timeout: float = 35.0,
        nonce: str | None = None,
        actor: str | None = None,
    ) -> CommandResult:
        """Send a command to the run that said hello, and wait for its answer; the bot refuses it once `timeout` is over.

        Whoever asks again with the `nonce` of before gets the answer of before, `repeated`. An `actor` (1 to 64 printable
        characters) is more exact than that of the connection. `Disconnected` if the bot goes away first, `TimeoutError` if it
        does not answer: either way it may have been carried out.
        """
        ahead = min(int(timeout * 1_000) + _SKEW_MS, LONGEST_MS - _SKEW_MS)
        request: dict[str, object] = {
            "command": name,
            "args": dict(args or {}),
            "nonce": nonce or new_nonce(),
            "expires": wall_ms() + ahead,
            "bot": self.hello.bot,
            "run": self.hello.run,
        }
        return await self._ask(request if actor is None else {**request, "actor": actor}, timeout)

    async def refollow(self, channels: Iterable[Channel] | None = None, *, timeout: float = 5.0) -> None:
        """Follow these channels (all, if None) from now on, instead of those before: what `follow` gives goes on with them.

        What had arrived of the others is still given.
        """
        wish: object = True if channels is None else [channel.value for channel in channels]
        await self._ask({"follow": wish}, timeout)

    async def follow(self, channels: Iterable[Channel] | None = None, *, timeout: float = 5.0) -> AsyncIterator[FeedMessage]:
        """Messages of these channels (of all, if None), from now until the bot goes away; one at a time may follow.

        A `resync` among them says that this client was too slow and must ask for what it shows afresh.
        """
        await self.refollow(channels, timeout=timeout)
        while True:
            while self._messages:
                yield self._messages.popleft()
            if self._ended:
                return
            self._arrived.clear()
            await self._arrived.wait()

    async def close(self) -> None:
        """Hang up."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await _hang_up(self._writer)

    async def _ask(self, request: dict[str, object], timeout: float) -> CommandResult:
        if self._ended:
            message = "the bot has gone away"
            raise Disconnected(message)
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(orjson.dumps({"id": number, **request}, default=str) + b"\n")
                await self._writer.drain()
                return await answer
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise  # our own patience, which is an `OSError` too: the bot is still there
            message = "the bot went away"
            raise Disconnected(message) from error
        finally:
            del self._waiting[number]

    async def _read(self) -> None:
        """Sort what arrives into answers and messages, until the bot hangs up."""
        try:
            while True:
                payload = (await self._reader.readuntil(b"\n")).removesuffix(b"\n")
                line = orjson.loads(payload)
                if "ok" in line:
                    self._answer(line)
                else:
                    self._keep(FeedMessage.of(line, payload))
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError, LookupError):
            return
        finally:
            self._ended = True
            self._arrived.set()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Disconnected("the bot went away before it answered"))

    def _answer(self, line: Mapping[str, Any]) -> None:
        answer = self._waiting.get(line["id"])
        if answer is not None and not answer.done():
            flags = {name: bool(line.get(name)) for name in ("repeated", "refused", "missing")}
            answer.set_result(CommandResult(line["ok"], line["error"], line.get("result"), **flags))

    def _keep(self, message: FeedMessage) -> None:
        if len(self._messages) >= self._limit:
            self._messages.popleft()
            self.dropped += 1
        self._messages.append(message)
        self._arrived.set()


async def _hang_up(writer: asyncio.StreamWriter | None) -> None:
    if writer is not None:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
