"""A thousand open orders take a handful of calls, and none of them is asked for that the list shows."""

from __future__ import annotations

from bot.core.inputs import Filled, OrderAccepted, OrderClosed
from execution.account import ReportStatus
from tests.execution.reconcile_world import BTC, ETH, SISTER, World, an_id

MANY = 1_000
HANDFUL = 10


async def test_a_thousand_open_orders_take_a_handful_of_calls() -> None:
    world = World()
    await world.reconciler.once()
    for number in range(MANY):
        client_id = world.doubt(f"entry {number}", BTC if number % 2 else ETH)
        world.account.rest(client_id, BTC if number % 2 else ETH)
    for number in range(MANY // 2):
        world.account.rest(an_id(f"theirs {number}", SISTER))
        world.account.rest(f"web_{number}")
    world.account.calls.clear()
    found = await world.reconciler.once()
    assert len(found.open_orders) == len(found.resolved) == len(world.told(OrderAccepted)) == MANY
    assert (len(found.sister_orders), len(found.foreign_orders)) == (MANY // 2, MANY // 2)
    assert found.explained
    assert world.account.calls["open_orders"] == 1
    assert world.account.calls["order"] == 0
    assert world.account.calls.total() <= HANDFUL


async def test_what_ended_of_a_thousand_is_asked_for_and_nothing_else() -> None:
    world = World()
    await world.reconciler.once()
    sent = [world.send(f"entry {number}") for number in range(MANY)]
    for report in sent[:10]:
        world.account.end(report.venue_id, ReportStatus.EXPIRED)
    for report in sent[10:20]:
        world.account.fill(report.venue_id, "1")
    world.account.calls.clear()
    found = await world.reconciler.once()
    assert len(found.open_orders) == MANY - 20
    assert (len(world.told(OrderClosed)), len(world.told(Filled))) == (10, 10)
    assert world.account.calls["order"] == 20
    assert world.account.calls.total() <= 20 + HANDFUL
    world.account.calls.clear()
    await world.reconciler.once()
    assert world.account.calls.total() <= HANDFUL


async def test_a_thousand_trades_of_one_stranger_are_asked_about_once() -> None:
    world = World()
    await world.reconciler.once()
    report = world.account.rest("web_1", amount="1000")
    for _ in range(MANY):
        world.account.fill(report.venue_id, "0.5")
    found = await world.reconciler.once()
    assert len(found.foreign_trades) == MANY
    assert world.account.calls["order"] == 1
    assert found.explained
