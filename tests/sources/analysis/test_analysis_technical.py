"""Technical analysis: what it finds, what it does not pretend to know, and that it looks at no future."""

from __future__ import annotations

import math

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.market import Candle
from sources.analysis.candlesticks import candle_patterns
from sources.analysis.levels import levels
from sources.analysis.pivots import pivots, zigzag
from sources.analysis.readings import Indicators
from sources.analysis.regime import Trend, Volatility
from sources.analysis.series import series_of
from sources.analysis.technical import Stance, read, technical, technical_batch
from sources.analysis.values import AnalysisError
from tests.sources.analysis.analysis_factories import BTC, START, bars, candle, path, recorded_candles, walk, walked

HOUR = 3_600_000
ONE = candle(0, 10.0, 11.0, 9.0, 10.5)


def numbers(value: object) -> list[float]:
    """Every number in plain JSON values."""
    if isinstance(value, dict):
        return [number for each in value.values() for number in numbers(each)]
    if isinstance(value, list):
        return [number for each in value for number in numbers(each)]
    return [value] if isinstance(value, float) else []


def no_nan(of: object) -> None:
    """orjson writes NaN as null: look for it in the object's own words instead."""
    assert "nan" not in repr(of).lower().replace("nance", "")
    assert "inf" not in repr(of).lower().replace("information", "")


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(30, 299), seed=st.integers(0, 3))
def test_what_was_analysed_then_is_what_is_analysed_now_of_then(cut: int, seed: int) -> None:
    candles = walked(300, seed=seed)
    at = candles[cut].at
    whole = technical(BTC, {"1h": candles}, at)
    assert whole == technical(BTC, {"1h": candles[: cut + 1]}, at)
    assert whole.timeframes[0].end == at


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(0, 200), seed=st.integers(0, 3))
def test_patterns_and_pivots_of_the_past_stay(cut: int, seed: int) -> None:
    series = walk(200, seed=seed, sigma=0.02)
    part = series.until(cut)
    assert tuple(each for each in candle_patterns(series) if each.index < cut) == candle_patterns(part)
    assert tuple(each for each in pivots(series) if each.confirmed < cut) == pivots(part)


def test_a_candle_that_has_not_ended_does_not_exist() -> None:
    candles = walked(100)
    inside = candles[-1].ts + HOUR - 1
    assert technical(BTC, {"1h": candles}, inside).timeframes[0].count == 99
    assert technical(BTC, {"1h": candles}, inside + 1).timeframes[0].count == 100


@pytest.mark.parametrize(
    "candles",
    [
        [],
        [ONE],
        [candle(index, 5.0, 5.0, 5.0, 5.0, 0.0) for index in range(300)],
        [candle(index, 5.0, 5.0, 5.0, 5.0, 0.0) for index in range(12)],
        [Candle(BTC, "1h", START, START + index * HOUR, *[math.nan] * 5) for index in range(50)],
        walked(300)[:100] + walked(300)[200:],
        [candle(index, 1e-9, 1.5e-9, 0.5e-9, 1e-9, 0.0) for index in range(80)],
        [candle(index, 1e300, 1e300, 1e300, 1e300, 1e300) for index in range(80)],
    ],
    ids=["none", "one", "flat", "short-flat", "nan", "gap", "tiny", "huge"],
)
def test_degenerate_candles_give_unknown_and_never_nan(candles: list[Candle]) -> None:
    found = technical(BTC, {"1h": candles})
    no_nan(found)
    assert all(math.isfinite(number) for number in numbers(orjson.loads(found.as_json())))


def test_one_candle_is_not_enough_to_know_a_trend() -> None:
    found = technical(BTC, {"1h": [ONE]})
    reading = found.timeframes[0]
    assert (reading.score, reading.stance, found.agreement) == (None, Stance.UNKNOWN, None)
    assert reading.regime.trend is Trend.UNKNOWN
    assert reading.regime.volatility is Volatility.UNKNOWN
    assert not reading.levels.known
    assert reading.indicators == Indicators(close=10.5)
    assert "trend unknown (1 candles)" in reading.words


def test_no_candles_are_said_in_words() -> None:
    assert technical(BTC, {"1h": []}).timeframes[0].words == "1h: no candles"
    assert "too little is known" in technical(BTC, {}).words


def test_a_flat_market_has_no_trend_no_pattern_and_no_volatility() -> None:
    reading = technical(BTC, {"1h": [candle(index, 5.0, 5.0, 5.0, 5.0, 0.0) for index in range(300)]}).timeframes[0]
    assert reading.regime.trend is Trend.SIDEWAYS
    assert reading.regime.volatility is Volatility.UNKNOWN
    assert (reading.candles, reading.charts) == ((), ())
    assert (reading.indicators.vwap_20, reading.indicators.mfi_14, reading.indicators.stochastic_k) == (None, None, None)
    assert reading.indicators.rsi_14 == 50.0


