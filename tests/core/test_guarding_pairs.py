"""Promises of a stop and a target that rest at the venue as one: one cancels the other, both have ended before more is sold."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.decision import Action, Fate
from bot.core.effects import Notify, SubmitOrder, SubmitPair
from bot.core.facts import FillBooked, LotClosed
from bot.core.inputs import Closing, IntentFailed, IntentStored, TradingState
from bot.core.market import Side
from bot.core.orders import Leg, OrderState, OrderType
from bot.core.sizing import FixedFraction
from bot.core.targets import TargetRules
from tests.core.guards import guarded, guards, the_guard
from tests.core.pairs import PAIRS, accepted, bought, closed, paired, paired_config, sells, the_pair
from tests.factories import BTC, QC, RULE, DeskHarness, a_source

BUY, SELL = Action.BUY, Action.SELL


# One pair, of the right kind.


def test_a_position_with_both_levels_is_guarded_by_one_pair() -> None:
    desk = paired()
    stop, target = (order.request for order in the_pair(desk))
    assert (stop.type, stop.side, stop.amount, stop.trigger, stop.price) == (
        OrderType.STOP,
        Side.SELL,
        Decimal(10),
        Decimal(90),
        None,
    )
    assert (target.type, target.side, target.amount, target.price, target.trigger) == (
        OrderType.LIMIT, Side.SELL, Decimal(10), Decimal(120), None,
    )  # fmt: skip
    assert (stop.leg, target.leg) == (Leg.STOP_LOSS, Leg.TAKE_PROFIT)
    assert stop.reduce_only
    assert target.reduce_only
    assert target.reference == 120.0
    assert desk.venue.pairs == [(stop, target)]
    assert len(desk.asked(SubmitOrder)) == 1
    desk.quote(100)
    desk.wait(200_000)
    assert len(desk.venue.orders) == 3
    assert desk.venue.cancels == []


@pytest.mark.parametrize(("level", "price"), [(120.0, "120.00"), (120.001, "120.01"), (119.999, "120.00")])
def test_the_target_pays_no_less_than_its_level(level: float, price: str) -> None:
    assert the_pair(paired(take_profit=level))[1].request.price == Decimal(price)


def test_a_position_with_a_stop_alone_is_guarded_by_a_stop_and_one_with_a_target_alone_by_nothing() -> None:
    desk = guarded(DeskHarness(paired_config()))
    assert the_guard(desk).request.trigger == 90
    alone = DeskHarness(paired_config())
    alone.quote(100)
    alone.buys(take_profit=120.0)
    assert guards(alone) == []
    alone.quote(120)
    assert sells(alone) == [(Leg.TAKE_PROFIT, Decimal(10))]


def test_a_target_that_is_reached_already_is_left_to_the_desk() -> None:
    desk = DeskHarness(paired_config())
    desk.quote(100)
    desk.propose(stop_loss=90.0, take_profit=110.0)
    desk.quote(111)
    desk.fill(price="111")
    assert guards(desk) == []
    desk.quote(111, after=1)
    assert sells(desk) == [(Leg.TAKE_PROFIT, Decimal(10))]


def test_a_short_is_guarded_by_a_pair_that_buys() -> None:
    targets = TargetRules({"plain": FixedFraction(0.10)}, "plain", allow_short=True)
    desk = DeskHarness(paired_config(targets=targets))
    desk.quote(100)
    desk.propose(SELL, stop_loss=110.0, take_profit=80.001)
    desk.fill()
    stop, target = the_pair(desk)
    assert (stop.request.side, stop.request.trigger) == (Side.BUY, Decimal(110))
    assert (target.request.side, target.request.price) == (Side.BUY, Decimal("80.00"))


def test_a_target_never_lapses_as_an_entry_does() -> None:
    desk = paired(DeskHarness(paired_config(trading=replace(PAIRS, entry_ttl_ms=1_000))))
    desk.wait(100_000)
    assert desk.venue.cancels == []


# Both are durable before either is sent.


def test_a_pair_is_sent_once_both_intents_are_stored_whichever_is_first() -> None:
    for last in (0, 1):
        desk = bought()
        pair = the_pair(desk)
        for order in (pair[1 - last], pair[1 - last]):
            desk.turn(IntentStored(desk.now, order.request.id))
            assert desk.asked(SubmitPair) == []
        desk.turn(IntentStored(desk.now, pair[last].request.id))
        assert [(one.stop, one.target) for one in desk.asked(SubmitPair)] == [(pair[0].request, pair[1].request)]
        desk.turn(IntentStored(desk.now, pair[last].request.id))
        assert len(desk.asked(SubmitPair)) == 1


@pytest.mark.parametrize("first", [None, 0, 1])
def test_where_one_intent_cannot_be_stored_neither_is_sent_and_both_are_asked_for_again(first: int | None) -> None:
    desk = bought()
    pair = the_pair(desk)
    if first is not None:
        desk.turn(IntentStored(desk.now, pair[first].request.id))
    failed = pair[1 if first is None else 1 - first]
    desk.turn(IntentFailed(desk.now, failed.request.id, "disk full"))
    assert guards(desk) == []
    for order in pair:
        desk.turn(IntentStored(desk.now, order.request.id))
    assert desk.asked(SubmitPair) == []
    assert [order.state for order in pair] == [OrderState.CANCELLED] * 2
    desk.stores = True
    desk.wait(2_000)
    assert len(desk.asked(SubmitPair)) == 1
    assert len([note for note in desk.asked(Notify) if note.title == "No stop rests at the venue"]) == 1


def test_a_pair_is_not_sent_after_a_halt_that_came_between_its_intents() -> None:
    desk = bought()
    pair = the_pair(desk)
    desk.turn(IntentStored(desk.now, pair[0].request.id))
    desk.command(TradingState.HALTED)
    desk.turn(IntentStored(desk.now, pair[1].request.id))
    assert desk.asked(SubmitPair) == []
    assert guards(desk) == []


def test_a_pair_whose_stop_was_touched_before_it_was_sent_is_not_sent() -> None:
    desk = bought()
    pair = the_pair(desk)
    desk.turn(IntentStored(desk.now, pair[0].request.id))
    desk.quote(89)
    desk.stores = True
    desk.turn(IntentStored(desk.now, pair[1].request.id))
    assert desk.asked(SubmitPair) == []
    assert sells(desk) == [(Leg.STOP_LOSS, Decimal(10))]


# One cancels the other.


def test_a_target_that_fills_ends_the_position_and_leaves_nothing_to_sell() -> None:
    desk = paired()
    stop, target = the_pair(desk)
    closed(desk, stop, how=Closing.EXPIRED)
    desk.fill(price="120", order=target.request)
    assert desk.position() == 0
    assert desk.of(LotClosed)[-1].closing_leg == Leg.TAKE_PROFIT.value
    assert desk.of(FillBooked)[-1].slippage == pytest.approx(0.0)
    assert desk.desk.state.bench(BTC).resting is None
    desk.quote(121)
    desk.wait(10_000)
    assert sells(desk) == []
    assert desk.venue.cancels == []
    assert desk.asked(Notify) == []


def test_the_end_of_the_other_may_be_told_late_and_is_awaited() -> None:
    desk = paired()
    stop, target = the_pair(desk)
    desk.fill(price="90", order=stop.request)
    assert desk.position() == 0
    assert guards(desk) == [target]
    desk.propose(BUY, QC, stop_loss=80.0, take_profit=130.0)
    desk.accept()
    desk.fill(price="90")
    assert guards(desk) == [target]
    closed(desk, target, how=Closing.EXPIRED)
    assert the_pair(desk)[1].request.price == 130
    assert desk.asked(Notify) == []


def test_a_decision_that_sells_takes_both_back_and_waits_for_both_ends() -> None:
    desk = paired()
    stop, target = the_pair(desk)
    sell = desk.propose(SELL, QC)
    assert sorted(desk.venue.cancels) == sorted([stop.request.id, target.request.id])
    closed(desk, target)
    assert sells(desk) == []
    desk.quote(99)
    assert sells(desk) == []
    closed(desk, stop)
    assert sells(desk) == [(Leg.EXIT, Decimal(10))]
    desk.fill(price="99")
    assert desk.fate(sell) is Fate.EXECUTED
    assert guards(desk) == []


def test_a_touched_target_gives_the_venue_a_moment_and_then_the_desk_sells_by_itself() -> None:
    desk = paired()
    stop, target = the_pair(desk)
    desk.quote(120)
    desk.wait(1_999)
    desk.quote(120)
    assert desk.venue.cancels == []
    desk.wait(1)
    assert len(desk.venue.cancels) == 2
    assert sells(desk) == []
    closed(desk, stop, target)
    assert sells(desk) == [(Leg.TAKE_PROFIT, Decimal(10))]


def test_a_touched_target_that_the_market_has_left_meanwhile_goes_on_resting() -> None:
    desk = paired()
    pair = the_pair(desk)
    desk.quote(120)
    desk.quote(110)
    desk.wait(10_000)
    assert the_pair(desk) == pair
    assert desk.venue.cancels == []


def test_a_crash_through_the_stop_does_not_wait_for_the_moment_of_the_target() -> None:
    desk = paired()
    pair = the_pair(desk)
    desk.quote(120)
    desk.quote(89, after=1_500)
    desk.wait(1_999)
    assert desk.venue.cancels == []
    desk.wait(1)
    assert len(desk.venue.cancels) == 2
    closed(desk, *pair)
    assert sells(desk) == [(Leg.STOP_LOSS, Decimal(10))]


def test_what_a_partly_filled_target_leaves_is_guarded_anew() -> None:
    desk = paired()
    stop, target = the_pair(desk)
    closed(desk, stop, how=Closing.EXPIRED)
    desk.fill("4", "120", target.request)
    assert desk.venue.cancels == []
    desk.wait(2_000)
    assert desk.venue.cancels == [target.request.id]
    closed(desk, target)
    again = the_pair(desk)
    assert [order.request.amount for order in again] == [Decimal(6)] * 2
    assert sells(desk) == []
    assert desk.asked(Notify) == []
    accepted(desk)
    desk.wait(100_000)
    assert the_pair(desk) == again


def test_a_partly_filled_target_that_fills_in_its_moment_leaves_nothing_to_guard() -> None:
    desk = paired()
    stop, target = the_pair(desk)
    desk.fill("4", "120", target.request)
    closed(desk, stop, how=Closing.EXPIRED)
    desk.fill("6", "120", target.request)
    desk.wait(10_000)
    assert desk.position() == 0
    assert desk.venue.cancels == []
    assert guards(desk) == []


def test_the_rest_of_a_target_is_sold_while_the_market_is_at_it() -> None:
    desk = paired()
    stop, target = the_pair(desk)
    closed(desk, stop, how=Closing.EXPIRED)
    desk.fill("4", "120", target.request)
    desk.quote(120)
    desk.wait(2_000)
    closed(desk, target)
    assert sells(desk) == [(Leg.TAKE_PROFIT, Decimal(6))]


def test_a_stop_touched_while_half_of_the_target_rests_takes_the_rest_back_and_sells_it() -> None:
    desk = paired()
    stop, target = the_pair(desk)
    closed(desk, stop, how=Closing.EXPIRED)
    desk.fill("4", "120", target.request)
    desk.quote(89)
    assert desk.venue.cancels == [target.request.id]
    closed(desk, target)
    assert sells(desk) == [(Leg.STOP_LOSS, Decimal(6))]


def test_what_a_partly_filled_stop_leaves_is_sold_once_the_target_has_ended_too() -> None:
    desk = paired()
    stop, target = the_pair(desk)
    desk.fill("4", "90", stop.request)
    closed(desk, stop, how=Closing.EXPIRED)
    assert sells(desk) == []
    closed(desk, target, how=Closing.EXPIRED)
    assert sells(desk) == [(Leg.STOP_LOSS, Decimal(6))]


@pytest.mark.parametrize("gone", [0, 1])
def test_half_a_pair_that_stays_behind_is_taken_back_and_guarded_anew_after_a_while(gone: int) -> None:
    desk = paired()
    pair = the_pair(desk)
    closed(desk, pair[gone], how=Closing.EXPIRED)
    desk.quote(101)
    desk.wait(1_999)
    assert desk.venue.cancels == []
    desk.wait(1)
    left = pair[1 - gone]
    assert desk.venue.cancels == [left.request.id]
    closed(desk, left)
    assert len(desk.venue.pairs) == 2
    assert len(guards(desk)) == 2


def test_a_trailing_stop_that_moves_takes_the_pair_back_and_places_another_when_both_have_ended() -> None:
    desk = paired(stop_loss=None, trailing=0.05)
    stop, target = the_pair(desk)
    desk.quote(101, after=2_000)
    assert len(desk.venue.cancels) == 2
    closed(desk, stop)
    assert len(desk.venue.pairs) == 1
    closed(desk, target)
    again = the_pair(desk)
    assert (again[0].request.trigger, again[1].request.price) == (Decimal("95.95"), Decimal(120))
    assert {order.request.id for order in again}.isdisjoint({stop.request.id, target.request.id})


def test_a_bigger_position_gets_a_bigger_pair_after_the_smaller_one_has_ended() -> None:
    desk = paired(DeskHarness(paired_config(), sources=(a_source(RULE, adds=True),)))
    pair = the_pair(desk)
    desk.propose(stop_loss=92.0, take_profit=125.0)
    desk.accept()
    desk.fill()
    assert len(desk.venue.cancels) == 2
    closed(desk, *pair)
    assert [order.request.amount for order in the_pair(desk)] == [desk.position()] * 2
    assert the_pair(desk)[1].request.price == 125


def test_levels_without_a_stop_take_the_pair_back() -> None:
    desk = paired(DeskHarness(paired_config(), sources=(a_source(RULE, adds=True),)))
    pair = the_pair(desk)
    desk.propose(take_profit=125.0)
    desk.accept()
    desk.fill()
    closed(desk, *pair)
    assert guards(desk) == []
    assert len(desk.venue.pairs) == 1


# What the venue will not do.


def test_a_refused_pair_is_said_once_watched_by_the_desk_and_asked_for_ever_more_patiently() -> None:
    desk = DeskHarness(paired_config())
    desk.quote(100)
    desk.buys(stop_loss=90.0, take_profit=120.0)
    waits = []
    for _ in range(8):
        sent, before = len(desk.venue.pairs), desk.now
        for order in the_pair(desk):
            desk.refuse(order.request, "no pairs here")
        assert guards(desk) == []
        while len(desk.venue.pairs) == sent:
            desk.wait(500)
            desk.quote(100)
        waits.append(desk.now - before)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (2_000, 60_000)
    assert [note.title for note in desk.asked(Notify)] == ["No stop rests at the venue"]
    for order in the_pair(desk):
        desk.refuse(order.request)
    desk.quote(89)
    assert sells(desk) == [(Leg.STOP_LOSS, Decimal(10))]


def test_a_pair_refused_because_its_target_was_reached_in_flight_makes_the_desk_sell() -> None:
    desk = DeskHarness(paired_config())
    desk.quote(100)
    desk.buys(stop_loss=90.0, take_profit=110.0)
    pair = the_pair(desk)
    desk.quote(111)
    for order in pair:
        desk.refuse(order.request, "would take")
    assert sells(desk) == [(Leg.TAKE_PROFIT, Decimal(10))]


def test_the_symbol_stays_frozen_until_both_of_an_unknown_pair_are_known() -> None:
    for first in (0, 1):
        desk = DeskHarness(paired_config())
        desk.quote(100)
        desk.buys(stop_loss=90.0, take_profit=120.0)
        pair = the_pair(desk)
        for order in pair:
            desk.lose(order.request)
        sell = desk.propose(SELL, QC)
        desk.accept(pair[first].request)
        assert BTC in desk.desk.state.risk.frozen
        desk.accept(pair[1 - first].request)
        assert desk.desk.state.risk.frozen == {}
        desk.wait(1_000)
        assert len(desk.venue.cancels) == 2
        closed(desk, *pair)
        assert sells(desk) == [(Leg.EXIT, Decimal(10))]
        desk.fill()
        assert desk.fate(sell) is Fate.EXECUTED


def test_an_unknown_pair_that_never_lived_is_asked_for_again() -> None:
    desk = DeskHarness(paired_config())
    desk.quote(100)
    desk.buys(stop_loss=90.0, take_profit=120.0)
    pair = the_pair(desk)
    for order in pair:
        desk.lose(order.request)
    desk.refuse(pair[1].request, "the venue has no such order")
    desk.refuse(pair[0].request, "the venue has no such order")
    desk.wait(2_000)
    assert len(desk.venue.pairs) == 2
    assert desk.desk.state.risk.frozen == {}
