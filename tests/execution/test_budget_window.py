"""A budget of one process, on a loop whose time is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from structlog.testing import capture_logs

from execution.budget import BudgetRules, BudgetSpent, Lane, WindowBudget
from tests.execution.budget_clock import run_virtually, timed

RULES = BudgetRules(weight=100, window_ms=1_000, margin=0.0)


async def outcome(call: Awaitable[None]) -> str:
    try:
        await call
    except BudgetSpent:
        return "spent"
    return "taken"


def test_an_order_goes_at_once_while_sixty_market_data_calls_wait() -> None:
    async def scene() -> None:
        budget = WindowBudget(RULES)
        async with asyncio.TaskGroup() as group:
            for _ in range(60):
                group.create_task(budget.take(10, Lane.DATA))
            await asyncio.sleep(0)
            assert budget.stats.waiting[Lane.DATA] == 55  # half the window is theirs
            waited, _ = await timed(lambda: budget.take(1, Lane.ORDERS))
            assert waited <= 0.1
            waited, _ = await timed(lambda: budget.take(20, Lane.READS))
            assert waited <= 0.1
        assert budget.stats.taken == {Lane.ORDERS: 1, Lane.READS: 1, Lane.DATA: 60}

    run_virtually(scene())


def test_calls_beyond_the_window_wait_until_it_has_moved_on_and_no_longer() -> None:
    async def scene() -> None:
        budget = WindowBudget(RULES)
        await budget.take(100, Lane.ORDERS)
        waited, _ = await timed(lambda: budget.take(100, Lane.ORDERS))
        assert waited == pytest.approx(1.0)

    run_virtually(scene())


def test_the_safety_margin_is_never_touched() -> None:
    async def scene() -> None:
        budget = WindowBudget(BudgetRules(weight=100, window_ms=1_000, margin=0.1))
        waited, _ = await timed(lambda: asyncio.gather(*(budget.take(10, Lane.ORDERS) for _ in range(10))))
        assert waited == pytest.approx(1.0)  # nine at once, the tenth a window later
        assert budget.stats.capacity == pytest.approx(90)

    run_virtually(scene())


def test_orders_go_before_reads_before_data_when_all_wait() -> None:
    async def scene() -> list[str]:
        budget = WindowBudget(RULES)
        await budget.take(100, Lane.ORDERS)
        order: list[str] = []

        async def go(name: str, lane: Lane) -> None:
            await budget.take(10, lane)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            for name, lane in (
                ("d1", Lane.DATA),
                ("r1", Lane.READS),
                ("o1", Lane.ORDERS),
                ("d2", Lane.DATA),
                ("o2", Lane.ORDERS),
            ):
                group.create_task(go(name, lane))
        return order

    assert run_virtually(scene()) == ["o1", "o2", "r1", "d1", "d2"]


def test_a_penalty_stops_everybody_for_its_time_and_says_so() -> None:
    async def scene() -> None:
        budget = WindowBudget(RULES, "binance")
        budget.penalise(1_500)
        assert budget.stats.penalty_ms == 1_500
        waited, _ = await timed(lambda: budget.take(1, Lane.ORDERS))
        assert waited == pytest.approx(1.5)
        budget.penalise(60_000)
        with pytest.raises(BudgetSpent, match="wants no calls") as caught:
            await budget.take(1, Lane.ORDERS)
        assert caught.value.retry_after_ms == 60_000

    with capture_logs() as logs:
        run_virtually(scene())
    assert [(line["event"], line["wait_ms"]) for line in logs] == [("budget_penalty", 1_500), ("budget_penalty", 60_000)]


def test_a_penalty_ends_those_already_waiting_who_lack_the_patience() -> None:
    async def scene() -> None:
        budget = WindowBudget(RULES)
        await budget.take(100, Lane.ORDERS)
        order = asyncio.create_task(outcome(budget.take(1, Lane.ORDERS)))
        data = asyncio.create_task(outcome(budget.take(1, Lane.DATA)))
        await asyncio.sleep(0)
        budget.penalise(20_000)
        waited, said = await timed(lambda: order)
        assert (waited, said) == (0.0, "spent")
        waited, said = await timed(lambda: data)
        assert said == "taken"
        assert waited == pytest.approx(20.0)

    run_virtually(scene())


def test_the_venues_own_count_corrects_ours_upward_only() -> None:
    async def scene() -> None:
        budget = WindowBudget(RULES)
        await budget.take(50, Lane.ORDERS)
        budget.observe(20)
        assert budget.stats.used == 50
        budget.observe(100)
        assert (budget.stats.used, budget.stats.corrections) == (100, 1)
        waited, _ = await timed(lambda: budget.take(1, Lane.ORDERS))
        assert waited == pytest.approx(1.0)

    run_virtually(scene())


def test_a_call_cancelled_while_it_waits_takes_nothing_and_holds_up_nobody() -> None:
    async def scene() -> None:
        budget = WindowBudget(RULES)
        await budget.take(30, Lane.READS)
        heavy = asyncio.create_task(budget.take(80, Lane.READS))
        light = asyncio.create_task(budget.take(10, Lane.READS))
        await asyncio.sleep(0)
        assert budget.stats.waiting[Lane.READS] == 2
        heavy.cancel()
        waited, _ = await timed(lambda: light)
        assert waited == 0.0
        assert heavy.cancelled()
        assert budget.stats.used == 40

    run_virtually(scene())


def test_whoever_waits_in_vain_is_told_when_patience_ends() -> None:
    async def scene() -> None:
        rules = BudgetRules(weight=100, window_ms=3_000, margin=0.0)
        budget = WindowBudget(rules)
        await budget.take(60, Lane.ORDERS)
        await asyncio.sleep(1.0)
        await budget.take(40, Lane.ORDERS)
        last = asyncio.create_task(outcome(budget.take(61, Lane.ORDERS)))  # only in three seconds: told at once
        assert await timed(lambda: last) == (0.0, "spent")
        read = asyncio.create_task(outcome(budget.take(80, Lane.READS)))
        await asyncio.sleep(1.5)
        for _ in range(12):  # orders keep going before it
            with_orders = asyncio.create_task(outcome(budget.take(50, Lane.ORDERS)))
            await asyncio.sleep(1.0)
            await with_orders
        assert await read == "spent"
        assert budget.stats.spent[Lane.READS] == 1

    run_virtually(scene())


async def test_a_turn_that_is_free_costs_microseconds() -> None:
    budget = WindowBudget(BudgetRules(weight=1e9))
    waited, _ = await timed(lambda: asyncio.wait_for(many(budget, 5_000), 10))
    assert waited / 5_000 < 0.0005  # measured 10 us: the bound leaves room for a busy machine


async def many(budget: WindowBudget, count: int) -> None:
    for _ in range(count):
        await budget.take(1, Lane.DATA)
