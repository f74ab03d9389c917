"""The guards and the budget before a venue on real sockets, through real ccxt, in both dialects."""

from __future__ import annotations

import asyncio

import pytest

from execution.account import NotSent, ReadFailed, Unknown
from execution.breaker import BreakerRules, BreakerState
from execution.budget import BudgetRules, Lane, WindowBudget
from execution.guarded import GuardedAccount, RetryRules
from simulators.exchange.faults import Clear, Status
from tests.execution.ccxt_rig import DIALECTS, PATIENCE, SYMBOL, Rig, ordered, rig
from tests.idling import idle_seconds

dialects = pytest.mark.parametrize("dialect", DIALECTS)
QUICK = RetryRules(tries=3, pause_ms=10, longest_pause_ms=20)


def guard(one: Rig, cool_down_ms: int = 50) -> GuardedAccount:
    return GuardedAccount(one.account, one.dialect, retry=QUICK, breaker=BreakerRules(failures=3, cool_down_ms=cool_down_ms))


@dialects
async def test_a_read_gets_over_two_failures_of_the_venue(dialect: str) -> None:
    async with rig(dialect) as one:
        account = guard(one)
        one.venue.inject(Status(503, method="GET", count=2))
        assert "USDT" in await account.balances()
        assert (account.health.retries, account.health.breaker) == (2, BreakerState.CLOSED)


@dialects
async def test_a_venue_that_is_down_is_left_alone_and_found_again(dialect: str) -> None:
    async with rig(dialect) as one:
        account = guard(one, cool_down_ms=60_000)
        await account.create(one.resting("mine"))
        one.venue.inject(Status(503, count=1_000))
        with pytest.raises(ReadFailed):
            await account.balances()
        assert account.health.retry_after_ms > 50_000
        with pytest.raises(NotSent, match="circuit") as caught:
            await account.create(ordered("never"))
        assert caught.value.retry_after_ms > 50_000
        with pytest.raises(Unknown):  # it went out all the same
            await account.cancel(SYMBOL, "mine", None)
        one.venue.inject(Clear())
        await account.cancel(SYMBOL, "mine", None)
        assert account.health.breaker is BreakerState.CLOSED
        orders = [order["client_id"] for order in (await one.truth())["orders"]]
        assert orders == ["mine"]


@dialects
async def test_sixty_questions_that_wait_for_their_turn_hold_up_no_order(dialect: str) -> None:
    budget = WindowBudget(BudgetRules(weight=100, window_ms=60_000, patience_ms=dict.fromkeys(Lane, 600_000)))
    async with rig(dialect, budget) as one:
        account = guard(one)
        reads = [asyncio.create_task(account.balances()) for _ in range(60)]
        async with asyncio.timeout(PATIENCE):
            while budget.stats.taken[Lane.READS] + budget.stats.waiting[Lane.READS] < 60:
                await asyncio.sleep(0.01)
        assert budget.stats.waiting[Lane.READS] > 20
        took = await idle_seconds(lambda: account.create(ordered("mine")))
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
        assert took <= 0.1
        assert account.health.breaker is BreakerState.CLOSED
