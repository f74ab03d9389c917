"""Every figure against one worked out by hand, and against an independent reference where hands do not reach."""

from __future__ import annotations

import math
import statistics as stdlib
from itertools import pairwise

import numpy as np
import pytest

from bot.backtest import statistics as s

DAY = s.DAY_MS


def test_returns_compound_over_a_year_of_365_days() -> None:
    assert s.total_return(100.0, 121.0) == pytest.approx(0.21)
    assert s.cagr(100.0, 121.0, 2 * s.YEAR_MS) == pytest.approx(0.10)
    assert s.cagr(100.0, 110.0, s.YEAR_MS // 2) == pytest.approx(0.21)


def test_a_growth_that_cannot_be_told_is_none() -> None:
    assert s.cagr(100.0, 110.0, 0) is None
    assert s.cagr(100.0, 0.0, s.YEAR_MS) is None
    assert s.cagr(100.0, 110.0, 1) is None


def test_a_day_ends_with_its_last_bar_and_a_day_without_bars_stands_still() -> None:
    # Two bars on the first day, the second of which closes at midnight; none on the second; one on the third.
    at = np.array([DAY // 2, DAY, 2 * DAY + 1], np.int64)
    assert s.daily_equity(at, np.array([90.0, 110.0, 121.0]), 100.0).tolist() == [100.0, 110.0, 110.0, 121.0]


def test_sharpe_is_mean_over_sample_deviation_annualised() -> None:
    returns = [0.01, -0.02, 0.03, 0.0]
    by_hand = stdlib.fmean(returns) / stdlib.stdev(returns) * math.sqrt(365)
    assert s.sharpe(np.array(returns)) == pytest.approx(by_hand)
    assert s.sharpe(np.array([0.01])) is None
    assert s.sharpe(np.array([0.01, 0.01, 0.01])) is None


def test_sortino_counts_losses_over_all_returns() -> None:
    # Mean 0.005; downside: sqrt((0.02^2 + 0) / 4) = 0.01.
    assert s.sortino(np.array([0.01, -0.02, 0.03, 0.0])) == pytest.approx(0.5 * math.sqrt(365))
    assert s.sortino(np.array([0.01, 0.02])) is None


def test_drawdown_is_measured_from_the_highest_peak_before() -> None:
    equity = np.array([100.0, 120.0, 90.0, 130.0, 117.0])
    assert s.max_drawdown(equity, 100.0) == pytest.approx(0.25)
    assert s.max_drawdown(np.array([95.0, 99.0]), 100.0) == pytest.approx(0.05)
    assert s.calmar(0.5, 0.25) == 2.0
    assert s.calmar(0.5, 0.0) is None


def test_the_longest_drawdown_lasts_until_the_peak_is_reached_again_or_the_end() -> None:
    at = np.array([10, 20, 30, 40, 50], np.int64)
    assert s.longest_drawdown_ms(at, np.array([100.0, 120.0, 90.0, 130.0, 117.0]), 100.0, 0) == 20
    assert s.longest_drawdown_ms(at, np.array([99.0, 98.0, 97.0, 96.0, 95.0]), 100.0, 0) == 50
    assert s.longest_drawdown_ms(at, np.array([101.0, 102.0, 102.0, 103.0, 104.0]), 100.0, 0) == 0


def test_trades_give_profit_factor_and_win_rate() -> None:
    pnl = np.array([10.0, -5.0, 20.0, 0.0])
    assert s.profit_factor(pnl) == 6.0
    assert s.win_rate(pnl) == 0.5
    assert s.profit_factor(np.array([1.0])) is None
    assert s.win_rate(np.array([])) is None


def test_exposure_is_the_share_of_bars_in_the_market() -> None:
    assert s.time_in_market(np.array([0.0, 5.0, 5.0, 0.0])) == 0.5


def test_a_run_without_a_bar_has_figures_all_the_same() -> None:
    found = s.statistics_of([], [], [], [], start=100.0, began=0, fees=0.0)
    assert (found.total_return, found.trades, found.days, found.cagr, found.sharpe) == (0.0, 0, 0, None, None)


def test_a_long_curve_agrees_with_a_reference_that_walks_it_bar_by_bar() -> None:
    rng = np.random.default_rng(5)
    n, step = 5_000, 3_600_000
    at = (np.arange(1, n + 1) * step).astype(np.int64)
    equity = 1_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, n)))
    found = s.statistics_of(at.tolist(), equity.tolist(), [0.0] * n, [], start=1_000.0, began=0, fees=0.0)

    peak, since, deepest, longest = 1_000.0, 0, 0.0, 0
    by_day: dict[int, float] = {}
    for moment, worth in zip(at.tolist(), equity.tolist(), strict=True):
        if worth >= peak:
            longest = max(longest, moment - since if since != moment - step else 0)
            peak, since = worth, moment
        else:
            longest = max(longest, moment - since)
        deepest = max(deepest, 1 - worth / peak)
        by_day[(moment - 1) // DAY] = worth
    ends = [1_000.0, *by_day.values()]
    returns = [after / before - 1 for before, after in pairwise(ends)]
    assert found.max_drawdown == pytest.approx(deepest)
    assert found.max_drawdown_ms == longest
    assert found.days == len(returns)
    assert found.sharpe == pytest.approx(stdlib.fmean(returns) / stdlib.stdev(returns) * math.sqrt(365))
    downside = math.sqrt(stdlib.fmean(min(r, 0) ** 2 for r in returns))
    assert found.sortino == pytest.approx(stdlib.fmean(returns) / downside * math.sqrt(365))
    assert found.calmar == pytest.approx(((ends[-1] / 1_000.0) ** (365 * DAY / int(at[-1])) - 1) / deepest)
