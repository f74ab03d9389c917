"""Value at risk and expected shortfall: what may be lost over a horizon, as positive fractions of equity.

With tail probability p = 1 - level:

- historical: of n losses the k-th largest, k = ceil(n p); the shortfall is Acerbi and Tasche's (On the coherence of expected
  shortfall, 2002), the mean of the worst n p losses, the last of them in part, so it is never below the value at risk. Horizons
  of several periods use compounded overlapping windows.
- normal: VaR = z sigma - mu, ES = sigma phi(z) / p - mu (McNeil, Frey, Embrechts, Quantitative Risk Management, 2.2), mu and
  sigma scaled by the horizon and its root.
- Cornish-Fisher: the quantile z bent by skewness S and excess kurtosis K,
  w(z) = z + (z^2 - 1) S / 6 + (z^3 - 3 z) K / 24 - (2 z^3 - 5 z) S^2 / 36 (Zangari 1996, Favre and Galeano 2002); the shortfall
  is the mean of w over the tail, by the truncated moments of the normal. Where w does not rise throughout the tail, as far as six
  standard deviations, it is no quantile (D. Maillard, A User's Guide to the Cornish Fisher Expansion, 2012) and neither figure is
  given. Over h independent periods S shrinks by the root of h and K by h.

A negative figure is a gain: even the tail earns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sources.analysis.values import AnalysisError, Floats, Told

_NORMAL = NormalDist()
_LEAST_TAIL = 1.0
_LEAST_MOMENTS = 30
_FARTHEST = -6.0


class Method(StrEnum):
    """How the tail was estimated."""

    HISTORICAL = "historical"
    NORMAL = "normal"
    CORNISH_FISHER = "cornish_fisher"


@dataclass(frozen=True, slots=True)
class TailRisk(Told):
    """Value at risk and expected shortfall over `horizon` periods at `level` (0.95 means that 5 % of losses are larger).

    Both are fractions of equity lost, or None with the reason; `samples` is how many returns they rest on.
    """

    method: Method
    level: float
    horizon: int
    samples: int
    value_at_risk: float | None
    expected_shortfall: float | None
    reason: str = ""


def tail_risk(returns: Floats, method: Method, level: float = 0.95, horizon: int = 1) -> TailRisk:
    """Estimate from simple returns per period. Raises `AnalysisError` if level or horizon are none."""
    if not 0.5 <= level < 1.0 or horizon < 1:
        message = f"a level in 0.5..1 and a horizon of at least 1 period are needed, not {level} and {horizon}"
        raise AnalysisError(message)
    if method is Method.HISTORICAL:
        return _historical(returns, level, horizon)
    if len(returns) < _LEAST_MOMENTS:
        return _unknown(method, level, horizon, len(returns), f"fewer than {_LEAST_MOMENTS} returns")
    mean, sigma = float(returns.mean()) * horizon, float(returns.std(ddof=1)) * math.sqrt(horizon)
    skew, kurtosis = (0.0, 0.0) if method is Method.NORMAL else moments(returns)
    bent = _Bent(skew / math.sqrt(horizon), kurtosis / horizon)
    p = 1.0 - level
    z = _NORMAL.inv_cdf(p)
    if not bent.rises(z):
        return _unknown(method, level, horizon, len(returns), "skewness and kurtosis are outside what the expansion holds for")
    at_risk, shortfall = -(mean + sigma * bent.at(z)), -(mean + sigma * bent.below(z, p))
    # Beyond six standard deviations the expansion may turn; what little that weighs must not break the order of the two.
    return TailRisk(method, level, horizon, len(returns), at_risk, max(shortfall, at_risk))


def _unknown(method: Method, level: float, horizon: int, samples: int, reason: str) -> TailRisk:
    return TailRisk(method, level, horizon, samples, None, None, reason)


def _historical(returns: Floats, level: float, horizon: int) -> TailRisk:
    over = compounded(returns, horizon)
    share = len(over) * (1.0 - level)
    # 100 * (1 - 0.95) is a little above 5, and the fifth is meant.
    tail = round(share) if abs(share - round(share)) < 1e-9 else share
    if tail < _LEAST_TAIL:
        return _unknown(Method.HISTORICAL, level, horizon, len(over), f"{len(over)} returns are too few for this level")
    losses = np.sort(-over)[::-1]
    whole = math.floor(tail)
    # The worst losses of the tail wholly, the next in part.
    part = (tail - whole) * float(losses[whole]) if whole < len(losses) else 0.0
    shortfall = (math.fsum(losses[:whole].tolist()) + part) / tail
    at_risk = float(losses[math.ceil(tail) - 1])
    return TailRisk(Method.HISTORICAL, level, horizon, len(over), at_risk, max(shortfall, at_risk))


def compounded(returns: Floats, horizon: int) -> Floats:
    """Returns of every run of `horizon` periods, overlapping."""
    if horizon == 1:
        return returns
    if len(returns) < horizon:
        return np.zeros(0)
    found: Floats = np.prod(1.0 + sliding_window_view(returns, horizon), axis=1) - 1.0
    return found


def moments(returns: Floats) -> tuple[float, float]:
    """Skewness and excess kurtosis of the sample (population formulas); 0 where nothing varies."""
    size = float(np.abs(returns).max(initial=0.0))
    if size < 1e-150:
        return 0.0, 0.0
    # Measured by the largest, so that no power of them is too small for a float.
    scaled = returns / size
    off = scaled - scaled.mean()
    variance = float((off * off).mean())
    if variance <= 1e-24:
        return 0.0, 0.0
    return float((off**3).mean()) / variance**1.5, float((off**4).mean()) / variance**2 - 3.0


@dataclass(frozen=True, slots=True)
class _Bent:
    """The expansion as a polynomial of z."""

    skew: float
    kurtosis: float

    def at(self, z: float) -> float:
        return self._of(z, z * z, z**3)

    def below(self, z: float, p: float) -> float:
        """The mean over the tail below z, whose probability is p: E[z^k | z < a] in closed form."""
        hazard = _NORMAL.pdf(z) / p
        return self._of(-hazard, 1.0 - z * hazard, -(z * z + 2.0) * hazard)

    def _of(self, one: float, two: float, three: float) -> float:
        skew, kurtosis = self.skew, self.kurtosis
        return one + (two - 1) * skew / 6 + (three - 3 * one) * kurtosis / 24 - (2 * three - 5 * one) * skew**2 / 36

    def rises(self, z: float) -> bool:
        """Whether the derivative a z^2 + b z + c is positive from six standard deviations up to z."""
        a, b = self.kurtosis / 8 - self.skew**2 / 6, self.skew / 3
        c = 1 - self.kurtosis / 8 + 5 * self.skew**2 / 36
        turn = min(z, max(_FARTHEST, -b / (2 * a))) if a else z
        return all(a * each * each + b * each + c > 0 for each in (_FARTHEST, turn, z))
