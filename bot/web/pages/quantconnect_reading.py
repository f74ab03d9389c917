"""What the page of QuantConnect asks for more than once: a page and its charts show one reading, not two that may differ."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.web.api.quantconnect import answered
from bot.web.problems import Problem, not_found
from bot.web.room import ControlRoom
from bot.web.security.principal import Principal

_HELD = "pages.quantconnect"
_MOST = 24
_LIVE_MS = 15_000
_ENDED_MS = 600_000

Answer = Mapping[str, Any]


@dataclass(slots=True)
class _Readings:
    """The last readings, each good for a while; the oldest gives way. One question for all who ask for the same."""

    kept: OrderedDict[str, tuple[int, Answer]] = field(default_factory=OrderedDict)
    asked: dict[str, asyncio.Lock] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tried:
    """What a part of the page asked for: the answer, or the problem that the page shows in its place."""

    found: Answer | None = None
    problem: Problem | None = None


async def tried(room: ControlRoom, principal: Principal, name: str, args: Mapping[str, object] | None = None) -> Tried:
    """An answer, or why there is none."""
    try:
        return Tried(await answered(room, principal, name, args or {}))
    except Problem as problem:
        return Tried(problem=problem)


async def algorithm_of(room: ControlRoom, principal: Principal, name: str) -> Answer:
    """A live algorithm in full, at most a quarter of a minute old."""
    return await _read(room, principal, _LIVE_MS, "qc.algorithm", {"id": name, "rows": 50})


async def backtest_of(room: ControlRoom, principal: Principal, project: int, backtest: str) -> Answer:
    """A backtest that has ended, whole; `Problem` 409 while it runs and where there is none."""
    return await _read(room, principal, _ENDED_MS, "qc.backtest-result", {"project": project, "backtest": backtest})


async def comparison_of(room: ControlRoom, principal: Principal, references: Sequence[str]) -> Answer:
    """Backtests of the cloud side by side."""
    return await _read(room, principal, _ENDED_MS, "qc.compare", {"backtests": list(references)})


async def sweep_of(room: ControlRoom, principal: Principal, job: str) -> Answer:
    """What a sweep came to, which only its job knows; `Problem` 404 for a job that is none, or not yet."""
    found = await room.command("job", {"id": job}, principal)
    if found["kind"] not in {"qc.sweep", "qc.estimate"} or not found["result"]:
        raise not_found(f"{job} is no sweep that has ended")
    result: Answer = found["result"]
    return result


async def _read(room: ControlRoom, principal: Principal, life_ms: int, name: str, args: Mapping[str, object]) -> Answer:
    readings: _Readings = room.held.setdefault(_HELD, _Readings())
    key = f"{(await room.world()).run} {name} {sorted(args.items())}"
    lock = readings.asked.setdefault(key, asyncio.Lock())
    try:
        async with lock:
            found = readings.kept.get(key)
            if found is not None and room.now() - found[0] <= life_ms:
                return found[1]
            answer = await answered(room, principal, name, args)
            readings.kept[key] = room.now(), answer
            readings.kept.move_to_end(key)
            while len(readings.kept) > _MOST:
                readings.kept.popitem(last=False)
            return answer
    finally:
        if not lock.locked():
            readings.asked.pop(key, None)
