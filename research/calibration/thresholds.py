"""Advice on the least confidence with which a source should be heard, from what decisions of each confidence earned.

The expected profit of a bucket is its summed profit over n + prior decisions: little seen, little expected. The advice is the
bucket from which on upward the decisions would have been expected to earn most, the lower one among equals, within bounds. Only
what was heard can be judged: decisions below the threshold of their time were followed by nobody.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bot.core.values import value
from research.calibration.evidence import Closed
from research.calibration.policy import DEFAULT_POLICY, CalibrationPolicy

_BUCKETS = 20


@value
class Bucket:
    """Decisions heard with a confidence from `low` up to `high`: profits are fractions of what was bought or sold."""

    low: float
    high: float
    closed: int
    won: int
    profit: float
    expected: float


@value
class ThresholdAdvice:
    """`threshold` is None where too little is known; `expected` the total that decisions at or above it were worth."""

    threshold: float | None
    expected: float
    closed: int
    buckets: tuple[Bucket, ...]
    reason: str


def threshold_advice(closed: Sequence[Closed], policy: CalibrationPolicy = DEFAULT_POLICY) -> ThresholdAdvice:
    """What threshold the closed decisions of one source speak for, by the confidence that the desk heard."""
    newest = closed[-policy.window :]
    buckets = _buckets(newest, policy)
    if len(newest) < max(1, policy.min_trades):
        return ThresholdAdvice(None, 0.0, len(newest), buckets, f"{len(newest)} of {policy.min_trades} closed decisions")
    worth = [
        (math.fsum(each.expected * each.closed for each in buckets[place:]), bucket.low) for place, bucket in enumerate(buckets)
    ]
    best, from_on = max(worth, key=lambda one: (one[0], -one[1]))
    if best <= 0:
        said = "no confidence was expected to earn anything"
        return ThresholdAdvice(policy.threshold_high, 0.0, len(newest), buckets, said)
    advised = min(policy.threshold_high, max(policy.threshold_low, from_on))
    said = f"decisions of {from_on:.2f} and above were expected to earn most"
    return ThresholdAdvice(advised, best, len(newest), buckets, said)


def _buckets(closed: Sequence[Closed], policy: CalibrationPolicy) -> tuple[Bucket, ...]:
    gathered: dict[int, list[Closed]] = {}
    for each in closed:
        gathered.setdefault(min(int(each.counted * _BUCKETS + 1e-9), _BUCKETS - 1), []).append(each)
    found = []
    for place, inside in sorted(gathered.items()):
        profit, count = math.fsum(each.profit for each in inside), len(inside)
        won = sum(each.won for each in inside)
        expected = profit / (count + policy.prior_trades)
        found.append(Bucket(place / _BUCKETS, (place + 1) / _BUCKETS, count, won, profit / count, expected))
    return tuple(found)
