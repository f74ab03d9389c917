"""How an algorithm makes indicators that feed themselves: `self.sma(...)` and its kin, consolidators, warm-up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from simulators.quantconnect.lean_clock import Consolidator
from simulators.quantconnect.lean_indicators import (
    AverageTrueRange,
    BollingerBands,
    DonchianChannel,
    ExponentialMovingAverage,
    Indicator,
    IndicatorDataPoint,
    Maximum,
    Minimum,
    Momentum,
    MovingAverageConvergenceDivergence,
    RateOfChange,
    RateOfChangePercent,
    RelativeStrengthIndex,
    SimpleMovingAverage,
    StandardDeviation,
)
from simulators.quantconnect.lean_types import Event, MovingAverageType, Resolution, Symbol, TradeBar

if TYPE_CHECKING:
    from simulators.quantconnect.lean_parts import Settings
    from simulators.quantconnect.lean_run import Run

Selector = Callable[[TradeBar], float]
I = TypeVar("I", bound=Indicator)  # noqa: E741 - an indicator
T = TypeVar("T")
Period = Resolution | timedelta | None


class RollingWindow(Generic[T]):
    """The last `size` things; [0] is the newest. `RollingWindow[float](10)`."""

    def __init__(self, size: int) -> None:
        self.size, self.samples = size, 0
        self._kept: deque[T] = deque(maxlen=size)

    def add(self, thing: T) -> None:
        """Put a thing in front."""
        self.samples += 1
        self._kept.appendleft(thing)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._kept)

    @property
    def is_ready(self) -> bool:
        """Whether it is full."""
        return len(self._kept) == self.size

    def reset(self) -> None:
        """Empty it."""
        self._kept.clear()
        self.samples = 0

    def __getitem__(self, index: int) -> T:
        return self._kept[index]

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[T]:
        return iter(self._kept)


class TradeBarConsolidator:
    """Bars of a `timedelta`; `data_consolidated += handler(sender, bar)`, then `subscription_manager.add_consolidator`."""

    def __init__(self, period: timedelta) -> None:
        self.period = period
        self.data_consolidated = Event()

    def emit(self, bar: TradeBar) -> None:
        """A bar is whole."""
        self.data_consolidated(self, bar)


class SubscriptionManager:
    """`self.subscription_manager.add_consolidator(symbol, consolidator)`."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def add_consolidator(self, symbol: Symbol, consolidator: TradeBarConsolidator) -> None:
        """Feed it with the bars of a symbol."""
        self._run.consolidator(symbol, _length(consolidator.period)).handlers.append(consolidator.emit)


