"""What to expect of a strategy, given how little was seen of it.

The point is the observed figure shrunk toward zero by the credibility of the record, Z = n / (n + k) of n trades against a
scepticism worth k (Bühlmann, "Experience rating and credibility", ASTIN Bulletin 4, 1967): nothing seen, nothing expected. The
interval around it is the sampling error at 95 %, in full: shrinking would narrow it, and few trades should not look certain.
"""

from __future__ import annotations

import math
from statistics import NormalDist, stdev

from bot.core.values import value
from research.memory.figures import Figures
from research.memory.policy import DEFAULT_POLICY, MemoryPolicy

_COVERED = 0.95
_QUANTILE = 0.5 + _COVERED / 2


@value
class Estimate:
    """A shrunk figure with its 95 % interval, which is None where the record has no spread to tell it; `observed` is unshrunk."""

    value: float
    low: float | None
    high: float | None
    observed: float
    credibility: float


def credibility(trades: float, policy: MemoryPolicy = DEFAULT_POLICY) -> float:
    """Bühlmann's Z = n / (n + k), 0..1: what a record of n trades counts against `policy.prior_trades`."""
    return trades / (trades + policy.prior_trades) if trades > 0 else 0.0


def expected_return(figures: Figures, policy: MemoryPolicy = DEFAULT_POLICY) -> Estimate | None:
    """The mean return of a trade: Z times the observed mean, plus and minus Student's t times s / sqrt(n).

    Student, "The Probable Error of a Mean", Biometrika 6 (1908). None without trades; no interval without their returns.
    """
    if figures.mean_return is None:
        return None
    count = len(figures.returns)
    error = stdev(figures.returns) / math.sqrt(count) if count >= 2 else None
    return _estimate(figures.mean_return, figures.trades, error, policy)


def expected_sharpe(figures: Figures, policy: MemoryPolicy = DEFAULT_POLICY) -> Estimate | None:
    """The annualised Sharpe ratio: Z times the observed one, plus and minus Student's t times its standard error.

    The error is that of Lo, "The Statistics of Sharpe Ratios", Financial Analysts Journal 58 (2002), for independent returns,
    sqrt((1 + SR**2 / 2) / n) per trade; annualised by n / years trades a year it is sqrt(1 / years + SR**2 / (2 n)), with SR
    annualised. None if the record has no Sharpe ratio; no interval below two trades.
    """
    if figures.sharpe is None:
        return None
    told = figures.trades >= 2 and figures.years > 0
    # hypot: the square of a freak ratio would leave what a float holds.
    error = math.hypot(1 / math.sqrt(figures.years), figures.sharpe / math.sqrt(2 * figures.trades)) if told else None
    return _estimate(figures.sharpe, figures.trades, error, policy)


def student_t(degrees: int, probability: float = _QUANTILE) -> float:
    """Quantile of Student's t: exact for one and two degrees of freedom, else Abramowitz and Stegun 26.7.5 (1964).

    Within 0.3 % of the exact one at 0.975. Raises ValueError below one degree.
    """
    if degrees < 1:
        message = f"degrees: {degrees} must be at least 1"
        raise ValueError(message)
    if degrees == 1:
        return math.tan(math.pi * (probability - 0.5))
    if degrees == 2:
        return (2 * probability - 1) / math.sqrt(2 * probability * (1 - probability))
    z: float = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / float(degrees) ** power for power, term in enumerate(terms, start=1))


def _estimate(observed: float, trades: float, error: float | None, policy: MemoryPolicy) -> Estimate:
    weight = credibility(trades, policy)
    point = weight * observed
    if error is None:
        return Estimate(point, None, None, observed, weight)
    reach = student_t(max(1, int(trades) - 1)) * error
    return Estimate(point, point - reach, point + reach, observed, weight)
