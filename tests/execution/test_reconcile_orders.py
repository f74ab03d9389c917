"""Orders, reconciled: no absence concludes anything, ghosts are cancelled, and nobody else's order is touched."""

from __future__ import annotations

import pytest

from bot.core.inputs import Filled, OrderAccepted, OrderClosed, OrderRefused
from execution.account import AccountError, NotFound, OrderReport, ReadFailed, Refused, ReportStatus, Unknown
from execution.reconcile import ReconcileFailed
from execution.tracked import Standing
from tests.execution.reconcile_world import BTC, RULES, SISTER, World, an_id


@pytest.fixture
async def world() -> World:
    """A venue whose first balances are taken."""
    world = World()
    assert (await world.reconciler.once()).began
    return world


async def test_an_order_whose_answer_was_lost_is_found_in_the_list(world: World) -> None:
    client_id = world.doubt("entry")
    world.account.rest(client_id)
    found = await world.reconciler.once()
    assert found.resolved == (client_id,)
    assert [one.client_id for one in found.open_orders] == [client_id]
    assert world.told(OrderAccepted)
    assert world.account.calls["order"] == 0


async def test_an_order_that_ended_unseen_is_asked_for_and_merged(world: World) -> None:
    report = world.send("entry")
    world.account.fill(report.venue_id, "0.4")
    world.account.end(report.venue_id)
    found = await world.reconciler.once()
    assert [(one.id, one.client_id) for one in found.fills] == [("t1", report.client_id)]
    assert found.resolved == (report.client_id,)
    assert len(world.told(Filled)) == 1
    assert len(world.told(OrderClosed)) == 1
    assert found.explained


async def test_one_answer_that_lacks_an_order_loses_nothing(world: World) -> None:
    report = world.send("entry")
    assert report.client_id is not None
    world.at += 60_000
    for times in (1, 2):
        world.account.omit[report.client_id] = times  # the list, then the list and the question for that very order
        assert (await world.reconciler.once()).explained
        tracked = world.tracked.of(report.client_id)
        assert tracked is not None
        assert tracked.standing is Standing.LIVE


async def test_not_found_counts_only_after_the_grace_period(world: World) -> None:
    client_id = world.doubt("entry")
    world.at += RULES.grace_ms - 1
    assert (await world.reconciler.once()).resolved == ()
    assert not world.told(OrderRefused)
    world.at += 1
    assert (await world.reconciler.once()).resolved == (client_id,)
    assert world.told(OrderRefused)


async def test_a_request_under_way_is_never_given_up(world: World) -> None:
    client_id = world.doubt("entry")
    tracked = world.tracked.of(client_id)
    assert tracked is not None
    tracked.standing = Standing.SENDING
    world.at += 10 * RULES.grace_ms
    assert (await world.reconciler.once()).resolved == ()
    assert tracked.standing is Standing.SENDING


async def test_a_trade_of_an_order_that_the_venue_denies_keeps_it_from_being_lost(world: World) -> None:
    client_id = world.doubt("entry")
    report = world.account.rest(client_id)
    world.account.fill(report.venue_id, "0.5")
    world.at += RULES.grace_ms
    world.account.omit[client_id] = 2  # list and question; the trade's own question is answered
    found = await world.reconciler.once()
    assert not world.told(OrderRefused)
    assert [one.client_id for one in found.fills] == [client_id]


async def test_a_trade_of_an_order_that_the_venue_had_and_denies_keeps_it_from_being_closed(world: World) -> None:
    report = world.send("entry")
    assert report.client_id is not None
    world.at += RULES.grace_ms
    world.account.fill(report.venue_id, "0.5")
    world.account.omit[report.client_id] = 3
    await world.reconciler.once()
    assert len(world.told(Filled)) == 1
    assert not world.told(OrderClosed)


async def test_a_trade_that_nobody_can_name_yet_keeps_an_order_from_being_lost(world: World) -> None:
    client_id = world.doubt("entry")
    report = world.account.rest(client_id)
    world.account.fill(report.venue_id, "0.5")
    world.at += RULES.grace_ms
    world.account.omit[client_id] = 4  # all that one pass could ask
    await world.reconciler.once()
    assert not world.told(OrderRefused)
    await world.reconciler.once()
    assert len(world.told(Filled)) == 1


async def test_an_order_the_venue_had_and_has_no_more_is_closed_not_refused(world: World) -> None:
    report = world.send("entry")
    del world.account.orders[report.venue_id]
    await world.reconciler.once()
    world.at += RULES.grace_ms
    assert (await world.reconciler.once()).resolved == (report.client_id,)
    assert world.told(OrderClosed)
    assert not world.told(OrderRefused)