class IndicatorMaking:
    """The indicator methods of an algorithm. `resolution` None is that of the subscription."""

    qc: Run
    settings: Settings

    @property
    def subscription_manager(self) -> SubscriptionManager:
        """Takes consolidators."""
        return SubscriptionManager(self.qc)

    def sma(
        self, symbol: Symbol, period: int, resolution: Period = None, selector: Selector | None = None
    ) -> SimpleMovingAverage:
        """Simple moving average."""
        return self._made(SimpleMovingAverage(period), symbol, resolution, selector)

    def ema(
        self, symbol: Symbol, period: int, *given: float | Resolution | timedelta | None, resolution: Period = None,
        smoothing_factor: float | None = None, selector: Selector | None = None,
    ) -> ExponentialMovingAverage:  # fmt: skip
        """Exponential moving average; (symbol, period, resolution) or (symbol, period, smoothing_factor, resolution)."""
        rest = list(given)
        if rest and isinstance(rest[0], float):
            smoothing_factor = rest.pop(0)  # type: ignore[assignment]
        if rest:
            resolution = rest[0]  # type: ignore[assignment]
        return self._made(ExponentialMovingAverage(period, smoothing_factor), symbol, resolution, selector)

    def rsi(
        self, symbol: Symbol, period: int, moving_average_type: MovingAverageType = MovingAverageType.WILDERS,
        resolution: Period = None, selector: Selector | None = None,
    ) -> RelativeStrengthIndex:  # fmt: skip
        """Relative strength index; the third positional argument is the kind of average."""
        return self._made(RelativeStrengthIndex(period, moving_average_type), symbol, resolution, selector)

    def roc(self, symbol: Symbol, period: int, resolution: Period = None, selector: Selector | None = None) -> RateOfChange:
        """Rate of change, a fraction."""
        return self._made(RateOfChange(period), symbol, resolution, selector)

    def rocp(self, symbol: Symbol, period: int, resolution: Period = None, selector: Selector | None = None) -> RateOfChange:
        """Rate of change in percent."""
        return self._made(RateOfChangePercent(period), symbol, resolution, selector)

    def mom(self, symbol: Symbol, period: int, resolution: Period = None, selector: Selector | None = None) -> Momentum:
        """Momentum, a difference."""
        return self._made(Momentum(period), symbol, resolution, selector)

    def std(self, symbol: Symbol, period: int, resolution: Period = None, selector: Selector | None = None) -> StandardDeviation:
        """Standard deviation."""
        return self._made(StandardDeviation(period), symbol, resolution, selector)

    def max(self, symbol: Symbol, period: int, resolution: Period = None, selector: Selector | None = None) -> Maximum:
        """Highest high."""
        return self._made(Maximum(period), symbol, resolution, selector or (lambda bar: bar.high))

    def min(self, symbol: Symbol, period: int, resolution: Period = None, selector: Selector | None = None) -> Minimum:
        """Lowest low."""
        return self._made(Minimum(period), symbol, resolution, selector or (lambda bar: bar.low))

    def bb(
        self, symbol: Symbol, period: int, k: float, moving_average_type: MovingAverageType = MovingAverageType.SIMPLE,
        resolution: Period = None, selector: Selector | None = None,
    ) -> BollingerBands:  # fmt: skip
        """Bollinger bands."""
        return self._made(BollingerBands(period, k, moving_average_type), symbol, resolution, selector)

    def atr(
        self, symbol: Symbol, period: int, moving_average_type: MovingAverageType = MovingAverageType.SIMPLE,
        resolution: Period = None,
    ) -> AverageTrueRange:  # fmt: skip
        """Average true range; a simple average unless told otherwise, as in LEAN."""
        return self._made(AverageTrueRange(period, moving_average_type), symbol, resolution, None)

    def macd(
        self, symbol: Symbol, fast_period: int, slow_period: int, signal_period: int,
        moving_average_type: MovingAverageType = MovingAverageType.EXPONENTIAL, resolution: Period = None,
        selector: Selector | None = None,
    ) -> MovingAverageConvergenceDivergence:  # fmt: skip
        """Moving average convergence divergence."""
        made = MovingAverageConvergenceDivergence(fast_period, slow_period, signal_period, moving_average_type)
        return self._made(made, symbol, resolution, selector)

    def dch(
        self, symbol: Symbol, upper_period: int, lower_period: int | None = None, resolution: Period = None
    ) -> DonchianChannel:
        """Donchian channel of the bars before the present one."""
        return self._made(DonchianChannel(upper_period, lower_period), symbol, resolution, None)

    def register_indicator(
        self, symbol: Symbol, indicator: Indicator, how: Period | TradeBarConsolidator = None, selector: Selector | None = None
    ) -> None:
        """Feed an indicator that was made by hand."""
        period = how.period if isinstance(how, TradeBarConsolidator) else how
        self._consolidator(symbol, period).handlers.append(_feeder(indicator, selector))

    def warm_up_indicator(
        self, symbol: Symbol, indicator: Indicator, resolution: Period = None, selector: Selector | None = None
    ) -> None:
        """Feed an indicator what it needs of the past."""
        length = self._length(symbol, resolution)
        feed = _feeder(indicator, selector)
        for bar in self.qc.history(symbol, indicator.warm_up_period, length):
            feed(bar)

    def consolidate(self, symbol: Symbol, period: Resolution | timedelta, handler: Callable[[TradeBar], object]) -> Consolidator:
        """Call with each bar of this period."""
        made = self._consolidator(symbol, period)
        made.handlers.append(handler)
        return made

    def _made(self, indicator: I, symbol: Symbol, resolution: Period, selector: Selector | None) -> I:
        self._consolidator(symbol, resolution).handlers.append(_feeder(indicator, selector))
        if self.settings.automatic_indicator_warm_up:
            self.qc.now = self.qc.now if self.qc.initialized else self.qc.started
            self.warm_up_indicator(symbol, indicator, resolution, selector)
        return indicator

    def _consolidator(self, symbol: Symbol, period: Period) -> Consolidator:
        return self.qc.consolidator(symbol, self._length(symbol, period))

    def _length(self, symbol: Symbol, period: Period) -> int:
        return self.qc.subscriptions[symbol].length if period is None else _length(period)


def _length(period: Resolution | timedelta) -> int:
    if isinstance(period, timedelta):
        return round(period.total_seconds() * 1000)
    return Resolution(period).milliseconds


def _feeder(indicator: Indicator, selector: Selector | None) -> Callable[[TradeBar], object]:
    if selector is None:
        return indicator.update
    return lambda bar: indicator.update(IndicatorDataPoint(bar.end_time, selector(bar)))
