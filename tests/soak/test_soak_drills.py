"""Every drill on both databases, two hundred schedules of faults, and a thousand times kill -9 over a trading run.

`ARBITER_TEST_SOAK_KILLS` sets how many (1,000 by default).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from bot.drill.rig import Ground
from bot.drill.trials_restarts import often
from tests.app.bot_process import ROOT, clean_environment
from tests.servers import postgres_url

KILLS = int(os.environ.get("ARBITER_TEST_SOAK_KILLS", "1000"))
_SECONDS_EACH = 15
_DRILLS_SECONDS = 1_200


@contextmanager
def database(engine: str) -> Iterator[tuple[str, ...]]:
    """The options that choose it."""
    if engine == "sqlite":
        yield ()
        return
    with postgres_url() as url:
        yield ("--database", url)


@pytest.mark.soak
@pytest.mark.timeout(_DRILLS_SECONDS + 60)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_every_promise_is_kept(engine: str, tmp_path: Path) -> None:
    with database(engine) as options:
        answer = subprocess.run(
            [sys.executable, "-m", "bot", "drill", "--json", "--seeds", "200", *options],
            cwd=ROOT, env=clean_environment(tmp_path), capture_output=True, text=True, timeout=_DRILLS_SECONDS, check=False,
        )  # fmt: skip
    told = orjson.loads(answer.stdout)
    assert [each for each in told["drills"] if not each["kept"]] == []
    assert answer.returncode == 0
    assert told["kept"] == len(told["drills"]) > 40


@pytest.mark.soak
@pytest.mark.timeout(600 + KILLS * _SECONDS_EACH)
async def test_a_thousand_times_killed_in_mid_trade_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    share = {"binance": KILLS - KILLS // 2, "okx": KILLS // 2}

    async def lane(dialect: str, times: int) -> str:
        place = tmp_path / dialect
        place.mkdir()
        return await often(times, 1_000, dialect, replace(ground, root=place))

    told = await asyncio.gather(*(lane(dialect, times) for dialect, times in share.items()))
    for line in told:
        print(line)  # noqa: T201
    assert [f"killed {times} times" in line for line, times in zip(told, share.values(), strict=True)] == [True, True]
