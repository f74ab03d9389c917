"""Promises about fills that come twice, late or wrong, about who is credited, and about kill, reduce and resume."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from bot.core.decision import Action, Denial, Fate
from bot.core.effects import CancelOrder, Notify
from bot.core.facts import FillBooked, HealthChanged, LotClosed, OrderChanged, RiskChanged
from bot.core.inputs import Filled, TradingState
from bot.core.orders import Leg, OrderState, OrderType
from bot.core.tracking import TradingRules
from tests.core.desks import ready, state_of
from tests.factories import BTC, LLM, NO_LIMITS, QC, RULE, DeskHarness, a_config, a_source

BUY, SELL = Action.BUY, Action.SELL
LIMIT = TradingRules(entry=OrderType.LIMIT, entry_ttl_ms=10**9)


# Fills: once each, whenever they come.


def test_a_fill_is_booked_once_by_its_trade_id() -> None:
    desk = ready()
    desk.propose()
    fill = desk.fill("4", fill_id="same")
    desk.turn(Filled(desk.now, fill))
    assert desk.position() == 4
    assert len(desk.of(FillBooked)) == 1


def test_an_order_that_ends_before_its_fills_arrive_waits_for_them() -> None:
    desk = ready(LIMIT)
    desk.propose()
    desk.close("4")
    assert desk.desk.state.working
    desk.fill("4")
    assert not desk.desk.state.working
    states = [fact.state for fact in desk.of(OrderChanged)]
    assert states[-1] is OrderState.CANCELLED


def test_a_late_fill_after_a_cancel_is_booked() -> None:
    desk = ready(LIMIT)
    decision = desk.propose(lasts=5_000)
    desk.accept()
    desk.wait(5_000)
    desk.close("0")
    desk.fill("4")
    assert desk.position() == 4
    assert desk.fate(decision) is Fate.EXPIRED


def test_a_late_fill_against_a_standing_sell_is_sold() -> None:
    desk = ready(LIMIT)
    desk.propose(BUY, RULE)
    entry = desk.order
    desk.accept()
    desk.propose(SELL, QC)
    desk.close("0", entry)
    desk.fill("4", order=entry)
    assert (desk.order.leg, desk.order.amount) == (Leg.EXIT, Decimal(4))


def test_a_late_fill_of_a_protected_entry_is_protected_too() -> None:
    desk = ready(LIMIT)
    desk.propose(stop_loss=90.0, lasts=5_000)
    entry = desk.order
    desk.accept()
    desk.fill("4")
    desk.quote(89)
    desk.close("4", entry)
    desk.fill("4", price="89")
    assert desk.position() == 0
    desk.fill("2", order=entry)
    desk.quote(88)
    assert (desk.order.leg, desk.order.amount) == (Leg.STOP_LOSS, Decimal(2))


def test_a_fill_of_another_symbol_or_of_nonsense_is_refused_loudly() -> None:
    desk = ready()
    desk.propose()
    good = desk.fill("1")
    for absurd in (
        replace(good, id="a", symbol="ETH/USDT"),
        replace(good, id="b", amount=Decimal("NaN")),
        replace(good, id="c", price=Decimal("Infinity")),
        replace(good, id="d", amount=Decimal(-1)),
        replace(good, id="e", fee=Decimal(2), fee_currency="BTC"),
    ):
        desk.turn(Filled(desk.now, absurd))
    assert desk.position() == 1
    assert desk.desk.state.ignored["fill-absurd"] == 5
    assert len(desk.asked(Notify)) == 5


def test_an_order_that_is_not_ours_is_left_alone() -> None:
    desk = ready()
    desk.propose()
    fill = desk.fill("1")
    desk.turn(Filled(desk.now, replace(fill, id="x", order_id="somebody-else")))
    assert desk.position() == 1


# Ownership.


def test_lots_are_first_in_first_out_the_opener_is_credited_and_the_closer_recorded() -> None:
    desk = DeskHarness(sources=(a_source(RULE, adds=True), a_source(LLM, adds=True), a_source(QC)))
    desk.quote(100)
    desk.buys(source=RULE, lasts=1_000)
    desk.wait(1_000)
    desk.quote(110)
    desk.buys(source=LLM)
    sell = desk.propose(SELL, QC)
    amount = desk.order.amount
    desk.fill(price="120")
    lots = desk.of(LotClosed)
    assert [lot.opener for lot in lots] == [RULE, LLM]
    assert {lot.closer for lot in lots} == {QC}
    assert lots[0].pnl == 10 * (120 - 100)
    assert sum(lot.amount for lot in lots) == amount
    assert desk.fate(sell) is Fate.EXECUTED


# Kill, reduce, resume.


def test_reducing_cancels_entries_and_lets_exits_through() -> None:
    desk = ready(LIMIT)
    desk.buys(source=RULE, size_fraction=0.5, lasts=1_000)
    desk.wait(1_000)
    entry = desk.propose(BUY, RULE)
    desk.accept()
    desk.command(TradingState.REDUCING)
    desk.close("0")
    assert desk.fate(entry) is Fate.CANCELLED
    desk.propose(BUY, RULE)
    assert desk.order.side.value == "buy"
    assert len(desk.venue.orders) == 2
    desk.propose(SELL, QC)
    assert (desk.order.side.value, desk.order.reduce_only) == ("sell", True)


def test_halted_admits_nothing_and_resumes() -> None:
    desk = ready()
    desk.buys(stop_loss=90.0)
    desk.command(TradingState.HALTED)
    desk.propose(SELL, QC, lasts=3_000)
    desk.quote(80)
    desk.wait(10_000)
    assert len(desk.venue.orders) == 1
    desk.command(TradingState.ACTIVE)
    desk.wait(1_000)
    assert desk.order.leg is Leg.STOP_LOSS


def test_a_kill_with_flatten_closes_everything_then_halts_and_never_rebuys() -> None:
    desk = ready(LIMIT)
    desk.quote(100, symbol="ETH/USDT")
    desk.buys(source=RULE, lasts=600_000)
    desk.propose(BUY, QC, symbol="ETH/USDT", lasts=600_000)
    entry = desk.order
    desk.accept()
    desk.command(TradingState.HALTED, flatten=True)
    assert state_of(desk) is TradingState.REDUCING
    assert desk.order.leg is Leg.FLATTEN
    desk.fill()
    desk.propose(BUY, QC, lasts=600_000)
    assert state_of(desk) is TradingState.REDUCING
    desk.fill("3", order=entry)
    desk.close("3", entry)
    assert (desk.order.symbol, desk.order.leg, desk.order.amount) == ("ETH/USDT", Leg.FLATTEN, Decimal(3))
    desk.fill()
    assert state_of(desk) is TradingState.HALTED
    assert desk.of(RiskChanged)[-1].actor == "desk"
    sent = len(desk.venue.orders)
    desk.wait(300_000)
    assert len(desk.venue.orders) == sent
    assert desk.position() == desk.position("ETH/USDT") == 0


def test_a_late_fill_while_flattening_is_flattened_too() -> None:
    desk = ready(LIMIT)
    desk.propose(BUY, RULE)
    entry = desk.order
    desk.accept()
    desk.quote(100, symbol="ETH/USDT")
    desk.buys(source=QC, symbol="ETH/USDT")
    desk.command(TradingState.HALTED, flatten=True)
    desk.close("0", entry)
    desk.fill("4", order=entry)
    assert (desk.order.symbol, desk.order.leg, desk.order.amount) == (BTC, Leg.FLATTEN, Decimal(4))


def test_flattening_halts_also_when_only_dust_is_left() -> None:
    desk = ready()
    desk.buys()
    desk.command(TradingState.HALTED, flatten=True)
    desk.quote(1.0)
    desk.fill("9.0000", price="1")
    desk.close("9.0000")
    assert desk.position() == 1
    assert state_of(desk) is TradingState.HALTED


def test_a_refused_flatten_is_retried_with_backoff_and_still_halts_at_the_end() -> None:
    desk = ready()
    desk.buys()
    desk.command(TradingState.HALTED, flatten=True)
    desk.refuse()
    assert len(desk.venue.orders) == 2
    desk.wait(2_000)
    assert len(desk.venue.orders) == 3
    desk.fill()
    assert state_of(desk) is TradingState.HALTED


def test_a_resume_forgets_a_flatten_that_was_not_carried_out() -> None:
    desk = ready()
    desk.buys()
    desk.command(TradingState.HALTED, flatten=True)
    desk.refuse()
    desk.command(TradingState.ACTIVE)
    desk.wait(100_000)
    assert len(desk.venue.orders) == 2
    assert desk.position() == 10


def test_the_same_cause_asked_again_has_another_order_id() -> None:
    desk = ready()
    desk.buys(stop_loss=90.0)
    desk.quote(89)
    desk.refuse()
    desk.wait(10_000)
    ids = [order.id for order in desk.venue.orders]
    assert len(set(ids)) == len(ids) == 3
    assert all(len(order_id) <= 28 and order_id.isalnum() for order_id in ids)


def test_denials_that_are_permanent_end_the_wish() -> None:
    desk = DeskHarness(a_config(replace(NO_LIMITS, max_order_notional=4.0)))
    desk.quote(100)
    decision = desk.propose()
    desk.wait(10_000)
    assert desk.fates()[decision.id].denial is Denial.MAX_ORDER_NOTIONAL
    assert not desk.intents
    assert not desk.asked(CancelOrder)


# What is too small to trade is as good as gone.


def test_a_remainder_that_fees_in_base_left_keeps_no_stop_for_the_next_trade() -> None:
    desk = ready()
    desk.quote(100)
    desk.propose(BUY, stop_loss=90.0, lasts=1_000)
    desk.fill(fee="0.01005", currency="BTC")
    desk.wait(1_000)
    desk.propose(SELL)
    assert desk.order.amount == Decimal("9.9899")
    desk.fill()
    assert 0 < desk.position() < Decimal("0.0001")
    assert desk.desk.state.protections == {}
    assert BTC in desk.desk.state.risk.last_exit
    desk.quote(85)
    desk.propose(BUY, QC)
    desk.fill(price="85")
    desk.quote(84)
    assert desk.order.side.value == "buy"


def test_a_small_first_fill_of_an_entry_is_a_position_and_is_protected() -> None:
    desk = ready(LIMIT)
    desk.propose(stop_loss=90.0)
    desk.accept()
    desk.fill("0.0001")
    assert desk.desk.state.protections
    assert desk.desk.state.risk.last_exit == {}


def test_a_symbol_that_freezes_and_thaws_says_so() -> None:
    desk = ready()
    desk.propose()
    desk.lose()
    assert "unknown" in desk.of(HealthChanged)[-1].detail
    desk.accept()
    assert "known again" in desk.of(HealthChanged)[-1].detail
    assert len(desk.of(HealthChanged)) == 2
