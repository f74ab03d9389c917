"""Promises of protection: levels watch extremes, the stop comes first, and an exit is never lost and never loops."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.decision import Action
from bot.core.desk import Drive, TradingDesk
from bot.core.effects import Notify, Severity
from bot.core.facts import FillBooked, PositionChanged
from bot.core.inputs import Closing, InstrumentChanged, MarketHealth
from bot.core.market import Health
from bot.core.orders import Leg, OrderType
from bot.core.protection import Protection
from bot.core.risk import RiskLimits
from bot.core.tracking import TradingRules
from bot.journal.codec import decode_snapshot, encode_snapshot
from tests.factories import BTC, QC, RULE, DeskHarness, a_config, a_model, a_source, an_instrument

BUY, SELL = Action.BUY, Action.SELL


def holding(**levels: Any) -> DeskHarness:
    """A desk that bought ten at 100 with these levels."""
    desk = DeskHarness()
    desk.quote(100)
    desk.buys(**levels)
    return desk


@pytest.mark.parametrize(
    ("levels", "price", "leg"),
    [
        ({"stop_loss": 90.0}, 90.0, Leg.STOP_LOSS),
        ({"take_profit": 110.0}, 110.0, Leg.TAKE_PROFIT),
        ({"trailing": 0.05}, 95.0, Leg.TRAILING_STOP),
    ],
)
def test_a_level_that_is_touched_leaves_the_whole_position(levels: dict[str, float], price: float, leg: Leg) -> None:
    desk = holding(**levels)
    desk.quote(100)
    assert len(desk.venue.orders) == 1
    desk.quote(price)
    order = desk.order
    assert (order.leg, order.amount, order.reduce_only, order.reference) == (leg, Decimal(10), True, price)


def test_levels_watch_the_extremes_between_two_quotes() -> None:
    desk = holding(stop_loss=90.0)
    desk.quote(100, 1, bid_low=89.9)
    assert desk.order.leg is Leg.STOP_LOSS
    other = holding(take_profit=110.0)
    other.quote(100, 1, bid_high=110.1, ask_high=110.1)
    assert other.order.leg is Leg.TAKE_PROFIT


def test_the_stop_comes_before_the_target_and_one_cancels_the_other() -> None:
    desk = holding(stop_loss=90.0, take_profit=110.0)
    desk.quote(100, 1, bid_low=89.0, bid_high=111.0, ask_high=111.0)
    assert desk.order.leg is Leg.STOP_LOSS
    desk.quote(111)
    assert len(desk.venue.orders) == 2
    desk.fill(price="89")
    desk.quote(111)
    assert len(desk.venue.orders) == 2
    assert desk.desk.state.protections == {}


def test_a_gap_through_the_stop_sells_at_what_there_is() -> None:
    desk = DeskHarness(a_config(fills=a_model()), paper=True)
    desk.quote(100)
    desk.buys(stop_loss=90.0)
    desk.quote(70)
    assert desk.position() == 0
    fill = desk.of(FillBooked)[-1]
    assert fill.fill.price == 70
    assert fill.slippage == pytest.approx(1 - 70 / 90)


def test_a_gap_through_the_stop_within_candles_pays_the_open() -> None:
    desk = DeskHarness(a_config(fills=a_model(), drive=Drive.CANDLES, next_open=False), paper=True)
    desk.candle(100)
    desk.buys(stop_loss=90.0, take_profit=120.0)
    desk.candle(95, opened=85, high=125.0)
    assert desk.position() == 0
    assert desk.of(FillBooked)[-1].fill.price == 85


def test_a_trailing_stop_follows_the_peak_and_is_judged_by_the_peak_before() -> None:
    desk = holding(trailing=0.05)
    desk.quote(120)
    desk.quote(114.01)
    assert len(desk.venue.orders) == 1
    desk.quote(114)
    assert desk.order.leg is Leg.TRAILING_STOP
    other = holding(trailing=0.05)
    other.quote(100, 1, bid_low=99.0, bid_high=120.0, ask_high=120.0)
    assert len(other.venue.orders) == 1


def test_protection_takes_hold_with_the_first_partial_fill() -> None:
    desk = DeskHarness(a_config(trading=TradingRules(entry=OrderType.LIMIT)))
    desk.quote(100)
    desk.propose(stop_loss=90.0)
    entry = desk.order
    desk.accept()
    desk.fill("4")
    desk.quote(89)
    assert desk.venue.cancels == [entry.id]
    desk.close("4", entry)
    assert (desk.order.leg, desk.order.amount) == (Leg.STOP_LOSS, Decimal(4))


def test_a_second_partial_fill_does_not_set_the_trailing_peak_back() -> None:
    desk = DeskHarness(a_config(trading=TradingRules(entry=OrderType.LIMIT)))
    desk.quote(100)
    desk.propose(trailing=0.05)
    entry = desk.order
    desk.fill("4")
    desk.quote(120)
    desk.fill("6", order=entry)
    desk.quote(114)
    assert desk.order.leg is Leg.TRAILING_STOP


def test_protection_survives_a_restart() -> None:
    desk = holding(stop_loss=90.0, trailing=0.05)
    desk.quote(120)
    snapshot = decode_snapshot(encode_snapshot(desk.desk.snapshot()))
    again = DeskHarness(desk.config, desk=TradingDesk.restore(desk.config, snapshot))
    again.now = desk.now
    again.quote(114.5)
    assert not again.venue.orders
    again.quote(114)
    assert again.order.leg is Leg.TRAILING_STOP


def test_an_exit_on_its_way_survives_a_restart_and_is_not_sent_twice() -> None:
    desk = holding(stop_loss=90.0)
    desk.quote(89)
    snapshot = decode_snapshot(encode_snapshot(desk.desk.snapshot()))
    again = DeskHarness(desk.config, desk=TradingDesk.restore(desk.config, snapshot))
    again.now = desk.now
    again.quote(88)
    again.wait(100_000)
    assert not again.venue.orders
    again.fill(order=desk.order, price="88")
    assert again.position() == 0


def test_a_refused_exit_is_retried_ever_more_patiently_and_loudly() -> None:
    desk = holding(stop_loss=90.0)
    desk.quote(89)
    waits = []
    for _ in range(9):
        sent, before = len(desk.venue.orders), desk.now
        desk.refuse()
        assert len(desk.venue.orders) == sent
        while len(desk.venue.orders) == sent:
            desk.wait(500)
        waits.append(desk.now - before)
    assert waits == sorted(waits)
    assert waits[-1] == 60_000
    assert desk.asked(Notify)[-1].severity is Severity.CRITICAL


@pytest.mark.parametrize("how", [Closing.EXPIRED, Closing.CANCELLED])
def test_an_exit_that_the_venue_ends_at_once_does_not_loop(how: Closing) -> None:
    desk = holding(stop_loss=90.0)
    desk.quote(89)
    for _ in range(3):
        sent = len(desk.venue.orders)
        desk.close("0", how=how)
        assert len(desk.venue.orders) == sent
        desk.wait(20_000)
        assert len(desk.venue.orders) == sent + 1


def test_an_exit_is_not_delayed_by_an_entry_that_waits_to_be_retried() -> None:
    desk = DeskHarness(a_config(RiskLimits(stale_after_ms=30_000, price_collar=None), trading=TradingRules(retry_ms=10_000)))
    desk.quote(100)
    desk.buys(source=RULE, stop_loss=90.0, size_fraction=0.2, lasts=1_000)
    desk.wait(1_000)
    desk.turn(MarketHealth(desk.now, BTC, Health.STALE))
    desk.propose(BUY, QC)
    assert len(desk.venue.orders) == 1
    desk.quote(89, after=10)
    assert desk.order.leg is Leg.STOP_LOSS


def test_dust_is_said_and_left_and_never_looped() -> None:
    desk = holding(stop_loss=90.0)
    desk.turn(InstrumentChanged(desk.now, an_instrument(BTC, min_cost=Decimal(2_000))))
    desk.quote(89)
    notes = len(desk.asked(Notify))
    assert notes == 1
    desk.quote(80)
    desk.wait(100_000)
    assert len(desk.asked(Notify)) == notes
    assert len(desk.venue.orders) == 1


def test_a_stop_on_a_frozen_symbol_goes_out_once_it_thaws() -> None:
    desk = DeskHarness(sources=(a_source(RULE, adds=True),))
    desk.quote(100)
    desk.buys(stop_loss=90.0)
    desk.propose()
    lost = desk.order
    desk.lose()
    desk.quote(89)
    desk.wait(5_000)
    assert len(desk.venue.orders) == 2
    desk.refuse(lost)
    desk.wait(1_000)
    assert desk.order.leg is Leg.STOP_LOSS


def test_a_bigger_position_takes_the_protection_of_the_decision_that_added() -> None:
    desk = DeskHarness(sources=(a_source(RULE, adds=True),))
    desk.quote(100)
    desk.buys(stop_loss=90.0)
    desk.buys(stop_loss=95.0)
    desk.quote(95)
    assert desk.order.amount == 20


def test_the_position_tells_its_levels() -> None:
    desk = holding(stop_loss=90.0, take_profit=110.0, trailing=0.05)
    fact = desk.of(PositionChanged)[-1]
    assert (fact.stop_loss, fact.take_profit, fact.trailing_stop, fact.opener) == (90.0, 110.0, 95.0, RULE)


@settings(max_examples=200, deadline=None)
@given(
    stop=st.none() | st.floats(50, 99),
    target=st.none() | st.floats(101, 150),
    trailing=st.none() | st.floats(0.01, 0.5),
    stretches=st.lists(st.tuples(st.floats(40, 160), st.floats(0, 20)), min_size=1, max_size=20),
)
def test_a_short_is_guarded_like_a_long_in_a_mirror(
    stop: float | None, target: float | None, trailing: float | None, stretches: list[tuple[float, float]]
) -> None:
    long = Protection(BTC, 1, "d", RULE, stop, target, None, 100.0)
    short = Protection(
        BTC, -1, "d", RULE, None if stop is None else 200 - stop, None if target is None else 200 - target, None, 100.0
    )
    for low, width in stretches:
        first, second = long.touched(low, low + width), short.touched(200 - low - width, 200 - low)
        assert (first is None) == (second is None)
        if first is not None and second is not None:
            assert first[0] is second[0]
            assert first[1] == pytest.approx(200 - second[1])
            return
        assert long.peak == pytest.approx(200 - short.peak)
    if trailing is not None:
        trailed = replace(long, trailing=trailing)
        assert trailed.trailing_stop == pytest.approx(long.peak * (1 - trailing))


def test_extremes_older_than_the_entry_that_this_very_quote_filled_trigger_nothing() -> None:
    desk = DeskHarness(a_config(fills=a_model(latency_ms=500)), [a_source(RULE)], paper=True)
    desk.quote(100)
    desk.buys(stop_loss=95.0, take_profit=105.0)
    shadow = desk.desk.state.shadows[RULE]
    desk.quote(100, after=500, bid_low=94.0, bid_high=106.0, ask_high=106.0)
    assert desk.position() == shadow.portfolio.amount(BTC) == 10
    assert len(desk.venue.orders) == 1
    assert not shadow.pending
    desk.quote(100, after=500, bid_low=94.0)
    desk.quote(100, after=500)
    assert desk.position() == shadow.portfolio.amount(BTC) == 0
