"""The figures that a record is judged by: of one backtest, of trades, and of all the evidence together.

Several backtests of one subject look at nearly the same data, often once per set of parameters. To add them up would count that
data many times, and to take the best would believe luck; so together they speak with their median, once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median, stdev

from bot.core.values import value
from research.memory.evidence import BacktestEvidence, TradeEvidence
from research.memory.policy import DEFAULT_POLICY, MemoryPolicy

YEAR_MS = 365 * 86_400_000
BEST_FACTOR = 2.0
_DAY_YEARS = 1 / 365


@value
class Figures:
    """A record. `trades` may be a fraction where backtested trades count less; `sharpe` is annualised; `years` is its span.

    `mean_return` is the mean return of a trade; `returns` are all of them, where known. None is what the record cannot say:
    there is no profit factor without a loss, and `flawless` says that there was a gain and no loss.
    """

    trades: float = 0.0
    sharpe: float | None = None
    win_rate: float | None = None
    max_drawdown: float | None = None
    profit_factor: float | None = None
    mean_return: float | None = None
    years: float = 0.0
    returns: tuple[float, ...] = ()
    flawless: bool = False

    @property
    def factor(self) -> float | None:
        """The profit factor as it counts: at most the best that makes a difference, which a record without a loss has too."""
        if self.flawless:
            return BEST_FACTOR
        return None if self.profit_factor is None else min(self.profit_factor, BEST_FACTOR)


def figures_of_backtest(backtest: BacktestEvidence) -> Figures:
    """What a backtest says of itself."""
    returns = backtest.returns
    mean = fmean(returns) if returns else backtest.total_return / backtest.trades if backtest.trades else None
    return Figures(
        trades=float(backtest.trades),
        sharpe=backtest.sharpe,
        win_rate=backtest.win_rate,
        max_drawdown=backtest.max_drawdown,
        profit_factor=backtest.profit_factor,
        mean_return=mean,
        years=(backtest.until - backtest.began) / YEAR_MS,
        returns=returns,
        flawless=backtest.profit_factor is None and _flawless(backtest),
    )


def figures_of_trades(trades: Sequence[TradeEvidence]) -> Figures:
    """What closed trades say, in the order they closed, as if each had staked all there was.

    The Sharpe ratio is that of the returns per trade times the root of the trades per year; a span below a day counts as one.
    """
    if not trades:
        return Figures()
    ordered = sorted(trades, key=lambda trade: (trade.closed, trade.opened, trade.profit))
    returns = tuple(trade.profit for trade in ordered)
    years = max((ordered[-1].closed - min(trade.opened for trade in ordered)) / YEAR_MS, _DAY_YEARS)
    lost = -sum(profit for profit in returns if profit < 0)
    gained = sum(profit for profit in returns if profit > 0)
    return Figures(
        trades=float(len(returns)),
        sharpe=_sharpe(returns, len(returns) / years),
        win_rate=sum(profit > 0 for profit in returns) / len(returns),
        max_drawdown=_drawdown(returns),
        profit_factor=gained / lost if lost > 0 else None,
        mean_return=fmean(returns),
        years=years,
        returns=returns,
        flawless=gained > 0 and lost <= 0,
    )


def figures_of_backtests(backtests: Sequence[BacktestEvidence]) -> Figures:
    """The median of each figure, over those that have it; no single run decides."""
    each = [figures_of_backtest(backtest) for backtest in backtests]
    if not each:
        return Figures()
    return Figures(
        trades=median(one.trades for one in each),
        sharpe=_median(one.sharpe for one in each),
        win_rate=_median(one.win_rate for one in each),
        max_drawdown=_median(one.max_drawdown for one in each),
        profit_factor=_median(one.factor for one in each),
        mean_return=_median(one.mean_return for one in each),
        years=median(one.years for one in each),
    )


def pooled(
    trades: Sequence[TradeEvidence], backtests: Sequence[BacktestEvidence], policy: MemoryPolicy = DEFAULT_POLICY
) -> Figures:
    """All the evidence as one record.

    Real trades and the backtests' median are averaged by their number of trades, a backtested one counting
    `policy.backtest_weight`. The drawdown is the worse of the two. No profit factor counts for more than the best that makes a
    difference, so that one lucky record cannot cover for another.
    """
    real, tested = figures_of_trades(trades), figures_of_backtests(backtests)
    weights = (real.trades, tested.trades * policy.backtest_weight)
    falls = [one.max_drawdown for one in (real, tested) if one.max_drawdown is not None]
    return Figures(
        trades=sum(weights),
        sharpe=_mean((real.sharpe, tested.sharpe), weights),
        win_rate=_mean((real.win_rate, tested.win_rate), weights),
        max_drawdown=max(falls, default=None),
        profit_factor=_mean((real.factor, tested.factor), weights),
        mean_return=_mean((real.mean_return, tested.mean_return), weights),
        years=max(real.years, tested.years),
    )


def _flawless(backtest: BacktestEvidence) -> bool:
    """Whether it gained and never lost, as far as it tells."""
    if backtest.returns:
        return min(backtest.returns) >= 0 < max(backtest.returns)
    return backtest.trades > 0 and backtest.win_rate == 1.0


def _median(figures: Iterable[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return median(known) if known else None


def _mean(figures: Iterable[float | None], weights: Iterable[float]) -> float | None:
    known = [(figure, weight) for figure, weight in zip(figures, weights, strict=True) if figure is not None and weight > 0]
    return sum(figure * weight for figure, weight in known) / sum(weight for _, weight in known) if known else None


def _sharpe(returns: Sequence[float], per_year: float) -> float | None:
    if len(returns) < 2:
        return None
    spread = stdev(returns)
    # Equal returns have a spread of rounding noise, not of zero.
    return fmean(returns) / spread * math.sqrt(per_year) if spread > 1e-12 * (1.0 + abs(fmean(returns))) else None


def _drawdown(returns: Iterable[float]) -> float:
    """Deepest fall of the compounded worth from its peak; ruin is 1."""
    worth = peak = 1.0
    fall = 0.0
    for profit in returns:
        worth = max(0.0, worth * (1.0 + profit))
        if worth > 1e100:  # only the ratio counts; compounding must not leave what a float holds
            worth, peak = worth / 1e100, peak / 1e100
        peak = max(peak, worth)
        fall = max(fall, 1.0 - worth / peak)
    return fall
