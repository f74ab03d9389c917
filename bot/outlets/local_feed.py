"""The local feed: the same envelopes on a loopback socket, and commands in the other direction.

Newline-delimited JSON. A client greets with the token of `feed.json`; without it, it learns nothing. Each client has a queue of
its own: one that reads too slowly loses its oldest messages, is told how many by a `resync`, and slows nobody. Commands run to
their end even if the client that sent them has gone; each says whom it is for, until when, and by a nonce that it is no other.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog

from bot.outlets.admission import (
    LONGEST_ACTOR,
    SAFER,
    Admission,
    AdmissionLimits,
    NotAdmitted,
    Refusal,
    Request,
    request_of,
)
from bot.outlets.command import CommandHandler, CommandResult
from bot.outlets.envelope import SCHEMA, Channel, Identity, Message
from bot.outlets.errors import AlreadyRunning, NotRunning, OutletError, Refused
from bot.outlets.local_client import LocalClient
from bot.outlets.rendezvous import FEED_FILE, Rendezvous

_log = structlog.get_logger(__name__)

LINE_LIMIT = 1 << 20
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Bounds of the local feed. `queue` is in messages per client; times are seconds. `port` 0 takes any free one.

    Of one client's commands `commands_in_flight` are carried out at once and `commands_waiting` more wait for their turn; what
    makes the bot safer waits for none of them.
    """

    host: str = "127.0.0.1"
    port: int = 0
    queue: int = 10_000
    clients: int = 32
    greeting: float = 3.0
    command: float = 30.0
    stall: float = 30.0
    commands_in_flight: int = 8
    commands_waiting: int = 256


@dataclass(frozen=True, slots=True)
class LocalStats:
    """What the local feed has done so far; `dropped` counts messages that slow clients lost."""

    clients: int
    sent: int
    dropped: int
    commands: int
    refused: int


