"""When somebody is asked and when nobody is: candles, gates, cool-downs, queues, schedules, pauses, restarts."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from bot.core.decision import Action, Fate, Tier
from bot.core.facts import CommandDone, DecisionFate, FillBooked, LotClosed
from bot.core.inputs import TradingState
from bot.core.market import Side
from bot.core.orders import Fill
from simulators.llm.faults import Fault, Mode
from sources.llm.source import LlmSource, NotAsked
from sources.llm.thoughts import Considered
from tests.sources.llm.llm_source_world import (
    MODELS,
    NOW,
    PATIENCE,
    SYMBOL,
    SourceWorld,
    a_source,
    fill,
    next_candle,
    source_world,
)

ONE = {"openai": MODELS["openai"]}
OPEN = {"gates": {"candle": True}, "cool_down": "1s"}
ETH = "ETH/USDT"


def body(found: Considered) -> dict[str, Any]:
    """What the models were shown."""
    assert found.snapshot is not None
    return dict(found.snapshot.body)


def asked(world: SourceWorld) -> int:
    """How many questions reached the service."""
    return len(world.simulator.requests())


async def quiet(source: LlmSource) -> None:
    """Until everything that waits has been thought about: what it says first is not yet all."""
    async with asyncio.timeout(PATIENCE):
        while source.standing["waiting"] or source.busy:
            await asyncio.sleep(0)


async def test_a_candle_of_another_timeframe_asks_nobody(sqlite_url: str) -> None:
    async with source_world(sqlite_url) as world, world.running(a_source(world.minds)) as source:
        source.hear(world.port.view.history(SYMBOL, "1h")[-1])
        assert source.standing["waiting"] == 0


async def test_nobody_is_asked_again_while_nothing_has_changed(sqlite_url: str) -> None:
    gates = {"price": 0.01, "indicators": {"rsi14@5m": 90.0}, "position": True, "at_least_every": "1h"}
    async with (
        source_world(sqlite_url, models=ONE) as world,
        world.running(a_source(world.minds, {"gates": gates, "cool_down": "1s"})) as source,
    ):
        source.hear(world.port.view.history(SYMBOL, "5m")[-1])
        await world.port.until(lambda: len(world.port.decisions) == 1)
        await quiet(source)
        source.hear(next_candle(world.port))
        await quiet(source)
        assert (source.counts["gated"], asked(world)) == (1, 1)
        assert len(world.port.claims) == 1
        source.hear(next_candle(world.port, change=0.02))
        await world.port.until(lambda: len(world.port.decisions) == 2)
        await quiet(source)
        world.port.hold()
        source.hear(next_candle(world.port))
        await world.port.until(lambda: len(world.port.decisions) == 3)
        await quiet(source)
        for _ in range(12):  # an hour of candles in which nothing changes
            source.hear(next_candle(world.port, change=0.0))
            await quiet(source)
        assert asked(world) == 4


async def test_it_cools_down_between_questions_about_a_symbol(sqlite_url: str) -> None:
    async with (
        source_world(sqlite_url, models=ONE) as world,
        world.running(a_source(world.minds, {"cool_down": "15m"})) as source,
    ):
        for _ in range(4):
            source.hear(next_candle(world.port))
            await quiet(source)
        assert (asked(world), source.counts["cooling"]) == (2, 2)


async def test_the_same_situation_is_answered_from_memory_until_something_is_bought(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        source = a_source(world.minds)
        first = await source.decide(SYMBOL, port=world.port)
        world.port.at += 2_000
        second = await source.decide(SYMBOL, port=world.port)
        assert first.decision is not None
        assert second.decision is not None
        assert (asked(world), second.cost, second.decision.cost) == (1, Decimal(0), Decimal(0))
        assert (second.decision.evidence["cached"], second.decision.action) == (True, first.decision.action)
        assert second.decision.id != first.decision.id
        assert len(world.port.claims) == 1  # nobody waits for what is there already
        source.saw(_fill(first.decision.id))
        await source.decide(SYMBOL, port=world.port)
        assert asked(world) == 2
        assert len(await world.minds.replies.of_run("run-1")) == 2


async def test_failures_and_abstentions_are_never_answers_from_memory(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        world.simulator.inject(Mode.REFUSAL)
        source = a_source(world.minds)
        refused = await source.decide(SYMBOL, port=world.port)
        assert refused.abstention is not None
        again = await source.decide(SYMBOL, port=world.port)
        assert again.decision is not None
        assert asked(world) == 2


async def test_what_comes_while_it_thinks_about_a_symbol_is_thought_about_once_afterwards(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        world.simulator.inject(Fault(Mode.SLOW, count=1, seconds=0.3))
        async with world.running(a_source(world.minds, OPEN)) as source:
            source.hear(world.port.view.history(SYMBOL, "5m")[-1])
            await world.port.until(lambda: bool(world.port.claims))
            for _ in range(5):
                source.hear(next_candle(world.port, change=0.0))
            world.port.at -= 4 * 300_000  # or the first answer would be stale
            await quiet(source)
            assert (asked(world), source.counts["coalesced"]) == (2, 4)


async def test_a_symbol_that_thinks_long_keeps_no_other_waiting(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        fill(world.port, ("5m", "1h"), symbol=ETH)
        world.simulator.inject(Fault(Mode.HANG, count=1))
        source = a_source(world.minds, {"deadline": "3s"}, symbols=[SYMBOL, ETH])
        async with world.running(source):
            source.hear(world.port.view.history(SYMBOL, "5m")[-1])
            await world.port.until(lambda: len(world.port.claims) == 1)
            source.hear(world.port.view.history(ETH, "5m")[-1])
            await world.port.until(lambda: bool(world.port.decisions))
            assert (world.port.decisions[0].symbol, world.port.abstentions) == (ETH, [])


async def test_a_full_queue_drops_and_counts(sqlite_url: str) -> None:
    symbols = [SYMBOL, ETH, "SOL/USDT"]
    async with source_world(sqlite_url) as world:
        source = a_source(world.minds, {"queue": 2}, symbols=symbols)
        for symbol in symbols:
            fill(world.port, ("5m", "1h"), symbol=symbol)
            source.hear(world.port.view.history(symbol, "5m")[-1])
        assert (source.counts["dropped"], source.standing["waiting"]) == (1, 2)


async def test_a_schedule_asks_about_every_symbol(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        fill(world.port, ("5m", "1h"), symbol=ETH)
        source = a_source(world.minds, {"on_candle": False, "schedule": {"every": "1s"}}, symbols=[SYMBOL, ETH])
        async with world.running(source):
            source.hear(world.port.view.history(SYMBOL, "5m")[-1])
            assert source.standing["waiting"] == 0
            await world.port.until(lambda: {one.symbol for one in world.port.decisions} == {SYMBOL, ETH})
        assert {one.evidence["trigger"] for one in world.port.decisions} == {"schedule"}


async def test_a_paused_source_spends_nothing_until_it_is_let_speak_again(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world, world.running(a_source(world.minds, OPEN)) as source:
        source.saw(CommandDone(NOW, "anna", "source-changed", "llm:test (llm, paused, threshold 0)"))
        source.hear(next_candle(world.port))
        await quiet(source)
        assert (asked(world), source.counts["paused"], world.port.claims) == (0, 1, [])
        source.saw(CommandDone(NOW, "anna", "source-changed", "llm:other (llm, on, threshold 0)"))
        source.saw(CommandDone(NOW, "anna", "source-changed", "llm:test (llm, on, threshold 0)"))
        source.hear(next_candle(world.port))
        await world.port.until(lambda: bool(world.port.decisions))


@pytest.mark.parametrize(("state", "word"), [(TradingState.HALTED, "halted"), (TradingState.REDUCING, "reducing")])
async def test_nobody_is_paid_for_what_the_desk_would_not_do(state: TradingState, word: str, sqlite_url: str) -> None:
    async with source_world(sqlite_url) as world, world.running(a_source(world.minds)) as source:
        world.port.state = state
        source.hear(next_candle(world.port))
        await quiet(source)
        assert (asked(world), source.counts[word]) == (0, 1)


async def test_it_decides_on_demand_whatever_the_gates_say_but_only_about_its_own_symbols(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        source = a_source(world.minds, {"gates": {"price": 0.5}, "cool_down": "1h"})
        with pytest.raises(NotAsked, match="does not run"):
            await source.decide(SYMBOL)
        async with world.running(source):
            source.hear(next_candle(world.port))
            await world.port.until(lambda: bool(world.port.decisions))
            found = await source.decide(SYMBOL)
            assert found.decision is not None
            assert found.decision.evidence["trigger"] == "demand"
            with pytest.raises(NotAsked, match="does not think about XRP/USDT"):
                await source.decide("XRP/USDT")


async def test_questions_about_one_symbol_wait_for_each_other(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        world.simulator.delay(0.05)
        source = a_source(world.minds)
        found = await asyncio.gather(*(source.decide(SYMBOL, port=world.port) for _ in range(3)))
        assert all(one.decision is not None for one in found)
        assert asked(world) == 1  # the others were answered from memory


async def test_it_is_told_what_became_of_its_own_decisions(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        source = a_source(world.minds)
        first = (await source.decide(SYMBOL, port=world.port)).decision
        assert first is not None
        source.saw(_fate(first.id, Fate.EXECUTED))
        source.saw(_closed(first.id, Decimal("-50")))
        source.saw(_closed(first.id, Decimal("-50")))
        source.saw(_closed("somebody else's", Decimal(9)))
        found = await source.decide(SYMBOL, port=world.port)
        (told,) = body(found)["recent_decisions"]
        assert (told["action"], told["fate"], told["outcome"], told["pnl"]) == ("buy", "executed", "lost", -0.01)


async def test_the_entry_thesis_is_in_the_next_prompt_and_survives_a_restart(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        source = a_source(world.minds)
        bought = (await source.decide(SYMBOL, port=world.port)).decision
        assert bought is not None
        assert bought.action is Action.BUY
        source.saw(_fate(bought.id, Fate.EXECUTED))
        world.port.hold(decision=bought.id)
        world.port.at += 1_000
        expected = {"thesis": bought.reasoning, "invalidation": bought.evidence["invalidation"]}
        assert body(await source.decide(SYMBOL, port=world.port))["untrusted_words"]["p1"] == expected
        again = a_source(world.minds)  # as after a restart
        async with world.running(again):
            again.hear(next_candle(world.port))
            await world.port.until(lambda: len(world.port.decisions) + len(world.port.abstentions) == 3)
            found = await again.decide(SYMBOL)
        assert body(found)["untrusted_words"]["p1"] == expected
        told = body(found)["recent_decisions"]
        assert [one["fate"] for one in told] == ["waiting", "unknown", "unknown"]  # those of before the restart came last
        assert {one["outcome"] for one in told[1:]} == {"unknown"}
        words = body(found)["untrusted_words"]
        assert words["d3"]["reasoning"] == bought.reasoning


async def test_a_position_that_is_held_can_be_sold(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE, drift=-0.001) as world:
        world.port.hold()
        decision = (await a_source(world.minds).decide(SYMBOL, port=world.port)).decision
        assert decision is not None
        assert (decision.action, decision.size_fraction, decision.stop_loss) == (Action.SELL, None, None)


async def test_a_buy_below_the_threshold_is_an_abstention(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        found = await a_source(world.minds, threshold=0.99).decide(SYMBOL, port=world.port)
        assert found.abstention is not None
        assert found.abstention.reason == "semantic:confidence"


async def test_money_is_shown_only_where_that_is_wanted(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        shares = body(await a_source(world.minds).decide(SYMBOL, dry_run=True, port=world.port))
        amounts = body(await a_source(world.minds, {"money": True}).decide(SYMBOL, dry_run=True, port=world.port))
        assert "equity" not in shares["account"]
        assert amounts["account"]["equity"] == 10_000.0


async def test_a_cancelled_source_pays_for_what_it_had_asked(sqlite_url: str) -> None:
    async with source_world(sqlite_url, models=ONE) as world:
        world.simulator.inject(Fault(Mode.HANG))
        source = a_source(world.minds)
        async with world.running(source):
            source.hear(next_candle(world.port))
            async with asyncio.timeout(PATIENCE):
                while not asked(world):
                    await asyncio.sleep(0)
        line = await world.minds.costs.total(0, 2 * NOW)
        assert (line.calls, line.lost, line.held) == (1, 1, Decimal(0))
        assert line.usd > 0


def _fill(decision: str) -> FillBooked:
    filled = Fill("f1", "o1", SYMBOL, Side.BUY, Decimal(1), Decimal(50_000), Decimal(1), "USDT", NOW)
    return FillBooked(NOW, filled, "llm:test", Tier.LLM, 0.7, decision, Decimal(0), Decimal(1), 0.0)


def _fate(decision: str, fate: Fate) -> DecisionFate:
    return DecisionFate(NOW, decision, "llm:test", Tier.LLM, SYMBOL, fate)


def _closed(decision: str, pnl: Decimal) -> LotClosed:
    price = Decimal(50_000)
    return LotClosed(
        NOW, SYMBOL, Side.BUY, Decimal(1), price, price, NOW, "llm:test", Tier.LLM, decision, "llm:test", "exit", Decimal(1), pnl
    )
