"""Conditions over indicators: what a composed rule is made of, and what each of them measures.

A condition compares an indicator with a number or with another indicator of the same unit. All of them look back: `highest`,
`lowest` and `volume_ratio` measure against the candles before this one, everything else includes it, and nothing sees the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from bot.core.indicators import EMA, MACD, RSI, SMA, TIE, Cross, Highest, Indicator, Lowest, RateOfChange
from bot.core.indicators_bands import ADX, ATR, Bollinger, StdDev, ZScore
from bot.core.market import Candle
from sources.base import Strict

LONGEST_PERIOD = 500
_BAND_WIDTH = 2.0


class Measure(StrEnum):
    """What is measured of the candles; `period` is in candles."""

    CLOSE = "close"
    OPEN = "open"
    HIGH = "high"
    LOW = "low"
    SMA = "sma"
    EMA = "ema"
    HIGHEST = "highest"
    LOWEST = "lowest"
    BOLLINGER_UPPER = "bollinger_upper"
    BOLLINGER_LOWER = "bollinger_lower"
    RSI = "rsi"
    ADX = "adx"
    ROC = "roc"
    ATR = "atr"
    VOLATILITY = "volatility"
    MACD = "macd"
    ZSCORE = "zscore"
    VOLUME = "volume"
    VOLUME_SMA = "volume_sma"
    VOLUME_RATIO = "volume_ratio"


MEANINGS: Mapping[Measure, str] = {
    Measure.CLOSE: "the candle's close",
    Measure.OPEN: "the candle's open",
    Measure.HIGH: "the candle's high",
    Measure.LOW: "the candle's low",
    Measure.SMA: "simple average of the close",
    Measure.EMA: "exponential average of the close",
    Measure.HIGHEST: "highest high of the candles before this one",
    Measure.LOWEST: "lowest low of the candles before this one",
    Measure.BOLLINGER_UPPER: "upper Bollinger band, 2 standard deviations",
    Measure.BOLLINGER_LOWER: "lower Bollinger band, 2 standard deviations",
    Measure.RSI: "relative strength index, 0 to 100",
    Measure.ADX: "average directional index, 0 to 100",
    Measure.ROC: "change of the close over the period, as a fraction",
    Measure.ATR: "average true range as a fraction of the close",
    Measure.VOLATILITY: "standard deviation of one candle's return, as a fraction",
    Measure.MACD: "MACD histogram 12/26/9 as a fraction of the close",
    Measure.ZSCORE: "standard deviations of the close from its mean",
    Measure.VOLUME: "the candle's volume",
    Measure.VOLUME_SMA: "simple average of the volume",
    Measure.VOLUME_RATIO: "volume over the mean volume of the candles before",
}
_WITHOUT_PERIOD = frozenset({Measure.CLOSE, Measure.OPEN, Measure.HIGH, Measure.LOW, Measure.VOLUME, Measure.MACD})
_FROM_TWO = frozenset({Measure.VOLATILITY, Measure.ZSCORE, Measure.BOLLINGER_UPPER, Measure.BOLLINGER_LOWER})


class Unit(StrEnum):
    """In what it is measured; only what has one unit is compared."""

    PRICE = "a price"
    VOLUME = "a volume"
    SCALE = "0 to 100"
    FRACTION = "a fraction"
    DEVIATIONS = "standard deviations"
    RATIO = "a ratio"


_UNITS: Mapping[Measure, Unit] = {
    **dict.fromkeys((Measure.RSI, Measure.ADX), Unit.SCALE),
    **dict.fromkeys((Measure.ROC, Measure.ATR, Measure.VOLATILITY, Measure.MACD), Unit.FRACTION),
    **dict.fromkeys((Measure.VOLUME, Measure.VOLUME_SMA), Unit.VOLUME),
    Measure.ZSCORE: Unit.DEVIATIONS,
    Measure.VOLUME_RATIO: Unit.RATIO,
}
_BOUNDS: Mapping[Unit, tuple[float, float]] = {
    Unit.PRICE: (0.0, 1e12),
    Unit.VOLUME: (0.0, 1e15),
    Unit.SCALE: (0.0, 100.0),
    Unit.FRACTION: (-1.0, 10.0),
    Unit.DEVIATIONS: (-10.0, 10.0),
    Unit.RATIO: (0.0, 1_000.0),
}


class Operator(StrEnum):
    """How the two sides are compared; a cross holds only at the candle at which it happens."""

    ABOVE = ">"
    BELOW = "<"
    AT_LEAST = ">="
    AT_MOST = "<="
    CROSSES_ABOVE = "crosses_above"
    CROSSES_BELOW = "crosses_below"


Period = Annotated[int, Field(ge=1, le=LONGEST_PERIOD)]


def unit_of(measure: Measure) -> Unit:
    """In what an indicator is measured."""
    return _UNITS.get(measure, Unit.PRICE)


class Condition(Strict):
    """An indicator compared with a `value` or with an `other` indicator, one of the two."""

    indicator: Measure = Field(description="what stands on the left")
    period: Period = Field(default=1, description="its candles; indicators without a period leave it out")
    operator: Operator = Field(description="how they are compared")
    value: float | None = Field(default=None, description="a number in the indicator's unit")
    other: Measure | None = Field(default=None, description="an indicator of the same unit")
    other_period: Period = Field(default=1, description="the other indicator's candles")

    @field_validator("value")
    @classmethod
    def _no_negative_zero(cls, value: float | None) -> float | None:
        return None if value is None else value + 0.0

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        fault = self._fault()
        if fault:
            raise ValueError(fault)
        return self

    def _fault(self) -> str:
        unit, name = unit_of(self.indicator), self.indicator.value
        if (self.value is None) == (self.other is None):
            return f"{name}: give either a value or an other indicator"
        for measure, period in ((self.indicator, self.period), (self.other, self.other_period)):
            if measure in _FROM_TWO and period < 2:
                return f"{measure}: its period is {period}; give at least 2"
        if self.other is not None:
            if unit_of(self.other) is not unit:
                return (
                    f"{self.indicator.value} is {unit.value} and {self.other.value} {unit_of(self.other).value}: not comparable"
                )
            if self.left == self.right:
                return f"{self.left} is compared with itself"
        elif self.value is not None:
            low, high = _BOUNDS[unit]
            if not low <= self.value <= high:
                return f"{name} is {unit.value}: {self.value:g} is not within {low:g} and {high:g}"
        return ""

    @property
    def left(self) -> str:
        """Name of the left side, such as `ema_12`."""
        return name_of(self.indicator, self.period)

    @property
    def right(self) -> str:
        """Name of the other indicator; empty where it is a number."""
        return "" if self.other is None else name_of(self.other, self.other_period)

    def __str__(self) -> str:
        """As a person writes it."""
        right = self.right or f"{self.value:g}"
        return f"{self.left} {self.operator.value.replace('_', ' ')} {right}"


def name_of(measure: Measure, period: int) -> str:
    """An indicator's name with its period, where it has one."""
    return measure.value if measure in _WITHOUT_PERIOD else f"{measure.value}_{period}"


