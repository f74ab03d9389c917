"""From a closed candle to a decision, over real sockets and with each provider's real SDK."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.core.admission import malformed
from bot.core.decision import Action, Tier
from bot.core.protocols import Ailing, CandleListener, Witness
from tests.sources.llm.llm_source_world import MODELS, NOW, SYMBOL, a_source, source_world


@pytest.mark.parametrize("name", list(MODELS))
async def test_a_closed_candle_becomes_a_decision_with_its_cost(name: str, sqlite_url: str) -> None:
    async with source_world(sqlite_url, models={name: MODELS[name]}) as world:
        source = a_source(world.minds)
        async with world.running(source):
            source.hear(world.port.view.history(SYMBOL, "5m")[-1])
            await world.port.until(lambda: bool(world.port.decisions))
        (decision,) = world.port.decisions
        assert world.port.abstentions == []
        assert malformed(decision, Tier.LLM) is None
        assert (decision.source, decision.symbol, decision.action) == ("llm:test", SYMBOL, Action.BUY)
        assert decision.stop_loss is not None
        assert decision.stop_loss < decision.price
        assert decision.cost > 0
        assert decision.evidence["model"] == MODELS[name]
        assert str(decision.evidence["template"]).startswith("decide@")
        assert NOW < decision.expires <= NOW + 7_200_000
        (claim,) = world.port.claims
        assert (claim.symbol, claim.tier, claim.until > NOW) == (SYMBOL, Tier.LLM, True)


async def test_what_a_decision_cost_and_rested_on_is_booked_under_its_id(sqlite_url: str) -> None:
    async with source_world(sqlite_url) as world:
        source = a_source(world.minds)
        async with world.running(source):
            found = await source.decide(SYMBOL, port=world.port)
        decision = found.decision
        assert decision is not None
        (call,) = await world.minds.costs.of_decision(decision.id)
        assert (call.usd, call.id) == (decision.cost, decision.external_id)
        (line,) = await world.minds.records.lines(decision=decision.id)
        assert (line.outcome, line.symbol, line.template, line.run) == ("decided", SYMBOL, "decide", "run-1")
        assert found.snapshot is not None
        assert line.state_hash == found.snapshot.hash == decision.evidence["snapshot"]
        assert [kept.question.state_hash for kept in await world.minds.replies.of_run("run-1")] == [line.state_hash]


async def test_a_dry_run_tells_the_desk_nothing_and_is_paid_all_the_same(sqlite_url: str) -> None:
    async with source_world(sqlite_url) as world:
        found = await a_source(world.minds).decide(SYMBOL, dry_run=True, port=world.port)
        assert found.decision is not None
        assert (world.port.decisions, world.port.abstentions, world.port.claims) == ([], [], [])
        total = await world.minds.costs.total(0, 2 * NOW)
        assert total.usd == found.cost > Decimal(0)
        (line,) = await world.minds.records.lines()
        assert (line.outcome, line.decision) == ("dry-run", None)


async def test_it_is_what_the_host_looks_for(sqlite_url: str) -> None:
    source = a_source(None)
    assert isinstance(source, CandleListener)
    assert isinstance(source, Witness)
    assert isinstance(source, Ailing)
    assert source.feeds == ((SYMBOL, "5m"), (SYMBOL, "1h"))
