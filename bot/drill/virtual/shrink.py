"""Shrinking: the smallest part of a failing schedule that still fails, by delta debugging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from bot.drill.virtual.schedule import Schedule

T = TypeVar("T")


def shrunk(schedule: Schedule, fails: Callable[[Schedule], bool], tries: int = 400) -> Schedule:
    """A schedule of fewest events that fails too: none of them can be left out. Deterministic; at most `tries` runs."""
    return replace(schedule, events=tuple(_least(schedule.events, lambda events: fails(replace(schedule, events=events)), tries)))


def _least(items: tuple[T, ...], fails: Callable[[tuple[T, ...]], bool], tries: int) -> Sequence[T]:
    """Leave out ever smaller parts, and begin again with what still fails."""
    parts = 2
    while len(items) > 1 and tries > 0:
        size = max(1, len(items) // parts)
        for start in range(0, len(items), size):
            rest = items[:start] + items[start + size :]
            tries -= 1
            if tries < 0:
                return items
            if fails(rest):
                items, parts = rest, max(2, parts - 1)
                break
        else:
            if size == 1:
                return items
            parts = min(len(items), 2 * parts)
    return items
