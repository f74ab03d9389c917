"""Costs beside what decisions brought: the journal's realised results, credited to the decision that opened."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from bot.core.decision import Action, Decision, Fate, Tier
from bot.core.facts import DecisionFate, DecisionSeen, Fact, LotClosed
from bot.core.market import Side
from bot.services.llm.access import minds_of
from bot.services.use_case import Ground
from simulators.llm.faults import Fault, Mode
from simulators.llm.server import LlmSimulator
from sources.llm.asking import Ask, Message, Role, Speaker
from sources.llm.ledger import Payer
from sources.llm.minds import About
from tests.services.llm_ground import NOW, do, settled, standing
from tests.services.qc_journal import journaled

SOURCE = "llm:main"


def a_decision(name: str) -> Decision:
    return Decision(name, SOURCE, Tier.LLM, "BTC/USDT", Action.BUY, 0.7, NOW, NOW + 1_000, 60_000.0, raw_confidence=0.8)


def a_lot(name: str, pnl: str, at: int = NOW, tier: Tier = Tier.LLM) -> LotClosed:
    one = Decimal(1)
    return LotClosed(
        at, "BTC/USDT", Side.BUY, one, one, one, NOW, SOURCE, tier, name, SOURCE, "exit", Decimal(0), Decimal(pnl)
    )  # fmt: skip


async def ask(ground: Ground, decision: str) -> Decimal:
    """A question that led to a decision; what it cost."""
    minds = await minds_of(ground)
    question = Ask(Role.DECISION, "You trade.", (Message(Speaker.USER, f"BTC/USDT is at 60000, {decision}"),))
    told = await minds.consult(question, Payer(SOURCE, Role.DECISION, question.prompt_hash), About("BTC/USDT", "decide", 3))
    assert told.reply is not None
    await told.close(decision=decision)
    await settled(ground)
    return told.reply.cost


async def test_each_decision_has_its_cost_its_result_and_what_is_left(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        facts: list[Fact] = [a_lot("d1", "5"), a_lot("d1", "-2"), a_lot("d2", "-1"), a_lot("d9", "7", tier=Tier.TRADITIONAL)]
        await journaled(ground, facts)
        costs = {name: await ask(ground, name) for name in ("d1", "d2", "d3")}
        found = await do(ground, "llm.costs", by="decision")
        rows = {line["key"]: line for line in found["lines"]}
        assert {name: Decimal(row["usd"]) for name, row in rows.items()} == costs
        assert {name: row["pnl"] for name, row in rows.items()} == {"d1": "3", "d2": "-1", "d3": None}
        assert Decimal(rows["d1"]["net"]) == 3 - costs["d1"]
        (earned,) = found["earned"]
        assert (earned["source"], earned["model"], earned["decisions"], earned["pnl"]) == (SOURCE, "openai/gpt-6-luna", 2, "2")
        assert found["realised"]["decisions"] == 2
        assert Decimal(found["realised"]["net"]) == 2 - sum(costs.values())


async def test_results_of_another_time_do_not_count(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        await journaled(ground, [a_lot("d1", "5", NOW - 10_000), a_lot("d2", "3", NOW)])
        found = await do(ground, "llm.costs", since=NOW - 5_000)
        assert (found["realised"]["decisions"], found["realised"]["pnl"]) == (1, "3")
        found = await do(ground, "llm.costs", since=NOW - 20_000, until=NOW)
        assert (found["realised"]["decisions"], found["realised"]["pnl"]) == (1, "5")


async def test_a_question_is_told_with_the_fate_and_the_result_of_its_decision(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        seen = DecisionSeen(NOW, a_decision("d1"))
        fate = DecisionFate(NOW, "d1", SOURCE, Tier.LLM, "BTC/USDT", Fate.EXECUTED)
        await journaled(ground, [seen, fate, a_lot("d1", "4")])
        await ask(ground, "d1")
        (line,) = (await do(ground, "llm.decisions"))["questions"]
        assert (line["decision"], line["action"], line["fate"], line["pnl"]) == ("d1", "buy", "executed", "4")
        assert (line["confidence"], line["raw_confidence"], line["template"]) == (0.7, 0.8, "decide@3")
        found = await do(ground, "llm.decisions", id="d1")
        assert found["questions"][0]["prompt"]
        assert [call["state"] for call in found["calls"]] == ["settled"]


async def test_results_of_a_prompt_have_the_profits_of_its_decisions(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator) as ground:
        await journaled(ground, [a_lot("d1", "4"), a_lot("d2", "-1")])
        for name in ("d1", "d2"):
            await ask(ground, name)
        (row,) = (await do(ground, "llm.prompt-results", name="decide"))["results"]
        assert (row["version"], row["decided"], row["closed"], row["wins"], row["pnl"]) == (3, 2, 2, 1, "3")
        assert row["win_rate"] == 0.5


async def test_a_provider_that_was_left_alone_is_asked_again_once_its_key_is_good(tmp_path: Path) -> None:
    async with LlmSimulator() as simulator, standing(tmp_path, simulator, names=("openai",)) as ground:
        simulator.inject(replace(Fault(Mode.UNAUTHORIZED), count=1))
        with pytest.raises(AssertionError):
            await ask(ground, "d1")
        assert "openai" in str((await do(ground, "llm.status"))["disabled"])
        assert (await do(ground, "llm.test", provider="openai"))["ok"]
        assert await ask(ground, "d2") > 0
