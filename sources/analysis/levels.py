"""Support and resistance: prices at which the market has turned before.

Pivots closer together than half an average true range (at least 0.1 % of the price) are one level. Its strength is

    (1 - 2^-touches) * (0.5 + 0.5 * 2^(-age / half))

with the age of its last touch in candles and `half` a half of those seen: one touch now is worth 0.5, many recent ones near 1.
The shape of that formula is a choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from sources.analysis.pivots import Pivot, pivots
from sources.analysis.series import Series
from sources.analysis.values import Told


@dataclass(frozen=True, slots=True)
class Level(Told):
    """A level at `price` between `low` and `high`; `distance` is its distance from the last close as a signed fraction.

    `strength` is 0..1; `first` and `last` are the first and the newest touch, ms UTC.
    """

    price: float
    low: float
    high: float
    touches: int
    strength: float
    distance: float
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Levels(Told):
    """The nearest levels below (`supports`) and above (`resistances`) the last close, nearest first.

    `known` is False if there are too few candles to have seen a turn.
    """

    supports: tuple[Level, ...] = ()
    resistances: tuple[Level, ...] = ()
    known: bool = False


def levels(series: Series, atr: float | None, *, reach: int = 3, most: int = 4) -> Levels:
    """Levels from confirmed pivots; `atr` is the average true range now, in price."""
    turns = pivots(series, reach)
    if not turns:
        return Levels()
    close = float(series.close[-1])
    found = [_level(group, series, close) for group in _clusters(turns, max(0.5 * (atr or 0.0), 0.001 * close))]
    below = sorted((each for each in found if each.price <= close), key=lambda each: close - each.price)
    above = sorted((each for each in found if each.price > close), key=lambda each: each.price - close)
    return Levels(tuple(below[:most]), tuple(above[:most]), known=True)


def _clusters(turns: tuple[Pivot, ...], tolerance: float) -> list[list[Pivot]]:
    """Neighbours in price, joined while they stay within `tolerance` of their group's mean."""
    groups: list[list[Pivot]] = []
    total = 0.0
    for turn in sorted(turns, key=lambda pivot: pivot.price):
        if groups and turn.price - total / len(groups[-1]) <= tolerance:
            groups[-1].append(turn)
            total += turn.price
        else:
            groups.append([turn])
            total = turn.price
    return groups


def _level(group: list[Pivot], series: Series, close: float) -> Level:
    count, newest = len(group), max(turn.index for turn in group)
    prices = [turn.price for turn in group]
    price = sum(prices) / count
    recency = 0.5 + 0.5 * 2.0 ** (-(len(series) - 1 - newest) / max(1.0, len(series) / 2))
    times = [turn.ts for turn in group]
    strength = (1.0 - 2.0**-count) * recency
    return Level(price, min(prices), max(prices), count, strength, price / close - 1.0, min(times), max(times))
