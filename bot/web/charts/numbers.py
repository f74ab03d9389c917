"""Numbers as JSON has them, and curves of bounded length that still reach every high and low."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TypeVar

MOST_POINTS = 3_000
MOST_CANDLES = 1_500
MOST_MARKS = 2_000
MOST_BARS = 400
MOST_NAMES = 40
"""Bounds of one series: points of a curve, candles, marks, bars, and rows or series that have names."""

T = TypeVar("T")
Row = Mapping[str, object]
OHLC = tuple[float | None, float | None, float | None, float | None]


def number(given: object) -> float | None:
    """A finite float of whatever was given, also of text as amounts of money are written; None for all else."""
    if given is None or isinstance(given, bool) or not isinstance(given, int | float | Decimal | str):
        return None
    try:
        found = float(given if not isinstance(given, str) else Decimal(given))
    except (InvalidOperation, OverflowError, ValueError):
        return None
    return found if math.isfinite(found) else None


def whole(given: object) -> int:
    """A whole number, 0 where there is none."""
    found = number(given)
    return 0 if found is None else int(found)


def rows_in(given: object) -> list[Row]:
    """The mappings of a list that came as JSON; anything else in it is left out."""
    return [each for each in given if isinstance(each, Mapping)] if isinstance(given, list | tuple) else []


def thinned(at: Sequence[int], values: Sequence[float | None], most: int = MOST_POINTS) -> tuple[list[int], list[float | None]]:
    """At most `most` points of a curve that still reach every high and low: the extremes of equal parts, and both ends.

    A part without a number keeps one gap. Both sequences are of one length.
    """
    count = len(at)
    if count <= most:
        return list(at), list(values)
    parts = max(1, (most - 2) // 2)
    kept = {0, count - 1}
    for part in range(parts):
        begin, end = part * count // parts, (part + 1) * count // parts
        known = [place for place in range(begin, end) if values[place] is not None]
        if not known:
            kept.add(begin)
            continue
        kept.add(min(known, key=lambda place: values[place] or 0.0))
        kept.add(max(known, key=lambda place: values[place] or 0.0))
    chosen = sorted(kept)
    return [at[place] for place in chosen], [values[place] for place in chosen]


def newest(rows: Sequence[T], most: int) -> tuple[Sequence[T], str]:
    """The last `most` of rows that are in the order of time, with what to say if some were left out."""
    if len(rows) <= most:
        return rows, ""
    return rows[-most:], f"the newest {most:,} of {len(rows):,} are shown"


def joined(at: Sequence[int], prices: Sequence[OHLC], most: int = MOST_CANDLES) -> tuple[list[int], list[OHLC], int]:
    """Candles joined by equal numbers until they are at most `most`: the first open, the extremes, the last close."""
    each = -(-len(at) // most) if at else 1
    if each <= 1:
        return list(at), list(prices), 1
    groups = [prices[begin : begin + each] for begin in range(0, len(at), each)]
    return list(at[::each]), [_join(group) for group in groups], each


def _join(group: Sequence[OHLC]) -> OHLC:
    opens, highs, lows, closes = ([value for value in column if value is not None] for column in zip(*group, strict=True))
    return (
        opens[0] if opens else None,
        max(highs, default=None),
        min(lows, default=None),
        closes[-1] if closes else None,
    )


def running(values: Sequence[float]) -> list[float]:
    """Their sums so far."""
    total, found = 0.0, []
    for value in values:
        total += value
        found.append(total)
    return found
