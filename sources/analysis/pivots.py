"""Swing points: where the price turned, known only once enough candles have followed.

A swing high is a high above those of `reach` candles on either side (the first of equal ones); it is confirmed by the last of
them, so a pivot once found stays. The zigzag keeps, of several highs without a low between them, the highest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sources.analysis.series import Series
from sources.analysis.values import Bools, Floats


@dataclass(frozen=True, slots=True)
class Pivot:
    """A turn at candle `index`, confirmed at the close of candle `confirmed`. `top` is +1 for a high, -1 for a low."""

    index: int
    confirmed: int
    ts: int
    price: float
    top: int


def pivots(series: Series, reach: int = 3) -> tuple[Pivot, ...]:
    """All confirmed pivots, in the order of their candles."""
    found = [
        Pivot(index, index + reach, int(series.ts[index]), float(prices[index]), top)
        for prices, top in ((series.high, 1), (series.low, -1))
        for index in np.flatnonzero(_peaks(top * prices, reach)).tolist()
    ]
    return tuple(sorted(found, key=lambda pivot: (pivot.index, -pivot.top)))


def _peaks(prices: Floats, reach: int) -> Bools:
    """Where a number is above the `reach` before it and not below the `reach` after it."""
    found = np.zeros(len(prices), np.bool_)
    if len(prices) < 2 * reach + 1:
        return found
    windows = sliding_window_view(prices, reach)
    count = len(prices) - 2 * reach
    middle = prices[reach : reach + count]
    found[reach : reach + count] = (middle > windows[:count].max(axis=1)) & (
        middle >= windows[reach + 1 : reach + 1 + count].max(axis=1)
    )
    return found


def zigzag(turns: tuple[Pivot, ...], least: float = 0.0) -> tuple[Pivot, ...]:
    """Pivots that alternate between highs and lows, each at least `least` (in price) away from the one before.

    The last of them may yet be replaced by a farther one of its kind.
    """
    kept: list[Pivot] = []
    for turn in turns:
        if not kept:
            kept.append(turn)
        elif kept[-1].top == turn.top:
            if turn.top * (turn.price - kept[-1].price) > 0:
                kept[-1] = turn
        elif turn.top * (turn.price - kept[-1].price) >= max(least, 1e-300):
            kept.append(turn)
    return tuple(kept)
