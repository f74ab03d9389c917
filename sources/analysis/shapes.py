"""Chart patterns: shapes that several swings make together, with the points that make them.

After R. Edwards and J. Magee, Technical Analysis of Stock Trends, and T. Bulkowski, Encyclopedia of Chart Patterns, in measures
of the average true range (ATR). Bottoms are found as the tops of the mirrored market. A pattern is `forming` until a close has
passed its `level`, then `confirmed`; one that the price has refuted is not told. The confidence 0..1 says how well the swings fit
the shape (the mean of the marks named at each), times 0.6 while it is forming. It is no probability of profit:
a random walk makes about as many of them as recorded hours do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sources.analysis.pivots import Pivot, pivots, zigzag
from sources.analysis.series import Series
from sources.analysis.values import Told, clip

_CONSOLIDATES = range(5, 21)
_POLE = 10
_FORMING = 0.6


class Stage(StrEnum):
    """Whether the price has passed the level that completes the pattern."""

    FORMING = "forming"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Point(Told):
    """One point of a pattern: what it is, when (ms UTC, the beginning of its candle) and at what price."""

    role: str
    ts: int
    price: float


@dataclass(frozen=True, slots=True)
class ChartPattern(Told):
    """`direction` is +1 bullish, -1 bearish, 0 undecided; `level` is the close that completes it, `target` its measured move."""

    name: str
    direction: int
    stage: Stage
    confidence: float
    points: tuple[Point, ...]
    level: float | None
    target: float | None


def chart_patterns(series: Series, atr: float | None, *, reach: int = 3) -> tuple[ChartPattern, ...]:
    """Patterns that the newest candles are part of, the best fitting first; `atr` is the average true range now, in price."""
    if atr is None or atr <= 0.0 or len(series) < 2 * reach + 1:
        return ()
    swings = zigzag(pivots(series, reach), atr)
    found = [*_reversals(series, swings, atr), *_between_lines(series, swings, atr), *_flags(series, atr)]
    return tuple(sorted(found, key=lambda each: (-each.confidence, each.name)))


def _reversals(series: Series, swings: Sequence[Pivot], atr: float) -> Iterator[ChartPattern]:
    """Tops, and bottoms as tops of the mirrored market; either may be the newest swing or the one before it."""
    for sign in (1, -1):
        for end in (len(swings), len(swings) - 1):
            tops = swings[max(0, end - 5) : max(0, end)]
            if not tops or tops[-1].top != sign:
                continue
            for make in (_double, _shoulders):
                found = make(series, tops, atr, sign)
                if found is not None:
                    yield found


def _made(name: str, sign: int, fit: float, points: Sequence[Point], level: float, target: float, passed: bool) -> ChartPattern:
    confidence = fit if passed else _FORMING * fit
    stage = Stage.CONFIRMED if passed else Stage.FORMING
    return ChartPattern(name, sign, stage, confidence, tuple(points), level, target)


def _points(swings: Sequence[Pivot], roles: Sequence[str]) -> list[Point]:
    return [Point(role, swing.ts, swing.price) for role, swing in zip(roles, swings, strict=True)]


def _double(series: Series, swings: Sequence[Pivot], atr: float, sign: int) -> ChartPattern | None:
    """Two tops within 1 ATR, at least 5 candles and a dip of 2 ATR between; marks: equality, depth (full at 5 ATR)."""
    if len(swings) < 3:
        return None
    first, dip, second = swings[-3:]
    apart = abs(first.price - second.price)
    depth = min(sign * first.price, sign * second.price) - sign * dip.price
    if apart > atr or depth < 2 * atr or second.index - first.index < 5:
        return None
    after = sign * series.close[second.index + 1 :]
    if len(after) and after.max() > max(sign * first.price, sign * second.price):
        return None
    passed = bool(len(after)) and bool(after.min() < sign * dip.price)
    fit = (1.0 - 0.5 * apart / atr + clip(depth / (5 * atr), 0.0, 1.0)) / 2
    name, roles = ("double_top", ("top", "neckline", "top")) if sign > 0 else ("double_bottom", ("bottom", "neckline", "bottom"))
    return _made(name, -sign, fit, _points((first, dip, second), roles), dip.price, dip.price - sign * depth, passed)


def _shoulders(series: Series, swings: Sequence[Pivot], atr: float, sign: int) -> ChartPattern | None:
    """A head at least 1 ATR above two shoulders that differ by at most half of its height over the neckline.

    Marks: how alike the shoulders are in height and in time, how level the neckline, how tall the head (full at 5 ATR).
    """
    if len(swings) < 5:
        return None
    left, dip, head, rise, right = swings[-5:]
    slope = (rise.price - dip.price) / (rise.index - dip.index)
    height = sign * (head.price - (dip.price + slope * (head.index - dip.index)))
    above = min(sign * (head.price - left.price), sign * (head.price - right.price))
    uneven = abs(left.price - right.price)
    if above < atr or height < 2 * atr or uneven > 0.5 * height or abs(rise.price - dip.price) > 0.5 * height:
        return None
    after = series.close[right.index + 1 :]
    neck = dip.price + slope * (np.arange(right.index + 1, len(series)) - dip.index)
    if len(after) and float((sign * after).max()) > sign * head.price:
        return None
    passed = bool((sign * after < sign * neck).any())
    before, behind = head.index - left.index, right.index - head.index
    marks = (
        1.0 - uneven / height,
        min(before, behind) / max(before, behind),
        1.0 - abs(rise.price - dip.price) / height,
        clip(height / (5 * atr), 0.0, 1.0),
    )
    level = dip.price + slope * (len(series) - 1 - dip.index)
    name = "head_and_shoulders" if sign > 0 else "inverse_head_and_shoulders"
    roles = ("left_shoulder", "neckline", "head", "neckline", "right_shoulder")
    return _made(name, -sign, sum(marks) / 4, _points(swings[-5:], roles), level, level - sign * height, passed)


@dataclass(frozen=True, slots=True)
class _Line:
    """A straight line fitted to swings by least squares; `error` is the mean distance of the swings from it, in price."""

    slope: float
    start: float
    error: float

    def at(self, index: int) -> float:
        return self.start + self.slope * index


def _line(swings: Sequence[Pivot]) -> _Line:
    index = np.array([swing.index for swing in swings], np.float64)
    price = np.array([swing.price for swing in swings])
    centred = index - index.mean()
    slope = float((centred * price).sum() / (centred * centred).sum())
    start = float(price.mean() - slope * index.mean())
    return _Line(slope, start, float(np.abs(price - start - slope * index).mean()))


_BETWEEN = {
    (0, 1): ("ascending_triangle", 1),
    (-1, 0): ("descending_triangle", -1),
    (-1, 1): ("symmetrical_triangle", 0),
    (1, 1): ("rising_wedge", -1),
    (-1, -1): ("falling_wedge", 1),
}
"""By where the upper and the lower line go, when they come together."""
_PARALLEL = {1: ("rising_channel", 1), -1: ("falling_channel", -1), 0: ("rectangle", 0)}


def _between_lines(series: Series, swings: Sequence[Pivot], atr: float) -> Iterator[ChartPattern]:
    """Triangles, wedges and channels: at least 2 highs and 2 lows of the last 6 swings, 3 of one of them, near two lines.

    A line is level if it moves less than 1 ATR over the pattern. The lines come together if the end is at most 0.7 as wide as
    the beginning; they are parallel if it is 0.75 to 1.33 as wide. Marks: nearness of the swings (none at 1 ATR), their number.
    """
    used = list(swings[-6:])
    highs, lows = [each for each in used if each.top > 0], [each for each in used if each.top < 0]
    if len(highs) < 2 or len(lows) < 2 or len(used) < 5:
        return
    upper, lower = _line(highs), _line(lows)
    begin, end, now = used[0].index, used[-1].index, len(series) - 1
    wide, narrow = upper.at(begin) - lower.at(begin), upper.at(end) - lower.at(end)
    if wide <= atr or narrow <= 0 or max(upper.error, lower.error) >= atr or now - end > end - begin:
        return
    if narrow <= 0.7 * wide:
        ways = _way(upper.slope * (end - begin), atr), _way(lower.slope * (end - begin), atr)
        name, direction = _BETWEEN.get(ways, ("", 0))
    elif 0.75 * wide <= narrow <= 4 / 3 * wide:
        name, direction = _PARALLEL[_way((upper.slope + lower.slope) / 2 * (end - begin), atr)]
    else:
        return
    if not name:
        return
    close = float(series.close[-1])
    out = 1 if close > upper.at(now) else -1 if close < lower.at(now) else 0
    fit = (1.0 - (upper.error + lower.error) / (2 * atr) + len(used) / 6) / 2
    roles = ["high" if each.top > 0 else "low" for each in used]
    side = out or direction
    level = None if not side else upper.at(now) if side > 0 else lower.at(now)
    target = None if level is None else level + side * wide
    confidence = fit if out else _FORMING * fit
    yield ChartPattern(
        name, side, Stage.CONFIRMED if out else Stage.FORMING, confidence, tuple(_points(used, roles)), level, target
    )  # fmt: skip


def _way(moved: float, atr: float) -> int:
    return 1 if moved >= atr else -1 if moved <= -atr else 0


def _flags(series: Series, atr: float) -> Iterator[ChartPattern]:
    """A pole of at least 5 ATR in at most 10 candles, then 5 to 20 candles that give back at most half of it, against it.

    Marks: length of the pole (full at 10 ATR), how little was given back. Of several lengths the best fitting is told.
    """
    best: ChartPattern | None = None
    for sign in (1, -1):
        for length in _CONSOLIDATES:
            found = _flag(series, atr, sign, length)
            if found is not None and (best is None or found.confidence > best.confidence):
                best = found
    if best is not None:
        yield best


def _flag(series: Series, atr: float, sign: int, length: int) -> ChartPattern | None:
    top = len(series) - 1 - length
    if top < _POLE:
        return None
    pole = sign * series.close[top - _POLE : top + 1]
    foot = int(np.argmin(pole))
    tall = float(pole[-1] - pole[foot])
    if tall < 5 * atr or pole[-1] < pole.max():
        return None
    rest = sign * series.close[top + 1 :]
    calm, given = rest[:-1], float(pole[-1] - rest.min())
    drift = float(calm[-1] - calm[0])
    if given > 0.5 * tall or calm.max() > pole[-1] + 0.1 * tall or not -0.5 * tall <= drift <= 0.05 * tall:
        return None
    edge = max(float(pole[-1]), float(calm.max()))
    passed = bool(rest[-1] > edge)
    fit = (clip(tall / (10 * atr), 0.0, 1.0) + 1.0 - given / tall) / 2
    places = (("pole_foot", top - _POLE + foot), ("pole_top", top), ("flag_end", len(series) - 1))
    points = [Point(role, int(series.ts[place]), float(series.close[place])) for role, place in places]
    name = "bull_flag" if sign > 0 else "bear_flag"
    return _made(name, sign, fit, points, sign * edge, sign * (edge + tall), passed)