class LocalFeed:
    """The server side. `handler` carries out commands and answers requests such as `status`."""

    def __init__(
        self, data_dir: Path, identity: Identity, handler: CommandHandler, settings: LocalSettings | None = None
    ) -> None:
        self._data_dir = data_dir
        self._identity = identity
        self._settings = settings or LocalSettings()
        self.admission = Admission(identity, handler, AdmissionLimits(seconds=self._settings.command))
        self._token = secrets.token_urlsafe(32)
        self._clients: dict[int, _Client] = {}
        self._tasks: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._wanted: frozenset[Channel] = frozenset()
        self._server: asyncio.Server | None = None
        self._place: Rendezvous | None = None
        self._gone = LocalStats(0, 0, 0, 0, 0)
        self._commands = 0
        self._refused = 0

    @property
    def port(self) -> int:
        """The port it listens on; 0 before it does."""
        return self._place.port if self._place else 0

    def wants(self, channel: Channel) -> bool:
        """Whether any client follows this channel: if not, nothing need be encoded for it."""
        return channel in self._wanted

    def stats(self) -> LocalStats:
        """What it has done so far."""
        clients = self._clients.values()
        sent = self._gone.sent + sum(client.sent for client in clients)
        dropped = self._gone.dropped + sum(client.dropped for client in clients)
        return LocalStats(len(clients), sent, dropped, self._commands, self._refused)

    def publish(self, message: Message) -> None:
        """Offer a message to the clients that follow its channel. Never waits."""
        if message.channel in self._wanted:
            for client in self._clients.values():
                if message.channel in client.channels:
                    client.offer(message.payload)

    async def start(self) -> None:
        """Listen, and say where in `feed.json`. `AlreadyRunning` if another bot answers for this directory."""
        await self._ensure_alone()
        host, port = self._settings.host, self._settings.port
        try:
            self._server = await asyncio.start_server(self._accept, host, port, limit=LINE_LIMIT)
            port = self._server.sockets[0].getsockname()[1]
            self._place = Rendezvous(host, port, self._token, os.getpid(), self._identity.run)
            self._place.write(self._data_dir)
        except OSError as error:
            await self.close()
            message = f"the local feed cannot start at {host}:{port} with {self._data_dir / FEED_FILE}: {error.strerror or error}"
            raise OutletError(message) from error

    async def close(self, timeout: float = 1.0) -> None:
        """Let the clients read what they were sent, for at most `timeout` seconds, then hang up and remove `feed.json`."""
        if self._place is not None:
            self._place.remove(self._data_dir)
            self._place = None
        if self._server is None:
            return
        self._server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(client.drained.wait() for client in list(self._clients.values())))
        tasks = dict(self._tasks)
        for task, writer in tasks.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _ensure_alone(self) -> None:
        """Refuse to start beside another bot: one that knows the token of the file, not just whoever has its port now."""
        try:
            other = await LocalClient.connect(self._data_dir, actor="start", timeout=self._settings.greeting)
        except (NotRunning, Refused):
            return
        await other.close()
        message = f"process {other.hello.pid} already runs a bot in {self._data_dir}; stop it, or choose another --data-dir"
        raise AlreadyRunning(message)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from greeting to goodbye. A boundary: whatever a client does stays with that client."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = writer
        try:
            if len(self._tasks) > self._settings.clients:
                self._refused += 1
            elif actor := await self._greet(reader, writer):
                await self._serve(_Client(writer, actor, self._settings), reader)
        except (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError):
            _log.debug("local_client_lost")
        except asyncio.CancelledError:
            # Only `close` cancels, and waits for this task. Python 3.11's streams would report the cancellation as an error.
            _log.debug("local_client_closed")
        except Exception:  # noqa: BLE001 - a client's connection must not reach the loop's exception handler
            self._refused += 1
            _log.exception("local_client_failed")
        finally:
            del self._tasks[task]
            await _hang_up(writer)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | None:
        """Read the greeting; the client's name, or None (and one line that says so) if it has not the token."""
        async with asyncio.timeout(self._settings.greeting):
            greeting = _parsed(await reader.readuntil(b"\n"))
            token = greeting.get("token")
            actor = greeting.get("actor", "local")
            known = isinstance(token, str) and hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())
            if not known or not isinstance(actor, str) or not 0 < len(actor) <= LONGEST_ACTOR or not actor.isprintable():
                self._refused += 1
                _log.warning("local_client_refused")
                writer.write(
                    _line({"type": "refused", "error": "the token is not this bot's" if not known else "not an actor's name"})
                )
                await writer.drain()
                return None
            writer.write(_line({"type": "hello", "schema": SCHEMA, "pid": os.getpid(), **asdict(self._identity)}))
            await writer.drain()
        return actor

    async def _serve(self, client: _Client, reader: asyncio.StreamReader) -> None:
        key = id(client)
        self._clients[key] = client
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(client.send())
                try:
                    await self._listen(client, reader)
                finally:
                    sender.cancel()
        finally:
            del self._clients[key]
            gone = self._gone
            self._gone = LocalStats(0, gone.sent + client.sent, gone.dropped + client.dropped, 0, 0)
            self._follow()

    async def _listen(self, client: _Client, reader: asyncio.StreamReader) -> None:
        """Read requests until the client hangs up; then wait for the commands it left behind.

        Reading goes on while commands wait, for a `kill` must be heard behind however many that take their time.
        """
        room, under_way = asyncio.Semaphore(self._settings.commands_in_flight), 0
        most = self._settings.commands_in_flight + self._settings.commands_waiting
        async with asyncio.TaskGroup() as commands:

            async def in_turn(request: dict[str, object]) -> None:
                nonlocal under_way
                async with room:
                    await self._carry_out(client, request)
                under_way -= 1

            while True:
                try:
                    line = await reader.readuntil(b"\n")
                except (EOFError, OSError, asyncio.LimitOverrunError):
                    return
                request = _parsed(line)
                if "follow" in request:
                    client.channels = _channels(request["follow"])
                    self._follow()
                    client.reply(request.get("id"), CommandResult(ok=True))
                elif str(request.get("command")) in SAFER:
                    commands.create_task(self._carry_out(client, request))
                elif under_way >= most:
                    full = f"{under_way} commands of this client are under way or wait; nothing was done"
                    client.reply(request.get("id"), CommandResult(ok=False, error=full, refused=True))
                else:
                    under_way += 1
                    commands.create_task(in_turn(request))

    async def _carry_out(self, client: _Client, request: dict[str, object]) -> None:
        """One command, answered whatever becomes of it."""
        self._commands += 1
        try:
            result = await self.admission.carry_out(_addressed(request, client.actor))
        except NotAdmitted as refusal:
            result = self.admission.count(refusal)
        client.reply(request.get("id"), result)

    def _follow(self) -> None:
        self._wanted = frozenset().union(*(client.channels for client in self._clients.values()))


