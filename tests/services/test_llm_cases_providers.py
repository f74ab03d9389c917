"""Providers and models: keys are tried, prices told, the budget's standing is the ledger's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.services.llm.access import minds_of
from bot.services.llm.use_cases import USE_CASES
from bot.services.use_case import UseCaseError
from simulators.llm.faults import Fault, Mode
from simulators.llm.server import LlmSimulator
from tests.services.llm_ground import MODELS, do, settled, standing


def by_provider(found: Any) -> dict[str, Any]:
    return {row["provider"]: row for row in found["providers"]}


def test_every_use_case_says_what_it_does_and_none_is_there_twice() -> None:
    assert len({case.name for case in USE_CASES}) == len(USE_CASES)
    assert all(case.about.endswith(".") and case.name.startswith("llm.") for case in USE_CASES)


async def test_keys_are_good_in_every_dialect_and_nothing_is_spent(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        found = await do(ground, "llm.test")
        assert found["ok"]
        assert {row["state"] for row in found["providers"]} == {"good"}
        assert all(row["models"] for row in found["providers"])
        assert (await do(ground, "llm.status"))["usage"]["day"]["calls"] == 0


async def test_with_a_call_every_model_answers_and_its_cost_is_in_the_ledger(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        found = await do(ground, "llm.test", call=True)
        calls = {row["provider"]: row["calls"][0] for row in found["providers"]}
        assert {name: call["model"] for name, call in calls.items()} == MODELS
        assert all(call["good"] and float(call["usd"]) > 0 for call in calls.values())
        await settled(ground)
        usage = (await do(ground, "llm.status"))["usage"]["day"]
        assert usage["calls"] == 4
        assert float(usage["usd"]) == pytest.approx(sum(float(call["usd"]) for call in calls.values()))


async def test_a_wrong_key_is_broken_with_its_remedy_and_a_missing_one_is_off(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator, keys=("openai", "xai")) as ground:
        simulator.inject(Fault(Mode.UNAUTHORIZED))
        found = by_provider(await do(ground, "llm.test"))
        assert (found["openai"]["state"], found["openai"]["trouble"]) == ("broken", "authentication")
        assert "OPENAI_API_KEY" in found["openai"]["remedy"]
        assert found["anthropic"]["state"] == "off"
        assert "secrets set ANTHROPIC_API_KEY" in found["anthropic"]["remedy"]
        assert simulator.key not in str(found)


async def test_one_provider_can_be_tried_alone_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        found = await do(ground, "llm.test", provider="xai")
        assert [row["provider"] for row in found["providers"]] == ["xai"]
        with pytest.raises(UseCaseError, match="no provider is called 'none'"):
            await do(ground, "llm.test", provider="none")


async def test_candidates_have_prices_availability_and_the_latencies_of_the_ledger(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator, keys=("openai",)) as ground:
        await do(ground, "llm.test", call=True)
        await settled(ground)
        found = (await do(ground, "llm.models"))["roles"]["decision"]
        rows = {row["provider"]: row for row in found}
        assert rows["openai"]["available"]
        assert rows["openai"]["breaker"] == "closed"
        assert rows["openai"]["price"]["rate"]["input"] == "0.1"
        assert (rows["openai"]["ledger"]["calls"], rows["openai"]["ledger"]["answered"]) == (1, 1)
        assert not rows["anthropic"]["available"]
        assert "ANTHROPIC_API_KEY" in rows["anthropic"]["disabled"]
        assert rows["anthropic"]["ledger"] == {"calls": 0, "answered": 0, "p50_ms": None, "p95_ms": None}


async def test_prices_are_those_of_the_table_unless_the_configuration_knows_better(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator:
        async with standing(tmp_path, simulator) as ground:
            (row,) = (await do(ground, "llm.prices", model="gpt-6-luna"))["prices"]
            assert (row["price"]["rate"]["output"], row["configured"], row["roles"]) == ("0.5", False, ["decision"])
        roles = {"decision": [{"provider": "openai", "model": "own-model", "price": {"input": 1, "output": 2}}]}
        async with standing(tmp_path, simulator, llm__roles=roles) as ground:
            (row,) = (await do(ground, "llm.prices", model="own-model"))["prices"]
            assert (row["price"]["rate"]["output"], row["configured"]) == ("2", True)


async def test_the_status_tells_limits_what_is_disabled_and_that_a_spent_budget_is_off(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator:
        async with standing(tmp_path, simulator, keys=("openai",)) as ground:
            found = await do(ground, "llm.status", source="llm:main")
            assert [one["limit"] for one in found["limits"]] == ["source-day", "day", "month"]
            assert found["advice"] == "normal"
            assert set(found["disabled"]) >= {"anthropic", "gemini", "xai"}
            await do(ground, "llm.test", call=True)
        async with standing(tmp_path, simulator, llm__budget={"per_day": 0.000001}) as ground:
            await minds_of(ground)
            found = await do(ground, "llm.status")
            assert found["advice"] == "off"
            assert next(one["used"] for one in found["limits"] if one["limit"] == "day") > 1
