"""Language models in a backtest: recorded answers alone, unless a leak is allowed; and then it says so on everything."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.backtest.lookahead import LookaheadReport
from bot.backtest.result import BacktestResult
from bot.core.facts import DecisionSeen, Fact
from bot.services import backtesting
from bot.services.llm.past_minds import past_minds
from bot.services.recorded_data import read_market
from bot.settings import ConfigError, Loaded, load
from bot.settings.run import BacktestOptions
from simulators.llm.server import LlmSimulator
from tests.backtest.candle_data import BEGIN, BTC, walk, write_csv
from tests.services.llm_ground import llm_settings
from tests.services.memory_life import configured

BARS, QUESTIONS = 600, 50
SOURCE = """source: llm:main
kind: llm
enabled: true
timeframe: 15m
expiry: 8h
params:
  timeframes: [15m, 5m]
  cool_down: 1h
  bounds: {reward_risk: 0, stop_nearest: 0.0001}
"""


@dataclass(frozen=True)
class World:
    """A configuration with a source that asks models, candles, and a simulator that answers."""

    simulator: LlmSimulator
    loaded: Loaded
    options: BacktestOptions

    async def run(self, **changed: Any) -> BacktestResult:
        """A backtest, in a thread as it needs one."""
        options = replace(self.options, **changed)
        found = await asyncio.to_thread(backtesting.backtest, options, self.loaded, lambda done, total: None)
        assert isinstance(found, BacktestResult)
        return found

    @property
    def asked(self) -> int:
        """How many questions reached the simulator."""
        return len(self.simulator.requests())


def a_world(place: Path, simulator: LlmSimulator, patch: pytest.MonkeyPatch, **budget: object) -> World:
    """Everything below `place`."""
    config = configured(place)
    (config / "sources").mkdir()
    (config / "sources" / "llm.yaml").write_text(SOURCE)
    patch.setenv("OPENAI_API_KEY", simulator.key)
    given = {
        "bot.data_dir": str(place / "data"),
        "llm": llm_settings(simulator, ("openai",)) | {"budget": {"calls_per_minute": 10_000, **budget}},
    }
    data = write_csv(place / "made.csv", walk(BTC, BARS))
    return World(simulator, load(config, environ={}, overrides=given), BacktestOptions((data,), config))


def decisions(found: BacktestResult) -> list[tuple[int, str, Decimal]]:
    return [(fill.at, fill.fill.side.value, fill.fill.price) for fill in found.fills]


async def test_without_being_asked_to_no_model_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with LlmSimulator() as simulator:
        world = a_world(tmp_path, simulator, monkeypatch)
        with pytest.raises(ConfigError, match="--llm-replies any"):
            await world.run()
        assert world.asked == 0


async def test_what_nobody_recorded_is_an_abstention_and_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with LlmSimulator() as simulator:
        world = a_world(tmp_path, simulator, monkeypatch)
        found = await world.run(llm_replies="any")
        assert world.asked == 0
        assert any(f"abstained: not-recorded {QUESTIONS}" in notice for notice in found.notices), found.notices
        assert not found.leak_risk
        assert found.sources[0].decisions == 0


async def test_a_leak_that_is_allowed_is_paid_for_stamped_and_repeats_from_the_records_with_nobody_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LlmSimulator() as simulator:
        world = a_world(tmp_path, simulator, monkeypatch)
        live = await world.run(allow_leak=True)
        asked = world.asked
        assert asked == QUESTIONS
        assert live.leak_risk, live.notices
        assert live.as_json()["leak_risk"] is True
        assert any(notice.startswith("LEAK RISK") for notice in live.notices)
        assert live.sources[0].decisions > 3
        assert live.fills
        monkeypatch.delenv("OPENAI_API_KEY")
        again = await world.run(llm_replies="any")
        assert world.asked == asked, "nobody was asked again"
        assert decisions(again) == decisions(live)
        assert again.statistics == live.statistics
        assert again.leak_risk, "an answer that was given in hindsight stays one"


async def test_every_decision_of_a_leak_is_stamped_unless_the_data_are_after_what_the_model_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LlmSimulator() as simulator:
        world = a_world(tmp_path, simulator, monkeypatch)
        await world.run(allow_leak=True)
        middle = BEGIN + BARS * 300_000 // 2

        def stamps(cutoff: int | None) -> list[tuple[int, bool]]:
            options = replace(world.options, llm_replies="any", llm_cutoff=cutoff)
            seen: list[Fact] = []
            market = read_market(options.data)
            with past_minds(options, world.loaded) as rooms:
                plan = backtesting.plan_for(market, options, world.loaded, rooms)
                engine = plan.engine(market, seen.append)
                list(engine.run(market.candles()))
            found = [fact.decision for fact in seen if isinstance(fact, DecisionSeen)]
            return [(one.created, one.evidence.get("leak_risk") is True) for one in found]

        unknown = await asyncio.to_thread(stamps, None)
        assert unknown
        assert all(stamped for _, stamped in unknown)
        known = await asyncio.to_thread(stamps, middle)
        assert [stamped for _, stamped in known] == [at <= middle for at, _ in known]
        assert not any(stamped for _, stamped in await asyncio.to_thread(stamps, BEGIN - 1))


async def test_a_budget_that_is_used_up_ends_the_asking_and_not_the_backtest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LlmSimulator() as simulator:
        world = a_world(tmp_path, simulator, monkeypatch, per_day="0.01")
        found = await world.run(allow_leak=True)
        assert 0 < world.asked < QUESTIONS
        assert any("budget" in notice for notice in found.notices)
        assert found.bars == BARS


async def test_a_source_of_models_does_not_look_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with LlmSimulator() as simulator:
        world = a_world(tmp_path, simulator, monkeypatch)
        await world.run(allow_leak=True)
        options = replace(world.options, llm_replies="any", lookahead_check=True)
        found = await asyncio.to_thread(backtesting.backtest, options, world.loaded, lambda done, total: None)
        assert isinstance(found, LookaheadReport)
        assert found.passed
        assert found.compared > 0
