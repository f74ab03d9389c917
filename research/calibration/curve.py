"""How far stated confidences come true: the reliability curve, the Brier score and its parts, and the expected calibration error.

All are of the outcomes as they were, without the weights of feedback: people may teach a map, but not mend its record.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bot.core.values import value
from research.calibration.evidence import Closed

BINS = 10
_RESAMPLED = 500
_Z = 1.959963984540054  # 95 % of a normal distribution, two-sided

Floats = NDArray[np.float64]


@value
class Bin:
    """Stated confidences from `low` up to `high`: their mean, the fraction that came true and its 95 % Wilson interval."""

    low: float
    high: float
    closed: int
    stated: float
    won: float
    won_low: float
    won_high: float


@value
class Brier:
    """The mean squared error of the confidences, and what it is made of.

        score = reliability - resolution + uncertainty + within

    Murphy, J. Appl. Meteor. 12 (1973); `within` is what the bins hide, the two extra components of Stephenson, Coelho and
    Jolliffe, Weather and Forecasting 23 (2008). A score below `uncertainty` is better than always saying the base rate.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


@value
class Reliability:
    """The record of a group. `error` is the expected calibration error, with its 95 % bootstrap interval."""

    closed: int
    won: int
    profit: float
    bins: tuple[Bin, ...]
    brier: Brier
    error: float
    error_low: float
    error_high: float


def wilson(won: int, closed: int) -> tuple[float, float]:
    """The 95 % interval of a fraction (Wilson, JASA 22, 1927); 0..1 if nothing is known."""
    if closed <= 0:
        return 0.0, 1.0
    share, square = won / closed, _Z * _Z
    middle = (share + square / (2 * closed)) / (1 + square / closed)
    reach = _Z * math.sqrt(share * (1 - share) / closed + square / (4 * closed * closed)) / (1 + square / closed)
    return max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach))


def reliability(closed: Sequence[Closed], bins: int = BINS) -> Reliability | None:
    """The record of these closed decisions, in bins of equal width; None without any."""
    if not closed:
        return None
    stated = np.array([each.stated for each in closed], dtype=np.float64)
    won = np.array([each.won for each in closed], dtype=np.float64)
    place = _places(stated, bins)
    low, high = _interval(stated, won, place, bins)
    profit = math.fsum(each.profit for each in closed) / len(closed)
    error = float(_errors(stated[None], won[None], place[None], bins)[0])
    return Reliability(
        len(closed), int(won.sum()), profit, _bins(stated, won, place, bins), _brier(stated, won, place, bins), error, low, high
    )


def brier_of(closed: Sequence[Closed]) -> float | None:
    """The Brier score alone; None without any."""
    return math.fsum((each.stated - each.won) ** 2 for each in closed) / len(closed) if closed else None


def error_of(closed: Sequence[Closed], bins: int = BINS) -> float | None:
    """The expected calibration error alone, without its interval, which takes a while; None without any."""
    if not closed:
        return None
    gaps: dict[int, float] = {}
    for each in closed:
        place = min(int(each.stated * bins), bins - 1)
        gaps[place] = gaps.get(place, 0.0) + each.stated - each.won
    return math.fsum(map(abs, gaps.values())) / len(closed)


def _places(stated: Floats, bins: int) -> NDArray[np.int64]:
    return np.minimum((stated * bins).astype(np.int64), bins - 1)


def _bins(stated: Floats, won: Floats, place: NDArray[np.int64], bins: int) -> tuple[Bin, ...]:
    found = []
    for number in range(bins):
        inside = place == number
        count = int(inside.sum())
        if count:
            low, high = wilson(int(won[inside].sum()), count)
            mean, share = float(stated[inside].mean()), float(won[inside].mean())
            found.append(Bin(number / bins, (number + 1) / bins, count, mean, share, low, high))
    return tuple(found)


def _brier(stated: Floats, won: Floats, place: NDArray[np.int64], bins: int) -> Brier:
    count = np.bincount(place, minlength=bins).astype(np.float64)
    some = np.maximum(count, 1.0)
    mean = np.bincount(place, stated, bins) / some
    share = np.bincount(place, won, bins) / some
    base, total = float(won.mean()), len(won)
    off = stated - mean[place]
    return Brier(
        float(((stated - won) ** 2).mean()),
        float((count * (mean - share) ** 2).sum() / total),
        float((count * (share - base) ** 2).sum() / total),
        base * (1.0 - base),
        float((off**2).mean() - 2.0 * (off * (won - share[place])).mean()),
    )


def _errors(stated: Floats, won: Floats, place: NDArray[np.int64], bins: int) -> Floats:
    """Of each row, the mean distance between what was said and what came true, over the bins by what they hold.

    Naeini, Cooper and Hauskrecht, AAAI (2015).
    """
    rows, columns = stated.shape
    where = (place + bins * np.arange(rows)[:, None]).ravel()
    gap = np.bincount(where, (stated - won).ravel(), rows * bins).reshape(rows, bins)
    return np.asarray(np.abs(gap).sum(axis=1) / columns, dtype=np.float64)


def _interval(stated: Floats, won: Floats, place: NDArray[np.int64], bins: int) -> tuple[float, float]:
    """The 95 % percentile interval. What is drawn follows from the data, so the same record has the same interval."""
    seed = int.from_bytes(hashlib.sha256(stated.tobytes() + won.tobytes()).digest()[:8])
    drawn = np.random.default_rng(seed).integers(0, len(stated), (_RESAMPLED, len(stated)))
    errors = _errors(stated[drawn], won[drawn], place[drawn], bins)
    low, high = np.quantile(errors, [0.025, 0.975])
    return float(low), float(high)