class Gauge:
    """An indicator at work: one candle in, one number out, None until it is warm."""

    __slots__ = ("parts", "update", "warmup")

    def __init__(self, measure: Measure, period: int) -> None:
        self.parts, self.update, self.warmup = _MAKERS[measure](period)


class Check:
    """A condition at work."""

    __slots__ = ("_operator", "_value", "cross", "left", "right")

    def __init__(self, condition: Condition) -> None:
        self.left, self.right = condition.left, condition.right
        self.cross = Cross()
        self._operator = condition.operator
        self._value = 0.0 if condition.value is None else condition.value

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether it holds at this candle; to be asked once for each."""
        number, other = values[self.left], values[self.right] if self.right else self._value
        crossed = self.cross.update(number, other)
        slack = TIE * abs(other)
        match self._operator:
            case Operator.ABOVE:
                return number - other > slack
            case Operator.BELOW:
                return other - number > slack
            case Operator.AT_LEAST:
                return number - other >= -slack
            case Operator.AT_MOST:
                return other - number >= -slack
            case Operator.CROSSES_ABOVE:
                return crossed > 0
            case Operator.CROSSES_BELOW:
                return crossed < 0


Step = Callable[[Candle], float | None]
Made = tuple[tuple[Indicator, ...], Step, int]


def _field(read: Callable[[Candle], float]) -> Callable[[int], Made]:
    return lambda _: ((), read, 1)


def _of_close(make: Callable[[int], SMA | EMA | RSI | RateOfChange | ZScore]) -> Callable[[int], Made]:
    def made(period: int) -> Made:
        part = make(period)
        return (part,), lambda candle: part.update(candle.close), part.warmup

    return made


def _before(make: Callable[[int], Highest | Lowest], read: Callable[[Candle], float]) -> Callable[[int], Made]:
    """The extreme of the candles before."""

    def made(period: int) -> Made:
        part = make(period)

        def step(candle: Candle) -> float | None:
            before = part.value
            part.update(read(candle))
            return before

        return (part,), step, period + 1

    return made


def _band(read: Callable[[Bollinger], float | None]) -> Callable[[int], Made]:
    def made(period: int) -> Made:
        part = Bollinger(period, _BAND_WIDTH)

        def step(candle: Candle) -> float | None:
            return None if part.update(candle.close) is None else read(part)

        return (part,), step, part.warmup

    return made


def _adx(period: int) -> Made:
    part = ADX(period)
    return (part,), lambda candle: part.update(candle.high, candle.low, candle.close), part.warmup


def _atr(period: int) -> Made:
    part = ATR(period)

    def step(candle: Candle) -> float | None:
        atr = part.update(candle.high, candle.low, candle.close)
        return None if atr is None else atr / candle.close

    return (part,), step, part.warmup


def _volatility(period: int) -> Made:
    change, spread = RateOfChange(1), StdDev(period)

    def step(candle: Candle) -> float | None:
        moved = change.update(candle.close)
        return None if moved is None else spread.update(moved)

    return (change, spread), step, period + 1


def _macd(period: int) -> Made:
    del period
    part = MACD()

    def step(candle: Candle) -> float | None:
        histogram = part.update(candle.close)
        return None if histogram is None else histogram / candle.close

    return (part,), step, part.warmup


def _volume_sma(period: int) -> Made:
    part = SMA(period)
    return (part,), lambda candle: part.update(candle.volume), part.warmup


def _volume_ratio(period: int) -> Made:
    part = SMA(period)

    def step(candle: Candle) -> float | None:
        before = part.value
        part.update(candle.volume)
        return candle.volume / before if before else None

    return (part,), step, period + 1


_MAKERS: Mapping[Measure, Callable[[int], Made]] = {
    Measure.CLOSE: _field(lambda candle: candle.close),
    Measure.OPEN: _field(lambda candle: candle.open),
    Measure.HIGH: _field(lambda candle: candle.high),
    Measure.LOW: _field(lambda candle: candle.low),
    Measure.SMA: _of_close(SMA),
    Measure.EMA: _of_close(EMA),
    Measure.HIGHEST: _before(Highest, lambda candle: candle.high),
    Measure.LOWEST: _before(Lowest, lambda candle: candle.low),
    Measure.BOLLINGER_UPPER: _band(lambda band: band.upper),
    Measure.BOLLINGER_LOWER: _band(lambda band: band.lower),
    Measure.RSI: _of_close(RSI),
    Measure.ADX: _adx,
    Measure.ROC: _of_close(RateOfChange),
    Measure.ATR: _atr,
    Measure.VOLATILITY: _volatility,
    Measure.MACD: _macd,
    Measure.ZSCORE: _of_close(ZScore),
    Measure.VOLUME: _field(lambda candle: candle.volume),
    Measure.VOLUME_SMA: _volume_sma,
    Measure.VOLUME_RATIO: _volume_ratio,
}
