"""The Redis feed: tells everybody, waits for nobody.

`publish` puts bytes into a bounded buffer and returns; one task of the feed's own sends them in pipelined batches. While the
server is away the buffer keeps the newest and counts what it lost. Market data has a buffer of its own, so that a flood of quotes
never pushes out a fill. A batch whose answer never came is sent again: around a reconnect a message may arrive twice, with
its own `seq`.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from bot.outlets.envelope import SCHEMA, Channel, Message
from bot.outlets.errors import OutletError

if TYPE_CHECKING:
    from redis.asyncio import Redis

_log = structlog.get_logger(__name__)

STREAM_FIELD = b"message"


def _command(*parts: bytes) -> bytes:
    """A command as it goes over the wire, in the protocol's own form (RESP): an array of byte strings."""
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


def _open(*parts: bytes) -> bytes:
    """A command whose last part, of any length, follows."""
    return _command(*parts, b"").removesuffix(b"$0\r\n\r\n")


class FeedState(StrEnum):
    """Off without a URL; connecting until the first answer; then up, or down and trying again."""

    OFF = "off"
    CONNECTING = "connecting"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """How to reach Redis and how much to keep while it is away.

    `buffer` is in messages, once for market data and once for the rest; `streams` also appends to capped Streams of the same
    names, trimmed to about `stream_length` entries each. Times are seconds; `linger` lets a batch gather.
    """

    url: str | None = field(default=None, repr=False)
    prefix: str = SCHEMA
    streams: bool = False
    stream_length: int = 10_000
    buffer: int = 20_000
    batch: int = 64
    linger: float = 0.005
    timeout: float = 0.5
    first_backoff: float = 0.1
    last_backoff: float = 5.0
    idle: float = 5.0


@dataclass(frozen=True, slots=True)
class RedisStats:
    """What the feed has done so far. `dropped` by channel: overflowed, refused by the server, or left over at the end."""

    state: FeedState
    published: int
    buffered: int
    reconnects: int
    dropped: Mapping[str, int]


