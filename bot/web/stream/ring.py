"""The ring: what was said lately, kept once for all who read it.

A reader is a place in the ring and holds nothing of its own, so a slow one costs no memory: when the ring has passed over its
place, it loses the oldest and is told so by one resync. Every message is framed for the wire once, however many read it.

Ids are `run:number`. Numbers grow by one and start from the time of the ring's birth in ms × 1000, so that an id which an earlier
process gave is never mistaken for one of this.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import orjson

RESYNC = "resync"
_CHUNK = 65_536


class Crowded(Exception):  # noqa: N818 - it is a state, not a fault
    """As many read the ring as may."""


class Entry:
    """One message: its id, channel and type, and `payload`, the envelope's bytes (JSON on one line).

    `bells` and `point` are what a tab hears of it: the panels to ask for afresh, and a chart's point, framed already.
    """

    __slots__ = ("_frame", "_text", "bells", "channel", "id", "number", "payload", "point", "type")

    def __init__(
        self, run: str, number: int, channel: str, kind: str, payload: bytes, bells: tuple[str, ...] = (), point: bytes = b""
    ) -> None:
        self.id = f"{run}:{number}"
        self.number = number
        self.channel = channel
        self.type = kind
        self.payload = payload
        self.bells = bells
        self.point = point
        self._frame = b""
        self._text = ""

    @property
    def frame(self) -> bytes:
        """As a server-sent event; made at the first wish and shared from then on."""
        if not self._frame:
            self._frame = b"id: %b\ndata: %b\n\n" % (self.id.encode(), self.payload)
        return self._frame

    @property
    def text(self) -> str:
        """The envelope with its `id` as first member, for a WebSocket; made at the first wish and shared from then on."""
        if not self._text:
            self._text = f'{{"id":{orjson.dumps(self.id).decode()},{self.payload[1:].decode()}'
        return self._text


@dataclass(frozen=True, slots=True)
class RingStats:
    """What the ring holds and has done: `dropped` counts what slow readers lost, `refused` readers beyond the most."""

    kept: int
    size_bytes: int
    appended: int
    readers: int
    resyncs: int
    dropped: int
    refused: int


class Ring:
    """At most `size` messages of at most `most_bytes` in all, for at most `readers` at once; `now` is in ms UTC."""

    def __init__(
        self, size: int = 4_096, *, now: Callable[[], int], most_bytes: int = 8 * 1024 * 1024, readers: int = 64
    ) -> None:
        self._size = size
        self._most_bytes = most_bytes
        self._most_readers = readers
        self._birth = self.last = now() * 1_000
        self._before = f"-:{self.last}"  # the id of what came just before the oldest that is kept
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._readers: set[Subscription] = set()
        self._resyncs = self._dropped = self._refused = 0

    @property
    def first(self) -> int:
        """The number of the oldest message that is kept, or that the next one will have."""
        return self.last - len(self._entries) + 1

    @property
    def position(self) -> str:
        """The id of the newest message: who asks for what came after it gets what is yet to come."""
        return self.id_at(self.last)

    def id_at(self, number: int) -> str:
        """The id of a number that is kept, or of the one just before those."""
        return self._entries[number - self.first].id if number >= self.first else self._before

    def stats(self) -> RingStats:
        """What it holds and has done."""
        counts = (self._resyncs, self._dropped, self._refused)
        return RingStats(len(self._entries), self._bytes, self.last - self._birth, len(self._readers), *counts)

    def append(self, run: str, channel: str, kind: str, payload: bytes, bells: tuple[str, ...] = (), point: bytes = b"") -> Entry:
        """Keep a message and wake who reads its channel. Never waits."""
        self.last += 1
        entry = Entry(run, self.last, channel, kind, payload, bells, point)
        self._entries.append(entry)
        self._bytes += len(payload)
        while len(self._entries) > self._size or (self._bytes > self._most_bytes and len(self._entries) > 1):
            oldest = self._entries.popleft()
            self._bytes -= len(oldest.payload)
            self._before = oldest.id
        for reader in self._readers:
            reader.notice(channel)
        return entry

    def subscribe(self, channels: Iterable[str] | None = None, after: str | None = None) -> Subscription:
        """Read these channels (all, if None) from now on, or from just after the id `after`.

        An `after` that is not kept any more, or was never known, gives a resync first. `Crowded` if too many read already.
        Whoever subscribes closes.
        """
        if len(self._readers) >= self._most_readers:
            self._refused += 1
            message = f"{self._most_readers} streams are open, which is the most; close one, or try again in a moment"
            raise Crowded(message)
        reader = Subscription(self, None if channels is None else frozenset(channels))
        reader.move(after)
        self._readers.add(reader)
        return reader

    def place_of(self, after: str | None) -> int | None:
        """The number up to which a reader knows everything: the newest without an id, None if the id is not kept."""
        if after is None:
            return self.last
        digits = after.rpartition(":")[2]
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
            return None
        number = int(digits)
        return number if self.first - 1 <= number <= self.last and self.id_at(number) == after else None

    def between(self, start: int, channels: frozenset[str] | None, most_bytes: int) -> tuple[list[Entry], int]:
        """Messages of these channels after `start`, until there are `most_bytes` of them; and the number that this reached."""
        found: list[Entry] = []
        size, first, number = 0, self.first, start
        while number < self.last and size < most_bytes:
            number += 1
            entry = self._entries[number - first]
            if channels is None or entry.channel in channels:
                found.append(entry)
                size += len(entry.payload)
        return found, number

    def count_resync(self, dropped: int) -> None:
        """A reader was told to ask afresh."""
        self._resyncs += 1
        self._dropped += dropped

    def leave(self, reader: Subscription) -> None:
        """A reader reads no more."""
        self._readers.discard(reader)


class Subscription:
    """One reader's place in the ring. Iterate over it, or `wait` and `take`."""

    def __init__(self, ring: Ring, channels: frozenset[str] | None) -> None:
        self.channels = channels
        self.dropped = 0
        self.closed = False
        self._ring = ring
        self._place = ring.last
        self._owed: Entry | None = None
        self._ready: deque[Entry] = deque()
        self._wake = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        """The next message or resync, for as long as it takes; ends when the subscription is closed."""
        while not self._ready:
            self._ready.extend(self.take())
            if not self._ready:
                if self.closed:
                    raise StopAsyncIteration
                await self._wake.wait()
        return self._ready.popleft()

    @property
    def position(self) -> str:
        """The id up to which this reader has taken everything."""
        return self._ring.id_at(max(self._place, self._ring.first - 1))

    def notice(self, channel: str) -> None:
        """Something was said on this channel, just now. Who knows everything before it, and does not want it, knows it too."""
        if self.channels is None or channel in self.channels:
            self._wake.set()
        elif self._place == self._ring.last - 1:
            self._place = self._ring.last

    def move(self, after: str | None) -> None:
        """Go on from just after this id instead; with a resync first, and from now, if it is not kept."""
        place = self._ring.place_of(after)
        self._place = self._ring.last if place is None else place
        self._owed = self._resync(None) if place is None else None
        self._wake.set()

    def take(self, most_bytes: int = _CHUNK) -> list[Entry]:
        """What there is by now, until there are `most_bytes` of it; nothing if there is nothing, or the reader closed."""
        self._wake.clear()
        if self.closed:
            return []
        taken: list[Entry] = []
        missed = self._ring.first - 1 - self._place
        if missed > 0:
            self.dropped += missed
            self._place += missed
            self._owed = self._resync(missed)
        if self._owed is not None:
            taken.append(self._owed)
            self._owed = None
        found, self._place = self._ring.between(self._place, self.channels, most_bytes)
        if self._place < self._ring.last:
            self._wake.set()
        return taken + found

    async def wait(self, seconds: float) -> bool:
        """Until there may be something to take or the reader was closed, for at most so long; whether it came to that."""
        if self._wake.is_set() or self.closed:
            return True
        try:
            async with asyncio.timeout(seconds):
                return await self._wake.wait()
        except TimeoutError:
            return False

    def close(self) -> None:
        """Read no more; who waits is woken."""
        self.closed = True
        self._ring.leave(self)
        self._wake.set()

    def _resync(self, dropped: int | None) -> Entry:
        """The one marker that says: you missed something, ask afresh. `dropped` is null where nobody can count it."""
        self._ring.count_resync(dropped or 0)
        run, _, number = self.position.rpartition(":")
        return Entry(run, int(number), RESYNC, RESYNC, orjson.dumps({"type": RESYNC, "dropped": dropped}), (RESYNC,))
