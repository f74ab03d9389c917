"""LEAN's indicators, by LEAN's own definitions: what they give before they are ready included.

Not the desk's: a test that compares a generated algorithm with a local rule must not compare a thing with itself. A window is
summed anew at each update, which is slow, exact and simple.
"""

from __future__ import annotations

import math
from collections import deque
from datetime import datetime

from simulators.quantconnect.lean_types import Event, MovingAverageType, TradeBar

_NEVER = datetime(1, 1, 1)  # noqa: DTZ001 - LEAN's times are naive


class IndicatorDataPoint:
    """A number and its time."""

    def __init__(self, time: datetime = _NEVER, value: float = 0.0) -> None:
        self.time = self.end_time = time
        self.value = float(value)

    @property
    def price(self) -> float:
        """The number."""
        return self.value


class Indicator:
    """What all have: `current.value`, `previous.value`, `is_ready`, `samples`, `update(...)` and the event `updated`."""

    takes_bars = False

    def __init__(self, name: str, period: int, warm_up: int | None = None) -> None:
        if period < 1:
            message = f"{name}: the period is {period}; give at least 1"
            raise ValueError(message)
        self.name, self.period = name, period
        self.warm_up_period = period if warm_up is None else warm_up
        self.samples = 0
        self.current = IndicatorDataPoint()
        self.previous = IndicatorDataPoint()
        self.updated = Event()

    @property
    def is_ready(self) -> bool:
        """Whether it has seen as much as it needs."""
        return self.samples >= self.warm_up_period

    def update(self, given: datetime | IndicatorDataPoint | TradeBar, value: float | None = None) -> bool:
        """Take a time and a number, a data point, or a bar; tells whether it is ready."""
        self.samples += 1
        if isinstance(given, TradeBar):
            time, number = given.end_time, self._of_bar(given)
        elif isinstance(given, datetime):
            time, number = given, self._of(float(value or 0.0))
        else:
            time, number = given.end_time, self._of(given.value)
        self.previous, self.current = self.current, IndicatorDataPoint(time, number)
        self.updated(self, self.current)
        return self.is_ready

    def feed(self, number: float) -> float:
        """Take a number and give the value: how one indicator drives another."""
        self.update(_NEVER, number)
        return self.current.value

    def reset(self) -> None:
        """Forget everything."""
        self.samples = 0
        self.current, self.previous = IndicatorDataPoint(), IndicatorDataPoint()

    def __float__(self) -> float:
        return self.current.value

    def _of_bar(self, bar: TradeBar) -> float:
        return self._of(bar.close)

    def _of(self, number: float) -> float:
        return number


class _Window(Indicator):
    def __init__(self, name: str, period: int, size: int | None = None, warm_up: int | None = None) -> None:
        super().__init__(name, period, warm_up)
        self._numbers: deque[float] = deque(maxlen=size or period)

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._numbers.clear()


class SimpleMovingAverage(_Window):
    """Mean of the last `period` numbers; of those there are, before."""

    def __init__(self, period: int, *, name: str = "SMA") -> None:
        super().__init__(name, period)

    def _of(self, number: float) -> float:
        self._numbers.append(number)
        return math.fsum(self._numbers) / len(self._numbers)


class ExponentialMovingAverage(Indicator):
    """Begins with the simple mean of the first `period` numbers; the weight is 2 / (period + 1) unless another is given."""

    def __init__(self, period: int, smoothing_factor: float | None = None, *, name: str = "EMA") -> None:
        super().__init__(name, period)
        self._weight = 2.0 / (period + 1) if smoothing_factor is None else smoothing_factor
        self._first: list[float] = []

    def _of(self, number: float) -> float:
        if self.samples <= self.period:
            self._first.append(number)
            return math.fsum(self._first) / len(self._first)
        return number * self._weight + self.current.value * (1.0 - self._weight)

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._first.clear()


class WilderMovingAverage(ExponentialMovingAverage):
    """The exponential one with the weight 1 / period."""

    def __init__(self, period: int, *, name: str = "WWMA") -> None:
        super().__init__(period, 1.0 / period, name=name)


def average(kind: MovingAverageType, period: int) -> Indicator:
    """An average of this kind."""
    kinds: dict[object, type[SimpleMovingAverage | ExponentialMovingAverage | WilderMovingAverage]] = {
        MovingAverageType.SIMPLE: SimpleMovingAverage,
        MovingAverageType.EXPONENTIAL: ExponentialMovingAverage,
        MovingAverageType.WILDERS: WilderMovingAverage,
    }
    if type(kind) is not MovingAverageType:  # a Resolution is an int as well, and would be found
        message = f"{kind!r} is not a MovingAverageType: a resolution must be passed by name, resolution=..."
        raise TypeError(message)
    return kinds[kind](period)


class RelativeStrengthIndex(Indicator):
    """100 - 100 / (1 + average gain / average loss); 100 while nothing was lost."""

    def __init__(self, period: int, kind: MovingAverageType = MovingAverageType.WILDERS, *, name: str = "RSI") -> None:
        super().__init__(name, period, period + 1)
        self.average_gain, self.average_loss = average(kind, period), average(kind, period)
        self._before: float | None = None

    def _of(self, number: float) -> float:
        before, self._before = self._before, number
        if before is not None:
            self.average_gain.feed(max(number - before, 0.0))
            self.average_loss.feed(max(before - number, 0.0))
        loss = float(self.average_loss)
        if round(loss, 10) == 0:
            return 100.0
        return 100.0 - 100.0 / (1.0 + float(self.average_gain) / loss)


