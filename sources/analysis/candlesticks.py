"""Candlestick patterns, as Nison names them, with measures in place of words.

Names and shapes follow S. Nison, Japanese Candlestick Charting Techniques (2nd ed. 2001), and T. Bulkowski, Encyclopedia of
Candlestick Charts (2008); "long" and "small" are measured against the ten candles before, as TA-Lib does. In the definitions

    body     |close - open|            range    high - low
    long     body > mean body of the ten candles before         small    body < half of that mean
    doji     body <= 0.1 * mean range of the ten before         tiny     a shadow <= 0.1 * mean range of the ten before
    falling  the close before the pattern is below the mean of the ten closes up to it, and below the one five candles before it
    rising   the mirror image of falling

A market that never closes has no gaps: where the books ask for a gap, an open at the close before it is enough. A candle without
range is no pattern, and neither is anything within the first ten candles. Every pattern is judged at the close of its last
candle.

    doji                 doji body, shadows on both sides (neutral)
    dragonfly doji       doji, tiny upper shadow, lower shadow >= half of the mean range
    gravestone doji      doji, tiny lower shadow, upper shadow >= half of the mean range
    spinning top         small body that is no doji, both shadows longer than it (neutral)
    marubozu             long body, both shadows tiny
    hammer               falling; lower shadow >= 2 bodies, upper tiny, no doji     hanging man: the same, rising
    inverted hammer      falling; upper shadow >= 2 bodies, lower tiny, no doji     shooting star: the same, rising
    engulfing            a body that contains the opposite body before it, and is larger; against the trend before
    harami               a small body within the long body before it, against the trend before; the colour is of the first
    piercing line        falling; long black, then white that opens at or below its close and closes above the middle of its
                         body, yet below its open
    dark cloud cover     the mirror image of the piercing line
    tweezer top, bottom  rising, falling; two opposite candles with highs (lows) within 0.05 mean ranges
    morning star         falling; long black, small body at or below its close, white that closes above the middle of the first
    evening star         the mirror image of the morning star
    three white soldiers three white candles, each with a body above the mean, opening within the body before (or at its close),
                         closing higher, upper shadow below half of its body        three black crows: the mirror image
    three inside up      a bullish harami, then a white close above the first open   three inside down: the mirror image
    inside bar           high and low within those of the candle before (neutral)
    outside bar          high above and low below those of the candle before; the colour tells the side
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sources.analysis.indicators import sma
from sources.analysis.series import Series
from sources.analysis.values import Bools, Floats, Told

AVERAGED = 10
_SPANS: Mapping[str, int] = {
    "engulfing": 2, "harami": 2, "piercing_line": 2, "dark_cloud_cover": 2, "tweezer_top": 2, "tweezer_bottom": 2,
    "inside_bar": 2, "outside_bar": 2, "morning_star": 3, "evening_star": 3, "three_white_soldiers": 3, "three_black_crows": 3,
    "three_inside_up": 3, "three_inside_down": 3,
}  # fmt: skip
_SAYS_MORE: Mapping[str, tuple[str, ...]] = {
    "doji": ("dragonfly_doji", "gravestone_doji"),
    "harami": ("three_inside_up", "three_inside_down"),
}


@dataclass(frozen=True, slots=True)
class CandlePattern(Told):
    """A pattern that ends at the candle beginning at `ts` (place `index`) and is `span` candles long.

    `direction` is +1 if it is read as bullish, -1 as bearish, 0 as neither.
    """

    name: str
    direction: int
    index: int
    ts: int
    span: int


def candle_patterns(series: Series, newest: int | None = None) -> tuple[CandlePattern, ...]:
    """Every pattern that ends within the `newest` candles (all, if None), oldest first."""
    begin = 0 if newest is None else max(0, len(series) - newest)
    found = []
    for name, signs in marks(series).items():
        for index in np.flatnonzero(signs[begin:] != _NONE).tolist():
            place = begin + index
            found.append(CandlePattern(name, int(signs[place]), place, int(series.ts[place]), _SPANS.get(name, 1)))
    return tuple(sorted(found, key=lambda each: (each.index, each.name)))


_NONE = 9  # no pattern: 0 is a pattern without direction


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """The measures of every candle; `back(n)` gives each place those of the candle n before it."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    body_mean: Floats
    range_mean: Floats
    falling: Bools
    rising: Bools

    @property
    def body(self) -> Floats:
        return np.abs(self.close - self.open)

    @property
    def white(self) -> Bools:
        return self.close > self.open

    @property
    def black(self) -> Bools:
        return self.close < self.open

    @property
    def top(self) -> Floats:
        return np.maximum(self.open, self.close)

    @property
    def bottom(self) -> Floats:
        return np.minimum(self.open, self.close)

    @property
    def upper(self) -> Floats:
        return self.high - self.top

    @property
    def lower(self) -> Floats:
        return self.bottom - self.low

    @property
    def long(self) -> Bools:
        return self.body > self.body_mean

    @property
    def small(self) -> Bools:
        return self.body < 0.5 * self.body_mean

    @property
    def doji(self) -> Bools:
        return (self.body <= 0.1 * self.range_mean) & (self.high > self.low)

    def tiny(self, shadow: Floats) -> Bools:
        return shadow <= 0.1 * self.range_mean

    def back(self, count: int) -> _Shape:
        opened, high, low, close = (_shifted(each, count) for each in (self.open, self.high, self.low, self.close))
        body, span = _shifted(self.body_mean, count), _shifted(self.range_mean, count)
        falling, rising = np.zeros_like(self.falling), np.zeros_like(self.rising)
        falling[count:], rising[count:] = self.falling[:-count], self.rising[:-count]
        return _Shape(opened, high, low, close, body, span, falling, rising)

    def mirrored(self) -> _Shape:
        """Upside down: a bearish pattern is a bullish one of the mirrored candles."""
        return _Shape(-self.open, -self.low, -self.high, -self.close, self.body_mean, self.range_mean, self.rising, self.falling)


