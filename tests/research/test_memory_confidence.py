"""The confidence: never certain on little, never lower for better figures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from research.memory.confidence import NO_CONFIDENCE, adjusted, confidence_in, confidence_of, quality
from research.memory.errors import EvidenceError
from research.memory.evidence import BacktestEvidence, TradeEvidence
from research.memory.figures import Figures
from research.memory.policy import MemoryPolicy
from tests.research.memory_evidence import backtest, backtests, trade, trades

figures = st.builds(
    Figures,
    trades=st.floats(0, 1_000),
    sharpe=st.none() | st.floats(-10, 10),
    win_rate=st.none() | st.floats(0, 1),
    max_drawdown=st.none() | st.floats(0, 2),
    profit_factor=st.none() | st.floats(0, 100),
    flawless=st.booleans(),
)
policies = st.builds(
    MemoryPolicy,
    min_trades=st.integers(0, 200),
    prior_trades=st.floats(0, 200),
    backtest_weight=st.floats(0, 1),
    window=st.integers(1, 50),
    strength=st.floats(0, 1),
)


@given(figures, policies)
def test_a_confidence_is_within_0_and_1(record: Figures, policy: MemoryPolicy) -> None:
    assert 0.0 <= confidence_in(record, policy).value <= 1.0


@given(figures, policies, st.sampled_from(["trades", "sharpe", "win_rate", "max_drawdown", "profit_factor"]), st.floats(0, 100))
def test_no_better_figure_ever_lowers_the_confidence(record: Figures, policy: MemoryPolicy, name: str, more: float) -> None:
    before = getattr(record, name)
    if before is None:
        return
    better = (
        max(0.0, before - more) if name == "max_drawdown" else min(1.0, before + more) if name == "win_rate" else before + more
    )
    changed = replace(record, **{name: better})
    assert confidence_in(changed, policy).value >= confidence_in(record, policy).value - 1e-12


@given(st.lists(trades, max_size=12), st.lists(backtests.filter(lambda each: each.trades < 40), max_size=5), policies)
def test_too_few_trades_never_give_more_than_half(
    closed: list[TradeEvidence], tested: list[BacktestEvidence], policy: MemoryPolicy
) -> None:
    found = confidence_of(closed, tested, policy)
    seen = len(closed) + sum(each.trades for each in tested)
    if seen < policy.min_trades:
        assert not found.proven
        assert found.value <= 0.5


@given(
    st.lists(backtests, min_size=1, max_size=6),
    st.lists(trades, max_size=6),
    st.sampled_from(["sharpe", "win_rate", "max_drawdown", "profit_factor"]),
    st.floats(0, 3),
    st.data(),
)
def test_a_better_backtest_never_lowers_the_confidence(
    tested: list[BacktestEvidence], closed: list[TradeEvidence], name: str, more: float, data: st.DataObject
) -> None:
    which = data.draw(st.integers(0, len(tested) - 1))
    worse = tested[which]
    before = getattr(worse, name)
    if before is None:
        return
    after = (
        max(0.0, before - more) if name == "max_drawdown" else min(1.0, before + more) if name == "win_rate" else before + more
    )
    better = [*tested[:which], replace(worse, **{name: after}), *tested[which + 1 :]]
    assert confidence_of(closed, better).value >= confidence_of(closed, tested).value - 1e-12


@given(st.lists(backtests, max_size=4), st.integers(30, 80), st.floats(0.0001, 0.02))
def test_to_have_lost_nothing_is_never_worse_than_to_have_lost_a_little(
    tested: list[BacktestEvidence], number: int, gain: float
) -> None:
    won = [trade(day, gain * (1 + day % 3)) for day in range(1, number)]
    little, nothing = trade(0, -1e-9), trade(0, 0.0)
    lost, kept = confidence_of([*won, little], tested), confidence_of([*won, nothing], tested)
    assert kept.value >= lost.value - 1e-6


def test_one_lucky_profit_factor_does_not_cover_for_a_losing_record() -> None:
    lucky = [trade(day, 0.01 if day else -1e-6) for day in range(40)]
    alone = confidence_of(lucky, [backtest(profit_factor=0.5, sharpe=-1.0)]).quality
    assert (
        alone
        == confidence_of(
            [trade(day, 0.01 if day else -1e-4) for day in range(40)], [backtest(profit_factor=0.5, sharpe=-1.0)]
        ).quality
    )


def test_half_is_reached_only_once_there_are_enough_trades() -> None:
    policy = MemoryPolicy(min_trades=50, prior_trades=1)
    record = Figures(trades=49, sharpe=3, win_rate=0.8, max_drawdown=0.01, profit_factor=3)
    assert confidence_in(record, policy).value == 0.5
    assert confidence_in(replace(record, trades=50.0), policy).value > 0.9


def test_the_formula_is_the_documented_one() -> None:
    record = Figures(trades=90, sharpe=1.0, win_rate=0.45, max_drawdown=0.225, profit_factor=1.5)
    assert quality(record) == pytest.approx(0.5)
    assert confidence_in(record, MemoryPolicy(prior_trades=30)).value == pytest.approx(0.5 * 90 / 120)


def test_a_record_that_does_not_earn_has_no_quality_above_half() -> None:
    assert quality(Figures(trades=100, sharpe=-0.1, win_rate=0.9, max_drawdown=0.01, profit_factor=5.0)) == 0.5
    assert quality(Figures(trades=100, sharpe=3.0, win_rate=0.9, max_drawdown=0.01, profit_factor=0.9)) == 0.5


def test_the_same_backtest_run_many_times_is_believed_no_more_than_once() -> None:
    once = confidence_of([], [backtest()]).value
    assert confidence_of([], [backtest(reference=str(run)) for run in range(50)]).value == pytest.approx(once)


def test_a_sweep_is_believed_by_its_middle_not_by_its_best_run() -> None:
    sweep = [backtest({"fast": fast}, sharpe=0.2) for fast in range(20)]
    assert confidence_of([], [*sweep, backtest({"fast": 99}, sharpe=4.0)]).value == confidence_of([], sweep).value


def test_a_backtested_trade_counts_less_than_a_real_one() -> None:
    assert confidence_of([], [backtest(trades=100)], MemoryPolicy(backtest_weight=0.5)).trades == 50.0


@given(figures, policies, st.floats(0, 1))
def test_a_memory_moves_a_decision_only_within_its_bound(record: Figures, policy: MemoryPolicy, raw: float) -> None:
    found = adjusted(confidence_in(record, policy), raw, policy)
    assert found.raw == raw
    assert 0.0 <= found.value <= 1.0
    assert abs(found.value - raw) <= policy.strength * raw + 1e-12


@given(figures, st.floats(0, 1))
def test_an_unproven_record_never_raises_a_decision(record: Figures, raw: float) -> None:
    found = confidence_in(replace(record, trades=min(record.trades, 29.0)), MemoryPolicy(min_trades=30))
    assert adjusted(found, raw).value <= raw


def test_no_memory_changes_nothing() -> None:
    assert adjusted(None, 0.7).value == 0.7
    assert adjusted(NO_CONFIDENCE, 0.7).value == 0.7


def test_a_good_record_raises_and_a_bad_one_lowers() -> None:
    good = confidence_of([trade(day, 0.01 if day % 3 else -0.005) for day in range(100)], [])
    bad = confidence_of([trade(day, -0.01 if day % 3 else 0.005) for day in range(100)], [])
    assert adjusted(good, 0.6).value > 0.65
    assert adjusted(bad, 0.6).value < 0.55


@pytest.mark.parametrize("raw", [-0.1, 1.1, math.nan])
def test_a_confidence_that_is_none_is_refused(raw: float) -> None:
    with pytest.raises(EvidenceError, match="confidence"):
        adjusted(None, raw)