class RateOfChange(_Window):
    """Change against the number `period` ago, as a fraction; against the first one, before."""

    def __init__(self, period: int, *, name: str = "ROC") -> None:
        super().__init__(name, period, period + 1, period + 1)

    def _of(self, number: float) -> float:
        self._numbers.append(number)
        old = self._numbers[0]
        return number / old - 1.0 if old else 0.0


class RateOfChangePercent(RateOfChange):
    """The same in percent."""

    def _of(self, number: float) -> float:
        return 100.0 * super()._of(number)


class Momentum(RateOfChange):
    """The number minus the one `period` ago."""

    def _of(self, number: float) -> float:
        self._numbers.append(number)
        return number - self._numbers[0]


class StandardDeviation(_Window):
    """Of the population of the last `period` numbers."""

    def __init__(self, period: int, *, name: str = "STD") -> None:
        super().__init__(name, period)

    def _of(self, number: float) -> float:
        self._numbers.append(number)
        count = len(self._numbers)
        mean = math.fsum(self._numbers) / count
        return math.sqrt(math.fsum((each - mean) ** 2 for each in self._numbers) / count)


class Maximum(_Window):
    """Largest of the last `period` numbers (of bars: of their highs, when made by `self.max`)."""

    def __init__(self, period: int, *, name: str = "MAX") -> None:
        super().__init__(name, period)

    def _of(self, number: float) -> float:
        self._numbers.append(number)
        return max(self._numbers)


class Minimum(_Window):
    """Smallest of the last `period` numbers (of bars: of their lows, when made by `self.min`)."""

    def __init__(self, period: int, *, name: str = "MIN") -> None:
        super().__init__(name, period)

    def _of(self, number: float) -> float:
        self._numbers.append(number)
        return min(self._numbers)


class BollingerBands(Indicator):
    """An average and `k` standard deviations on both sides of it; its own value is the price."""

    def __init__(self, period: int, k: float, kind: MovingAverageType = MovingAverageType.SIMPLE, *, name: str = "BB") -> None:
        super().__init__(name, period)
        self._k = float(k)
        self.standard_deviation = StandardDeviation(period)
        self.middle_band = average(kind, period)
        self.upper_band, self.lower_band, self.band_width, self.percent_b = (Indicator(part, 1) for part in ("U", "L", "W", "P"))

    def _of(self, number: float) -> float:
        reach = self._k * self.standard_deviation.feed(number)
        middle = self.middle_band.feed(number)
        self.upper_band.feed(middle + reach)
        self.lower_band.feed(middle - reach)
        self.band_width.feed(2 * reach / middle * 100.0 if middle else 0.0)
        self.percent_b.feed((number - middle + reach) / (2 * reach) if reach else 0.0)
        return number


class AverageTrueRange(Indicator):
    """The true range of bars, smoothed."""

    takes_bars = True

    def __init__(self, period: int, kind: MovingAverageType = MovingAverageType.WILDERS, *, name: str = "ATR") -> None:
        super().__init__(name, period)
        self._smooth = average(kind, period)
        self._close: float | None = None

    def _of_bar(self, bar: TradeBar) -> float:
        close = self._close
        reaches = (bar.high - bar.low,) if close is None else (bar.high - bar.low, abs(bar.high - close), abs(bar.low - close))
        self._close = bar.close
        return self._smooth.feed(max(reaches))


class DonchianChannel(Indicator):
    """Highest high and lowest low of the bars before this one: the present bar can break out of it."""

    takes_bars = True

    def __init__(self, upper_period: int, lower_period: int | None = None, *, name: str = "DCH") -> None:
        lower_period = lower_period or upper_period
        super().__init__(name, max(upper_period, lower_period), max(upper_period, lower_period) + 1)
        self.upper_band, self.lower_band = Maximum(upper_period), Minimum(lower_period)
        self._before: TradeBar | None = None

    def _of_bar(self, bar: TradeBar) -> float:
        if self._before is not None:
            self.upper_band.feed(self._before.high)
            self.lower_band.feed(self._before.low)
        self._before = bar
        return (float(self.upper_band) + float(self.lower_band)) / 2.0


class MovingAverageConvergenceDivergence(Indicator):
    """`fast` minus `slow`; `signal` is its average, `histogram` the difference to that."""

    def __init__(
        self, fast: int, slow: int, signal: int, kind: MovingAverageType = MovingAverageType.EXPONENTIAL, *, name: str = "MACD"
    ) -> None:
        super().__init__(name, slow, slow + signal - 1)
        self.fast, self.slow, self.signal = average(kind, fast), average(kind, slow), average(kind, signal)
        self.histogram = Indicator("Histogram", 1)

    def _of(self, number: float) -> float:
        line = self.fast.feed(number) - self.slow.feed(number)
        if self.fast.is_ready and self.slow.is_ready:
            self.histogram.feed(line - self.signal.feed(line))
        return line
