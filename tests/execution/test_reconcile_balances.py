"""Balances, reconciled: whatever the venue lists explains them to the last digit, and what nothing explains is said."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.inputs import Filled
from bot.core.market import Side
from execution.account import ReadFailed
from execution.reconcile import ReconcileFailed
from tests.execution.reconcile_world import BTC, ETH, RULES, SISTER, World, an_id


@pytest.fixture
async def world() -> World:
    """A venue whose first balances are taken."""
    world = World()
    assert (await world.reconciler.once()).began
    return world


async def test_trades_of_everybody_and_transfers_explain_the_balances(world: World) -> None:
    ours = world.send("entry")
    sister = world.account.rest(an_id("theirs", SISTER), ETH, "2", Side.SELL)
    foreign = world.account.rest("web_1", BTC, "0.3")
    world.account.fill(ours.venue_id, "0.123456", "101.37", "0.000123", "BTC")
    theirs = world.account.fill(sister.venue_id, "2", "33.333333", "0.0007", "BNB")
    strange = world.account.fill(foreign.venue_id, "0.3")
    deposit, withdrawal = world.account.move("USDT", "250"), world.account.move("BTC", "-0.5")
    found = await world.reconciler.once()
    assert found.unexplained == ()
    assert [one.id for one in found.fills] == ["t1"]
    assert (found.sister_trades, found.foreign_trades) == ((theirs,), (strange,))
    assert found.transfers == (deposit, withdrawal)
    again = await world.reconciler.once()
    assert again.explained
    assert (again.fills, again.sister_trades, again.foreign_trades, again.transfers) == ((), (), (), ())


async def test_a_difference_is_said_with_its_figure_until_it_is_accepted(world: World) -> None:
    world.account.take("BTC", Decimal("0.01"))
    world.account.take("USDT", Decimal("-3.50"))
    expected = (
        "BTC: 0.01 more than orders and transfers explain",
        "USDT: 3.5 less than orders and transfers explain",
    )
    for _ in range(2):
        assert (await world.reconciler.once()).unexplained == expected
    world.reconciler.rebase()
    accepted = await world.reconciler.once()
    assert accepted.began
    assert accepted.explained
    assert (await world.reconciler.once()).explained


async def test_a_difference_that_goes_away_by_itself_was_none(world: World) -> None:
    world.account.take("BTC", Decimal(1))
    assert not (await world.reconciler.once()).explained
    world.account.take("BTC", Decimal(-1))
    assert (await world.reconciler.once()).explained


async def test_a_transfer_listed_late_explains_the_difference_after_all(world: World) -> None:
    deposit = world.account.move("BTC", "0.5")
    world.account.moves.clear()
    assert not (await world.reconciler.once()).explained
    world.account.moves.append(deposit)
    found = await world.reconciler.once()
    assert found.explained
    assert found.transfers == (deposit,)


async def test_a_transfer_that_a_failed_pass_counted_is_told_by_the_next_whole_one(world: World) -> None:
    world.doubt("entry")
    world.at += RULES.grace_ms
    deposit = world.account.move("USDT", "250")
    world.account.before["transfers"] = [lambda: world.account.fail.update(order=[ReadFailed("502")])]
    with pytest.raises(ReconcileFailed):
        await world.reconciler.once()
    world.restart(json.loads(json.dumps(world.reconciler.snapshot())))
    found = await world.reconciler.once()
    assert found.explained
    assert found.transfers == (deposit,)
    assert (await world.reconciler.once()).transfers == ()


async def test_without_a_list_of_transfers_a_difference_may_be_one(world: World) -> None:
    world.account.lists_transfers = False
    world.account.take("USDT", Decimal(100))
    (words,) = (await world.reconciler.once()).unexplained
    assert words == "USDT: 100 more than orders explain; perhaps a deposit, of which this venue has no list"


async def test_within_the_tolerance_nothing_is_said(world: World) -> None:
    world.restart(world.reconciler.snapshot(), replace(RULES, tolerance={"BTC": Decimal("0.01")}))
    world.account.take("BTC", Decimal("0.01"))
    assert (await world.reconciler.once()).explained
    world.account.take("BTC", Decimal("0.000001"))
    assert not (await world.reconciler.once()).explained


@pytest.mark.parametrize("name", ["BTC", "USDT", "t1"])
async def test_one_answer_that_lacks_a_balance_or_a_trade_halts_nothing(world: World, name: str) -> None:
    world.account.fill(world.send("entry").venue_id, "0.1")
    world.account.omit[name] = 1
    found = await world.reconciler.once()
    assert found.explained
    assert world.account.calls["balances"] > 3  # it looked again
    assert len(world.told(Filled)) == 1


@pytest.mark.parametrize("name", ["BTC", "t1"])
async def test_first_balances_are_not_taken_from_one_answer_that_lacks_something(name: str) -> None:
    world = World()
    world.account.fill(world.account.rest("web_1").venue_id, "0.1")
    world.account.omit[name] = 1
    found = await world.reconciler.once()
    assert found.began
    assert found.explained
    assert (await world.reconciler.once()).explained


async def test_first_balances_that_never_stand_still_are_no_picture() -> None:
    world = World()
    world.account.before["balances"] = [lambda: world.account.take("BTC", Decimal(1))] * 10
    with pytest.raises(ReconcileFailed, match="first balances"):
        await world.reconciler.once()
    world.account.before.clear()
    assert (await world.reconciler.once()).began


async def test_a_trade_between_the_balances_and_the_list_of_trades_is_no_difference(world: World) -> None:
    report = world.send("entry", amount="100")
    world.account.before["trades"] = [lambda: world.account.fill(report.venue_id, "0.1")]
    assert (await world.reconciler.once()).explained
    assert len(world.told(Filled)) == 1


async def test_trades_at_every_look_are_no_difference_but_hide_none_for_long(world: World) -> None:
    report = world.account.rest("web_1", BTC, "100")
    world.account.take("USDT", Decimal(-1))
    amounts = iter(range(1, 1000))

    def trade() -> None:
        world.account.fill(report.venue_id, f"0.{next(amounts):04}")

    world.account.before["trades"] = [trade] * 1000
    passes = [await world.reconciler.once() for _ in range(3)]
    assert [found.explained for found in passes] == [True, True, False]
    world.account.before.clear()
    assert (await world.reconciler.once()).unexplained == ("USDT: 1 less than orders and transfers explain",)


async def test_trades_are_asked_for_from_where_the_last_explained_pass_ended(world: World) -> None:
    report = world.send("entry")
    world.at += 5_000_000
    world.account.fill(report.venue_id, "0.1")
    await world.reconciler.once()
    world.at += 1_000
    await world.reconciler.once()
    assert world.account.since[BTC] == world.at - 1_000 - RULES.overlap_ms
    world.account.take("BTC", Decimal(1))
    world.at += 5_000_000
    await world.reconciler.once()
    asked = dict(world.account.since)
    for _ in range(3):
        await world.reconciler.once()
        assert asked == world.account.since  # nothing was explained, so nothing is passed over


async def test_trades_that_the_stream_lost_before_the_window_are_asked_for_again(world: World) -> None:
    report = world.send("entry", amount="2")
    world.account.fill(report.venue_id, "0.5")
    world.account.told.clear()
    lost = world.account.fill(report.venue_id, "0.25")
    world.reconciler.rebase()
    world.at += 10 * RULES.quiet_ms
    found = await world.reconciler.once()
    assert [one.id for one in found.fills] == [lost.id]
    assert found.explained


async def test_a_restart_goes_on_where_the_last_pass_ended(world: World) -> None:
    report = world.send("entry")
    memory = world.reconciler.snapshot()
    world.account.fill(report.venue_id, "0.1")
    world.account.move("USDT", "77")
    world.at += 3_600_000
    world.restart(memory)
    found = await world.reconciler.once()
    assert found.explained
    assert not found.began
    assert [one.id for one in found.fills] == ["t1"]
    assert len(found.transfers) == 1


async def test_what_changed_while_the_bot_was_away_is_found(world: World) -> None:
    memory = world.reconciler.snapshot()
    world.account.take("ETH", Decimal("-0.00000001"))
    world.restart(memory)
    assert (await world.reconciler.once()).unexplained == ("ETH: 0.00000001 less than orders and transfers explain",)


async def test_an_older_memory_counts_again_and_arrives_at_the_same(world: World) -> None:
    memory = world.reconciler.snapshot()
    report = world.send("entry")
    for _ in range(3):
        world.account.fill(report.venue_id, "0.1")
        world.at += 1_000_000
        assert (await world.reconciler.once()).explained
    world.restart(memory)
    assert (await world.reconciler.once()).explained
    assert len(world.told(Filled)) == 3


async def test_a_fill_of_ours_is_recovered_by_the_venues_order_id_alone(world: World) -> None:
    client_id = world.doubt("entry")
    report = world.account.rest(client_id, amount="0.1")
    world.account.fill(report.venue_id, "0.1")
    world.account.fail["order"] = [ReadFailed("not this time")]
    with pytest.raises(ReconcileFailed):
        await world.reconciler.once()
    found = await world.reconciler.once()
    assert [one.client_id for one in found.fills] == [client_id]
    assert found.explained


async def test_a_trade_under_our_prefix_that_nobody_knows_stays_unexplained(world: World) -> None:
    client_id = an_id("whose?")
    world.account.fill(world.account.rest(client_id, amount="0.1").venue_id, "0.1")
    for _ in range(2):
        (words,) = (await world.reconciler.once()).unexplained
        assert "buy 0.1 at 100" in words
        assert client_id in words
        world.restart(world.reconciler.snapshot())
    world.over.add(client_id)  # the journal turns out to hold it
    assert (await world.reconciler.once()).explained


async def test_what_was_traded_before_the_first_balances_is_history() -> None:
    world = World()
    for client_id in ("web_1", an_id("theirs", SISTER), an_id("of a book that is no more")):
        world.account.fill(world.account.rest(client_id, amount="0.1").venue_id, "0.1")
    found = await world.reconciler.once()
    assert (found.foreign_trades, found.sister_trades, found.unexplained) == ((), (), ())
    assert world.account.calls["order"] == 0


async def test_a_fill_from_before_the_first_balances_is_found_where_an_order_is_in_doubt() -> None:
    world = World()
    client_id = world.doubt("entry")
    report = world.account.rest(client_id, amount="1")
    world.account.fill(report.venue_id, "0.1")
    world.account.fill(world.account.rest("web_1", amount="0.1").venue_id, "0.1")
    world.account.omit[client_id] = 2  # in the list, and in the question for it
    found = await world.reconciler.once()
    assert [one.client_id for one in found.fills] == [client_id]
    assert found.foreign_trades == ()


async def test_looking_again_asks_no_denied_question_again(world: World) -> None:
    report = world.account.rest("web_1", amount="0.1")
    world.account.fill(report.venue_id, "0.1")
    del world.account.orders[report.venue_id]
    world.account.take("BTC", Decimal(1))
    found = await world.reconciler.once()
    assert not found.explained
    assert found.foreign_trades == ()
    assert world.account.calls["order"] == 1


async def test_owners_are_asked_for_once(world: World) -> None:
    report = world.account.rest("web_1", amount="100")
    for _ in range(5):
        world.account.fill(report.venue_id, "0.1")
        found = await world.reconciler.once()
        assert len(found.foreign_trades) == 1
    assert world.account.calls["order"] == 1


async def test_owners_are_asked_for_a_few_at_a_time_and_none_is_forgotten(world: World) -> None:
    world.restart(world.reconciler.snapshot(), replace(RULES, lookups=3))
    for number in range(10):
        world.account.fill(world.account.rest(f"web_{number}", amount="0.1").venue_id, "0.1")
    shown = []
    for _ in range(4):
        before = world.account.calls["order"]
        found = await world.reconciler.once()
        assert world.account.calls["order"] - before <= 3
        assert found.explained
        shown += [one.id for one in found.foreign_trades]
        world.restart(world.reconciler.snapshot(), replace(RULES, lookups=3))
    assert sorted(shown) == sorted(one.id for one in world.account.told)


async def test_a_trade_whose_order_the_venue_never_finds_is_a_strangers_in_the_end(world: World) -> None:
    report = world.account.rest("web_1", amount="0.1")
    trade = world.account.fill(report.venue_id, "0.1")
    del world.account.orders[report.venue_id]
    passes = [await world.reconciler.once() for _ in range(3)]
    assert [found.foreign_trades for found in passes] == [(), (), (trade,)]
    assert all(found.explained for found in passes)
