"""Promises about orders: targets, intents, three outcomes and cancels."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.core.decision import Action, Fate
from bot.core.effects import StoreIntent, SubmitOrder
from bot.core.facts import DecisionFilled
from bot.core.inputs import CancelRefused, Closing, IntentFailed, IntentStored, OrderNotSent, TradingState
from bot.core.orders import Leg, OrderState, OrderType
from bot.core.tracking import TradingRules
from tests.core.desks import ready
from tests.factories import LLM, QC, RULE, DeskHarness, a_source

BUY, SELL = Action.BUY, Action.SELL
LIMIT = TradingRules(entry=OrderType.LIMIT, entry_ttl_ms=10**9)


# Targets, not deltas.


def test_a_repeated_buy_does_not_pyramid() -> None:
    desk = ready()
    desk.buys()
    again = desk.propose(BUY)
    assert desk.fate(again) is Fate.ALREADY_AT_TARGET
    assert desk.position() == 10


def test_a_working_order_counts_towards_the_target() -> None:
    desk = ready()
    first = desk.propose(BUY, LLM)
    second = desk.propose(BUY, QC)
    assert len(desk.venue.orders) == 1
    assert desk.fate(second) is Fate.ALREADY_AT_TARGET
    desk.fill()
    assert desk.fate(first) is Fate.EXECUTED


def test_only_a_source_marked_adds_builds_on_what_is_there() -> None:
    desk = DeskHarness(sources=(a_source(RULE, adds=True),))
    desk.quote(100)
    desk.buys()
    desk.buys()
    assert desk.position() == 20


def test_a_sell_without_a_position_has_nothing_to_sell() -> None:
    desk = ready()
    assert desk.fate(desk.propose(SELL)) is Fate.NOTHING_TO_SELL
    assert not desk.intents


def test_an_executed_decision_is_told_at_its_first_fill_and_its_filled_fraction_at_the_end() -> None:
    desk = ready(LIMIT)
    decision = desk.propose()
    desk.accept()
    desk.fill("4")
    assert desk.fate(decision) is Fate.EXECUTED
    desk.close("4")
    assert [fact.filled_fraction for fact in desk.of(DecisionFilled)] == [0.4]


# Intent before request.


def test_an_order_is_not_sent_before_its_intent_is_stored() -> None:
    desk = ready(stores=False)
    desk.propose()
    assert len(desk.asked(StoreIntent)) == 1
    assert not desk.asked(SubmitOrder)
    desk.turn(IntentStored(desk.now, desk.intents[0].id))
    assert [effect.request.id for effect in desk.asked(SubmitOrder)] == [desk.intents[0].id]
    desk.turn(IntentStored(desk.now, desk.intents[0].id))
    assert len(desk.asked(SubmitOrder)) == 1


def test_an_intent_that_cannot_be_stored_is_not_sent_and_the_wish_is_retried() -> None:
    desk = ready(stores=False)
    decision = desk.propose()
    desk.turn(IntentFailed(desk.now, desk.intents[0].id, "disk full"))
    assert not desk.asked(SubmitOrder)
    assert desk.fate(decision) is None
    desk.wait(1_000)
    assert len(desk.intents) == 2
    assert desk.intents[0].id != desk.intents[1].id
    desk.turn(IntentStored(desk.now, desk.intents[1].id))
    assert [effect.request.id for effect in desk.asked(SubmitOrder)] == [desk.intents[1].id]


def test_an_exit_whose_intent_cannot_be_stored_is_retried_until_it_can() -> None:
    desk = ready()
    desk.buys(stop_loss=90.0)
    desk.stores = False
    desk.quote(89)
    for number in range(3):
        desk.turn(IntentFailed(desk.now, desk.intents[-1].id, "disk full"))
        desk.wait(1_000)
        assert len(desk.intents) == number + 3
    desk.turn(IntentStored(desk.now, desk.intents[-1].id))
    assert desk.order.leg is Leg.STOP_LOSS


def test_a_decision_whose_order_was_cancelled_before_its_intent_failed_meets_its_fate() -> None:
    desk = ready(stores=False)
    decision = desk.propose(BUY, LLM)
    desk.propose(SELL, QC)
    desk.turn(IntentFailed(desk.now, desk.intents[0].id, "disk full"))
    assert desk.fate(decision) is Fate.OUTRANKED
    desk.wait(2_000)
    assert desk.fateless() == []


def test_an_order_that_was_cancelled_before_its_intent_was_stored_is_never_sent() -> None:
    desk = ready(stores=False)
    decision = desk.propose(lasts=5_000)
    desk.wait(5_000)
    desk.turn(IntentStored(desk.now, desk.intents[0].id))
    assert not desk.asked(SubmitOrder)
    assert desk.fate(decision) is Fate.EXPIRED


@pytest.mark.parametrize("state", [TradingState.HALTED, TradingState.REDUCING])
def test_the_trading_state_is_checked_again_between_intent_and_send(state: TradingState) -> None:
    desk = ready(stores=False)
    decision = desk.propose()
    desk.command(state)
    desk.turn(IntentStored(desk.now, desk.intents[0].id))
    assert not desk.asked(SubmitOrder)
    assert desk.fate(decision) is Fate.CANCELLED


def test_a_reduction_larger_than_the_position_it_meets_is_not_sent() -> None:
    desk = ready()
    desk.buys()
    sell = desk.propose(SELL, lasts=1_000)
    first = desk.order
    desk.accept()
    desk.wait(1_000)
    desk.close("0", first)
    assert desk.fate(sell) is Fate.EXPIRED
    desk.stores = False
    desk.propose(SELL)
    desk.fill("6", order=first)
    desk.turn(IntentStored(desk.now, desk.intents[-1].id))
    assert len(desk.venue.orders) == 2
    assert desk.position() == 4


# Three outcomes.


def test_an_unknown_order_freezes_its_symbol_and_not_the_bot() -> None:
    desk = ready()
    desk.quote(100, symbol="ETH/USDT")
    desk.propose(BUY, RULE)
    lost = desk.order
    desk.lose()
    blocked = desk.propose(BUY, QC, size_fraction=0.5)
    free = desk.propose(BUY, QC, symbol="ETH/USDT")
    assert desk.order.decision_id == free.id
    assert len(desk.venue.orders) == 2
    desk.refuse(lost)
    desk.wait(1_000)
    assert desk.desk.state.risk.frozen == {}
    assert desk.fate(blocked) is not Fate.EXECUTED
    assert desk.fate(lost.decision_id or "") is Fate.REJECTED_BY_VENUE


def test_an_unknown_order_is_never_sent_again() -> None:
    desk = ready()
    desk.propose(lasts=600_000)
    desk.lose()
    desk.wait(300_000)
    assert len(desk.venue.orders) == 1


def test_an_unknown_order_that_was_to_be_cancelled_is_cancelled_once_it_is_known() -> None:
    desk = ready(LIMIT)
    desk.propose(lasts=5_000)
    desk.lose()
    desk.wait(5_000)
    assert not desk.venue.cancels
    desk.accept()
    assert desk.venue.cancels == [desk.order.id]


def test_an_unknown_order_that_a_fill_makes_known_is_cancelled_if_it_was_to_be() -> None:
    desk = ready(LIMIT)
    desk.propose(lasts=5_000)
    desk.lose()
    desk.wait(5_000)
    desk.fill("4")
    assert desk.venue.cancels == [desk.order.id]


def test_a_refused_order_is_rejected_by_the_venue_and_stands_no_more() -> None:
    desk = ready()
    decision = desk.propose(BUY, QC)
    desk.refuse()
    assert desk.fate(decision) is Fate.REJECTED_BY_VENUE
    desk.propose(BUY, RULE)
    assert len(desk.venue.orders) == 2


def test_an_entry_that_the_venue_ends_is_unfilled_and_not_sent_again() -> None:
    desk = ready()
    decision = desk.propose()
    desk.close("0", how=Closing.EXPIRED)
    desk.wait(10_000)
    assert desk.fate(decision) is Fate.UNFILLED
    assert len(desk.venue.orders) == 1


def test_a_limit_entry_that_does_not_fill_in_time_is_cancelled_and_unfilled() -> None:
    desk = ready(TradingRules(entry=OrderType.LIMIT, entry_ttl_ms=5_000))
    decision = desk.propose()
    desk.accept()
    desk.wait(5_000)
    desk.close("0")
    assert desk.fate(decision) is Fate.UNFILLED


# What stayed here.


def test_a_sell_that_could_not_leave_is_tried_again_and_leaves() -> None:
    desk = ready()
    desk.buys()
    decision = desk.propose(SELL)
    desk.turn(OrderNotSent(desk.now, desk.order.id, "the limit is used up", 3_000))
    assert desk.fate(decision) is None
    desk.wait(2_900)
    assert len(desk.venue.orders) == 2
    desk.quote(100, after=200)
    desk.wait(0)
    assert (desk.order.leg, desk.order.decision_id) == (Leg.EXIT, decision.id)
    desk.fill()
    assert desk.fate(decision) is Fate.EXECUTED
    assert desk.position() == 0


def test_a_decision_whose_order_never_could_leave_ends_with_its_time() -> None:
    desk = ready()
    decision = desk.propose(BUY, lasts=10_000)
    sent = 0
    while desk.fate(decision) is None:
        if len(desk.venue.orders) > sent:
            sent = len(desk.venue.orders)
            desk.turn(OrderNotSent(desk.now, desk.order.id, "the circuit is open", 1_000))
        desk.quote(100, after=500)
        desk.wait(0)
    assert desk.fate(decision) is Fate.EXPIRED
    assert 5 < sent <= 10
    assert len({order.id for order in desk.venue.orders}) == sent


def test_a_stop_that_could_not_leave_goes_when_the_venue_may_be_asked_again() -> None:
    desk = ready()
    desk.buys(stop_loss=95.0)
    desk.quote(94)
    for _ in range(8):
        assert desk.order.leg is Leg.STOP_LOSS
        desk.turn(OrderNotSent(desk.now, desk.order.id, "the circuit is open", 1_500))
        desk.wait(1_500)
    assert len(desk.venue.orders) == 10
    desk.fill()
    assert desk.position() == 0


def test_an_order_that_the_venue_told_of_was_sent_whatever_we_say() -> None:
    desk = ready()
    desk.propose(BUY)
    desk.accept()
    desk.turn(OrderNotSent(desk.now, desk.order.id, "busy", 1))
    assert desk.desk.state.orders[desk.order.id].state is OrderState.OPEN


# Cancels.


def test_a_refused_cancel_is_asked_again_while_the_order_lives_ever_more_patiently() -> None:
    desk = ready(LIMIT)
    desk.propose()
    desk.accept()
    desk.command(TradingState.HALTED)
    waits = []
    for _ in range(6):
        before = desk.now
        asked = len(desk.venue.cancels)
        desk.turn(CancelRefused(desk.now, desk.order.id, "busy"))
        while len(desk.venue.cancels) == asked:
            desk.wait(100)
        waits.append(desk.now - before)
    assert waits == sorted(waits)
    assert waits[-1] >= 2 * waits[1]
    desk.close("0")
    asked = len(desk.venue.cancels)
    desk.wait(600_000)
    assert len(desk.venue.cancels) == asked


def test_a_contrary_verdict_on_a_partly_filled_entry_cancels_waits_and_recomputes() -> None:
    desk = ready(LIMIT)
    desk.propose(BUY, RULE)
    entry = desk.order
    desk.accept()
    desk.fill("3")
    sell = desk.propose(SELL, QC)
    assert desk.venue.cancels == [entry.id]
    assert len(desk.venue.orders) == 1
    desk.fill("1", order=entry)
    desk.close("4", entry)
    assert (desk.order.leg, desk.order.amount, desk.order.decision_id) == (Leg.EXIT, Decimal(4), sell.id)


def test_a_contrary_verdict_also_waits_for_an_entry_that_has_not_filled_yet() -> None:
    desk = ready(LIMIT)
    entered = desk.propose(BUY, RULE)
    entry = desk.order
    desk.accept()
    sell = desk.propose(SELL, QC)
    assert desk.fate(sell) is None
    desk.fill("2", order=entry)
    desk.close("2", entry)
    assert (desk.order.amount, desk.order.decision_id) == (Decimal(2), sell.id)
    assert desk.fate(entered) is Fate.EXECUTED


def test_a_contrary_verdict_that_finds_nothing_has_nothing_to_sell() -> None:
    desk = ready(LIMIT)
    entered = desk.propose(BUY, RULE)
    desk.accept()
    sell = desk.propose(SELL, QC)
    desk.close("0")
    assert desk.fate(entered) is Fate.OUTRANKED
    assert desk.fate(sell) is Fate.NOTHING_TO_SELL


def test_a_contrary_verdict_cancels_an_entry_that_an_earlier_decision_left_working() -> None:
    desk = ready(LIMIT)
    desk.propose(BUY, RULE)
    desk.accept()
    desk.propose(BUY, LLM)
    sell = desk.propose(SELL, QC)
    assert desk.venue.cancels == [desk.venue.orders[0].id]
    desk.fill("10", order=desk.venue.orders[0])
    assert desk.order.decision_id == sell.id


def test_a_buy_over_a_working_exit_waits_for_it_and_recomputes() -> None:
    desk = ready()
    desk.buys(source=RULE)
    desk.propose(SELL, RULE)
    exit_order = desk.order
    desk.accept()
    buy = desk.propose(BUY, QC)
    assert desk.venue.cancels == [exit_order.id]
    desk.fill("6", order=exit_order)
    desk.close("6", exit_order)
    assert (desk.order.amount, desk.order.decision_id) == (Decimal(6), buy.id)


def test_an_exit_that_the_venue_ends_halfway_goes_on() -> None:
    desk = ready()
    desk.buys()
    desk.propose(SELL)
    desk.fill("4")
    desk.close("4", how=Closing.EXPIRED)
    assert (desk.order.leg, desk.order.amount) == (Leg.EXIT, Decimal(6))
    desk.fill("6")
    assert desk.position() == 0
    assert len(desk.venue.orders) == 3
