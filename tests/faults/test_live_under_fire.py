"""Random faults at 5 % of the requests, in both dialects: nothing lost, nothing doubled, and entries go on.

`make soak` plays the same for ten minutes each.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.under_fire import Fire, trade_under

_SECONDS = 35.0
_RESUMED_SECONDS = 60.0
_ENTRIES = 10


@pytest.mark.timeout(240)
async def test_live_bots_under_fire_lose_nothing_in_either_dialect(tmp_path: Path) -> None:
    fires = (
        Fire("binance", "limit", "oco", _SECONDS, seed=21, entries=_ENTRIES + 1),
        Fire("okx", "market", "stop", _SECONDS, seed=22, entries=_ENTRIES + 1),
    )
    async with asyncio.TaskGroup() as group:
        playing = {
            fire: group.create_task(trade_under(fire, tmp_path / fire.dialect, _RESUMED_SECONDS, quiet=2.0)) for fire in fires
        }
    for fire, task in playing.items():
        told = task.result()
        assert told.findings == [], f"{fire.dialect}: {told}"
        assert told.faults >= 5, f"{fire.dialect} was hardly under fire: {told}"
        assert told.entries > _ENTRIES, f"{fire.dialect}: {told}"
