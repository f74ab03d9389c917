"""`calibration` and `feedback`: what a person and a program see of what was learnt, and how they have their say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.services.learning.beginning import begin_learning
from bot.settings import load
from tests.factories import RULE
from tests.services.learning_life import BOOK, NOW, a_recorded_run, journal

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def learnt(home: Path) -> Path:
    """A journal of sixty trades that was learnt from."""
    settings = load(overrides={"bot.data_dir": home / "data"}).settings

    async def learn() -> None:
        await journal(f"sqlite:///{home / 'data' / 'arbiter.db'}", home / "data", a_recorded_run())
        live = await begin_learning(settings, BOOK, lambda: NOW)
        assert live is not None
        await live.close(1.0)

    asyncio.run(learn())
    return home / "data"


def test_calibration_shows_the_curve_and_what_it_means(cli: Cli, learnt: Path) -> None:
    code, out, err = cli("calibration")
    assert (code, err) == (0, "")
    for shown in (RULE, "BRIER", "0.8 to 0.9", "beta", "learning", "overconfident", "calibration is watch"):
        assert shown in out
    code, out, _ = cli("calibration", "--source", RULE, "--json")
    assert code == 0
    assert [row["closed"] for row in json.loads(out)["calibration"]] == [60, 60]
    code, out, _ = cli("calibration", "--source", "rules:typo")
    assert code == 0
    assert "nothing is known" in out


def test_feedback_is_kept_and_weighs(cli: Cli, learnt: Path) -> None:
    code, out, err = cli("feedback", "buy-1", "useful", "--note", "bad luck")
    assert (code, err) == (0, "")
    assert "buy-1: useful, says operator" in out
    code, out, _ = cli("feedback", "buy-1", "wrong", "--author", "ann", "--json")
    assert code == 0
    assert json.loads(out)["feedback"][0]["author"] == "ann"


def test_feedback_that_is_none_or_on_nothing_is_refused(cli: Cli, learnt: Path) -> None:
    assert cli("feedback", "buy-1", "great")[0] == 2
    code, _, err = cli("feedback", "buy-999", "wrong")
    assert code == 1
    assert "is in no journal" in err


def test_where_nothing_was_learnt_one_line_says_so(cli: Cli, home: Path) -> None:
    code, out, err = cli("calibration")
    assert (code, out) == (1, "")
    assert "nothing was learnt yet" in err
    assert len(err.splitlines()) == 1
