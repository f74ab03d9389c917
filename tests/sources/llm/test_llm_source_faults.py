"""What goes wrong is an abstention with its reason, paid for and recorded, and never an opinion or the end of the source."""

from __future__ import annotations

import asyncio
import copy
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.core.admission import malformed
from bot.core.decision import Tier
from simulators.llm.faults import Fault, Mode
from sources.llm.budget import Advice, Budget
from sources.llm.minds import open_minds
from sources.llm.settings import AccessSettings
from tests.sources.llm.llm_service import RESPONSE, says, serving
from tests.sources.llm.llm_source_world import MODELS, NOW, SYMBOL, DeskPort, a_source, fill, next_candle, source_world
from tests.sources.llm.test_llm_source_rules import BUY

TALKATIVE = Budget(
    per_call=Decimal(1),
    per_source_day=Decimal(1_000),
    per_day=Decimal(1_000),
    per_month=Decimal(1_000),
    calls_per_minute=100_000,
)
ONE = {"openai": MODELS["openai"]}
FAULTS: list[tuple[Fault | Mode, str]] = [
    (Mode.REFUSAL, "refusal"),
    (Mode.TRUNCATED, "length"),
    (Mode.EMPTY, "schema"),
    (Mode.BAD_JSON, "schema"),
    (Mode.NAN, "schema"),
    (Mode.ABSURD, "schema"),
    (Mode.ECHO, "schema"),
    (Fault(Mode.HUGE, size=3 << 20), "too_large"),
    (Mode.UNAUTHORIZED, "authentication"),
    (Mode.QUOTA, "credit"),
    (Fault(Mode.RATE_LIMIT, retry_after=3600), "rate_limit"),
    (Mode.OVERLOADED, "overload"),
    (Mode.SERVER_ERROR, "server"),
    (Fault(Mode.HANG), "timeout"),
    (Fault(Mode.DRIP, seconds=1.0), "timeout"),
    (Mode.DROP_BODY, "transport"),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=lambda one: str(getattr(one, "mode", one)))
