"""Promises of a stop that rests at the venue: one at a time, no larger than the position, after its level, and over a restart."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.decision import Action
from bot.core.desk import TradingDesk
from bot.core.facts import LotClosed
from bot.core.inputs import (
    InstrumentChanged,
    IntentStored,
    OrderAdopted,
    TradingState,
)
from bot.core.market import Side
from bot.core.orders import Leg, OrderState, OrderType
from bot.core.sizing import FixedFraction
from bot.core.targets import TargetRules
from bot.core.tracking import TradingRules
from bot.journal.codec import decode_snapshot, encode_snapshot
from tests.core.desks import ready
from tests.core.guards import NATIVE, guarded, guarded_config, guards, sold, the_guard
from tests.factories import BTC, NO_LIMITS, QC, RULE, DeskHarness, a_source, an_instrument

BUY, SELL = Action.BUY, Action.SELL
LIMIT = replace(NATIVE, entry=OrderType.LIMIT, entry_ttl_ms=10**9)


# One guard, of the right kind.


def test_a_protected_position_is_guarded_by_a_stop_at_the_venue() -> None:
    desk = guarded(stop_loss=90.0, take_profit=120.0)
    order = the_guard(desk).request
    assert (order.type, order.side, order.amount, order.trigger) == (OrderType.STOP, Side.SELL, Decimal(10), Decimal(90))
    assert (order.leg, order.reduce_only, order.reference, order.price) == (Leg.STOP_LOSS, True, 90.0, None)
    assert desk.desk.state.bench(BTC).working is None
    desk.quote(100)
    desk.wait(100_000)
    assert len(guards(desk)) == 1
    assert len(desk.venue.orders) == 2


def test_nothing_rests_at_the_venue_unless_it_is_configured() -> None:
    desk = ready()
    desk.buys(stop_loss=90.0)
    assert len(desk.venue.orders) == 1
    assert desk.desk.state.bench(BTC).resting is None


def test_a_target_alone_is_watched_by_the_desk_and_rests_nowhere() -> None:
    desk = DeskHarness(guarded_config())
    desk.quote(100)
    desk.buys(take_profit=110.0)
    assert guards(desk) == []


def test_a_guard_is_stored_durably_before_it_is_sent() -> None:
    desk = DeskHarness(guarded_config())
    desk.quote(100)
    desk.propose(stop_loss=90.0)
    desk.stores = False
    desk.fill()
    guard = the_guard(desk)
    assert guard.state is OrderState.INTENT
    assert guard.request not in desk.venue.orders
    desk.turn(IntentStored(desk.now, guard.request.id))
    assert desk.order is guard.request


@pytest.mark.parametrize(("level", "trigger"), [(90.0, "90.00"), (90.001, "90.01"), (89.999, "90.00")])
def test_the_trigger_is_rounded_so_that_it_fires_no_later_than_the_level(level: float, trigger: str) -> None:
    assert the_guard(guarded(stop_loss=level)).request.trigger == Decimal(trigger)


def test_a_guard_never_asks_for_more_than_whole_steps_of_what_is_held() -> None:
    desk = DeskHarness(guarded_config())
    desk.quote(100)
    desk.propose(stop_loss=90.0)
    desk.fill(fee="0.01005", currency="BTC")
    assert desk.position() == Decimal("9.98995")
    assert the_guard(desk).request.amount == Decimal("9.9899")


def test_a_short_is_guarded_by_a_stop_that_buys() -> None:
    targets = TargetRules({"plain": FixedFraction(0.10)}, "plain", allow_short=True)
    desk = DeskHarness(guarded_config(targets=targets))
    desk.quote(100)
    desk.propose(SELL, stop_loss=110.001)
    desk.fill()
    order = the_guard(desk).request
    assert (order.side, order.trigger, order.amount) == (Side.BUY, Decimal(110), Decimal(10))
    desk.accept()
    desk.quote(110.2)
    desk.fill(price="110.2")
    assert desk.position() == 0


def test_no_guard_is_asked_for_while_an_entry_works_or_an_exit_is_wanted() -> None:
    desk = DeskHarness(guarded_config(trading=LIMIT))
    desk.quote(100)
    desk.propose(stop_loss=90.0)
    desk.accept()
    desk.fill("4")
    desk.quote(99)
    assert guards(desk) == []
    desk.close("4", desk.venue.orders[0])
    assert the_guard(desk).request.amount == 4


def test_a_level_that_is_reached_already_is_left_to_the_desk() -> None:
    desk = DeskHarness(guarded_config())
    desk.quote(100)
    desk.propose(stop_loss=90.0)
    desk.quote(80)
    desk.fill(price="80")
    assert guards(desk) == []
    desk.quote(80, after=1)
    assert (desk.order.type, desk.order.leg) == (OrderType.MARKET, Leg.STOP_LOSS)


def test_a_position_too_small_for_an_order_has_no_guard_and_asks_for_none() -> None:
    desk = DeskHarness(guarded_config())
    desk.turn(InstrumentChanged(desk.now, an_instrument(BTC, min_cost=Decimal(950))))
    desk.quote(100)
    desk.buys(stop_loss=90.0)
    desk.quote(101)
    desk.wait(10_000)
    assert len(desk.venue.orders) == 1


# It follows.


def test_a_guard_follows_a_trailing_level_by_steps_and_not_by_ticks() -> None:
    desk = guarded(trailing=0.05)
    first = the_guard(desk).request
    assert (first.leg, first.trigger) == (Leg.TRAILING_STOP, Decimal(95))
    desk.quote(100.05, after=2_000)
    assert desk.venue.cancels == []
    desk.quote(101, after=2_000)
    assert desk.venue.cancels == [first.id]
    desk.quote(102, after=2_000)
    assert [order.request.id for order in guards(desk)] == [first.id]
    desk.close("0", first)
    assert the_guard(desk).request.trigger == Decimal("96.90")
    assert the_guard(desk).request.id != first.id


def test_a_guard_is_rewritten_no_oftener_than_its_pace() -> None:
    desk = guarded(trailing=0.05)
    desk.quote(110, after=500)
    assert desk.venue.cancels == []
    desk.quote(110, after=500)
    assert len(desk.venue.cancels) == 1


def test_a_bigger_position_gets_a_bigger_guard_only_after_the_smaller_one_has_ended() -> None:
    desk = guarded(DeskHarness(guarded_config(), sources=(a_source(RULE, adds=True),)))
    first = the_guard(desk).request
    desk.propose(stop_loss=92.0)
    entry = desk.order
    assert entry.side is Side.BUY
    assert [order.request.id for order in guards(desk)] == [first.id]
    assert desk.venue.cancels == []
    desk.accept()
    desk.fill(order=entry)
    assert desk.venue.cancels == [first.id]
    assert len(guards(desk)) == 1
    desk.close("0", first)
    second = the_guard(desk).request
    assert (second.amount, second.trigger) == (desk.position(), Decimal(92))


def test_a_guard_that_cannot_be_replaced_now_is_kept() -> None:
    desk = guarded(trailing=0.05)
    desk.command(TradingState.HALTED)
    desk.quote(120, after=5_000)
    assert desk.venue.cancels == []
    desk.command(TradingState.ACTIVE)
    assert len(desk.venue.cancels) == 1


def test_guards_use_up_neither_the_order_rate_nor_the_room_for_open_orders_and_exposure() -> None:
    limits = replace(NO_LIMITS, max_open_orders=1, max_orders_per_minute=2, max_exposure=0.2)
    desk = guarded(DeskHarness(guarded_config(limits)))
    desk.quote(100, symbol="ETH/USDT")
    desk.buys("ETH/USDT", stop_loss=90.0)
    assert desk.position("ETH/USDT") == 10
    assert len(guards(desk)) == len(guards(desk, "ETH/USDT")) == 1


def restarted(desk: DeskHarness, trading: TradingRules = NATIVE) -> DeskHarness:
    """The same desk in a new process."""
    config = replace(desk.config, trading=trading)
    snapshot = decode_snapshot(encode_snapshot(desk.desk.snapshot()))
    again = DeskHarness(config, desk=TradingDesk.restore(config, snapshot))
    again.now = desk.now
    return again


# Over a restart.


def test_a_guard_survives_a_restart_and_is_not_sent_twice() -> None:
    desk = guarded()
    again = restarted(desk)
    again.quote(95)
    again.wait(10_000)
    assert not again.venue.orders
    guard = the_guard(again)
    assert guard is again.desk.state.orders[guard.request.id]
    again.fill(price="90", order=guard.request)
    assert again.position() == 0
    assert again.of(LotClosed)[-1].closing_leg == Leg.STOP_LOSS.value


def test_a_guard_that_fell_while_the_bot_was_down_ends_the_position() -> None:
    desk = guarded(stop_loss=90.0, take_profit=120.0)
    again = restarted(desk)
    again.fill(price="85", order=the_guard(again).request)
    again.quote(125)
    again.wait(10_000)
    assert not again.venue.orders
    assert again.position() == 0


def test_a_moment_that_was_given_before_a_restart_still_ends() -> None:
    desk = guarded()
    desk.quote(89)
    again = restarted(desk)
    again.wait(2_000)
    assert again.venue.cancels == [the_guard(again).request.id]
    again.close("0", the_guard(again).request)
    assert [order.leg for order in sold(again)] == [Leg.STOP_LOSS]


def test_guards_switched_on_over_a_restart_are_asked_for_and_switched_off_are_taken_back() -> None:
    desk = ready()
    desk.buys(stop_loss=90.0)
    on = restarted(desk, NATIVE)
    on.quote(99)
    assert the_guard(on).request.trigger == 90
    on.accept()
    off = restarted(on, TradingRules())
    off.quote(99)
    off.propose(BUY, QC)
    assert off.venue.cancels == [the_guard(off).request.id]
    off.close("0", the_guard(off).request)
    off.quote(89)
    assert [order.leg for order in sold(off)] == [Leg.STOP_LOSS]


@pytest.mark.parametrize("lived", [True, False])
def test_a_guard_whose_cause_was_lost_in_a_crash_is_adopted_as_the_guard(lived: bool) -> None:
    desk = guarded()
    guard = the_guard(desk).request
    again = DeskHarness(guarded_config())
    again.quote(100)
    again.propose(stop_loss=90.0)
    again.stores = False
    entry = again.order
    again.turn(OrderAdopted(again.now, guard))
    again.fill(order=entry)
    assert guards(again) == [again.desk.state.orders[guard.id]]
    assert again.desk.state.bench(BTC).working is None
    if lived:
        again.accept(guard)
        again.quote(99, after=1)
    else:
        again.refuse(guard)
        again.quote(99, after=10_000)
    assert len(guards(again)) == 1
    assert (the_guard(again).request.id == guard.id) is lived


def test_two_guards_that_a_crash_left_are_both_taken_back_before_anything_is_sold() -> None:
    desk = guarded()
    first = the_guard(desk).request
    second = replace(first, id="another", attempt=99)
    desk.turn(OrderAdopted(desk.now, second))
    desk.accept(second)
    desk.propose(SELL, QC)
    desk.close("0", first)
    assert sold(desk) == []
    desk.close("0", second)
    assert [order.amount for order in sold(desk)] == [Decimal(10)]


def test_guards_are_asked_to_keep_to_their_settings() -> None:
    for wrong in ({"guard_step": 1.0}, {"guard_step": -0.1}, {"guard_pace_ms": -1}, {"guard_grace_ms": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            TradingRules(**wrong)
