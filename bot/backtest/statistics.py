"""What a run was worth, in the figures that the field compares strategies by.

Pure functions over an equity curve and closed trades. An equity curve is two columns of equal length: `at` in milliseconds UTC,
strictly rising, and `equity` in the accounting currency, positive, each the worth once a bar has closed. Crypto trades every
day, so a year is 365 days. A figure that its data cannot give (no trades, no spread of returns) is None, never zero or infinity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DAY_MS = 86_400_000
DAYS_PER_YEAR = 365
YEAR_MS = DAYS_PER_YEAR * DAY_MS


def total_return(start: float, end: float) -> float:
    """Simple return of the whole period: `end / start - 1`."""
    return end / start - 1.0


def cagr(start: float, end: float, span_ms: int) -> float | None:
    """Compound annual growth rate, `(end / start) ** (year / span) - 1`, the geometric mean growth (CFA Institute, GIPS).

    A year is 365 days. None for a span of no time, a worth that is not positive, or growth beyond what a float holds (a good
    hour, compounded for a year).
    """
    if span_ms <= 0 or start <= 0 or end <= 0:
        return None
    exponent = math.log(end / start) * YEAR_MS / span_ms
    return math.expm1(exponent) if exponent < 700.0 else None


def daily_equity(at: Times, equity: Floats, start: float) -> Floats:
    """Worth at the end of each UTC day, `start` before the first; a day without bars ends where the day before did.

    The bar that closes at midnight belongs to the day that ends then. The first and the last day may be partial.
    """
    if not len(at):
        return np.array([start])
    days = (at - 1) // DAY_MS
    # The last bar of each day is the one before the day changes.
    last = np.flatnonzero(np.append(np.diff(days) != 0, True))
    held = np.searchsorted(days[last], np.arange(days[0], days[-1] + 1), side="right") - 1
    return np.concatenate([[start], equity[last][held]])


def simple_returns(equity: Floats) -> Floats:
    """`e[i] / e[i - 1] - 1` of neighbouring values; one fewer than there are."""
    return equity[1:] / equity[:-1] - 1.0


def sharpe(returns: Floats, per_year: float = DAYS_PER_YEAR) -> float | None:
    """Sharpe ratio: mean over sample standard deviation (n - 1) of the returns, times the root of the periods per year.

    Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21 (1994), with a risk-free rate of zero; the square-root rule
    assumes uncorrelated returns. None below two returns or without spread.
    """
    if len(returns) < 2:
        return None
    deviation = float(returns.std(ddof=1))
    # Equal returns have a standard deviation of rounding noise, not of zero.
    if deviation <= 1e-12 * (1.0 + abs(float(returns.mean()))):
        return None
    return float(returns.mean()) / deviation * math.sqrt(per_year)


def sortino(returns: Floats, per_year: float = DAYS_PER_YEAR) -> float | None:
    """Sortino ratio: mean return over the downside deviation, times the root of the periods per year.

    Sortino and Price, "Performance Measurement in a Downside Risk Framework", Journal of Investing 3 (1994): the root of the
    mean, over all returns, of the squared shortfalls below the target, which is zero. None below two returns or without a loss.
    """
    if len(returns) < 2:
        return None
    downside = math.sqrt(float(np.mean(np.square(np.minimum(returns, 0.0)))))
    return float(returns.mean()) / downside * math.sqrt(per_year) if downside > 0.0 else None


def calmar(growth: float | None, drawdown: float) -> float | None:
    """Calmar ratio: compound annual growth over the maximum drawdown, both of the whole period.

    Young, "Calmar Ratio: A Smoother Tool", Futures 20 (1991), who takes the last 36 months. None without a drawdown or a growth.
    """
    return growth / drawdown if growth is not None and drawdown > 0.0 else None


def max_drawdown(equity: Floats, start: float) -> float:
    """Deepest fall from an earlier peak, `max(1 - e / peak)`, as a fraction 0..1; `start` counts as the first peak.

    Magdon-Ismail and Atiya, "Maximum Drawdown", Risk 17 (2004). Measured at the close of each bar.
    """
    if not len(equity):
        return 0.0
    peaks = np.maximum.accumulate(np.maximum(equity, start))
    return max(0.0, float(np.max(1.0 - equity / peaks)))


def longest_drawdown_ms(at: Times, equity: Floats, start: float, began: int) -> int:
    """Longest time below an earlier peak, in milliseconds: from the peak to the bar that reaches it again, or to the end.

    `start` at time `began` counts as the first peak.
    """
    if not len(at):
        return 0
    times = np.concatenate([[began], at])
    worth = np.concatenate([[start], equity])
    peaks = np.maximum.accumulate(worth)
    at_peak = worth >= peaks
    # Time of the newest peak at or before each bar; a bar that reaches the peak ends the drawdown, so it measures from before.
    newest = np.maximum.accumulate(np.where(at_peak, times, times[0]))
    since = times[1:] - newest[:-1]
    below = ~at_peak[1:] | ~at_peak[:-1]
    return int(np.max(np.where(below, since, 0), initial=0))


def profit_factor(pnl: Floats) -> float | None:
    """Gains over losses, both summed over closed trades after fees (Schwager, "Market Wizards", 1989); None without a loss."""
    lost = -float(pnl[pnl < 0].sum())
    return float(pnl[pnl > 0].sum()) / lost if lost > 0.0 else None


def win_rate(pnl: Floats) -> float | None:
    """Share of closed trades that gained after fees; None without trades."""
    return float(np.mean(pnl > 0)) if len(pnl) else None


def time_in_market(exposure: Floats) -> float | None:
    """Share of bars at whose close a position was held; `exposure` is the gross exposure at each. None without bars."""
    return float(np.mean(exposure > 0.0)) if len(exposure) else None


@dataclass(frozen=True, slots=True)
class Statistics:
    """A run in figures. Fractions are fractions (0.05 is 5 %), money is in the accounting currency, net of fees.

    `trades` counts closed lots; `days` is the number of daily returns behind Sharpe and Sortino: a handful of them proves
    nothing. `exposure` is the share of bars at whose close a position was held.
    """

    equity_start: float
    equity_end: float
    total_return: float
    cagr: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float
    max_drawdown_ms: int
    days: int
    trades: int
    win_rate: float | None
    profit_factor: float | None
    average_trade: float | None
    best_trade: float | None
    worst_trade: float | None
    exposure: float | None
    fees: float

    def as_json(self) -> dict[str, float | int | None]:
        """By name, as plain JSON values."""
        return asdict(self)


def statistics_of(
    at: Sequence[int],
    equity: Sequence[float],
    exposure: Sequence[float],
    pnl: Sequence[float],
    *,
    start: float,
    began: int,
    fees: float,
) -> Statistics:
    """Every figure of a run that had `start` at time `began` (ms UTC).

    `at`, `equity` and `exposure` are its curve, bar by bar; `pnl` the net results of its closed trades in the order they closed.
    """
    times, worth = np.asarray(at, np.int64), np.asarray(equity, np.float64)
    results = np.asarray(pnl, np.float64)
    end = float(worth[-1]) if len(worth) else start
    returns = simple_returns(daily_equity(times, worth, start))
    growth = cagr(start, end, int(times[-1]) - began if len(times) else 0)
    fall = max_drawdown(worth, start)
    return Statistics(
        equity_start=start,
        equity_end=end,
        total_return=total_return(start, end),
        cagr=growth,
        sharpe=sharpe(returns),
        sortino=sortino(returns),
        calmar=calmar(growth, fall),
        max_drawdown=fall,
        max_drawdown_ms=longest_drawdown_ms(times, worth, start, began),
        days=len(returns),
        trades=len(results),
        win_rate=win_rate(results),
        profit_factor=profit_factor(results),
        average_trade=float(results.mean()) if len(results) else None,
        best_trade=float(results.max()) if len(results) else None,
        worst_trade=float(results.min()) if len(results) else None,
        exposure=time_in_market(np.asarray(exposure, np.float64)),
        fees=fees,
    )
