"""What became of calls is counted for all clients of a budget together."""

from __future__ import annotations

import asyncio

import pytest

from sources.quantconnect.budget import Budget
from sources.quantconnect.errors import QcError
from tests.sources.quantconnect.qc_service import QUICK, Page, client_of, no, serving


async def test_the_calls_of_all_clients_of_a_budget_are_counted_together() -> None:
    budget = Budget(QUICK)
    async with serving(authenticate=[Page(b"", 500), {}, {}]) as service:
        for _ in range(2):
            async with client_of(service, budget=budget) as client:
                await client.authenticate()
    tally = budget.tally
    assert tally.outcomes == {"answered": 2}
    assert (tally.requests, tally.retries, tally.took.count) == (3, 1, 2)


async def test_a_refusal_is_counted_by_its_kind_and_has_no_time() -> None:
    budget = Budget(QUICK)
    async with serving(authenticate=no("Something else is wrong")) as service, client_of(service, budget=budget) as client:
        with pytest.raises(QcError) as caught:
            await client.authenticate()
    assert budget.tally.outcomes == {caught.value.kind.value: 1}
    assert budget.tally.took.count == 0


async def test_a_call_that_nobody_waits_for_any_more_is_neither() -> None:
    budget = Budget(QUICK)
    held = asyncio.Event()

    async def hold(_: object) -> Page:
        held.set()
        await asyncio.Event().wait()
        return Page(b"")

    async with serving(authenticate=hold) as service, client_of(service, budget=budget) as client:
        asking = asyncio.create_task(client.authenticate())
        await asyncio.wait_for(held.wait(), 20)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert budget.tally.outcomes == {}
    assert budget.tally.requests == 1
