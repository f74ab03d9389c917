"""Ten minutes of live trading while 5 % of the requests and of the account's updates go wrong, in each dialect.

Two bots at a time, each on a venue of its own: limit entries with stops resting at the venue, and market entries with stops that
the desk watches. `ARBITER_SOAK_SECONDS` sets the length (600 by default).
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from statistics import median

import pytest

from tests.faults.under_fire import Fire, trade_under

SECONDS = float(os.environ.get("ARBITER_SOAK_SECONDS", "600"))
_QUIET_SECONDS = 60.0
# An order that OKX may not have got is not given up before half a minute, and both symbols may wait for one.
_RESUMED_SECONDS = {"binance": 60.0, "okx": 120.0}


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 600)
@pytest.mark.parametrize("dialect", ["binance", "okx"])
async def test_live_bots_under_fire_lose_nothing_enter_again_and_stay_small(tmp_path: Path, dialect: str) -> None:
    resumed = _RESUMED_SECONDS[dialect]
    fires = (Fire(dialect, "limit", "oco", SECONDS, seed=31), Fire(dialect, "market", "desk", SECONDS, seed=32))
    async with asyncio.TaskGroup() as group:
        playing = {
            fire: group.create_task(trade_under(fire, tmp_path / fire.entry, resumed, quiet=_QUIET_SECONDS)) for fire in fires
        }
    for fire, task in playing.items():
        told = task.result()
        print(f"{dialect}, {fire.entry} entries: {told}")  # noqa: T201
        assert told.findings == []
        assert told.faults > SECONDS / 6
        assert told.entries > SECONDS / 4
        assert told.longest_wait < resumed
        assert_settled(told.memory)


def assert_settled(memory: list[tuple[float, float]]) -> None:
    """The second half adds less than 5 %.

    In the first the desk's thousand ended orders and the caches gather. They make each snapshot, every five minutes, a step that
    is higher than the one before until they are full; between the steps nothing grows.
    """
    half = memory[-1][0] / 2
    before = median(mb for at, mb in memory if half - 10 < at <= half)
    end = median(mb for _, mb in memory[-10:])
    print(f"memory {memory[0][1]:.1f} -> {before:.1f} -> {end:.1f} MB")  # noqa: T201
    assert end < 1.05 * before, f"memory grew from {before:.0f} to {end:.0f} MB in {half:.0f} s"
