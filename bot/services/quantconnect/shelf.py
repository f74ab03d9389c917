"""Lists of the service that may be a little old: kept on the ground, with the time they were read.

Whoever asks while a list is being read gets the same reading. What changes a list lets go of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from bot.services.use_case import Ground

T = TypeVar("T")

_HELD = "quantconnect.shelf"


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Rows and when they were read (ms UTC); `age_ms` is how old they are for whoever asked."""

    rows: Sequence[T]
    at: int
    age_ms: int

    def as_json(self) -> dict[str, object]:
        """When, and how old."""
        return {"at": self.at, "age_ms": self.age_ms}


@dataclass(slots=True)
class _Place:
    """One list. `turn` counts how often it was let go of, so that a reading begun before does not come back after."""

    rows: Sequence[Any] | None = None
    at: int = 0
    turn: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


async def shelved(ground: Ground, name: str, read: Callable[[], Awaitable[Sequence[T]]], *, fresh: bool = False) -> Listing[T]:
    """The list of this name: the kept one unless it is older than `quantconnect.cache` or a fresh one is wanted."""
    place = _places(ground).setdefault(name, _Place())
    asked = ground.now()
    async with place.lock:
        # Read since we asked is as fresh as can be wanted, whoever read it.
        least = asked if fresh else ground.now() - ground.loaded.settings.quantconnect.cache - 1
        if place.rows is None or place.at <= least or place.at > ground.now():
            turn, began = place.turn, ground.now()
            rows = await read()
            if place.turn != turn:
                return Listing(rows, began, max(0, ground.now() - began))
            place.rows, place.at = rows, began
        return Listing(cast("Sequence[T]", place.rows), place.at, max(0, ground.now() - place.at))


def let_go(ground: Ground, name: str) -> None:
    """Something has changed the list of this name: it is read again when it is next asked for."""
    place = _places(ground).get(name)
    if place is not None:
        place.rows = None
        place.turn += 1


def _places(ground: Ground) -> dict[str, _Place]:
    found: dict[str, _Place] = ground.held.setdefault(_HELD, {})
    return found
