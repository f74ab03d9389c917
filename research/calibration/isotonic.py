"""Isotonic regression: the rising curve that is nearest to the outcomes, by pooling adjacent violators.

Ayer et al., "An empirical distribution function for sampling with incomplete information", Ann. Math. Statist. 26 (1955); as a
calibration map: Zadrozny and Elkan, KDD (2002).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

Point = tuple[float, float]


def isotonic(stated: Sequence[float], won: Sequence[float], weights: Sequence[float]) -> tuple[Point, ...]:
    """The blocks of the least-squares rising fit, as (mean stated confidence, fraction that came true), both rising.

    Equal stated confidences are one to begin with. The three have one length; weights are above 0; nothing gives nothing.
    """
    blocks: list[list[float]] = []  # weight, sum of stated, sum of outcomes
    for said, outcome, weight in sorted(zip(stated, won, weights, strict=True)):
        same = bool(blocks) and blocks[-1][3] == said
        if same:
            _pool(blocks[-1], [weight, weight * said, weight * outcome, said])
        else:
            blocks.append([weight, weight * said, weight * outcome, said])
    pooled: list[list[float]] = []
    for block in blocks:
        pooled.append(block)
        # >= also joins blocks of the same height: one point says as much as two.
        while len(pooled) > 1 and pooled[-2][2] * pooled[-1][0] >= pooled[-1][2] * pooled[-2][0]:
            last = pooled.pop()
            _pool(pooled[-1], last)
    return tuple((block[1] / block[0], min(1.0, max(0.0, block[2] / block[0]))) for block in pooled)


def between(points: Sequence[Point], stated: float) -> float:
    """The curve at `stated`: straight between the points, level outside. Raises `ValueError` without points."""
    if not points:
        message = "a curve needs at least one point"
        raise ValueError(message)
    place = bisect_right(points, stated, key=lambda point: point[0])
    if place == 0:
        return points[0][1]
    if place == len(points):
        return points[-1][1]
    (x0, y0), (x1, y1) = points[place - 1], points[place]
    return min(y1, max(y0, y0 + (y1 - y0) * ((stated - x0) / (x1 - x0))))


def _pool(block: list[float], more: list[float]) -> None:
    for place in range(3):
        block[place] += more[place]
