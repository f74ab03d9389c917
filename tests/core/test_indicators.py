"""Indicators equal a reference computed from scratch, do not drift, and continue exactly from a snapshot."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bot.core.indicators import EMA, MACD, RSI, SMA, Cross, Excursion, Highest, Indicator, Lowest, Previous, RateOfChange, Wilder
from bot.core.indicators_bands import ADX, ATR, AtrTrail, Bollinger, Donchian, StdDev, TrueRange, ZScore

Floats = NDArray[np.float64]
Candles = list[tuple[float, float, float]]

prices = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=120)
periods = st.integers(1, 12)


def walk(count: int, seed: int = 7, start: float = 30_000.0, scale: float = 1e-3) -> Floats:
    steps = np.random.default_rng(seed).normal(0, scale, count)
    return np.asarray(start * np.exp(np.cumsum(steps)))


def candles(count: int, seed: int = 7) -> Candles:
    draw = np.random.default_rng(seed)
    closes = walk(count, seed)
    spans = closes * draw.exponential(1e-3, count)
    shares = draw.uniform(0, 1, count)
    return [(float(c + s * u), float(c - s * (1 - u)), float(c)) for c, s, u in zip(closes, spans, shares, strict=True)]


def windows(numbers: Floats, period: int) -> Floats:
    return np.lib.stride_tricks.sliding_window_view(numbers, period)


def warm(outputs: list[float | None], warmup: int) -> Floats:
    """The outputs after the warm-up, which itself must be None."""
    assert outputs[: warmup - 1] == [None] * min(warmup - 1, len(outputs))
    return np.asarray(outputs[warmup - 1 :], dtype=np.float64)


def smoothed(numbers: Floats, period: int, alpha: float) -> Floats:
    value = float(np.mean(numbers[:period]))
    out = [value]
    for number in numbers[period:]:
        value = (1 - alpha) * value + alpha * float(number)
        out.append(value)
    return np.asarray(out)


def reference_rsi(closes: Floats, period: int) -> Floats:
    moves = np.diff(closes)
    gains = smoothed(np.maximum(moves, 0), period, 1 / period)
    losses = smoothed(np.maximum(-moves, 0), period, 1 / period)
    return 100 - 100 / (1 + gains / losses)


def true_ranges(rows: Candles) -> Floats:
    high, low, close = np.asarray(rows).T
    before = np.concatenate([[close[0]], close[:-1]])
    ranges = np.maximum(high - low, np.maximum(abs(high - before), abs(low - before)))
    ranges[0] = high[0] - low[0]
    return np.asarray(ranges)


@pytest.mark.parametrize(
    ("indicator", "reference"),
    [
        (SMA(50), lambda x: windows(x, 50).mean(axis=1)),
        (SMA(1), lambda x: x),
        (Highest(20), lambda x: windows(x, 20).max(axis=1)),
        (Lowest(20), lambda x: windows(x, 20).min(axis=1)),
        (StdDev(20), lambda x: windows(x, 20).std(axis=1)),
        (StdDev(33, ddof=1), lambda x: windows(x, 33).std(axis=1, ddof=1)),
        (RateOfChange(12), lambda x: x[12:] / x[:-12] - 1),
        (EMA(20), lambda x: smoothed(x, 20, 2 / 21)),
        (Wilder(14), lambda x: smoothed(x, 14, 1 / 14)),
        (RSI(14), lambda x: reference_rsi(x, 14)),
        (ZScore(30), lambda x: (x[29:] - windows(x, 30).mean(axis=1)) / windows(x, 30).std(axis=1)),
        (Bollinger(20, 2), lambda x: (x[19:] - windows(x, 20).mean(axis=1)) / windows(x, 20).std(axis=1)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Indicator) else "",
)
def test_an_indicator_equals_its_reference_over_a_long_walk(indicator: Any, reference: Callable[[Floats], Floats]) -> None:
    closes = walk(100_000)
    got = warm([indicator.update(close) for close in closes.tolist()], indicator.warmup)
    np.testing.assert_allclose(got, reference(closes), rtol=1e-9, atol=1e-9)


def test_a_moving_average_has_not_drifted_after_a_year_of_minutes() -> None:
    closes = walk(525_600, scale=5e-4)
    average = SMA(50)
    for close in closes.tolist():
        average.update(close)
    assert average.value == pytest.approx(math.fsum(closes[-50:].tolist()) / 50, rel=1e-14)


def test_a_moving_average_forgets_a_giant_at_once_and_wholly() -> None:
    average = SMA(5)
    outputs = [average.update(number) for number in [1e17, *[0.1] * 9]]
    assert outputs[5:] == pytest.approx([0.1] * 5, rel=1e-15)


def test_a_deviation_neither_cancels_nor_drifts_over_a_million_updates() -> None:
    draw = random.Random(3)
    numbers = [1e6 + draw.random() for _ in range(1_000_000)]
    deviation = StdDev(20)
    for number in numbers:
        deviation.update(number)
    last = [Fraction(number) for number in numbers[-20:]]
    mean = sum(last) / 20
    exact = math.sqrt(sum((number - mean) ** 2 for number in last) / 20)
    assert deviation.value == pytest.approx(exact, rel=1e-9)


@given(prices, periods)
def test_windows_of_any_numbers_equal_the_reference(numbers: list[float], period: int) -> None:
    x = np.asarray(numbers)
    pairs: list[tuple[SMA | Highest | Lowest | StdDev, Callable[..., Any]]] = [
        (SMA(period), np.mean),
        (Highest(period), np.max),
        (Lowest(period), np.min),
        (StdDev(period), np.std),
    ]
    for indicator, of in pairs:
        got = warm([indicator.update(number) for number in numbers], period)
        expected = of(windows(x, period), axis=1) if len(x) >= period else np.empty(0)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9 * float(x.max()))


@given(prices, periods)
def test_an_rsi_of_any_prices_stays_between_0_and_100(numbers: list[float], period: int) -> None:
    rsi = RSI(period)
    outputs = [rsi.update(number) for number in numbers]
    assert all(value is None or 0 <= value <= 100 for value in outputs)
    assert (rsi.value is not None) == (len(numbers) > period)


def test_an_rsi_of_a_still_market_is_50_and_of_a_rising_one_100() -> None:
    still, rising = RSI(3), RSI(3)
    for step in range(10):
        still.update(5.0)
        rising.update(5.0 + step)
    assert (still.value, rising.value) == (50.0, 100.0)


def test_macd_is_two_averages_and_the_average_of_their_distance() -> None:
    closes = walk(5_000)
    macd = MACD(12, 26, 9)
    got = warm([macd.update(close) for close in closes.tolist()], macd.warmup)
    line = smoothed(closes, 12, 2 / 13)[14:] - smoothed(closes, 26, 2 / 27)
    np.testing.assert_allclose(got, line[8:] - smoothed(line, 9, 2 / 10), rtol=1e-9, atol=1e-7)
    assert macd.line == pytest.approx(line[-1])


def test_ranges_equal_the_reference() -> None:
    rows = candles(20_000)
    single, average = TrueRange(), ATR(14)
    ranges = [single.update(*row) for row in rows]
    np.testing.assert_allclose(ranges, true_ranges(rows), rtol=1e-9)
    got = warm([average.update(*row) for row in rows], 14)
    np.testing.assert_allclose(got, smoothed(true_ranges(rows), 14, 1 / 14), rtol=1e-9)


def test_a_donchian_channel_spans_the_extremes() -> None:
    rows = candles(3_000)
    channel = Donchian(20)
    for count, (high, low, _) in enumerate(rows, 1):
        middle = channel.update(high, low)
        if count < 20:
            assert middle is None
            continue
        last = np.asarray(rows[count - 20 : count])
        assert (channel.upper, channel.lower) == (last[:, 0].max(), last[:, 1].min())


def test_adx_equals_the_reference() -> None:
    rows, period = candles(5_000), 14
    adx = ADX(period)
    got = warm([adx.update(*row) for row in rows], adx.warmup)
    high, low, _ = np.asarray(rows).T
    rise, fall = np.diff(high), -np.diff(low)
    up = smoothed(np.where((rise > fall) & (rise > 0), rise, 0), period, 1 / period)
    down = smoothed(np.where((fall > rise) & (fall > 0), fall, 0), period, 1 / period)
    np.testing.assert_allclose(got, smoothed(100 * abs(up - down) / (up + down), period, 1 / period), rtol=1e-9)
    span = smoothed(true_ranges(rows)[1:], period, 1 / period)
    assert (adx.plus, adx.minus) == pytest.approx((100 * up[-1] / span[-1], 100 * down[-1] / span[-1]))


def test_a_cross_is_an_event_and_rounding_noise_is_not_one() -> None:
    cross = Cross()
    pairs = [(1.0, 2.0), (2.0, 2.0), (2.0 + 1e-15, 2.0), (3.0, 2.0), (4.0, 2.0), (2.0, 2.0), (3.0, 2.0), (1.0, 2.0), (0.5, 2.0)]
    assert [cross.update(*pair) for pair in pairs] == [0, 0, 0, 1, 0, 0, 1, -1, 0]
    assert Cross().update(3.0, 2.0) == 0


def test_a_cross_below_zero_has_the_same_sides() -> None:
    cross = Cross()
    assert [cross.update(number, -2.0) for number in (-3.0, -1.0, -3.0)] == [0, 1, -1]


def test_an_excursion_tells_its_depth_when_it_ends() -> None:
    excursion = Excursion(30, 70)
    numbers = [50, 28, 20, 25, 40, 75, 71, 60, 10, 90, 50]
    assert [excursion.update(number) for number in numbers] == [0, 0, 0, 0, 10, 0, 0, -5, 0, 20, -20]


def test_a_trailing_stop_never_backs_away_and_tells_each_turn_once() -> None:
    trail, side, before, turns = AtrTrail(3, 2.0), 0, None, []
    for close in [*range(100, 90, -1), *range(90, 120, 2), *range(120, 90, -2), *range(90, 130, 2)]:
        turn = trail.update(close + 0.5, close - 0.5, close)
        level = trail.level
        if turn:
            turns.append(turn)
            side = turn
        elif before is not None and level is not None:
            assert level >= before if side > 0 else level <= before
        assert level is None or (level < close if side > 0 else level > close)
        before = level
    assert turns == [-1, 1, -1, 1]


MAKERS: dict[str, Callable[[], Any]] = {
    "SMA": lambda: SMA(7),
    "EMA": lambda: EMA(7),
    "Wilder": lambda: Wilder(7),
    "RSI": lambda: RSI(7),
    "MACD": lambda: MACD(3, 7, 4),
    "Highest": lambda: Highest(7),
    "Lowest": lambda: Lowest(7),
    "RateOfChange": lambda: RateOfChange(7),
    "Previous": Previous,
    "Cross": Cross,
    "Excursion": lambda: Excursion(29_900, 30_100),
    "StdDev": lambda: StdDev(7),
    "ZScore": lambda: ZScore(7),
    "Bollinger": lambda: Bollinger(7),
    "Donchian": lambda: Donchian(7),
    "TrueRange": TrueRange,
    "ATR": lambda: ATR(7),
    "ADX": lambda: ADX(7),
    "AtrTrail": lambda: AtrTrail(7, 1.0),
}


def feed(indicator: Any, rows: Candles) -> Iterator[float | None]:
    for high, low, close in rows:
        if isinstance(indicator, Cross):
            yield indicator.update(close, 30_000.0)
        elif isinstance(indicator, Donchian):
            yield indicator.update(high, low)
        elif isinstance(indicator, TrueRange | ATR | ADX | AtrTrail):
            yield indicator.update(high, low, close)
        else:
            yield indicator.update(close)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("cut", [0, 1, 5, 6, 7, 8, 13, 50, 97])
def test_a_restored_indicator_continues_exactly(name: str, cut: int) -> None:
    rows = candles(200)
    whole, twin = MAKERS[name](), MAKERS[name]()
    list(feed(whole, rows[:cut]))
    twin.restore(json.loads(json.dumps(whole.snapshot())))
    assert list(feed(twin, rows[cut:])) == list(feed(whole, rows[cut:]))
    assert twin.snapshot() == whole.snapshot()


@pytest.mark.parametrize("name", MAKERS)
def test_a_snapshot_does_not_change_with_its_indicator(name: str) -> None:
    indicator = MAKERS[name]()
    rows = candles(60)
    list(feed(indicator, rows[:30]))
    snapshot = indicator.snapshot()
    before = json.dumps(snapshot)
    list(feed(indicator, rows[30:]))
    assert json.dumps(snapshot) == before


MISFITS: list[object] = [
    None,
    [],
    "SMA",
    ["EMA", 7],
    SMA(8).snapshot(),
    [*SMA(7).snapshot(), 1],
    ["SMA", 7, None, 9, 0.0, [0.0] * 7, [0.0] * 6],
    ["SMA", 7, None, 0, "x", [0.0] * 7, [0.0] * 6],
    ["SMA", 7, None, 0, 0.0, [0.0] * 6, [0.0] * 6],
    ["SMA", 7, math.nan, 0, 0.0, [0.0] * 7, [0.0] * 6],
]


@pytest.mark.parametrize("state", MISFITS)
def test_a_snapshot_that_does_not_fit_is_refused(state: object) -> None:
    with pytest.raises(ValueError, match=r"SMA|window"):
        SMA(7).restore(state)


@pytest.mark.parametrize(
    "make", [lambda: SMA(0), lambda: EMA(0), lambda: RSI(0), lambda: MACD(26, 12), lambda: StdDev(1, ddof=1)]
)
def test_a_period_that_makes_no_sense_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="give at least"):
        make()
