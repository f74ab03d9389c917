"""`idea` as a person and a program use it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sources.loading import load_sources
from tests.backtest.candle_data import walk, write_csv
from tests.cli.llm_world import Shell, a_shell

Cli = Callable[..., tuple[int, str, str]]
SENTENCE = "Buy bitcoin when it is oversold on 15m candles, stop 4%"


@pytest.fixture
async def shell(home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    async with a_shell(cli, monkeypatch) as standing:
        yield standing


@pytest.fixture
def data(home: Path) -> Path:
    return write_csv(home / "candles.csv", walk("BTC/USDT", 1_500))


async def test_an_idea_is_shown_tried_and_kept_switched_off(shell: Shell, home: Path, data: Path) -> None:
    (home / "ideas").mkdir()
    code, out, err = await shell("idea", SENTENCE, "--data", "candles.csv", "--save", "--out", "ideas")
    assert code == 0, err
    assert "buy when rsi_14 < 30" in out
    assert "stop loss 0.04" in out
    assert "backtest: BTC/USDT" in out
    assert "kept, switched off" in out
    (kept,) = load_sources(home / "ideas")
    assert kept.spec.paused
    assert len(list((home / "ideas").glob("*.backtest.json"))) == 1
    code, out, err = await shell("idea", "--list", "--out", "ideas")
    assert kept.spec.name in out
    code, _, err = await shell("idea", SENTENCE, "--save", "--out", "ideas")
    assert code == 1
    assert "has this strategy already" in err


async def test_a_program_gets_one_json_object(shell: Shell, data: Path) -> None:
    code, out, err = await shell("idea", "--template", "breakout", "--timeframe", "15m", "--data", str(data), "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["proposed"]["id"] == found["tried"]["id"]
    assert found["tried"]["backtest"]["bars"] == 1_500
    code, out, _ = await shell("idea", SENTENCE)
    assert "not tried yet" in out


async def test_what_cannot_be_done_is_one_line(shell: Shell) -> None:
    for words, line in (
        ((), "say what is wanted"),
        (("--template", "moon"), "template"),
        ((SENTENCE, "--symbols", "DOGE/USDT"), "the bot trades"),
        ((SENTENCE, "--save"), "config init"),
        ((SENTENCE, "--data", "nowhere.csv"), "nowhere.csv"),
    ):
        code, _, err = await shell("idea", *words)
        assert code != 0
        assert line in err
        assert "Traceback" not in err
