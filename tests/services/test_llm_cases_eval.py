"""Models compared on the snapshots of a recorded run: recorded answers are free, what must be asked is estimated before it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.journal.reading import segment_paths
from bot.services.use_case import Ground, UseCaseError
from simulators.llm.faults import Fault, Mode
from simulators.llm.server import LlmSimulator
from tests.services.llm_ground import Clock, do, standing
from tests.services.llm_run import RUN, YAML, Run, record_run

CLAUDE, LUNA, CONTRARY = "anthropic/claude-haiku-5-5", "openai/gpt-6-luna", "openai/gpt-6-luna-contrarian"
ROLES = {
    "decision": [
        {"provider": "openai", "model": "gpt-6-luna"},
        {"provider": "anthropic", "model": "claude-haiku-5-5"},
        {"provider": "openai", "model": "gpt-6-luna-contrarian", "price": {"input": "0.1", "output": "0.5"}},
    ]
}


@asynccontextmanager
async def a_recorded_run(place: Path) -> AsyncIterator[tuple[Ground, Run, LlmSimulator]]:
    """A ground whose journal holds a run that asked the first candidate."""
    folder = place / "config" / "sources"
    folder.mkdir(parents=True)
    (folder / "llm.yaml").write_text(YAML)
    clock = Clock()
    budget = {"calls_per_minute": 10_000, "per_day": 100, "per_source_day": 100, "per_month": 1000}
    async with (
        LlmSimulator() as simulator,
        standing(place, simulator, clock=clock, llm__roles=ROLES, llm__budget=budget) as ground,
    ):
        run = await record_run(ground, clock)
        assert len(run.decisions) > 10
        yield ground, run, simulator


def by_model(found: Any) -> dict[str, Any]:
    return {trial["model"]: trial for trial in found["trials"]}


async def test_the_model_of_the_run_costs_nothing_anew_and_earns_what_its_shadow_earned(tmp_path: Path) -> None:
    async with a_recorded_run(tmp_path) as (ground, run, simulator):
        asked = len(simulator.requests())
        found = await do(ground, "llm.eval", run="latest", models=[LUNA])
        assert (found["run"], found["compared"], found["calls"], found["usd_at_most"]) == (RUN, True, 0, "0")
        (trial,) = found["trials"]
        assert trial["recorded"] == trial["asked"] == len(run.decisions)
        assert trial["with_run"] == 1.0
        assert trial["pnl"] == pytest.approx(run.shadow_pnl)
        assert trial["pnl_after_cost"] == pytest.approx(run.shadow_pnl - float(trial["usd"]))
        assert Decimal(trial["paid"]) == 0 < Decimal(trial["usd"])
        assert len(simulator.requests()) == asked, "nobody was asked"


async def test_nobody_is_asked_before_the_estimate_may_be_spent(tmp_path: Path) -> None:
    async with a_recorded_run(tmp_path) as (ground, run, simulator):
        asked = len(simulator.requests())
        found = await do(ground, "llm.eval", run=RUN, models=["gpt-6-luna", CLAUDE])
        assert not found["compared"]
        assert found["calls"] == len(run.decisions)
        assert Decimal(found["usd_at_most"]) > 0
        with pytest.raises(UseCaseError, match=r"more than the 0\.0001 that may be spent"):
            await do(ground, "llm.eval", run=RUN, models=[LUNA, CLAUDE], spend="0.0001")
        assert len(simulator.requests()) == asked


async def test_models_are_compared_by_what_they_say_earn_and_cost_next_to_baselines(tmp_path: Path) -> None:
    async with a_recorded_run(tmp_path) as (ground, run, _):
        found = await do(ground, "llm.eval", run=RUN, models=[LUNA, CLAUDE, CONTRARY], spend="1", rounds=4)
        trials = by_model(found)
        assert set(trials) == {LUNA, CLAUDE, CONTRARY}
        assert all(sum(trial["actions"].values()) == len(run.decisions) for trial in trials.values())
        assert trials[CONTRARY]["actions"] != trials[LUNA]["actions"]
        shares = {(pair["one"], pair["other"]): pair["share"] for pair in found["agreement"]}
        assert shares[LUNA, CLAUDE] > shares[LUNA, CONTRARY]
        assert set(found["baselines"]) == {"baseline:buy-and-hold", "baseline:hold"}
        assert found["baselines"]["baseline:hold"]["pnl"] == 0
        assert found["baselines"]["baseline:buy-and-hold"]["pnl"] != 0
        for trial in trials.values():
            assert trial["closed"] <= trial["trades"]
            assert (trial["brier"] is None) == (trial["closed"] == 0)
            assert trial["brier"] is None or 0 <= trial["brier"] <= 1
        again = await do(ground, "llm.eval", run=RUN, models=[LUNA, CLAUDE, CONTRARY], rounds=4)
        assert again["calls"] <= found["calls"] - trials[CLAUDE]["actions"].get("hold", 0), "what was answered is kept"
        if again["compared"]:
            assert {name: one["random_pnl"] for name, one in by_model(again).items()} == {
                name: one["random_pnl"] for name, one in trials.items()
            }, "the same seed draws the same moments"


async def test_a_model_that_fails_abstains_with_its_reason_and_the_others_are_compared(tmp_path: Path) -> None:
    async with a_recorded_run(tmp_path) as (ground, _, simulator):
        simulator.inject(Fault(Mode.SERVER_ERROR))
        found = by_model(await do(ground, "llm.eval", run=RUN, models=[LUNA, CLAUDE], spend="1", rounds=1))
        assert found[CLAUDE]["actions"] == {"abstain": found[CLAUDE]["asked"]}
        assert set(found[CLAUDE]["abstentions"]) <= {"server", "breaker"}
        assert found[CLAUDE]["beat_random"] is None
        assert found[LUNA]["abstentions"] == {}


async def test_without_the_files_of_the_run_the_answers_are_compared_all_the_same(tmp_path: Path) -> None:
    async with a_recorded_run(tmp_path) as (ground, _, __):
        for path in segment_paths(ground.loaded.settings.bot.data_dir, RUN):
            path.unlink()
        found = await do(ground, "llm.eval", run=RUN, models=[LUNA])
        assert "no segment files" in found["market"]["missing"]
        assert found["trials"][0]["pnl"] is None
        assert found["trials"][0]["with_run"] == 1.0


async def test_what_cannot_be_compared_is_one_line(tmp_path: Path) -> None:
    async with a_recorded_run(tmp_path) as (ground, _, __):
        with pytest.raises(UseCaseError, match="there is no run never"):
            await do(ground, "llm.eval", run="never", models=[LUNA])
        with pytest.raises(UseCaseError, match="write provider/model"):
            await do(ground, "llm.eval", run=RUN, models=["nobody"])
        found = await do(ground, "llm.eval", run=RUN, models=["openai/priceless"])
        assert found["unpriced"] == ["openai/priceless"]
        assert found["trials"][0]["abstentions"] == {"unpriced": found["snapshots"]}
