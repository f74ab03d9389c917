"""Fifty times kill -9 over a trading run: no order and no trade is lost or doubled, and the books are the venue's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bot.drill.rig import Ground
from bot.drill.trials_restarts import often

KILLS = {"binance": 30, "okx": 20}


@pytest.mark.timeout(420)
async def test_fifty_times_killed_in_mid_trade_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def lane(dialect: str, times: int) -> str:
        place = tmp_path / dialect
        place.mkdir()
        return await often(times, 50, dialect, replace(ground, root=place))

    told = await asyncio.gather(*(lane(dialect, times) for dialect, times in KILLS.items()))
    assert [f"killed {times} times" in line for line, times in zip(told, KILLS.values(), strict=True)] == [True, True]
