"""Indicators of spread: deviation, bands, channels, ranges, the strength of a trend; by the law of `bot.core.indicators`."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

from bot.core.indicators import Highest, Indicator, Lowest, Wilder, Window, at_least


class StdDev(Window):
    """Standard deviation of the last `period` numbers, and their `mean`; `ddof` 0 for the population, 1 for the sample.

    The block being filled is followed by Welford's recurrence; it joins the rest of the block before by Chan's formula for the
    variance of two sets (Chan, Golub, LeVeque 1979). Nothing is ever removed, so nothing cancels.
    """

    __slots__ = ("_mean", "_means", "ddof", "mean")
    shape: ClassVar[tuple[str, ...]] = ("period", "ddof")
    state: ClassVar[tuple[str, ...]] = (*Window.state, "mean", "_mean", "_means")

    def __init__(self, period: int, ddof: int = 0) -> None:
        super().__init__(at_least("period", period, ddof + 1))
        self.ddof = ddof
        self.mean: float | None = None
        self._mean = 0.0
        self._means = [0.0] * (period - 1)

    def update(self, number: float) -> float | None:
        """Take the next number and give the standard deviation of the window."""
        at = self._at
        self._block[at] = number
        count = at + 1
        off = number - self._mean
        self._mean = mean = self._mean + off / count
        self._head = squares = self._head + off * (number - mean)
        if at == self._last:
            self._turn()
        else:
            self._at = count
            if self.value is None:
                return None
            period = self.period
            rest = period - count
            apart = self._means[at] - mean
            squares += self._tail[at] + apart * apart * count * rest / period
            mean += apart * rest / period
        self.mean = mean
        self.value = value = sqrt(squares / (self.period - self.ddof))
        return value

    def _turn(self) -> None:
        """Fold the full block from its end, and begin the next."""
        mean = squares = 0.0
        means: list[float] = []
        tail: list[float] = []
        for count, number in enumerate(self._block[:0:-1], 1):
            off = number - mean
            mean += off / count
            squares += off * (number - mean)
            means.append(mean)
            tail.append(squares)
        means.reverse()
        tail.reverse()
        self._means = means
        self._tail = tail
        self._at = 0
        self._mean = self._head = 0.0


class ZScore(Indicator):
    """How many standard deviations a number lies from the mean of its window; 0 where nothing varies."""

    __slots__ = ("_std",)
    state: ClassVar[tuple[str, ...]] = ("value", "_std")

    def __init__(self, period: int) -> None:
        super().__init__(at_least("period", period, 2))
        self._std = StdDev(period)

    def update(self, number: float) -> float | None:
        """Take the next number and give its score."""
        std = self._std.update(number)
        if std is None:
            return None
        mean = self._std.mean or 0.0
        self.value = value = (number - mean) / std if std > 1e-12 * abs(mean) else 0.0
        return value


class Bollinger(Indicator):
    """Bands of `width` standard deviations about the mean: `lower`, `middle`, `upper`.

    `value` is the price's distance from the middle in standard deviations; 0 where nothing varies.
    """

    __slots__ = ("_std", "lower", "middle", "upper", "width")
    shape: ClassVar[tuple[str, ...]] = ("width",)
    state: ClassVar[tuple[str, ...]] = ("value", "lower", "middle", "upper", "_std")

    def __init__(self, period: int = 20, width: float = 2.0) -> None:
        super().__init__(at_least("period", period, 2))
        self.width = width
        self.lower: float | None = None
        self.middle: float | None = None
        self.upper: float | None = None
        self._std = StdDev(period)

    def update(self, price: float) -> float | None:
        """Take the next price and give its distance from the middle in standard deviations."""
        std = self._std.update(price)
        if std is None:
            return None
        middle = self._std.mean or 0.0
        reach = self.width * std
        self.lower = middle - reach
        self.middle = middle
        self.upper = middle + reach
        self.value = value = (price - middle) / std if std > 1e-12 * abs(middle) else 0.0
        return value


class Donchian(Indicator):
    """The channel between the highest high (`upper`) and the lowest low (`lower`) of `period` candles; `value` is its middle."""

    __slots__ = ("_highest", "_lowest", "lower", "upper")
    state: ClassVar[tuple[str, ...]] = ("value", "lower", "upper", "_highest", "_lowest")

    def __init__(self, period: int = 20) -> None:
        super().__init__(at_least("period", period, 1))
        self.lower: float | None = None
        self.upper: float | None = None
        self._highest = Highest(period)
        self._lowest = Lowest(period)

    def update(self, high: float, low: float) -> float | None:
        """Take the next candle's extremes and give the middle of the channel."""
        self.upper = upper = self._highest.update(high)
        self.lower = lower = self._lowest.update(low)
        if upper is None or lower is None:
            return None
        self.value = value = (upper + lower) * 0.5
        return value


