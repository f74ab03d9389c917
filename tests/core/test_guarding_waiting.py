"""Promises of who waits for a stop at the venue: nobody sells what it locks, and what the venue will not keep is not forced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.decision import Action, Decision, Denial, Fate
from bot.core.effects import Notify, SubmitOrder
from bot.core.inputs import (
    CancelRefused,
    Closing,
    IntentFailed,
    IntentStored,
    OrderAdopted,
    SourceJoined,
    SourceLeft,
    TradingState,
)
from bot.core.orders import Leg
from tests.core.desks import OTHER_RULE, state_of
from tests.core.guards import guarded, guarded_config, guards, sold, the_guard
from tests.factories import BTC, LLM, NO_LIMITS, QC, RULE, DeskHarness, a_source

BUY, SELL = Action.BUY, Action.SELL


# Whoever sells lets it go first.


def test_a_decision_that_sells_takes_the_guard_back_awaits_its_end_and_then_sells() -> None:
    desk = guarded()
    guard = the_guard(desk).request
    sell = desk.propose(SELL, QC)
    assert desk.venue.cancels == [guard.id]
    assert sold(desk) == []
    desk.quote(99)
    assert sold(desk) == []
    desk.close("0", guard)
    assert [(order.leg, order.amount) for order in sold(desk)] == [(Leg.EXIT, Decimal(10))]
    desk.fill(price="99")
    assert desk.fate(sell) is Fate.EXECUTED
    assert guards(desk) == []


def test_a_guard_that_fills_while_a_decision_waits_leaves_it_nothing_to_sell() -> None:
    desk = guarded()
    guard = the_guard(desk).request
    sell = desk.propose(SELL, QC)
    desk.fill(price="90", order=guard)
    assert sold(desk) == []
    assert desk.fate(sell) is Fate.NOTHING_TO_SELL


def test_a_sell_that_lapses_while_the_guard_ends_leaves_the_position_guarded_again() -> None:
    desk = guarded()
    guard = the_guard(desk).request
    sell = desk.propose(SELL, QC, lasts=1_000)
    desk.wait(1_000)
    assert desk.fate(sell) is Fate.EXPIRED
    desk.close("0", guard)
    assert sold(desk) == []
    assert the_guard(desk).request.id != guard.id


def test_a_target_takes_the_guard_back_before_it_sells() -> None:
    desk = guarded(stop_loss=90.0, take_profit=110.0)
    guard = the_guard(desk).request
    desk.quote(110)
    assert desk.venue.cancels == [guard.id]
    assert sold(desk) == []
    desk.close("0", guard)
    assert [order.leg for order in sold(desk)] == [Leg.TAKE_PROFIT]


def blocked_winner() -> tuple[DeskHarness, Decision, Decision]:
    """A guarded desk on which a buy that won is held back, and two sources asked to sell: the first is let through."""
    limits, names = replace(NO_LIMITS, price_collar=0.01), (LLM, RULE, OTHER_RULE)
    desk = DeskHarness(guarded_config(limits), [a_source(name, adds=name == LLM) for name in names])
    guarded(desk, stop_loss=90.0)
    for name in names:
        desk.turn(SourceJoined(desk.now, a_source(name, settle_ms=250, adds=name == LLM)))
    desk.propose(BUY, LLM, price=50.0)
    first = desk.propose(SELL, RULE, confidence=0.8)
    second = desk.propose(SELL, OTHER_RULE)
    desk.wait(250)
    assert desk.desk.state.bench(BTC).refused is Denial.PRICE_COLLAR
    return desk, first, second


def test_an_exit_that_a_blocked_winner_lets_through_waits_for_the_guard_too() -> None:
    desk, first, second = blocked_winner()
    guard = the_guard(desk).request
    assert desk.venue.cancels == [guard.id]
    desk.close("0", guard)
    assert [(order.leg, order.decision_id) for order in sold(desk)] == [(Leg.EXIT, first.id)]
    desk.fill()
    assert (desk.fate(first), desk.fate(second)) == (Fate.EXECUTED, Fate.OUTRANKED)
    assert desk.position() == 0


def test_an_exit_let_through_waits_for_a_second_guard_that_a_crash_left() -> None:
    desk, first, _ = blocked_winner()
    guard = the_guard(desk).request
    other = replace(guard, id="another", attempt=99)
    desk.turn(OrderAdopted(desk.now, other))
    desk.accept(other)
    desk.close("0", guard)
    assert sold(desk) == []
    desk.close("0", other)
    assert [order.decision_id for order in sold(desk)] == [first.id]


@pytest.mark.parametrize(
    ("meanwhile", "fate"),
    [
        (lambda desk, sell: desk.fill(price="90", order=the_guard(desk).request), Fate.NOTHING_TO_SELL),
        (lambda desk, sell: desk.turn(SourceLeft(desk.now, sell.source)), Fate.CANCELLED),
        (lambda desk, sell: desk.wait(60_000), Fate.EXPIRED),
        (lambda desk, sell: desk.command(TradingState.HALTED), Fate.DENIED),
        (lambda desk, sell: desk.command(TradingState.HALTED, flatten=True), Fate.CANCELLED),
    ],
)
def test_an_exit_let_through_meets_one_fate_whatever_happens_before_the_guard_ends(
    meanwhile: Callable[[DeskHarness, Decision], None], fate: Fate
) -> None:
    desk, sell, _ = blocked_winner()
    meanwhile(desk, sell)
    for guard in guards(desk):
        desk.close("0", guard.request)
    assert desk.fate(sell) is fate


# States and commands.


def test_reducing_and_halting_leave_the_guard_where_it_is() -> None:
    desk = guarded()
    desk.command(TradingState.REDUCING)
    desk.command(TradingState.HALTED)
    desk.quote(95)
    desk.wait(10_000)
    assert desk.venue.cancels == []
    desk.quote(89)
    desk.wait(10_000)
    assert desk.venue.cancels == []
    assert len(guards(desk)) == 1
    desk.fill(price="89", order=the_guard(desk).request)
    assert desk.position() == 0
    assert desk.desk.state.bench(BTC).exit is None


def test_a_halted_desk_asks_for_no_guard_and_a_resumed_one_does() -> None:
    desk = DeskHarness(guarded_config())
    desk.quote(100)
    desk.propose(stop_loss=90.0)
    desk.command(TradingState.HALTED)
    desk.fill()
    desk.quote(99)
    assert guards(desk) == []
    desk.command(TradingState.ACTIVE)
    assert the_guard(desk).request.amount == 10


def test_a_guard_whose_intent_is_stored_after_a_halt_is_not_sent() -> None:
    desk = DeskHarness(guarded_config())
    desk.quote(100)
    desk.propose(stop_loss=90.0)
    desk.stores = False
    desk.fill()
    guard = the_guard(desk).request
    desk.command(TradingState.HALTED)
    desk.turn(IntentStored(desk.now, guard.id))
    assert len(desk.asked(SubmitOrder)) == 1
    assert guards(desk) == []
    desk.stores = True
    desk.command(TradingState.ACTIVE)
    desk.wait(2_000)
    assert len(guards(desk)) == 1


def test_a_kill_with_flatten_takes_guards_back_first_sells_and_halts() -> None:
    desk = guarded()
    guard = the_guard(desk).request
    desk.command(TradingState.HALTED, flatten=True)
    assert desk.venue.cancels == [guard.id]
    assert sold(desk) == []
    desk.close("0", guard)
    assert [order.leg for order in sold(desk)] == [Leg.FLATTEN]
    desk.fill()
    assert state_of(desk) is TradingState.HALTED


def test_a_flatten_whose_guard_fills_instead_halts_too() -> None:
    desk = guarded()
    desk.command(TradingState.HALTED, flatten=True)
    desk.fill(price="95", order=the_guard(desk).request)
    assert sold(desk) == []
    assert state_of(desk) is TradingState.HALTED


# What the venue will not do.


def test_a_refused_guard_is_said_once_and_asked_for_ever_more_patiently() -> None:
    desk = DeskHarness(guarded_config())
    desk.quote(100)
    desk.buys(stop_loss=90.0)
    waits = []
    for _ in range(9):
        sent, before = len(desk.venue.orders), desk.now
        desk.refuse(reason="no stops here")
        assert guards(desk) == []
        while len(desk.venue.orders) == sent:
            desk.wait(500)
            desk.quote(100)
        waits.append(desk.now - before)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (2_000, 60_000)
    assert [note.title for note in desk.asked(Notify)] == ["No stop rests at the venue"]


def test_while_no_guard_is_kept_the_desk_watches_the_level_itself() -> None:
    desk = DeskHarness(guarded_config())
    desk.quote(100)
    desk.buys(stop_loss=90.0)
    desk.refuse()
    desk.quote(89)
    assert [order.leg for order in sold(desk)] == [Leg.STOP_LOSS]
    desk.fill(price="89")
    desk.wait(100_000)
    assert len(desk.venue.orders) == 3


def test_a_guard_refused_because_its_level_was_reached_in_flight_makes_the_desk_sell_at_once() -> None:
    desk = DeskHarness(guarded_config())
    desk.quote(100)
    desk.buys(stop_loss=90.0)
    desk.quote(89)
    desk.refuse(the_guard(desk).request, "the stop would trigger immediately")
    assert [order.leg for order in sold(desk)] == [Leg.STOP_LOSS]


def test_a_guard_that_the_venue_ends_unfilled_comes_back_after_a_while() -> None:
    desk = guarded()
    desk.close("0", how=Closing.EXPIRED)
    assert guards(desk) == []
    desk.wait(1_999)
    assert guards(desk) == []
    desk.wait(1)
    assert len(guards(desk)) == 1


def test_a_guard_that_rested_long_and_then_ended_is_a_new_misfortune() -> None:
    desk = guarded()
    for number in range(2):
        desk.wait(60_001)
        desk.close("0", the_guard(desk).request, Closing.EXPIRED)
        assert len(desk.asked(Notify)) == number + 1
        desk.wait(2_000)
        desk.accept(the_guard(desk).request)


def test_a_guard_whose_intent_cannot_be_stored_does_not_loop() -> None:
    desk = DeskHarness(guarded_config())
    desk.quote(100)
    desk.propose(stop_loss=90.0)
    desk.stores = False
    desk.fill()
    desk.turn(IntentFailed(desk.now, the_guard(desk).request.id, "disk full"))
    assert guards(desk) == []
    desk.wait(1_999)
    assert len(desk.intents) == 2
    desk.wait(1)
    assert len(desk.intents) == 3


def test_an_unknown_guard_freezes_its_symbol_and_is_taken_back_once_it_is_known() -> None:
    desk = guarded()
    guard = the_guard(desk).request
    desk.lose(guard)
    desk.propose(SELL, QC)
    desk.quote(89)
    desk.wait(5_000)
    assert sold(desk) == []
    assert len(guards(desk)) == 1
    desk.accept(guard)
    desk.wait(1_000)
    assert desk.venue.cancels == [guard.id]
    desk.close("0", guard)
    assert [order.amount for order in sold(desk)] == [Decimal(10)]


def test_a_cancel_of_a_guard_that_is_refused_is_repeated_and_nothing_is_sold_before_it_ends() -> None:
    desk = guarded()
    guard = the_guard(desk).request
    desk.propose(SELL, QC)
    desk.turn(CancelRefused(desk.now, guard.id, "busy"))
    desk.wait(1_000)
    assert desk.venue.cancels == [guard.id, guard.id]
    assert sold(desk) == []


def test_a_cancel_that_is_refused_is_soon_repeated_also_for_a_guard_that_rested_for_long() -> None:
    desk = guarded()
    guard = the_guard(desk).request
    desk.quote(100, after=3_600_000)
    desk.command(TradingState.REDUCING, flatten=True)
    desk.turn(CancelRefused(desk.now, guard.id, "no answer"))
    desk.wait(1_000)
    assert desk.venue.cancels == [guard.id, guard.id]


def test_a_position_that_shrank_under_its_guard_gets_a_smaller_one() -> None:
    desk = guarded()
    guard = the_guard(desk)
    desk.desk.portfolio.positions[BTC].amount = Decimal(6)
    desk.command(TradingState.REDUCING)
    assert desk.venue.cancels == [guard.request.id]
    desk.close("0", guard.request)
    assert the_guard(desk).request.amount == 6


# What follows from losing sight, and from another mind.


def adding() -> DeskHarness:
    """A guarded position of which another mind wants more."""
    return guarded(stop_loss=90.0, size_fraction=0.5)


def test_a_symbol_stays_frozen_until_the_last_of_its_unknown_orders_is_known() -> None:
    desk = adding()
    guard = the_guard(desk).request
    desk.propose(BUY, QC, stop_loss=90.0, size_fraction=1.0)
    entry = desk.order
    assert entry.leg is Leg.ENTRY
    desk.lose(guard)
    desk.lose(entry)
    desk.accept(entry)
    assert BTC in desk.desk.state.risk.frozen
    desk.accept(guard)
    assert BTC not in desk.desk.state.risk.frozen


def test_a_decision_that_buys_more_and_names_no_stop_takes_the_old_stop_back() -> None:
    desk = adding()
    guard = the_guard(desk).request
    desk.propose(BUY, QC, take_profit=130.0, size_fraction=1.0)
    desk.accept()
    desk.fill()
    assert desk.desk.state.protections[BTC].stop is None
    assert desk.venue.cancels == [guard.id]
