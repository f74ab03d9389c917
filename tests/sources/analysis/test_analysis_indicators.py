"""The array indicators are those that trading uses, and know no future."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core import indicators as one
from bot.core import indicators_bands as bands
from sources.analysis import indicators as many
from sources.analysis.series import Series
from sources.analysis.values import AnalysisError, Floats
from tests.sources.analysis.analysis_factories import recorded, walk

Arrays = Callable[[Series], Sequence[Floats]]


def _closes(make: Callable[[], one.SMA | one.EMA | one.RSI | one.RateOfChange | one.Wilder]) -> Arrays:
    def run(series: Series) -> Sequence[Floats]:
        indicator = make()
        return [np.array([_number(indicator.update(price)) for price in series.close.tolist()])]

    return run


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _macd(series: Series) -> Sequence[Floats]:
    indicator = one.MACD()
    rows = []
    for price in series.close.tolist():
        indicator.update(price)
        rows.append([_number(indicator.line), _number(indicator.signal), _number(indicator.value)])
    return list(np.array(rows).T)


def _bollinger(series: Series) -> Sequence[Floats]:
    indicator = bands.Bollinger()
    rows = []
    for price in series.close.tolist():
        indicator.update(price)
        rows.append([_number(indicator.lower), _number(indicator.middle), _number(indicator.upper)])
    return list(np.array(rows).T)


def _donchian(series: Series) -> Sequence[Floats]:
    indicator = bands.Donchian()
    rows = []
    for high, low in zip(series.high.tolist(), series.low.tolist(), strict=True):
        indicator.update(high, low)
        rows.append([_number(indicator.lower), _number(indicator.value), _number(indicator.upper)])
    return list(np.array(rows).T)


def _ranged(make: Callable[[], bands.ATR | bands.ADX]) -> Arrays:
    def run(series: Series) -> Sequence[Floats]:
        indicator = make()
        rows = []
        for high, low, close in zip(series.high.tolist(), series.low.tolist(), series.close.tolist(), strict=True):
            indicator.update(high, low, close)
            extra = [_number(indicator.plus), _number(indicator.minus)] if isinstance(indicator, bands.ADX) else []
            rows.append([_number(indicator.value), *extra])
        return list(np.array(rows).T)

    return run


def _macd_arrays(series: Series) -> Sequence[Floats]:
    found = many.macd(series.close)
    return [found.line, found.signal, found.histogram]


def _bands(found: many.Bands) -> Sequence[Floats]:
    return [found.lower, found.middle, found.upper]


def _adx_arrays(series: Series) -> Sequence[Floats]:
    found = many.adx(series.high, series.low, series.close)
    return [found.adx, found.plus, found.minus]


PAIRS: dict[str, tuple[Arrays, Arrays]] = {
    "sma": (lambda s: [many.sma(s.close, 20)], _closes(lambda: one.SMA(20))),
    "ema": (lambda s: [many.ema(s.close, 20)], _closes(lambda: one.EMA(20))),
    "wilder": (lambda s: [many.wilder(s.close, 14)], _closes(lambda: one.Wilder(14))),
    "rsi": (lambda s: [many.rsi(s.close)], _closes(one.RSI)),
    "roc": (lambda s: [many.roc(s.close, 10)], _closes(lambda: one.RateOfChange(10))),
    "macd": (_macd_arrays, _macd),
    "bollinger": (lambda s: _bands(many.bollinger(s.close)), _bollinger),
    "donchian": (lambda s: _bands(many.donchian(s.high, s.low)), _donchian),
    "atr": (lambda s: [many.atr(s.high, s.low, s.close)], _ranged(bands.ATR)),
    "adx": (_adx_arrays, _ranged(bands.ADX)),
}

ALONE: dict[str, Arrays] = {
    "stochastic": lambda s: [many.stochastic(s.high, s.low, s.close).k, many.stochastic(s.high, s.low, s.close).d],
    "obv": lambda s: [many.obv(s.close, s.volume)],
    "vwap": lambda s: [many.vwap(s.high, s.low, s.close, s.volume)],
    "cci": lambda s: [many.cci(s.high, s.low, s.close)],
    "mfi": lambda s: [many.mfi(s.high, s.low, s.close, s.volume)],
    "williams": lambda s: [many.williams(s.high, s.low, s.close)],
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("data", ["walk", "flat", "recorded"])
def test_arrays_equal_the_incremental_indicators(name: str, data: str) -> None:
    series = {"walk": lambda: walk(400), "flat": lambda: walk(100, sigma=0.0), "recorded": lambda: recorded(1_000)}[data]()
    arrays, incremental = PAIRS[name]
    for ours, theirs in zip(arrays(series), incremental(series), strict=True):
        assert len(ours) == len(series)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * float(series.close[0]), equal_nan=True)


@pytest.mark.parametrize("name", [*PAIRS, *ALONE])
@settings(max_examples=10, deadline=None)
@given(cut=st.integers(0, 150), seed=st.integers(0, 5))
def test_the_past_of_an_indicator_does_not_change_with_its_future(name: str, cut: int, seed: int) -> None:
    series = walk(150, seed=seed)
    arrays = PAIRS[name][0] if name in PAIRS else ALONE[name]
    for whole, part in zip(arrays(series), arrays(series.until(cut)), strict=True):
        np.testing.assert_array_equal(whole[:cut], part)


@pytest.mark.parametrize("name", [*PAIRS, *ALONE])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_candles_are_not_yet_warm(name: str, count: int) -> None:
    arrays = PAIRS[name][0] if name in PAIRS else ALONE[name]
    for array in arrays(walk(count)):
        assert len(array) == count
        assert name == "obv" or np.isnan(array).all()


def test_vwap_of_one_candle_is_its_typical_price_and_none_without_volume() -> None:
    ones = np.array([3.0]), np.array([1.0]), np.array([2.0])
    assert many.vwap(*ones, np.array([5.0]), 1)[0] == pytest.approx(2.0)
    assert np.isnan(many.vwap(*ones, np.array([0.0]), 1)[0])


def test_stochastic_mfi_williams_and_obv_by_hand() -> None:
    high, low, close = np.array([10.0, 12.0, 14.0]), np.array([8.0, 9.0, 10.0]), np.array([9.0, 11.0, 13.0])
    volume = np.array([1.0, 2.0, 3.0])
    assert many.stochastic(high, low, close, 3, 1, 1).k[-1] == pytest.approx(100 * (13 - 8) / (14 - 8))
    assert many.williams(high, low, close, 3)[-1] == pytest.approx(-100 * (14 - 13) / (14 - 8))
    assert many.obv(close, volume).tolist() == [0.0, 2.0, 5.0]
    assert many.mfi(high, low, close, volume, 2)[-1] == pytest.approx(100.0)
    assert many.obv(close[::-1], volume).tolist() == [0.0, -2.0, -5.0]


def test_a_period_of_nothing_is_refused() -> None:
    with pytest.raises(AnalysisError, match="at least 1"):
        many.sma(np.array([1.0]), 0)
