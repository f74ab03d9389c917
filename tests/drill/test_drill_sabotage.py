"""Drills can fail: a bot that breaks a promise in one place is found out by the drill of that promise."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bot.drill.catalogue import chosen
from bot.drill.rig import Ground
from bot.drill.running import attempt

SCRIPT = Path(__file__).with_name("sabotaged_bot.py")

CASES = [
    ("retry-unknown", "lost-answer-after-accept", "the order was sent 2 times"),
    ("forget-intent", "duplicate-fills", "before its intent was in the journal"),
    ("write-intent-late", "duplicate-fills", "before its intent was in the journal"),
    ("failure-is-nothing", "failed-query", "was given up because the questions failed"),
    ("trust-the-stream", "lost-updates", "an agreement of bot and venue did not happen"),
    ("book-everything", "duplicate-fills", ""),
    ("ignore-health", "market-stall", "stale data did not happen"),
]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bool, str]]:
    """What every sabotaged bot's drill said; they are played at the same time, as most of them wait in vain for something."""
    ground = Ground(tmp_path_factory.mktemp("sabotage"))

    async def play(sabotage: str, name: str, turns: asyncio.Semaphore) -> tuple[bool, str]:
        (drill,) = chosen([name])
        place = ground.root / sabotage
        place.mkdir()
        async with turns:
            return await attempt(drill, replace(ground, root=place, entry=(str(SCRIPT), sabotage)))

    async def all_of_them() -> list[tuple[bool, str]]:
        turns = asyncio.Semaphore(len(CASES))
        return await asyncio.gather(*(play(sabotage, name, turns) for sabotage, name, _ in CASES))

    return dict(zip([sabotage for sabotage, _, _ in CASES], asyncio.run(all_of_them()), strict=True))


@pytest.mark.parametrize(("sabotage", "drill", "finding"), CASES)
def test_a_broken_promise_breaks_its_drill(
    verdicts: dict[str, tuple[bool, str]], sabotage: str, drill: str, finding: str
) -> None:
    kept, detail = verdicts[sabotage]
    assert not kept, f"{drill} did not notice: {detail}"
    assert finding in detail
