"""Pairs that rest at the venue through commands, restarts and on paper."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.decision import Action
from bot.core.desk import TradingDesk
from bot.core.facts import LotClosed
from bot.core.inputs import Closing, IntentStored, OrderAdopted, TradingState
from bot.core.orders import Leg
from bot.core.tracking import NativeProtection, TradingRules
from bot.journal.codec import decode_snapshot, encode_snapshot
from tests.core.desks import state_of
from tests.core.guards import NATIVE, guarded, guards, the_guard
from tests.core.pairs import PAIRS, accepted, bought, closed, paired, paired_config, sells, the_pair
from tests.factories import BTC, NO_LIMITS, QC, DeskHarness, a_config, a_model

BUY, SELL = Action.BUY, Action.SELL


# States, commands and restarts.


def test_halting_leaves_a_pair_where_it_is_and_a_flatten_takes_both_back_first() -> None:
    desk = paired()
    pair = the_pair(desk)
    desk.command(TradingState.REDUCING)
    desk.command(TradingState.HALTED)
    desk.wait(10_000)
    assert desk.venue.cancels == []
    desk.command(TradingState.HALTED, flatten=True)
    closed(desk, pair[0])
    assert sells(desk) == []
    closed(desk, pair[1])
    assert sells(desk) == [(Leg.FLATTEN, Decimal(10))]
    desk.fill()
    assert state_of(desk) is TradingState.HALTED


def test_a_pair_uses_up_no_room_for_open_orders() -> None:
    limits = replace(NO_LIMITS, max_open_orders=1, max_orders_per_minute=2)
    desk = paired(DeskHarness(paired_config(limits)))
    desk.quote(100, symbol="ETH/USDT")
    desk.buys("ETH/USDT", stop_loss=90.0, take_profit=120.0)
    assert len(guards(desk, "ETH/USDT")) == 2


def restarted(desk: DeskHarness, trading: TradingRules = PAIRS) -> DeskHarness:
    """The same desk in a new process."""
    config = replace(desk.config, trading=trading)
    snapshot = decode_snapshot(encode_snapshot(desk.desk.snapshot()))
    again = DeskHarness(config, desk=TradingDesk.restore(config, snapshot))
    again.now = desk.now
    return again


def test_a_pair_survives_a_restart_and_books_what_it_sold_meanwhile() -> None:
    desk = restarted(paired())
    stop, target = the_pair(desk)
    closed(desk, stop, how=Closing.EXPIRED)
    desk.fill(price="120", order=target.request)
    desk.quote(89)
    desk.wait(10_000)
    assert desk.venue.orders == []
    assert desk.position() == 0


def test_a_pair_half_stored_at_a_crash_ends_once_the_venue_has_been_asked() -> None:
    desk = bought()
    pair = [order.request for order in the_pair(desk)]
    desk.turn(IntentStored(desk.now, pair[0].id))
    again = restarted(desk)
    for request in pair:
        again.refuse(request, "the venue has no such order")
    assert guards(again) == []
    again.wait(2_000)
    assert len(again.venue.pairs) == 1


def test_a_pair_whose_causes_were_lost_in_a_crash_is_adopted_as_the_guard() -> None:
    pair = [order.request for order in the_pair(paired())]
    again = DeskHarness(paired_config())
    again.quote(100)
    again.propose(stop_loss=90.0, take_profit=120.0)
    entry = again.order
    for request in pair:
        again.turn(OrderAdopted(again.now, request))
    for request in pair:
        again.accept(request)
    again.fill(order=entry)
    assert [order.request for order in the_pair(again)] == pair
    assert again.desk.state.bench(BTC).working is None
    assert again.venue.pairs == []


def test_settings_that_changed_over_a_restart_change_what_rests() -> None:
    stop_only = restarted(paired(), NATIVE)
    pair = the_pair(stop_only)
    stop_only.quote(99)
    stop_only.propose(BUY, QC)
    closed(stop_only, *pair)
    assert the_guard(stop_only).request.trigger == 90
    stop_only.accept(the_guard(stop_only).request)
    both = restarted(stop_only, PAIRS)
    both.quote(99)
    both.propose(BUY, QC, name="second")
    closed(both, the_guard(both))
    assert the_pair(both)[1].request.price == 120
    accepted(both)
    off = restarted(both, TradingRules())
    off.quote(99)
    off.propose(BUY, QC, name="third")
    assert len(off.venue.cancels) == 2


def test_a_snapshot_from_before_there_were_pairs_can_be_read() -> None:
    written = encode_snapshot(guarded(stop_loss=90.0).desk.snapshot())
    old = written.replace(b',"target":null,"stored":null', b"")
    assert old != written
    resting = decode_snapshot(old).bench(BTC).resting
    assert resting is not None
    assert resting.target is None


# On paper.


@pytest.mark.parametrize("latency", [0, 50])
@pytest.mark.parametrize(("end", "leg"), [(121.0, Leg.TAKE_PROFIT), (80.0, Leg.STOP_LOSS)])
def test_the_same_market_ends_alike_whatever_rests_at_the_venue(end: float, leg: Leg, latency: int) -> None:
    ends = []
    for native in NativeProtection:
        trading = TradingRules(native=native)
        desk = DeskHarness(a_config(fills=a_model(latency_ms=latency), trading=trading), paper=True)
        desk.quote(100)
        desk.buys(stop_loss=90.0, take_profit=120.0)
        for price in (100, 104, end, end):
            desk.quote(price, after=2_000)
        desk.wait(10_000)
        lot = desk.of(LotClosed)[-1]
        ends.append((desk.position(), lot.closing_leg, lot.closer, desk.desk.state.risk.loss_streak))
        assert desk.desk.state.working == {}
        assert desk.paper is not None
        assert desk.paper.account.total("USDT") == desk.desk.portfolio.cash
        assert not any(desk.paper.account.locked.values())
    assert ends[0] == ends[1] == ends[2]
    assert ends[0][1] == leg.value
