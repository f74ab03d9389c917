"""A thousand open orders take a handful of calls, and none of them is asked for that the list shows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.inputs import Filled, OrderAccepted, OrderClosed
from bot.core.market import Side
from execution.account import ReportStatus
from tests.execution.reconcile_world import BTC, ETH, RULES, SISTER, World, an_id

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


@pytest.fixture
async def broad() -> World:
    """An account with a hundred symbols and more, as it was found at a first pass."""
    world = World()
    world.restart(rules=replace(RULES, symbols=(BTC, ETH, *(f"S{number:03}/USDT" for number in range(98)))))
    assert (await world.reconciler.once()).began
    assert world.account.calls["trades"] == 100
    world.account.calls.clear()
    world.account.since.clear()
    return world


async def test_of_many_symbols_none_has_its_trades_listed_while_nothing_moves(broad: World) -> None:
    broad.send("entry", "S001/USDT")
    assert (await broad.reconciler.once()).explained
    assert broad.account.calls["trades"] == 0


async def test_of_many_symbols_those_that_moved_have_their_trades_listed(broad: World) -> None:
    broad.account.fill(broad.send("entry", "S001/USDT").venue_id, "0.5")
    broad.account.fill(broad.account.rest("web_1", "S002/USDT").venue_id, "0.5", fee_currency="BNB")
    found = await broad.reconciler.once()
    assert found.explained
    assert (len(found.fills), len(found.foreign_trades)) == (1, 1)
    assert len(broad.told(Filled)) == 1
    assert broad.account.calls["trades"] == 2


async def test_trades_that_leave_the_base_as_it_was_are_found_at_the_second_look(broad: World) -> None:
    for side in (Side.BUY, Side.SELL):
        broad.account.fill(broad.account.rest(f"web_{side}", "S002/USDT", side=side).venue_id, "0.5")
    found = await broad.reconciler.once()
    assert found.explained
    assert len(found.foreign_trades) == 2


async def test_a_difference_on_many_symbols_is_looked_for_everywhere_before_it_counts(broad: World) -> None:
    broad.account.take("S003", Decimal(1))
    (words,) = (await broad.reconciler.once()).unexplained
    assert words == "S003: 1 more than orders and transfers explain"
    assert broad.account.calls["trades"] == 1 + 100


async def test_an_order_that_the_venue_lacks_has_its_trades_listed_though_no_balance_moved(broad: World) -> None:
    broad.doubt("entry", "S004/USDT")
    await broad.reconciler.once()
    assert set(broad.account.since) == {"S004/USDT"}
