"""What asking came to, as it is counted for whoever watches: the same money that the purse was told."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from sources.llm.asking import LlmError, Trouble, Usage
from tests.sources.llm.llm_asks import an_ask
from tests.sources.llm.test_llm_router_chain import World, a_candidate, a_reply, a_world, trouble


def outcomes(world: World) -> dict[tuple[str, str], dict[str, int]]:
    return {at: dict(model.outcomes) for at, model in world.router.tally.models.items()}


def cost(world: World) -> Decimal:
    return sum((model.cost for model in world.router.tally.models.values()), Decimal(0))


async def test_an_answer_is_counted_with_its_tokens_its_cost_and_its_time() -> None:
    world = a_world(a_candidate("a"))
    world.providers["a"].acts = [a_reply(usage=Usage(input=100, cached=40, output=50, reasoning=20))]
    for _ in range(3):
        await world.router.ask(an_ask(), world.purse)
    model = world.router.tally.models["a", "m"]
    assert model.outcomes == {"answered": 3}
    assert model.tokens == {"input": 300, "cached": 120, "output": 150, "reasoning": 60}
    assert model.cost == world.purse.spent == Decimal("0.003")
    assert model.took.count == 3
    assert world.router.tally.under_way == 0


async def test_an_answer_without_use_is_counted_as_what_was_wrong_with_it() -> None:
    world = a_world(a_candidate("a"))
    world.providers["a"].acts = [a_reply(fault=Trouble.REFUSAL)]
    await world.router.ask(an_ask(), world.purse)
    assert outcomes(world) == {("a", "m"): {"refusal": 1}}
    assert cost(world) == world.purse.spent > 0


async def test_who_fails_and_who_answers_in_its_place_are_told_apart() -> None:
    world = a_world(a_candidate("a"), a_candidate("b", rank=1))
    world.providers["a"].acts = [trouble(Trouble.OVERLOAD)]
    await world.router.ask(an_ask(), world.purse)
    assert outcomes(world) == {("a", "m"): {"overload": 1}, ("b", "m"): {"answered": 1}}
    assert cost(world) == world.purse.spent == Decimal("0.001")


async def test_what_may_have_been_billed_counts_as_it_was_reserved() -> None:
    world = a_world(a_candidate("a"))
    world.providers["a"].acts = [trouble(Trouble.TIMEOUT, may_have_been_billed=True)]
    with pytest.raises(LlmError):
        await world.router.ask(an_ask(), world.purse)
    assert outcomes(world) == {("a", "m"): {"timeout": 1}}
    assert cost(world) == world.purse.spent > 0


async def test_a_call_that_a_limit_forbids_is_no_call() -> None:
    world = a_world(a_candidate("a"))
    world.purse.room = Decimal(0)
    with pytest.raises(LlmError):
        await world.router.ask(an_ask(), world.purse)
    assert outcomes(world) == {}


async def test_who_gives_up_waiting_is_counted_and_nothing_stays_under_way() -> None:
    world = a_world(a_candidate("a"))
    begun = asyncio.Event()

    async def never() -> None:
        begun.set()
        await asyncio.Event().wait()

    world.providers["a"].acts = [never]
    asking = asyncio.create_task(world.router.ask(an_ask(), world.purse))
    await asyncio.wait_for(begun.wait(), 20)
    assert world.router.tally.under_way == 1
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert outcomes(world) == {("a", "m"): {"cancelled": 1}}
    assert world.router.tally.under_way == 0
    assert cost(world) == world.purse.spent > 0


async def test_a_stream_is_counted_as_an_answer_is() -> None:
    world = a_world(a_candidate("a"))
    pieces = [piece async for piece in world.router.stream(an_ask(), world.purse)]
    assert len(pieces) == 3
    assert outcomes(world) == {("a", "m"): {"answered": 1}}
    assert world.router.tally.under_way == 0
