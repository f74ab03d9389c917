"""Server-sent events, as they come in pieces."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `kind` is empty where it has no name."""

    kind: str
    data: bytes


async def events(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Event, None]:
    """The events of a stream. One that is cut off at the end is left out; how much is kept is bounded by the stream's own cap."""
    kind, told = "", list[bytes]()
    async for line in _lines(pieces):
        if not line:
            if told:
                yield Event(kind, b"\n".join(told))
            kind, told = "", []
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            told.append(value)
        elif name == b"event":
            kind = value.decode("utf-8", "replace")


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest: list[bytes] = []  # joined only when a line ends, so that a drip of a long line costs no square
    async for piece in pieces:
        first, *more = piece.split(b"\n")
        rest.append(first)
        for line in more:
            yield b"".join(rest).rstrip(b"\r")
            rest = [line]
