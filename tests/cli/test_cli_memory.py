"""`memory`: what a person and a program see of what was learnt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.journal.upgrade import upgrade
from research.memory.evidence import TradeEvidence
from research.memory.sql import SqlMemory
from tests.services.memory_life import DAY, T0, a_backtest

Cli = Callable[..., tuple[int, str, str]]

UNTIL = T0 + 730 * DAY


@pytest.fixture
def taught(home: Path) -> Path:
    """A database that knows a rule by 40 trades and 4 backtests."""
    folder = home / "data"
    folder.mkdir()
    url = f"sqlite:///{folder / 'arbiter.db'}"
    upgrade(url)
    tests = [a_backtest(known_at=UNTIL, parameters={"fast": fast}, sharpe=1 + fast / 10) for fast in range(4)]
    trades = [
        TradeEvidence("BTC/USDT", "rules:sma-cross", "1h", at, at - 1, at, 0.01 if day % 3 else -0.005)
        for day in range(40)
        for at in (T0 + day * DAY,)
    ]

    async def teach() -> None:
        store = await SqlMemory.open(url)
        await store.remember([*tests, *trades])
        await store.close()

    asyncio.run(teach())
    return folder


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("subjects", "rules:sma-cross"),
        ("confidence", "CREDIBILITY"),
        ("parameters", "fast="),
        ("lessons", "rating EXCELLENT"),
        ("recommendations", "of the usual position size"),
        ("history", "CONFIDENCE"),
    ],
)
def test_each_command_shows_text_and_json(cli: Cli, taught: Path, command: str, shown: str) -> None:
    code, out, err = cli("memory", command, "BTC/USDT", "rules:sma-cross", "1h")
    assert (code, err) == (0, "")
    assert shown in out
    code, out, _ = cli("memory", command, "--json")
    assert code == 0
    assert isinstance(json.loads(out)["as_of"], int)


def test_the_parts_of_a_subject_may_stand_in_any_order_and_in_small_letters(cli: Cli, taught: Path) -> None:
    for parts in (("1h", "btc/usdt"), ("rules:sma-cross", "BTC/USDT"), ("1h",)):
        code, out, _ = cli("memory", "subjects", *parts, "--json")
        assert code == 0
        assert len(json.loads(out)["subjects"]) == 1
    assert "nothing" in cli("memory", "subjects", "4h")[1]


def test_a_part_that_is_nothing_or_twice_is_a_usage_error(cli: Cli, taught: Path) -> None:
    assert cli("memory", "subjects", "what?")[0] == 2
    assert cli("memory", "subjects", "1h", "4h")[0] == 2


def test_an_earlier_moment_is_answered_by_what_was_known_then(cli: Cli, taught: Path) -> None:
    _, out, _ = cli("memory", "confidence", "--as-of", "2023-11-20", "--json")
    found = json.loads(out)
    assert found["as_of"] == 1_700_438_400_000
    assert [one["trades"] for one in found["confidence"]] == [6.0]
    assert [one["factor"] for one in found["confidence"]] == [1.0]


def test_without_a_memory_one_line_says_what_to_do(cli: Cli, home: Path) -> None:
    code, out, err = cli("memory", "subjects")
    assert (code, out) == (1, "")
    assert "nothing was remembered yet" in err
    assert len(err.splitlines()) == 1
    assert not (home / "data").exists()
