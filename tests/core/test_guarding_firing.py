"""Promises of a stop at the venue whose level is reached: it comes first, and what it leaves the desk sells, once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.decision import Fate
from bot.core.facts import FillBooked, LotClosed
from bot.core.inputs import (
    Closing,
    IntentStored,
)
from bot.core.market import Side
from bot.core.orders import Leg, OrderType
from bot.core.tracking import NativeProtection, TradingRules
from tests.core.guards import NATIVE, guarded, guarded_config, guards, sold, the_guard
from tests.factories import BTC, NO_LIMITS, RULE, DeskHarness, a_config, a_model, a_source

LIMIT = replace(NATIVE, entry=OrderType.LIMIT, entry_ttl_ms=10**9)


# It fires.


def test_a_guard_that_fills_ends_the_position_as_the_desks_own_stop_would() -> None:
    desk = guarded(DeskHarness(guarded_config(replace(NO_LIMITS, symbol_cool_down_ms=60_000))))
    desk.fill(price="89.5", order=the_guard(desk).request)
    assert desk.position() == 0
    assert desk.desk.state.protections == {}
    assert desk.desk.state.risk.last_exit == {BTC: desk.now}
    assert desk.of(LotClosed)[-1].closing_leg == Leg.STOP_LOSS.value
    assert desk.of(FillBooked)[-1].slippage == pytest.approx(0.5 / 90)
    assert desk.desk.state.bench(BTC).resting is None
    desk.quote(85, after=1)
    desk.wait(10_000)
    assert sold(desk) == []


def test_the_same_crash_ends_alike_with_and_without_a_guard() -> None:
    ends = []
    for native in NativeProtection:
        config = a_config(fills=a_model(), trading=TradingRules(native=native))
        desk = DeskHarness(config, paper=True)
        desk.quote(100)
        desk.buys(stop_loss=90.0, trailing=0.05)
        desk.quote(110, after=2_000)
        desk.quote(104, after=2_000)
        desk.quote(80, after=2_000)
        desk.wait(10_000)
        lot = desk.of(LotClosed)[-1]
        ends.append((desk.position(), desk.desk.portfolio.cash, lot.closing_leg, lot.closer, desk.desk.state.risk.loss_streak))
        assert desk.desk.state.working == {}
        assert len(sold(desk)) == (native is NativeProtection.OFF)
    assert ends[0] == ends[1]


def test_a_touched_level_gives_the_guard_a_moment_and_then_the_desk_sells_by_itself() -> None:
    desk = guarded()
    guard = the_guard(desk).request
    desk.quote(89)
    desk.wait(1_999)
    assert desk.venue.cancels == []
    desk.quote(88)
    assert sold(desk) == []
    desk.wait(1)
    assert desk.venue.cancels == [guard.id]
    assert sold(desk) == []
    desk.close("0", guard)
    assert [(order.leg, order.amount, order.reference) for order in sold(desk)] == [(Leg.STOP_LOSS, Decimal(10), 90.0)]
    assert guards(desk) == []


def test_a_guard_that_fills_in_its_moment_leaves_nothing_to_sell() -> None:
    desk = guarded()
    desk.quote(89)
    desk.fill(price="89", order=the_guard(desk).request)
    desk.wait(10_000)
    assert sold(desk) == []
    assert desk.venue.cancels == []


def test_a_guard_that_fills_while_it_is_taken_back_leaves_only_the_rest_to_sell() -> None:
    desk = guarded()
    guard = the_guard(desk).request
    desk.quote(89)
    desk.wait(2_000)
    desk.fill("7", "89", guard)
    desk.close("7", guard)
    assert [order.amount for order in sold(desk)] == [Decimal(3)]
    whole = guarded()
    whole.quote(89)
    whole.wait(2_000)
    whole.fill(price="89", order=the_guard(whole).request)
    whole.wait(10_000)
    assert sold(whole) == []


def test_a_grace_of_nothing_takes_the_guard_back_at_once() -> None:
    desk = guarded(DeskHarness(guarded_config(trading=replace(NATIVE, guard_grace_ms=0))))
    desk.quote(89)
    assert len(desk.venue.cancels) == 1


def test_no_moment_is_given_to_a_guard_that_was_not_sent_yet() -> None:
    desk = DeskHarness(guarded_config())
    desk.quote(100)
    desk.propose(stop_loss=90.0)
    desk.stores = False
    desk.fill()
    guard = the_guard(desk).request
    desk.quote(89)
    desk.stores = True
    desk.turn(IntentStored(desk.now, guard.id))
    assert guard not in desk.venue.orders
    assert [(order.leg, order.amount) for order in sold(desk)] == [(Leg.STOP_LOSS, Decimal(10))]


def test_no_moment_is_given_to_a_guard_whose_own_trigger_was_not_reached() -> None:
    desk = guarded(trailing=0.05)
    guard = the_guard(desk).request
    desk.quote(100.05)
    desk.quote(95.03)
    assert desk.venue.cancels == [guard.id]


def test_a_guard_that_fires_unseen_by_quotes_takes_the_rest_of_the_position_along() -> None:
    desk = guarded()
    guard = the_guard(desk).request
    desk.fill("6", "90", guard)
    desk.close("6", guard, Closing.EXPIRED)
    assert [(order.leg, order.amount) for order in sold(desk)] == [(Leg.STOP_LOSS, Decimal(4))]


def test_a_guard_that_stalls_half_filled_is_taken_back_and_the_rest_sold() -> None:
    desk = guarded()
    guard = the_guard(desk).request
    desk.fill("6", "90", guard)
    desk.wait(2_000)
    assert desk.venue.cancels == [guard.id]
    desk.close("6", guard)
    assert [order.amount for order in sold(desk)] == [Decimal(4)]


def test_a_guard_that_fires_stops_the_entry_that_would_add_and_what_it_added_is_sold() -> None:
    desk = guarded(DeskHarness(guarded_config(trading=LIMIT), sources=(a_source(RULE, adds=True),)))
    guard = the_guard(desk).request
    adding = desk.propose(stop_loss=90.0)
    entry = desk.order
    desk.accept()
    desk.fill("3", "99", entry)
    desk.fill(price="90", order=guard)
    assert desk.venue.cancels == [entry.id]
    assert sold(desk) == []
    desk.close("3", entry)
    assert [(order.leg, order.amount) for order in sold(desk)] == [(Leg.STOP_LOSS, Decimal(3))]
    assert desk.fate(adding) is Fate.EXECUTED


def test_a_late_fill_of_a_guard_buys_nothing_back_and_leaves_the_rest() -> None:
    desk = guarded(trailing=0.05)
    first = the_guard(desk).request
    desk.quote(110, after=2_000)
    desk.close("0", first)
    second = the_guard(desk).request
    desk.accept(second)
    desk.fill("4", "95", first)
    assert desk.venue.cancels == [first.id, second.id]
    desk.close("0", second)
    assert [order.amount for order in sold(desk)] == [Decimal(6)]
    desk.fill(price="95")
    desk.wait(10_000)
    assert desk.position() == 0
    assert len([order for order in desk.venue.orders if order.side is Side.BUY]) == 1


def test_a_late_fill_of_a_guard_that_nothing_followed_makes_the_desk_sell_the_rest_at_once() -> None:
    desk = guarded()
    guard = the_guard(desk).request
    desk.close("0", guard, Closing.EXPIRED)
    desk.fill("4", "90", guard)
    assert [order.amount for order in sold(desk)] == [Decimal(6)]


def test_a_guard_that_was_reached_is_not_rewritten_when_the_price_comes_back() -> None:
    desk = guarded(trailing=0.05)
    desk.quote(95, after=2_000)
    desk.quote(120, after=1)
    assert desk.venue.cancels == []
    desk.wait(2_000)
    assert desk.venue.cancels == [the_guard(desk).request.id]


def test_a_guard_that_ends_the_position_cancels_the_entry_that_would_open_it_anew() -> None:
    desk = guarded(DeskHarness(guarded_config(trading=LIMIT), sources=(a_source(RULE, adds=True),)))
    guard = the_guard(desk).request
    desk.propose(stop_loss=90.0)
    entry = desk.order
    desk.accept()
    desk.fill(price="90", order=guard)
    assert desk.venue.cancels == [entry.id]