def test_holes_and_unusable_rows_are_counted() -> None:
    candles = walked(100)
    broken = Candle(BTC, "1h", START, candles[50].ts, 1.0, 0.5, 2.0, 1.0, 1.0)
    reading = read(series_of([*candles[:50], broken, *candles[53:], candles[-1]]))
    assert (reading.count, reading.missing, reading.dropped) == (97, 3, 2)
    assert "3 candles missing" in reading.words


def test_mixed_candles_are_refused() -> None:
    with pytest.raises(AnalysisError, match="one symbol and timeframe"):
        series_of([ONE, candle(1, 1, 1, 1, 1, symbol="ETH/USDT")])


@pytest.mark.parametrize(("drift", "trend", "stance"), [(0.004, Trend.UP, Stance.BULLISH), (-0.004, Trend.DOWN, Stance.BEARISH)])
def test_a_steady_drift_is_a_trend(drift: float, trend: Trend, stance: Stance) -> None:
    found = technical(BTC, {"1h": walked(300, sigma=0.004, drift=drift)})
    assert found.timeframes[0].regime.trend is trend
    assert found.stance is stance


def test_timeframes_that_point_one_way_agree_and_others_do_not() -> None:
    up = walked(300, sigma=0.004, drift=0.004)
    down = walked(300, sigma=0.004, drift=-0.004, timeframe="4h")
    risen = walked(300, sigma=0.004, drift=0.004, timeframe="4h")
    same, apart = technical(BTC, {"4h": risen, "1h": up}), technical(BTC, {"1h": up, "4h": down})
    assert [each.timeframe for each in same.timeframes] == ["1h", "4h"]
    assert same.agreement == pytest.approx(1.0)
    assert apart.agreement is not None
    assert apart.agreement < 0.5
    assert "contradict" in apart.words
    one, four = (each.score or 0.0 for each in apart.timeframes)
    assert apart.score == pytest.approx((one + 2 * four) / 3)


def test_turning_points_are_levels_whose_strength_grows_with_touches() -> None:
    series = path([100, 110, 100, 110, 100, 110, 105], noise=0.2)
    found = levels(series, 1.0)
    assert found.known
    assert found.resistances[0].price == pytest.approx(110.2)
    assert found.resistances[0].touches == 3
    assert found.supports[0].price == pytest.approx(99.8)
    once = levels(path([100, 110, 105], noise=0.2), 1.0)
    assert once.resistances[0].touches == 1
    assert once.resistances[0].strength < found.resistances[0].strength
    assert found.supports[0].distance < 0 < found.resistances[0].distance


def test_the_zigzag_alternates_and_keeps_the_farther_turn() -> None:
    turns = zigzag(pivots(path([100, 110, 109, 115, 100, 104, 90, 95])), 5.0)
    assert [turn.top for turn in turns] == [1, -1]
    assert turns[0].price == pytest.approx(115.15)
    assert turns[1].price == pytest.approx(89.85)


def test_extreme_volatility_is_called_so() -> None:
    calm = walked(280, sigma=0.002)
    price = calm[-1].close
    wild = [candle(280 + n, price, price * 1.08, price * 0.92, price * (1.05 if n % 2 else 0.96)) for n in range(12)]
    assert read(series_of([*calm, *wild])).regime.volatility is Volatility.EXTREME


def test_whatever_is_found_can_be_written_as_json() -> None:
    for seed in range(40):
        found = read(walk(200, seed=seed, sigma=0.02))
        assert orjson.loads(found.as_json())["charts"] == [orjson.loads(each.as_json()) for each in found.charts]


def test_a_batch_is_each_alone() -> None:
    candles = {BTC: {"1h": walked(120)}, "ETH/USDT": {"1h": walked(120, seed=4, symbol="ETH/USDT")}}
    assert technical_batch(candles) == {symbol: technical(symbol, each) for symbol, each in candles.items()}


def test_recorded_hours_are_read_without_nan() -> None:
    found = technical(BTC, {"1h": recorded_candles(2_000)})
    no_nan(found)
    assert found.stance is not Stance.UNKNOWN
    assert len(found.timeframes[0].indicators.known()) == len(Indicators.__slots__)


def test_bars_are_what_they_say() -> None:
    assert bars([(1.0, 2.0, 0.5, 1.5)]).close.tolist() == [1.5]