class TrueRange(Indicator):
    """The greatest of high - low, |high - previous close| and |low - previous close|; the first candle's is its high - low."""

    __slots__ = ("_close",)
    state: ClassVar[tuple[str, ...]] = ("value", "_close")

    def __init__(self) -> None:
        super().__init__(1)
        self._close: float | None = None

    def update(self, high: float, low: float, close: float) -> float:
        """Take the next candle and give its true range."""
        before = self._close
        self._close = close
        if before is not None:
            if before > high:
                high = before
            elif before < low:
                low = before
        self.value = value = high - low
        return value


class ATR(Indicator):
    """Average true range by Wilder's smoothing, in price units."""

    __slots__ = ("_average", "_range")
    state: ClassVar[tuple[str, ...]] = ("value", "_average", "_range")

    def __init__(self, period: int = 14) -> None:
        super().__init__(at_least("period", period, 1))
        self._average = Wilder(period)
        self._range = TrueRange()

    def update(self, high: float, low: float, close: float) -> float | None:
        """Take the next candle and give the average."""
        self.value = value = self._average.update(self._range.update(high, low, close))
        return value


class ADX(Indicator):
    """Wilder's average directional index, 0..100, with the directional indicators `plus` and `minus`.

    The first directional movement is that of the second candle; the true ranges that go with it begin there too.
    """

    __slots__ = ("_adx", "_before", "_down", "_range", "_ranges", "_up", "minus", "plus")
    state: ClassVar[tuple[str, ...]] = ("value", "plus", "minus", "_before", "_range", "_up", "_down", "_ranges", "_adx")

    def __init__(self, period: int = 14) -> None:
        super().__init__(2 * at_least("period", period, 1))
        self.plus: float | None = None
        self.minus: float | None = None
        self._before: list[float] = [0.0, 0.0, 0.0]
        self._range = TrueRange()
        self._up = Wilder(period)
        self._down = Wilder(period)
        self._ranges = Wilder(period)
        self._adx = Wilder(period)

    def update(self, high: float, low: float, close: float) -> float | None:
        """Take the next candle and give the index."""
        seen, top, bottom = self._before
        self._before = [1.0, high, low]
        moved = self._range.update(high, low, close)
        if not seen:
            return None
        rise, fall = high - top, bottom - low
        up = self._up.update(rise if rise > fall and rise > 0.0 else 0.0)
        down = self._down.update(fall if fall > rise and fall > 0.0 else 0.0)
        span = self._ranges.update(moved)
        if up is None or down is None or span is None:
            return None
        self.plus = plus = 100.0 * up / span if span else 0.0
        self.minus = minus = 100.0 * down / span if span else 0.0
        both = plus + minus
        self.value = value = self._adx.update(100.0 * abs(plus - minus) / both if both else 0.0)
        return value


class AtrTrail(Indicator):
    """A stop that follows the close at `multiple` average true ranges and never backs away; `level` is where it stands.

    An update gives +1 as the close passes the stop above it (the trend turns up), -1 as it falls through the stop below it, else
    0. Until the first turn both stops are followed. `value` is the average true range.
    """

    __slots__ = ("_above", "_atr", "_below", "_side", "multiple")
    shape: ClassVar[tuple[str, ...]] = ("multiple",)
    state: ClassVar[tuple[str, ...]] = ("value", "_side", "_below", "_above", "_atr")

    def __init__(self, period: int = 14, multiple: float = 3.0) -> None:
        super().__init__(at_least("period", period, 1))
        self.multiple = multiple
        self._atr = ATR(period)
        self._side = 0
        self._below: float | None = None
        self._above: float | None = None

    @property
    def level(self) -> float | None:
        """The stop against the present trend, None before the first turn."""
        return None if self._side == 0 else self._below if self._side > 0 else self._above

    def update(self, high: float, low: float, close: float) -> int:
        """Take the next candle and say whether the trend has just turned."""
        self.value = atr = self._atr.update(high, low, close)
        if atr is None:
            return 0
        side, below, above = self._side, self._below, self._above
        reach = self.multiple * atr
        turn = 0
        if above is not None and side <= 0 and close > above:
            turn = 1
        elif below is not None and side >= 0 and close < below:
            turn = -1
        if turn:
            self._side = turn
            below = above = None
        self._below = close - reach if below is None else max(below, close - reach)
        self._above = close + reach if above is None else min(above, close + reach)
        return turn
