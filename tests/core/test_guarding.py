"""Promises of a stop that rests at the venue: it comes first, one at a time, and nobody sells what it locks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.decision import Action, Decision, Denial, Fate
from bot.core.desk import TradingDesk
from bot.core.effects import Notify, SubmitOrder
from bot.core.facts import FillBooked, LotClosed
from bot.core.inputs import (
    CancelRefused,
    Closing,
    InstrumentChanged,
    IntentFailed,
    IntentStored,
    OrderAdopted,
    SourceJoined,
    SourceLeft,
    TradingState,
)
from bot.core.market import Side
from bot.core.orders import Leg, OrderState, OrderType
from bot.core.sizing import FixedFraction
from bot.core.targets import TargetRules
from bot.core.tracking import NativeProtection, TradingRules
from bot.journal.codec import decode_snapshot, encode_snapshot
from tests.core.desks import OTHER_RULE, ready, state_of
from tests.core.guards import NATIVE, guarded, guarded_config, guards, sold, the_guard
from tests.factories import BTC, LLM, NO_LIMITS, QC, RULE, DeskHarness, a_config, a_model, a_source, an_instrument

BUY, SELL = Action.BUY, Action.SELL
LIMIT = replace(NATIVE, entry=OrderType.LIMIT, entry_ttl_ms=10**9)


def restarted(desk: DeskHarness, trading: TradingRules = NATIVE) -> DeskHarness:
    """The same desk in a new process."""
    config = replace(desk.config, trading=trading)
    snapshot = decode_snapshot(encode_snapshot(desk.desk.snapshot()))
    again = DeskHarness(config, desk=TradingDesk.restore(config, snapshot))
    again.now = desk.now
    return again


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


def test_a_position_that_shrank_under_its_guard_gets_a_smaller_one() -> None:
    desk = guarded()
    guard = the_guard(desk)
    desk.desk.portfolio.positions[BTC].amount = Decimal(6)
    desk.command(TradingState.REDUCING)
    assert desk.venue.cancels == [guard.request.id]
    desk.close("0", guard.request)
    assert the_guard(desk).request.amount == 6


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
