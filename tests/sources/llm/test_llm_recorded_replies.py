"""Recorded replies: found by exactly what was asked, repeated in their order, and never mistaken for another moment's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.llm.asking import Reply, Stop, ToolCall, Trouble, Usage
from sources.llm.cache import LiveReplies, NotRecorded, Question, Recorded, RecordedReply, Replies, Situation
from sources.llm.models import Effort
from sources.llm.records import DECIDED
from tests.sources.llm.ledger_world import HOUR, START, USAGE, ledger_world

QUESTION = Question("openai", "gpt-6-luna", Effort.LOW, "decision-1", "decide@3", '{"price":1}')
REPLY = Reply(
    text='{"action":"buy"}',
    parsed={"action": "buy", "stop_loss": None, "evidence": ["rsi"], "confidence": 0.7},
    usage=USAGE,
    cost=Decimal("0.00123"),
    latency_ms=812,
    request_id="r1",
    stop=Stop.DONE,
    provider="openai",
    model="gpt-6-luna",
    prompt_hash="p1",
    tool_calls=(ToolCall("t1", "look", {"at": "BTC/USDT"}), ToolCall("t2", "look", None, "{")),
    fallback=1,
    effort=Effort.LOW,
    reported_cost=Decimal("0.0012"),
    usage_estimated=True,
)


async def test_a_reply_comes_back_as_it_was(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        assert await Replies(world.database).keep(QUESTION, replace(REPLY, raw=b"wire"), outcome=DECIDED, ts=START)
        assert await Recorded(world.database).reply(QUESTION) == REPLY
        assert await Recorded(world.database).to_prompt("p1", "openai", "gpt-6-luna") == REPLY


async def test_a_reply_with_what_no_database_takes_comes_back_too(database_url: str) -> None:
    odd = replace(REPLY, text="half \ud800 a pair, a \x00", parsed={"note": "\x00\udfff"})
    async with ledger_world(database_url) as world:
        await Replies(world.database).keep(QUESTION, odd, outcome=DECIDED, ts=START)
        assert await Recorded(world.database).reply(QUESTION) == odd


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, provider="local"),
        replace(QUESTION, model="gpt-6.1-sol"),
        replace(QUESTION, effort=None),
        replace(QUESTION, schema_version="decision-2"),
        replace(QUESTION, template_version="decide@4"),
        replace(QUESTION, state='{"price":2}'),
        replace(QUESTION, provider="openaigpt-6-luna", model=""),
    ],
)
async def test_any_other_question_has_no_answer(sqlite_url: str, other: Question) -> None:
    async with ledger_world(sqlite_url) as world:
        await Replies(world.database).keep(QUESTION, REPLY, outcome=DECIDED, ts=START, run="a")
        assert other.key != QUESTION.key
        with pytest.raises(NotRecorded, match=f"{other.provider}/{other.model} about the market state {other.state_hash[:12]}"):
            await Recorded(world.database).reply(other)
        with pytest.raises(NotRecorded, match="in run b"):
            await Recorded(world.database, "b").reply(QUESTION)


async def test_errors_and_abstentions_are_never_kept(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        replies = Replies(world.database)
        assert not await replies.keep(QUESTION, replace(REPLY, fault=Trouble.TRUNCATED), outcome=DECIDED, ts=START)
        assert not await replies.keep(QUESTION, REPLY, outcome="semantic:stop", ts=START)
        with pytest.raises(NotRecorded):
            await Recorded(world.database).reply(QUESTION)


async def test_a_run_repeats_its_own_answers_in_their_order_and_then_has_no_more(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        replies = Replies(world.database)
        for n, run in enumerate(["old", "a", "b", "a"]):
            await replies.keep(QUESTION, replace(REPLY, request_id=f"r{n}"), outcome=DECIDED, ts=START + n, run=run)
        for _ in range(2):
            again = Recorded(world.database, "a")
            assert [(await again.reply(QUESTION)).request_id for _ in range(2)] == ["r1", "r3"]
            with pytest.raises(NotRecorded, match=r"a 3\. time"):
                await again.reply(QUESTION)
        first = Recorded(world.database)
        assert {(await first.reply(QUESTION)).request_id for _ in range(3)} == {"r0"}


async def test_answers_that_are_kept_at_once_are_all_kept(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        kept = (Replies(world.database).keep(QUESTION, REPLY, outcome=DECIDED, ts=START, run="a") for _ in range(6))
        assert all(await asyncio.gather(*kept))
        assert [each.number for each in await Replies(world.database).of_run("a")] == [1, 2, 3, 4, 5, 6]


async def test_a_run_can_be_read_page_by_page_with_its_snapshots(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        replies = Replies(world.database)
        asked = [replace(QUESTION, state=f'{{"price":{n % 4}}}', effort=None if n % 2 else Effort.LOW) for n in range(11)]
        for n, each in enumerate(asked):
            await replies.keep(each, REPLY, outcome=DECIDED, ts=START + n // 3, run="a", source="llm:one")
        seen: list[RecordedReply] = []
        while found := await replies.of_run("a", limit=4, after=seen[-1] if seen else None):
            seen += found
        assert sorted(each.question.key for each in seen) == sorted(each.key for each in asked)
        assert {each.question for each in seen} == set(asked)
        assert {(each.run, each.source, each.reply.text) for each in seen} == {("a", "llm:one", REPLY.text)}


class Live:
    """The live layer with a clock."""

    def __init__(self, *, ttl_ms: int | None = None, most: int = 500) -> None:
        self.at = START
        self.replies = LiveReplies(lambda: self.at, ttl_ms=ttl_ms, most=most)

    def now(self, position: str = "flat", *, candle: int = START, symbol: str = "BTC/USDT", rsi: float = 55.123) -> Situation:
        """What is asked about."""
        return self.replies.situation(
            "llm:one", symbol, candle=candle, candle_ms=HOUR, indicators={"rsi": rsi, "atr": 1.0}, position=position
        )


def test_the_same_moment_is_answered_again_at_no_cost() -> None:
    live = Live()
    assert live.replies.get(live.now()) is None
    live.replies.put(live.now(), REPLY, DECIDED)
    again = live.replies.get(live.now(rsi=55.1234))
    assert again == replace(REPLY, cost=Decimal(0), usage=Usage(), latency_ms=0)
    assert (live.replies.hits, live.replies.misses) == (1, 1)


def test_another_candle_indicator_symbol_or_position_is_another_moment() -> None:
    live = Live()
    live.replies.put(live.now(), REPLY, DECIDED)
    for other in (live.now("long"), live.now(candle=START + HOUR), live.now(symbol="ETH/USDT"), live.now(rsi=55.9)):
        assert live.replies.get(other) is None


@pytest.mark.parametrize(("ttl_ms", "life"), [(None, HOUR), (5 * HOUR, HOUR), (1000, 1000)])
def test_an_answer_never_outlives_its_candle(ttl_ms: int | None, life: int) -> None:
    live = Live(ttl_ms=ttl_ms)
    live.replies.put(live.now(), REPLY, DECIDED)
    live.at += life - 1
    assert live.replies.get(live.now()) is not None
    live.at += 1
    assert live.replies.get(live.now()) is None


def test_no_answer_is_used_across_a_change_of_position_even_back_to_the_same() -> None:
    live = Live()
    live.replies.put(live.now(), REPLY, DECIDED)
    live.replies.put(live.now(symbol="ETH/USDT"), REPLY, DECIDED)
    asked_before = live.now(rsi=10.0)
    live.replies.position_changed("BTC/USDT")
    assert live.replies.get(live.now()) is None
    assert not live.replies.put(asked_before, REPLY, DECIDED), "it was under way while the position changed"
    assert live.replies.get(asked_before) is None
    assert live.replies.get(live.now(symbol="ETH/USDT")) is not None


def test_the_live_layer_keeps_no_errors_and_no_abstentions() -> None:
    live = Live()
    assert not live.replies.put(live.now(), replace(REPLY, fault=Trouble.REFUSAL), DECIDED)
    assert not live.replies.put(live.now(), REPLY, "stale")
    assert live.replies.get(live.now()) is None


@given(st.lists(st.integers(0, 30), max_size=60))
def test_the_live_layer_is_bounded_and_keeps_the_latest(candles: list[int]) -> None:
    live = Live(most=5)
    for candle in candles:
        live.replies.put(live.now(candle=candle), REPLY, DECIDED)
    latest = list(dict.fromkeys(reversed(candles)))
    assert [candle for candle in range(31) if live.replies.get(live.now(candle=candle)) is not None] == sorted(latest[:5])