async def test_an_order_that_lived_is_not_closed_for_a_moment_in_which_the_venue_denied_it(world: World) -> None:
    report = world.send("entry")
    world.at += 10 * RULES.grace_ms
    world.account.omit[str(report.client_id)] = 9
    await world.reconciler.once()
    world.account.omit.clear()
    world.at += RULES.grace_ms
    assert (await world.reconciler.once()).open_orders == (report,)
    world.account.omit[str(report.client_id)] = 9  # that the venue had it meanwhile begins the grace anew
    await world.reconciler.once()
    assert not world.told(OrderClosed)


async def test_a_ghost_is_cancelled_and_named(world: World) -> None:
    client_id = world.doubt("entry")
    world.tracked.lost(client_id, "nobody had it")
    world.account.rest(client_id)
    found = await world.reconciler.once()
    assert found.ghosts == (client_id,)
    assert world.account.cancelled == [client_id]
    assert found.explained


async def test_a_ghost_of_an_earlier_process_is_known_by_the_books(world: World) -> None:
    client_id = an_id("long ago")
    world.over.add(client_id)
    world.account.rest(client_id)
    assert (await world.reconciler.once()).ghosts == (client_id,)


async def test_the_fills_of_a_ghost_reach_the_books(world: World) -> None:
    client_id = world.doubt("entry")
    world.tracked.lost(client_id, "nobody had it")
    report = world.account.rest(client_id)
    world.account.fill(report.venue_id, "0.25")
    found = await world.reconciler.once()
    assert [one.id for one in found.fills] == ["t1"]
    assert found.explained


@pytest.mark.parametrize("problem", [Unknown("no answer"), Refused("not now")])
async def test_a_ghost_that_lives_on_halts_entries(world: World, problem: AccountError) -> None:
    client_id = world.doubt("entry")
    world.tracked.lost(client_id, "nobody had it")
    world.account.rest(client_id)
    world.account.fail["cancel"] = [problem]
    found = await world.reconciler.once()
    assert found.ghosts == ()
    assert client_id in found.unexplained[0]
    assert (await world.reconciler.once()).ghosts == (client_id,)


async def test_an_end_that_a_list_is_too_old_for_makes_no_ghost(world: World) -> None:
    report = world.send("entry")
    assert report.client_id is not None
    world.account.end(report.venue_id)
    world.tracked.report(world.account.orders[report.venue_id])
    world.account.orders[report.venue_id] = report
    world.account.fail["cancel"] = [NotFound("over")]
    found = await world.reconciler.once()
    assert found.ghosts == ()
    assert found.explained


async def test_an_order_sent_while_the_list_is_read_is_no_stray(world: World) -> None:
    world.account.before["open_orders"] = [lambda: world.send("entry")]
    found = await world.reconciler.once()
    assert found.explained
    assert len(found.open_orders) == 1
    assert world.account.cancelled == []


async def test_an_order_under_our_prefix_that_nobody_knows_is_left_alone_and_unexplained(world: World) -> None:
    client_id = an_id("whose?")
    report = world.account.rest(client_id)
    found = await world.reconciler.once()
    assert client_id in found.unexplained[0]
    assert world.account.cancelled == []
    world.account.end(report.venue_id)
    assert (await world.reconciler.once()).explained


async def test_orders_of_sisters_and_strangers_are_shown_and_never_touched(world: World) -> None:
    sister = world.account.rest(an_id("theirs", SISTER))
    foreign = [world.account.rest("web_1234"), world.account.rest(None), world.account.rest("arb" + "z" * 24)]
    found = await world.reconciler.once()
    assert found.sister_orders == (sister,)
    assert found.foreign_orders == tuple(foreign)
    assert found.open_orders == ()
    assert found.explained
    assert world.account.cancelled == []


async def test_an_order_listed_without_client_id_is_known_by_the_venues(world: World) -> None:
    report = world.send("entry")
    nameless = OrderReport(report.venue_id, None, BTC, ReportStatus.OPEN, world.at)
    world.account.orders[report.venue_id] = nameless
    found = await world.reconciler.once()
    assert found.open_orders == (nameless,)
    assert world.account.calls["order"] == 0


@pytest.mark.parametrize("what", ["open_orders", "order", "trades", "balances", "transfers"])
async def test_a_question_without_an_answer_fails_the_pass_and_names_it(world: World, what: str) -> None:
    world.doubt("entry")
    world.account.fail[what] = [ReadFailed("a broken line")]
    with pytest.raises(ReconcileFailed, match="a broken line"):
        await world.reconciler.once()
    assert not world.told(OrderRefused)
    assert world.reconciler.failures == 1
    assert (await world.reconciler.once()).explained