def _shifted(array: Floats, count: int) -> Floats:
    found = np.full(len(array), np.nan)
    found[count:] = array[:-count]
    return found


def _shape(series: Series) -> _Shape:
    close = series.close
    body, span = np.abs(close - series.open), series.high - series.low
    before, mean, older = _shifted(close, 1), _shifted(sma(close, AVERAGED), 1), _shifted(close, 6)
    falling, rising = (before < mean) & (before < older), (before > mean) & (before > older)
    averages = _shifted(sma(body, AVERAGED), 1), _shifted(sma(span, AVERAGED), 1)
    return _Shape(series.open, series.high, series.low, close, *averages, falling, rising)


def marks(series: Series) -> dict[str, Floats]:
    """By pattern, for every candle: its direction where the pattern ends there, 9 where it does not."""
    count = len(series)
    if count <= AVERAGED:
        return {}
    shape = _shape(series)
    bull, bear = _one_sided(shape), _one_sided(shape.mirrored())
    sides = {name: (bull[name], bear[name]) for name in bull}
    found = {
        name: _signs(ups, downs)
        for name, (ups, downs) in sides.items()
        if name in {"marubozu", "engulfing", "harami", "outside_bar"}
    }
    for bullish, bearish in _PAIRS:
        found[bullish] = np.where(bull[bullish], 1.0, _NONE)
        found[bearish] = np.where(bear[bullish], -1.0, _NONE)
    for name, where in _neutral(shape).items():
        found[name] = np.where(where, 0.0, _NONE)
    for name, better in _SAYS_MORE.items():
        for other in better:
            found[name] = np.where(found[other] != _NONE, _NONE, found[name])
    nothing = series.high == series.low
    nothing[:AVERAGED] = True
    for signs in found.values():
        signs[nothing] = _NONE
    return found


_PAIRS = (
    ("dragonfly_doji", "gravestone_doji"), ("hammer", "shooting_star"), ("inverted_hammer", "hanging_man"),
    ("piercing_line", "dark_cloud_cover"), ("tweezer_bottom", "tweezer_top"), ("morning_star", "evening_star"),
    ("three_white_soldiers", "three_black_crows"), ("three_inside_up", "three_inside_down"),
)  # fmt: skip
"""Bullish patterns, and the bearish ones that are their mirror images."""


def _signs(ups: Bools, downs: Bools) -> Floats:
    return np.where(ups, 1.0, np.where(downs, -1.0, _NONE))


def _neutral(now: _Shape) -> dict[str, Bools]:
    before = now.back(1)
    small = now.small & ~now.doji & (now.body > 0)
    return {
        "doji": now.doji & (now.upper > 0) & (now.lower > 0),
        "spinning_top": small & (now.upper > now.body) & (now.lower > now.body),
        "inside_bar": (now.high <= before.high) & (now.low >= before.low) & (before.high > before.low),
    }


def _one_sided(now: _Shape) -> dict[str, Bools]:
    """The bullish patterns."""
    moved = (now.body > 0) & ~now.doji
    tiny_up, tiny_down = now.tiny(now.upper), now.tiny(now.lower)
    found = {
        "marubozu": now.white & now.long & tiny_up & tiny_down,
        "dragonfly_doji": now.doji & tiny_up & (now.lower >= 0.5 * now.range_mean),
        "hammer": now.falling & moved & (now.lower >= 2 * now.body) & tiny_up,
        "inverted_hammer": now.falling & moved & (now.upper >= 2 * now.body) & tiny_down,
    }
    return found | _of_two(now, now.back(1)) | _of_three(now, now.back(1), now.back(2))


def _of_two(now: _Shape, first: _Shape) -> dict[str, Bools]:
    contains = (now.open <= first.close) & (now.close >= first.open) & (now.body > first.body)
    close_lows = np.abs(now.low - first.low) <= 0.05 * now.range_mean
    opposite = first.black & now.white
    middle = (first.open + first.close) / 2
    return {
        "engulfing": first.falling & opposite & contains,
        "harami": _harami(now, first),
        "piercing_line": first.falling & first.long & opposite & (now.open <= first.close)
        & (now.close > middle) & (now.close < first.open),
        "tweezer_bottom": first.falling & opposite & close_lows,
        "outside_bar": now.white & (now.high > first.high) & (now.low < first.low),
    }  # fmt: skip


def _harami(now: _Shape, first: _Shape) -> Bools:
    inside = (now.top <= first.top) & (now.bottom >= first.bottom)
    found: Bools = first.falling & first.long & first.black & now.small & inside
    return found


def _of_three(now: _Shape, second: _Shape, first: _Shape) -> dict[str, Bools]:
    middle = (first.open + first.close) / 2
    steps = [each.white & (each.body > first.body_mean) & (each.upper < 0.5 * each.body) for each in (first, second, now)]
    opens = [(after.open >= before.open) & (after.open <= before.close) for before, after in ((first, second), (second, now))]
    climbs = (second.close > first.close) & (now.close > second.close)
    starts = first.falling & first.long & first.black
    return {
        "morning_star": starts & second.small & (second.top <= first.close) & now.white & (now.close > middle),
        "three_white_soldiers": steps[0] & steps[1] & steps[2] & opens[0] & opens[1] & climbs,
        "three_inside_up": _harami(second, first) & now.white & (now.close > first.open),
    }
