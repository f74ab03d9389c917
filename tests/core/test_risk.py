"""Promises of the risk gate: it only ever shrinks or refuses, it says why, and exits pass."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.decision import Action, Denial, Fate, SourceSpec
from bot.core.effects import StoreIntent
from bot.core.facts import RiskChanged
from bot.core.inputs import Backlog, CashMoved, InstrumentChanged, MarketHealth, TradingState
from bot.core.market import Health, Instrument, MarketView, Side
from bot.core.orders import Leg
from bot.core.portfolio import Portfolio
from bot.core.risk import (
    DAY_MS,
    LossStreak,
    OrderDraft,
    Refusal,
    RiskContext,
    RiskGate,
    RiskLimits,
    RiskState,
    Shape,
    SymbolCoolDown,
    whole_steps,
)
from bot.core.sizing import FixedFraction
from tests.factories import BTC, ETH, LLM, NO_LIMITS, QC, RULE, T0, DeskHarness, a_config, a_model, a_source, an_instrument

BUY, SELL = Action.BUY, Action.SELL


def limited(sources: tuple[SourceSpec, ...] = (), fraction: float = 0.10, **limits: Any) -> DeskHarness:
    """A desk with these limits alone, which has seen a price."""
    desk = DeskHarness(a_config(replace(NO_LIMITS, **limits), FixedFraction(fraction)), sources)
    desk.quote(100)
    desk.quote(100, symbol=ETH)
    return desk


def denial(desk: DeskHarness, **proposal: Any) -> Denial | None:
    """Why a buy was or is being refused; it is asked of a source nobody else uses."""
    sent = len(desk.venue.orders)
    decision = desk.propose(BUY, QC, **proposal)
    if len(desk.venue.orders) > sent:
        return None
    fate = desk.fates().get(decision.id)
    return desk.desk.state.bench(decision.symbol).refused if fate is None else fate.denial


# Each check: shrink, refuse, and let exits pass.


def test_a_position_is_capped_by_shrinking_the_entry() -> None:
    desk = limited(max_position=0.04)
    desk.propose()
    assert desk.order.amount == Decimal(4)
    desk.fill()
    assert denial(desk, symbol=BTC, size_fraction=0.9) is Denial.MAX_POSITION


def test_exposure_counts_working_orders_of_every_symbol() -> None:
    desk = limited(max_exposure=0.15)
    desk.propose(BUY, RULE)
    desk.propose(BUY, LLM, symbol=ETH)
    assert [order.amount for order in desk.venue.orders] == [Decimal(10), Decimal(5)]


def test_an_order_is_capped_in_money() -> None:
    desk = limited(max_order_notional=250.0)
    desk.propose()
    assert desk.order.amount == Decimal("2.5")


def test_a_source_holds_no_more_than_its_capital() -> None:
    desk = limited((a_source(RULE, capital=Decimal("0.15"), adds=True),), fraction=1.0)
    desk.buys()
    assert desk.position() == 15
    desk.propose()
    assert desk.fates()["d" + str(len(desk.turns) - 1)].denial is Denial.NO_CAPITAL


def test_a_buy_is_paid_from_free_cash_with_its_fee_and_buffer() -> None:
    desk = limited(fraction=1.0, cash_buffer=0.01)
    desk.propose()
    assert desk.order.amount * Decimal("101.1") <= 10_000 < (desk.order.amount + Decimal("0.0001")) * Decimal("101.1")


def test_open_orders_and_orders_per_minute_are_capped() -> None:
    desk = limited(max_open_orders=1)
    desk.propose()
    assert denial(desk, symbol=ETH) is Denial.MAX_OPEN_ORDERS
    other = limited(max_orders_per_minute=1)
    other.buys(lasts=200_000)
    assert denial(other, symbol=ETH, lasts=200_000) is Denial.ORDER_RATE
    other.wait(60_000)
    other.quote(100, symbol=ETH)
    other.wait(1_000)
    assert other.order.symbol == ETH


def test_a_stale_price_or_feed_refuses_entries() -> None:
    desk = limited(stale_after_ms=5_000)
    desk.wait(5_001)
    assert denial(desk) is Denial.STALE_DATA
    desk.quote(100)
    desk.wait(1_000)
    assert desk.venue.orders
    for health in (Health.STALE, Health.GAP):
        other = limited(stale_after_ms=5_000)
        other.turn(MarketHealth(other.now, BTC, health))
        assert denial(other) is Denial.STALE_DATA
        other.turn(MarketHealth(other.now, BTC, Health.FRESH))
        other.wait(1_000)
        assert other.venue.orders


def test_a_price_that_left_its_reference_refuses_entries() -> None:
    desk = limited(price_collar=0.02)
    assert denial(desk, price=97.0) is Denial.PRICE_COLLAR
    assert denial(limited(price_collar=0.02), price=99.0) is None


def test_a_symbol_that_was_left_cools_down() -> None:
    desk = limited(symbol_cool_down_ms=10_000)
    desk.buys(lasts=1_000)
    desk.propose(SELL)
    desk.fill()
    assert denial(desk) is Denial.COOL_DOWN
    assert denial(desk, symbol=ETH) is None
    desk.wait(10_000)
    assert desk.order.symbol == BTC


def lose_trade(desk: DeskHarness, parts: int = 1) -> None:
    """Buy at 100 and sell at 99, in one order of some parts."""
    desk.propose(BUY, RULE)
    desk.fill()
    desk.propose(SELL, RULE)
    order = desk.order
    for number in range(parts):
        share = order.amount / parts if number < parts - 1 else order.amount - order.amount / parts * (parts - 1)
        desk.fill(share, "99", order)


def test_a_streak_of_losses_cools_down() -> None:
    desk = limited(loss_streak=2, loss_streak_cool_down_ms=10_000)
    lose_trade(desk)
    assert denial(desk, symbol=ETH, lasts=1_000) is None
    desk.refuse()
    lose_trade(desk)
    assert denial(desk, symbol=ETH) is Denial.LOSS_STREAK
    desk.wait(10_000)
    assert desk.order.symbol == ETH


@pytest.mark.parametrize(("passed", "left"), [(0, 10), (1, 10), (9_000, 1), (9_999, 1)])
def test_what_pauses_entries_says_for_how_many_seconds_more(passed: int, left: int) -> None:
    risk = RiskState(loss_streak=2, last_loss=T0, last_exit={BTC: T0})
    book = RiskContext(Portfolio.opening("USDT", Decimal(1)), MarketView(now=T0 + passed), risk, {})
    draft = OrderDraft(BTC, Side.BUY, Decimal(1), 1.0, 1.0, RULE, 1.0, False, an_instrument(BTC))
    streak, cool = LossStreak(2, 10_000)(draft, book), SymbolCoolDown(10_000)(draft, book)
    assert streak == Refusal(Denial.LOSS_STREAK, f"2 losses in a row; entries resume in {left} s")
    assert cool == Refusal(Denial.COOL_DOWN, f"{BTC} was left just now; it may be entered again in {left} s")


def test_a_losing_trade_that_filled_in_many_parts_is_one_loss() -> None:
    desk = limited(loss_streak=2)
    lose_trade(desk, parts=5)
    assert desk.desk.state.risk.loss_streak == 1
    assert denial(desk) is None


def test_a_win_ends_the_streak() -> None:
    desk = limited(loss_streak=2)
    lose_trade(desk)
    desk.buys()
    desk.propose(SELL)
    desk.fill(price="110")
    assert desk.desk.state.risk.loss_streak == 0


def test_the_daily_loss_stops_entries_until_the_next_utc_day() -> None:
    desk = limited(max_daily_loss=0.05, fraction=0.9)
    desk.buys(lasts=1_000)
    desk.quote(90)
    assert denial(desk, symbol=ETH, lasts=10) is Denial.DAILY_LOSS
    desk.propose(SELL, RULE)
    assert desk.order.side is Side.SELL
    desk.fill(price="90")
    midnight = (desk.now // DAY_MS + 1) * DAY_MS
    desk.wait(midnight - desk.now)
    desk.quote(90)
    assert denial(desk) is None


def test_the_drawdown_from_the_peak_stops_entries_and_not_exits() -> None:
    desk = limited(max_drawdown=0.10, fraction=0.9)
    desk.buys(lasts=1_000)
    desk.quote(150)
    desk.quote(120)
    assert denial(desk, symbol=ETH, lasts=10) is Denial.DRAWDOWN
    desk.propose(SELL)
    assert desk.order.leg is Leg.EXIT


def test_deposits_and_withdrawals_move_the_baselines() -> None:
    desk = limited(max_daily_loss=0.05, max_drawdown=0.05)
    desk.turn(CashMoved(desk.now, Decimal(-5_000), "USDT", "withdrawal"))
    risk = desk.desk.state.risk
    assert (risk.peak, risk.day_start) == (5_000.0, 5_000.0)
    assert denial(desk) is None
    desk.turn(CashMoved(desk.now, Decimal(20_000), "USDT", "deposit"))
    assert (risk.peak, risk.day_start, desk.desk.portfolio.equity) == (25_000.0, 25_000.0, 25_000.0)
    desk.turn(CashMoved(desk.now, Decimal(20_000), "EUR", "deposit"))
    desk.turn(CashMoved(desk.now, Decimal("NaN"), "USDT", "deposit"))
    assert desk.desk.portfolio.cash == 25_000


def test_only_allowed_symbols_are_entered_and_all_are_left() -> None:
    desk = limited(allowed_symbols=(ETH,))
    assert denial(desk) is Denial.SYMBOL_NOT_ALLOWED
    assert denial(desk, symbol=ETH) is None


def test_a_symbol_that_is_not_trading_is_not_entered() -> None:
    desk = limited()
    desk.turn(InstrumentChanged(desk.now, an_instrument(BTC, active=False)))
    assert denial(desk) is Denial.UNKNOWN_INSTRUMENT


def test_a_backlog_of_broker_updates_holds_entries_back_and_not_exits() -> None:
    desk = limited()
    desk.buys(lasts=1_000, stop_loss=90.0)
    desk.turn(Backlog(desk.now, 10_000, True))
    assert denial(desk, symbol=ETH) is Denial.BACKLOG
    desk.quote(89)
    assert desk.order.leg is Leg.STOP_LOSS
    desk.turn(Backlog(desk.now, 0, False))
    desk.wait(1_000)
    assert desk.order.symbol == ETH


@pytest.mark.parametrize("state", [TradingState.REDUCING, TradingState.HALTED])
def test_the_trading_states_refuse_entries(state: TradingState) -> None:
    desk = limited()
    desk.command(state)
    assert denial(desk) is {TradingState.REDUCING: Denial.REDUCING, TradingState.HALTED: Denial.HALTED}[state]


def test_amounts_are_floored_to_the_step_and_the_too_small_is_refused_and_never_looped() -> None:
    desk = limited(fraction=0.000_3)
    decision = desk.propose()
    assert desk.fates()[decision.id].denial is Denial.BELOW_MIN_COST
    desk.wait(10_000)
    assert not desk.intents
    tiny = limited(fraction=0.000_001)
    tiny.turn(InstrumentChanged(tiny.now, an_instrument(BTC, min_amount=Decimal(1))))
    assert denial(tiny, size_fraction=0.5) in {Denial.BELOW_MIN_AMOUNT, None}


def test_an_order_is_never_larger_than_the_venue_takes_and_an_exit_goes_on_in_parts() -> None:
    desk = limited()
    desk.buys()
    desk.turn(InstrumentChanged(desk.now, an_instrument(BTC, max_market_amount=Decimal("4.00005"))))
    desk.propose(SELL)
    for amount in ("4", "4", "2"):
        assert desk.order.amount == Decimal(amount)
        desk.fill()
    assert desk.position() == 0
    assert len(desk.venue.orders) == 4


def test_an_exit_that_no_limit_may_stop() -> None:
    desk = limited()
    desk.buys(stop_loss=90.0)
    tight = replace(RiskLimits(), max_position=0.0, max_exposure=0.0, max_order_notional=0.0, max_open_orders=0, loss_streak=0)
    gate = RiskGate(tight.checks())
    book = desk.desk.portfolio
    context = RiskContext(book, desk.desk.market, desk.desk.state.risk, desk.desk.state.working)
    draft = OrderDraft(BTC, Side.SELL, Decimal(10), 50.0, 100.0, RULE, 0.0, True, an_instrument(BTC))
    assert gate.judge(draft, context) == draft


# The law: shrink or refuse.

FRACTIONS = st.none() | st.floats(0, 1)


@settings(max_examples=150, deadline=None)
@given(
    limits=st.builds(
        RiskLimits,
        max_position=FRACTIONS,
        max_exposure=FRACTIONS,
        max_order_notional=st.none() | st.floats(0, 20_000),
        max_open_orders=st.none() | st.integers(0, 3),
        price_collar=FRACTIONS,
        cash_buffer=st.floats(0, 0.1),
    ),
    amount=st.integers(1, 10_000_000),
    price=st.floats(0.01, 1e6),
    side=st.sampled_from(Side),
    capital=st.floats(0, 1),
    reduces=st.booleans(),
    step=st.sampled_from(["0.0001", "0.1", "3", "1"]),
)
def test_a_check_only_ever_shrinks_or_refuses(
    limits: RiskLimits, amount: int, price: float, side: Side, capital: float, reduces: bool, step: str
) -> None:
    market = MarketView(now=T0)
    books, risk = Portfolio.opening("USDT", Decimal(10_000)), RiskState(seen={BTC: T0})
    instrument = an_instrument(BTC, amount_step=Decimal(step))
    draft = OrderDraft(BTC, side, Decimal(amount) / 10_000, price, price, RULE, capital, reduces, instrument)
    context = RiskContext(books, market, risk, {})
    before = draft
    for check in limits.checks():
        answer = check(before, context)
        if isinstance(answer, Refusal):
            assert answer.detail
            return
        assert 0 < answer.amount <= before.amount
        assert replace(answer, amount=before.amount) == before
        before = answer
    assert before.amount % instrument.amount_step == 0
    assert before.amount >= instrument.min_amount
    if not reduces:
        assert limits.max_position is None or before.notional <= limits.max_position * books.equity * (1 + 1e-9)
        assert limits.max_exposure is None or before.notional <= limits.max_exposure * books.equity * (1 + 1e-9)
        assert before.notional <= capital * books.equity * (1 + 1e-9)
        assert side is Side.SELL or before.notional <= 10_000


MOVES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(-60, 60)), min_size=10, max_size=60)


@settings(max_examples=50, deadline=None)
@given(MOVES)
def test_no_admitted_order_takes_a_position_or_the_book_beyond_its_limit(moves: list[tuple[int, int, int]]) -> None:
    limits = replace(NO_LIMITS, max_position=0.12, max_exposure=0.18, cash_buffer=0.01)
    config = a_config(limits, FixedFraction(0.07), fills=a_model(slippage=0.0005))
    desk = DeskHarness(config, [a_source(name, adds=True) for name in (QC, RULE)], paper=True)
    prices = [100.0, 100.0]
    for which in (0, 1):
        desk.quote(prices[which], symbol=(BTC, ETH)[which])
    for kind, which, move in moves:
        symbol = (BTC, ETH)[which]
        if kind == 0:
            prices[which] *= 1 + move / 1000
            desk.quote(round(prices[which], 2), 100, symbol)
            continue
        seen = len(desk.effects)
        books = desk.desk.portfolio
        equity, exposure = books.equity, books.exposure
        held = float(desk.position(symbol)) * desk.desk.market.prices[symbol]
        desk.propose(SELL if kind == 3 and move > 20 else BUY, (QC, RULE)[move % 2], symbol=symbol, lasts=50)
        for effect in desk.effects[seen:]:
            if isinstance(effect, StoreIntent) and effect.request.leg is Leg.ENTRY:
                notional = float(effect.request.amount) * effect.request.reference
                assert held + notional <= 0.12 * equity * (1 + 1e-9)
                assert exposure + notional <= 0.18 * equity * (1 + 1e-9)
        assert books.cash >= 0


def test_what_has_more_steps_than_anybody_counts_is_nothing() -> None:
    instrument: Instrument = an_instrument(BTC, amount_step=Decimal("1e-18"))
    assert whole_steps(instrument, Decimal("1e30")) == 0
    books = RiskContext(Portfolio.opening("USDT", Decimal(1)), MarketView(), RiskState(), {})
    draft = OrderDraft(BTC, Side.BUY, Decimal("1e30"), 1.0, 1.0, RULE, 1.0, False, instrument)
    answer = Shape()(draft, books)
    assert isinstance(answer, Refusal)
    assert answer.denial is Denial.BELOW_MIN_AMOUNT


def test_pace_is_remembered_no_longer_than_it_counts() -> None:
    desk = limited()
    for _ in range(50):
        desk.buys(lasts=1_000)
        desk.propose(SELL)
        desk.fill()
        desk.wait(30_000)
    assert len(desk.desk.state.risk.order_times) <= 6


def test_a_denied_winner_ends_and_the_fate_says_why_in_figures() -> None:
    desk = limited(max_order_notional=1.0)
    decision = desk.propose()
    fate = desk.fates()[decision.id]
    assert (fate.fate, fate.denial) == (Fate.DENIED, Denial.MAX_ORDER_NOTIONAL)
    assert "1.00" in fate.reason


def test_without_a_quote_no_order_leaves_and_it_is_tried_again() -> None:
    desk = DeskHarness(a_config(replace(NO_LIMITS, live_quote=True)), [a_source(RULE)])
    desk.candle(100.0)
    decision = desk.propose(lasts=60_000)
    assert not desk.asked(StoreIntent)
    desk.quote(100.0)
    desk.wait(1_500)
    assert [effect.request.decision_id for effect in desk.asked(StoreIntent)] == [decision.id]


def test_a_loss_limit_that_holds_entries_back_is_told_once_a_day() -> None:
    desk = limited(loss_streak=1, loss_streak_cool_down_ms=2 * DAY_MS)
    desk.buys(lasts=1_000)
    desk.quote(90.0)
    desk.propose(SELL)
    desk.fill(price="90")
    for _ in range(3):
        desk.propose(lasts=5_000)
        desk.wait(10_000)
    told = [fact for fact in desk.of(RiskChanged) if "loss-streak" in fact.reason]
    assert len(told) == 1
    desk.wait(DAY_MS)
    desk.quote(90.0)
    desk.propose(lasts=5_000)
    assert len([fact for fact in desk.of(RiskChanged) if "loss-streak" in fact.reason]) == 2