class _Client:
    """One connection's outgoing side: answers first, then messages; both bounded."""

    def __init__(self, writer: asyncio.StreamWriter, actor: str, settings: LocalSettings) -> None:
        self.actor = actor
        self.channels: frozenset[Channel] = frozenset()
        self.sent = 0
        self.dropped = 0
        self.drained = asyncio.Event()
        self.drained.set()
        self._writer = writer
        self._settings = settings
        self._replies: deque[bytes] = deque()
        self._queue: deque[bytes] = deque()
        self._missed = 0
        self._wake = asyncio.Event()
        # No buffer between the queue and the socket: what `drain` has seen, the kernel has, and a slow client shows at once.
        writer.transport.set_write_buffer_limits(high=0)

    def offer(self, payload: bytes) -> None:
        """Take a message, at the price of the oldest if the client has not kept up."""
        if len(self._queue) >= self._settings.queue:
            self._queue.popleft()
            self._missed += 1
            self.dropped += 1
        self._queue.append(payload)
        self._signal()

    def reply(self, request: object, result: CommandResult) -> None:
        """Answer a request. Bounded by hanging up on a client that asks without ever reading."""
        if len(self._replies) >= self._settings.queue:
            self._writer.transport.abort()
            return
        answer: dict[str, object] = {"id": request, "ok": result.ok, "error": result.error}
        if result.result is not None:
            answer["result"] = result.result
        if result.repeated:
            answer["repeated"] = True
        if result.refused:
            answer["refused"] = True
        if result.missing:
            answer["missing"] = True
        self._replies.append(_line(answer))
        self._signal()

    async def send(self) -> None:
        """Write until cancelled; a client that reads nothing for `stall` seconds is hung up on."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while chunk := self._next_chunk():
                    self._writer.write(chunk)
                    async with asyncio.timeout(self._settings.stall):
                        await self._writer.drain()
                self.drained.set()
        except (OSError, TimeoutError):
            self.drained.set()
            self._writer.transport.abort()

    def _signal(self) -> None:
        self.drained.clear()
        self._wake.set()

    def _next_chunk(self) -> bytes:
        """Up to 64 KiB of lines, so that one client's backlog is not one long write."""
        lines = list(self._replies)
        self._replies.clear()
        if self._missed:
            lines.append(_line({"type": "resync", "dropped": self._missed}))
            self._missed = 0
        size = 0
        while self._queue and size < _CHUNK:
            payload = self._queue.popleft()
            size += len(payload)
            lines += (payload, b"\n")
            self.sent += 1
        return b"".join(lines)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(1.0):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


def _parsed(line: bytes) -> dict[str, object]:
    """The object on a line; an empty one if there is none, which every reader of it refuses."""
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _addressed(said: dict[str, object], actor: str) -> Request:
    """The command in a line. A client of this feed knows which run it speaks to, and must say so."""
    request = request_of(said, actor)
    if request.run is None:
        raise NotAdmitted(Refusal.MALFORMED, f"{request.command.name} needs `run`: for which start of the bot it is meant")
    return request


def _channels(wish: object) -> frozenset[Channel]:
    """`true` follows everything, `false` nothing, a list these; names that are none are ignored."""
    if isinstance(wish, bool):
        return frozenset(Channel) if wish else frozenset()
    names: Iterable[object] = wish if isinstance(wish, list) else ()
    return frozenset(channel for channel in Channel if channel in names)


def _line(content: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(content, default=str) + b"\n"
    except TypeError:
        fallback = {"id": None, "ok": False, "error": "the answer could not be written as JSON"}
        return orjson.dumps({**fallback, "id": content.get("id")}) + b"\n"
