"""Several models at once: weights count, disagreement lowers the confidence, and the decision says who voted how."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.decision import Action
from simulators.llm.faults import Fault, Mode
from sources.llm.answer import Unusable
from sources.llm.deciding import Wanted
from sources.llm.ensemble import Vote, combine
from tests.sources.llm.llm_source_world import SYMBOL, a_source, source_world


def wanted(action: Action, confidence: float, **changes: Any) -> Wanted:
    buys = action is Action.BUY
    known = {"size": 0.4 if buys else None, "stop_loss": 95.0 if buys else None, "take_profit": 110.0 if buys else None}
    texts = {"reasoning": "r", "invalidation": "i", "evidence": ("a",)}
    return Wanted(**{"action": action, "confidence": confidence, "stands_ms": 60_000, **known, **texts, **changes})


def vote(member: str, action: Action, confidence: float, weight: float = 1.0, **changes: Any) -> Vote:
    return Vote(member, weight, wanted(action, confidence, **changes))


def test_agreement_keeps_the_confidence_and_disagreement_lowers_it() -> None:
    agreed = combine([vote("a", Action.BUY, 0.8), vote("b", Action.BUY, 0.6)])
    assert agreed.wanted.confidence == pytest.approx(0.7)
    assert (agreed.wanted.action, agreed.agreement) == (Action.BUY, 1.0)
    split = combine([vote("a", Action.BUY, 0.8), vote("b", Action.HOLD, 0.6)])
    assert split.wanted.confidence == pytest.approx(0.4)
    assert (split.wanted.action, split.agreement) == (Action.BUY, 0.5)


def test_a_calibrated_weight_outvotes_a_loud_voice() -> None:
    loud, good = vote("loud", Action.BUY, 0.99, 0.2), vote("good", Action.SELL, 0.6, 2.0)
    found = combine([loud, good])
    assert (found.wanted.action, found.lead.member) == (Action.SELL, "good")
    assert found.wanted.size is None


def test_levels_are_those_of_the_leading_member_and_the_size_is_everybodys() -> None:
    lead = vote("a", Action.BUY, 0.9, size=0.8, stop_loss=97.0, stands_ms=90_000, evidence=("x",))
    other = vote("b", Action.BUY, 0.5, size=0.2, stop_loss=90.0, stands_ms=30_000, evidence=("y", "x"))
    found = combine([other, lead]).wanted
    assert found.size == pytest.approx(0.5)
    assert (found.stop_loss, found.stands_ms, found.evidence) == (97.0, 30_000, ("x", "y"))


def test_a_tie_is_no_opinion() -> None:
    with pytest.raises(Unusable) as caught:
        combine([vote("a", Action.BUY, 0.7), vote("b", Action.SELL, 0.7)])
    assert caught.value.reason == "disagreement"


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_counts_nothing(weight: float) -> None:
    found = combine([vote("a", Action.BUY, 0.9, weight), vote("b", Action.HOLD, 0.5)])
    assert found.wanted.action is Action.HOLD
    with pytest.raises(Unusable):
        combine([vote("a", Action.BUY, 0.9, weight)])


_VOTES = st.lists(
    st.builds(
        vote, st.text(max_size=3), st.sampled_from(list(Action)), st.floats(0, 1), st.floats(allow_nan=True, allow_infinity=True)
    ),
    min_size=1,
    max_size=8,
)


@given(_VOTES)
def test_no_ensemble_is_surer_than_its_surest_member(votes: list[Vote]) -> None:
    try:
        found = combine(votes)
    except Unusable:
        return
    winners = [one.wanted.confidence for one in votes if one.wanted.action is found.wanted.action]
    assert 0 <= found.wanted.confidence <= max(winners) + 1e-9
    assert 0 < found.agreement <= 1 + 1e-9


MIXED = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5", "gemini": "timid"}
THREE: dict[str, Any] = {
    "candidates": [
        {"provider": "openai", "model": "gpt-6-luna"},
        {"provider": "anthropic", "model": "claude-haiku-5-5"},
        {"provider": "gemini", "model": "timid", "price": {"input": 1, "output": 1}},
    ],
    "ensemble": {"members": 3, "quorum": 2},
}


async def test_members_are_asked_at_once_and_all_of_them_are_paid_for(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=MIXED) as world:
        found = await a_source(world.minds, THREE).decide(SYMBOL, port=world.port)
        decision = found.decision
        assert decision is not None
        assert decision.action is Action.BUY
        assert (decision.evidence["members"], decision.evidence["agreement"]) == (3, 0.6667)
        told = str(decision.evidence["votes"])
        assert "gemini/timid hold" in told
        assert "openai/gpt-6-luna buy" in told
        calls = await world.minds.costs.of_decision(decision.id)
        assert {call.provider for call in calls} == {"openai", "anthropic", "gemini"}
        assert decision.cost == sum((call.usd for call in calls), Decimal(0)) > 0
        assert len(await world.minds.records.lines(decision=decision.id)) == 3


async def test_a_weight_of_its_calibration_decides_between_members(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=MIXED) as world:
        source = a_source(world.minds, THREE, hooks={"weight": lambda model: 100.0 if model == "gemini/timid" else 1.0})
        decision = (await source.decide(SYMBOL, port=world.port)).decision
        assert decision is not None
        assert (decision.action, decision.evidence["model"]) == (Action.HOLD, "timid")


async def test_one_that_fails_is_done_without_and_too_few_are_no_opinion(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=MIXED) as world:
        world.simulator.inject(Fault(Mode.SERVER_ERROR, model="timid"))
        source = a_source(world.minds, THREE)
        decision = (await source.decide(SYMBOL, dry_run=True, port=world.port)).decision
        assert decision is not None
        assert decision.evidence["agreement"] == 1.0
        world.simulator.inject(Fault(Mode.REFUSAL, model="claude-haiku-5-5"))
        found = await source.decide(SYMBOL, dry_run=True, port=world.port)
        assert found.abstention is not None
        assert found.abstention.reason == "quorum"
        assert found.cost > 0
