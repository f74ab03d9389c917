"""`queue`, `sources`, `positions` and `risk` as a person reads them, and what they say where no bot runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.cli import desk_views as views
from bot.core.decision import Action
from bot.core.inputs import TradingState
from bot.core.risk import RiskLimits
from tests.factories import BTC, ETH, LLM, QC, RULE, a_config, a_model, a_source
from tests.services.asking_ground import do
from tests.services.trading.trading_desk import desk_bot

Cli = Callable[..., tuple[int, str, str]]

COMMANDS = [
    ("queue",),
    ("sources",),
    ("positions",),
    ("threshold", RULE, "0.5"),
    ("risk",),
    ("risk", "state"),
    ("risk", "assess"),
    ("risk", "validate", "buy", BTC, "--amount", "1"),
    ("risk", "size", BTC),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_where_no_bot_runs_one_line_says_so(words: tuple[str, ...], cli: Cli, home: Path) -> None:
    code, out, err = cli(*words, "--data-dir", str(home / "data"))
    assert (code, out) == (3, "")
    assert "no bot is running in" in err
    assert len(err.splitlines()) == 1


def test_options_before_the_word_are_refused_not_ignored(cli: Cli, home: Path) -> None:
    code, _, err = cli("risk", "--data-dir", str(home), "assess")
    assert code == 2
    assert "write options behind `assess`" in err


def test_a_threshold_that_is_none_is_refused(cli: Cli, home: Path) -> None:
    assert cli("threshold", RULE, "1.5")[0] == 2
    assert cli("threshold", RULE, "nan")[0] != 0


def shown(place: Path, view: str, name: str, **args: object) -> str:
    """What a person reads of a desk that holds BTC, on which a sell of ETH waits."""

    async def asked() -> str:
        config = a_config(RiskLimits(max_order_notional=500.0), fills=a_model())
        sources = [a_source(QC), a_source(LLM, settle_ms=250), a_source(RULE)]
        async with desk_bot(place, config, sources) as bot:
            bot.harness.quote(100.0)
            bot.harness.quote(50.0, symbol=ETH)
            bot.harness.propose(source=QC, stop_loss=90.0)
            bot.harness.propose(Action.SELL, source=RULE)
            bot.harness.propose(Action.SELL, source=LLM, symbol=ETH, reasoning="it \x1b[31mfalls")
            if name == "risk.state":
                bot.harness.command(TradingState.HALTED)
            found = await do(bot.ground, name, **args)  # type: ignore[arg-type]
        return "\n".join(getattr(views, f"{view}_lines")(found))

    return asyncio.run(asked())


def test_the_queue_names_who_stands_who_lost_and_who_waits(tmp_path: Path) -> None:
    text = shown(tmp_path, "queue", "desk.queue")
    stands = next(line for line in text.splitlines() if line.startswith(BTC))
    assert stands.split()[:6] == [BTC, QC, "buy", "0.60", "10", "5"]
    assert stands.endswith(RULE)
    waits = next(line for line in text.splitlines() if line.startswith(ETH))
    assert waits.endswith("it [31mfalls")
    assert "\x1b" not in text
    assert "thinking: nothing" in text


def test_sources_positions_and_assessment_are_told_in_lines(tmp_path: Path) -> None:
    assert f"{LLM}: the key was refused" in shown(tmp_path, "sources", "desk.sources")
    held = shown(tmp_path, "positions", "desk.positions").splitlines()[1]
    assert held.split() == [BTC, "5", "100", "100", "500.00", "5.0%", "0.00", "90", "-", "-", QC]
    assessed = shown(tmp_path, "assess", "risk.assess")
    assert "exposure  gross 5.0%, net 5.0%, cash 95.0%" in assessed
    assert "stops     if all are hit 50.45 are lost" in assessed


def test_the_state_of_risk_shows_how_full_the_limits_are(tmp_path: Path) -> None:
    lines = shown(tmp_path, "state", "risk.state").splitlines()
    assert lines[0] == "trading is halted: operator: a test"
    position = next(line for line in lines if line.startswith("max_position"))
    assert position.split()[:5] == ["max_position", BTC, "5.0%", "25.0%", "20%"]


def test_an_order_is_judged_check_by_check(tmp_path: Path) -> None:
    text = shown(tmp_path, "validate", "risk.validate", symbol=BTC, side="buy", notional="4000")
    assert "admitted: buy 5 BTC/USDT for 500.00" in text
    assert "exposure 5.0% -> 10.0% of equity" in text
    refused = shown(tmp_path, "validate", "risk.validate", symbol=ETH, side="sell", amount="1")
    assert "refused: nothing-to-sell: nothing of ETH/USDT is held" in refused


def test_sizes_mark_the_one_that_would_be_used(tmp_path: Path) -> None:
    text = shown(tmp_path, "size", "risk.size", symbol=ETH, stop_loss=40.0)
    assert text.splitlines()[1].split()[:7] == ["*", "plain", "1,000.00", "10.0%", "20", "10", "200.00"]
    assert "not be heard" not in text