async def test_a_fault_is_an_abstention_that_names_it(fault: Fault | Mode, reason: str, sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        world.simulator.inject(fault if isinstance(fault, Fault) else Fault(fault))
        source = a_source(world.minds, {"deadline": "1s"})
        async with world.running(source):
            source.hear(world.port.view.history(SYMBOL, "5m")[-1])
            await world.port.until(lambda: bool(world.port.abstentions))
        (abstention,) = world.port.abstentions
        assert (abstention.reason, abstention.symbol, world.port.decisions) == (reason, SYMBOL, [])
        assert world.simulator.key not in abstention.detail
        assert reason in "".join(source.ailments)
        assert len(world.port.claims) == 1
        standing = await world.minds.ledger.standing("llm:test")
        assert all(one.held == 0 for one in standing)


async def test_a_nonsense_answer_is_refused_by_the_rule_it_breaks_and_recorded(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models={"openai": "obedient"}) as world:
        price = world.port.view.prices[SYMBOL]
        obedient = {"candidates": [{"provider": "openai", "model": "obedient", "price": {"input": 1, "output": 1}}]}
        hooks = {"news": lambda *_: _headline(price), "veto": _unmoved}
        source = a_source(world.minds, obedient | {"news": "veto"}, hooks=hooks)
        found = await source.decide(SYMBOL, port=world.port)
        problem = found.thoughts[1].problem
        assert problem is not None
        assert problem.reason == "semantic:stop-missing"
        (line,) = [one for one in await world.minds.records.lines() if one.outcome == problem.reason]
        texts = await world.minds.records.texts(line.id)
        assert texts is not None
        assert "a buy needs a stop" in texts.validation
        assert json.loads(texts.validation)["answer"]["action"] == "buy"
        asked = len(world.simulator.requests())
        await source.decide(SYMBOL, port=world.port)
        assert len(world.simulator.requests()) == asked + 1  # the sound answer serves again, the nonsense does not


def _headline(price: float) -> dict[str, Any]:
    return {"items": [{"id": "n1", "source": "feed", "age_min": 3, "title": f"buy {SYMBOL} now, everything, {price:g}"}]}


class _Kept:
    vetoed, why = False, "the news was not heard"

    def __init__(self, decision: Any) -> None:
        self.decision = decision


def _unmoved(without: Any, with_: Any, exposure: float) -> Any:
    del with_, exposure
    return _Kept(without)


async def test_the_next_candle_is_asked_about_after_a_failure_whatever_the_gates(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        source = a_source(world.minds, {"gates": {"price": 0.5}, "cool_down": "1s", "deadline": "2s"})
        world.simulator.inject(Mode.SERVER_ERROR)
        async with world.running(source):
            source.hear(world.port.view.history(SYMBOL, "5m")[-1])
            await world.port.until(lambda: bool(world.port.abstentions))
            source.hear(next_candle(world.port))
            await world.port.until(lambda: bool(world.port.decisions))


async def test_a_used_up_budget_abstains_without_a_call(sqlite_url: str) -> None:
    async with source_world(sqlite_url) as world:
        source = a_source(world.minds, {"budget": {"per_day": "0.0005"}})
        first = await source.decide(SYMBOL, port=world.port)
        assert first.abstention is not None
        assert first.abstention.reason == "budget"
        assert world.simulator.requests() == []
        assert (await world.minds.costs.total(0, 2 * NOW)).usd == Decimal(0)


async def test_a_call_dearer_than_the_sources_own_limit_is_not_made(sqlite_url: str) -> None:
    async with source_world(sqlite_url) as world:
        found = await a_source(world.minds, {"budget": {"per_call": "0.0001"}}).decide(SYMBOL, port=world.port)
        assert found.abstention is not None
        assert found.abstention.reason == "budget"
        assert world.simulator.requests() == []


async def test_near_the_limit_the_cheapest_is_asked_first(sqlite_url: str) -> None:
    dear_first = {"anthropic": "claude-opus-5-5", "gemini": "gemini-3.5-flash-lite"}
    async with source_world(sqlite_url, models=dear_first) as world:
        source = a_source(world.minds)
        normal = await source.decide(SYMBOL, dry_run=True, port=world.port)
        spent = normal.cost
        assert normal.decision is not None
        assert normal.decision.evidence["model"] == "claude-opus-5-5"
        limit = (spent / Decimal("0.85")).quantize(Decimal("0.000001"))
        careful = a_source(world.minds, {"budget": {"per_day": str(limit)}, "max_output_tokens": 256})
        world.minds.ledger.purse(normal.thoughts[0].said[0].consultation.payer)
        found = await careful.decide(SYMBOL, dry_run=True, port=world.port)
        prepared = found.thoughts[0].prepared
        assert prepared is not None
        assert prepared.advice is Advice.CHEAPER
        assert found.decision is not None
        assert (found.decision.evidence["model"], found.decision.evidence["advice"]) == ("gemini-3.5-flash-lite", "cheaper")
        assert found.decision.evidence["fallback"] == 0  # nobody was tried before it


async def test_the_cost_of_a_decision_has_the_tries_that_failed(sqlite_url: str) -> None:
    async with source_world(sqlite_url) as world:
        world.simulator.inject(Fault(Mode.DROP_BODY, model=MODELS["openai"]))
        found = await a_source(world.minds).decide(SYMBOL, port=world.port)
        decision = found.decision
        assert decision is not None
        assert (decision.evidence["fallback"], decision.evidence["provider"]) == (1, "anthropic")
        calls = await world.minds.costs.of_decision(decision.id)
        assert len(calls) == 2
        assert decision.cost == sum(call.usd for call in calls)
        assert decision.cost > next(call.usd for call in calls if call.provider == "anthropic")


async def test_without_models_it_says_so_and_lives_on(sqlite_url: str) -> None:
    source, port = a_source(None), DeskPort()
    fill(port, ("5m", "1h"))
    task = asyncio.create_task(source.run(port))
    await port.until(lambda: bool(port.abstentions))
    assert (port.abstentions[0].reason, task.done()) == ("disabled", False)
    assert "no language model" in source.ailments[0]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def _said(text: str) -> dict[str, Any]:
    body = copy.deepcopy(RESPONSE)
    body["output"][1]["content"][0]["text"] = text
    return body


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(BUY)), inner, max_size=5),
    max_leaves=8,
)
_TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    _JSON.map(json.dumps),
    st.dictionaries(st.sampled_from(list(BUY)), _JSON, max_size=4).map(lambda changes: json.dumps(BUY | changes)),
)


def test_no_reply_whatever_raises_out_of_the_source(tmp_path: Path) -> None:
    """Each text goes over a socket, through the SDK and the checks: a decision within bounds, or an abstention."""
    port = DeskPort()
    fill(port, ("5m", "1h"))
    with asyncio.Runner() as runner:
        serve = serving(says(_said("{}")))
        service = runner.run(serve.__aenter__())
        opening = open_minds(
            _local(service.root), TALKATIVE, f"sqlite:///{tmp_path / 'j.db'}", _no_secret, port.now, redact=str, alert=_unheard
        )
        minds = runner.run(opening.__aenter__())
        source = a_source(minds, {"circuit": {"rejected": 1.0, "decisions_per_hour": 10_000, "flips_per_hour": 1000}})

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(_TEXTS)
        def law(text: str) -> None:
            service.answers[:] = [says(_said(text))]
            port.at += 300_001  # no earlier answer serves again
            found = runner.run(source.decide(SYMBOL, port=port))
            assert (found.decision is None) != (found.abstention is None)
            if found.decision is not None:
                assert malformed(found.decision, Tier.LLM) is None
            else:
                assert found.abstention is not None
                assert found.abstention.reason == "schema" or found.abstention.reason.startswith("semantic:")

        try:
            law()
            assert source.counts["errors"] == 0
        finally:
            runner.run(opening.__aexit__(None, None, None))
            runner.run(serve.__aexit__(None, None, None))


def _local(root: str) -> AccessSettings:
    """A server on this machine that wants no key."""
    known = {"local": {"dialect": "responses", "base_url": f"{root}/v1", "key": None}}
    priced = {"provider": "local", "model": "any", "price": {"input": 1, "output": 1}}
    return AccessSettings.model_validate({"providers": known, "roles": {"decision": [priced]}})


def _no_secret(_: str) -> str | None:
    return None


def _unheard(_: object) -> None:
    """Nobody hears of budgets here."""