class RedisFeed:
    """One bot's messages on Redis pub/sub, and on Streams where configured."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        # The library packs and parses command by command, which would cost more than everything else that a quote costs.
        self._heads = {channel: self._head(f"{settings.prefix}.{channel}".encode()) for channel in Channel}
        self._trading: deque[Message] = deque()
        self._market: deque[Message] = deque()
        self._dropped = dict.fromkeys(Channel, 0)
        self._published = 0
        self._connections = 0
        self._state = FeedState.OFF
        self._turn = asyncio.Event()
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._refused = False

    @property
    def state(self) -> FeedState:
        """Whether messages are arriving."""
        return self._state

    @property
    def enabled(self) -> bool:
        """Whether there is a server to try for."""
        return self._settings.url is not None

    def stats(self) -> RedisStats:
        """What it has done so far."""
        buffered = len(self._trading) + len(self._market)
        dropped = {channel.value: count for channel, count in self._dropped.items()}
        return RedisStats(self._state, self._published, buffered, max(0, self._connections - 1), dropped)

    def publish(self, message: Message) -> None:
        """Take a message to be sent. Returns at once, whatever the server does; does nothing without a URL or after the end."""
        if self._settings.url is None or self._closed:
            return
        lane = self._lane(message)
        if len(lane) >= self._settings.buffer:
            self._dropped[lane.popleft().channel] += 1
        lane.append(message)
        self._empty.clear()
        self._wake.set()

    async def start(self) -> None:
        """Begin to connect, in the background. `OutletError` if the URL is none."""
        if self._settings.url is None:
            return
        client = self._client()
        self._enter(FeedState.CONNECTING)
        self._task = asyncio.create_task(self._run(client), name="redis-feed")

    async def wait_for(self, *states: FeedState, timeout: float) -> FeedState:
        """Wait until the feed is in one of these states; `TimeoutError` if it does not come."""
        async with asyncio.timeout(timeout):
            while self._state not in states:
                await self._turn.wait()
        return self._state

    async def close(self, timeout: float = 1.0) -> None:
        """Send what is left, for at most `timeout` seconds, then stop. What remains counts as dropped."""
        self._closed = True
        if self._task is None:
            return
        if self._state is FeedState.UP:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._empty.wait()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        for lane in (self._trading, self._market):
            for message in lane:
                self._dropped[message.channel] += 1
            lane.clear()
        self._enter(FeedState.OFF)

    def _client(self) -> Redis:
        # Imported here because redis costs the command line's start 0.1 s.
        from redis.asyncio import Redis  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415

        timeout = self._settings.timeout
        # The library's own ten retries would hold a batch for four seconds; reconnecting is this feed's business.
        retry = Retry(NoBackoff(), 0)
        try:
            return Redis.from_url(str(self._settings.url), retry=retry, socket_timeout=timeout, socket_connect_timeout=timeout)
        except (ValueError, TypeError):
            # The library's message may quote the URL, and the URL may hold a password.
            message = "redis.url is not a Redis URL; it looks like redis://host:6379/0, rediss://... or unix:///path"
            raise OutletError(message) from None

    async def _run(self, client: Redis) -> None:
        try:
            backoff = self._settings.first_backoff
            while True:
                before = self._connections
                await self._session(client)
                backoff = self._settings.first_backoff if self._connections > before else backoff
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, self._settings.last_backoff)
        finally:
            await client.aclose()

    async def _session(self, client: Redis) -> None:
        """One connection, from the first answer to the first failure."""
        from redis.exceptions import RedisError  # noqa: PLC0415

        try:
            await client.ping()
            self._connections += 1
            self._enter(FeedState.UP)
            while True:
                await self._send_next(client)
        except (RedisError, OSError, TimeoutError) as error:
            self._enter(FeedState.DOWN, error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - an outlet's boundary: whatever the client library does, the feed tries again
            _log.exception("redis_feed_failed")
            self._enter(FeedState.DOWN, error=type(error).__name__)
        await client.connection_pool.disconnect()

    async def _send_next(self, client: Redis) -> None:
        """Wait for something to send, or for the time to ask whether the server is still there."""
        settings = self._settings
        try:
            async with asyncio.timeout(settings.idle):
                await self._wake.wait()
        except TimeoutError:
            await client.ping()
            return
        self._wake.clear()
        if len(self._trading) + len(self._market) < settings.batch:
            await asyncio.sleep(settings.linger)
        while batch := self._take():
            try:
                await self._send(client, batch)
            except BaseException:
                self._put_back(batch)
                raise
            await asyncio.sleep(0)
        self._empty.set()

    def _head(self, name: bytes) -> tuple[bytes, ...]:
        """The commands that tell a message on the channel of this name, but for the payload that ends each."""
        if not self._settings.streams:
            return (_open(b"PUBLISH", name),)
        length = b"%d" % self._settings.stream_length
        return _open(b"PUBLISH", name), _open(b"XADD", name, b"MAXLEN", b"~", length, b"*", STREAM_FIELD)

    async def _answers(self, client: Redis, batch: list[Message]) -> list[object]:
        """What the server says to each command of a batch, an error being an answer like any other."""
        from redis.exceptions import ResponseError  # noqa: PLC0415

        packed: list[bytes] = []
        for channel, payload in batch:
            tail = b"$%d\r\n%b\r\n" % (len(payload), payload)
            for head in self._heads[channel]:
                packed += (head, tail)
        pool = client.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        answers: list[object] = []
        try:
            await connection.send_packed_command(b"".join(packed))
            async with asyncio.timeout(self._settings.timeout):
                for _ in range(len(packed) // 2):
                    try:
                        answers.append(await connection.read_response(disable_decoding=True, timeout=math.inf))
                    except ResponseError as error:
                        answers.append(error)
        except BaseException:
            await connection.disconnect(
                nowait=True
            )  # answers may be left over: they must not be taken for those of the next batch
            raise
        finally:
            await pool.release(connection)
        return answers

    async def _send(self, client: Redis, batch: list[Message]) -> None:
        """Send a batch and read every answer. What the server refuses is dropped and counted: it would refuse it again."""
        answers = await self._answers(client, batch)
        width = 2 if self._settings.streams else 1
        refused = 0
        for place, message in enumerate(batch):
            if any(isinstance(answer, Exception) for answer in answers[place * width : (place + 1) * width]):
                self._dropped[message.channel] += 1
                refused += 1
        self._published += len(batch) - refused
        if refused and not self._refused:
            first = next(answer for answer in answers if isinstance(answer, Exception))
            _log.warning("redis_refused", messages=refused, error=str(first)[:200])
        self._refused = refused > 0
        if refused:
            # A pause, so that a server that refuses everything is not asked thousands of times a second.
            await asyncio.sleep(self._settings.first_backoff)

    def _lane(self, message: Message) -> deque[Message]:
        return self._market if message.channel.market else self._trading

    def _take(self) -> list[Message]:
        """The next batch: what the bot did first, then market data."""
        batch: list[Message] = []
        for lane in (self._trading, self._market):
            while lane and len(batch) < self._settings.batch:
                batch.append(lane.popleft())
        return batch

    def _put_back(self, batch: list[Message]) -> None:
        for message in reversed(batch):
            lane = self._lane(message)
            if len(lane) < self._settings.buffer:
                lane.appendleft(message)
            else:
                self._dropped[message.channel] += 1
        self._wake.set()

    def _enter(self, state: FeedState, error: str | None = None) -> None:
        """Change the state, once and visibly: attempts that fail again say nothing."""
        if state is self._state:
            return
        if state is FeedState.DOWN:
            _log.warning("redis_down", error=error, first=self._connections == 0)
        elif state is FeedState.UP:
            _log.info("redis_up", reconnects=self._connections - 1)
        self._state = state
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()
