"""Whatever the candles are, the analysis neither raises nor warns, and no number of it is none."""

from __future__ import annotations

import math

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.market import Candle
from sources.analysis.technical import technical
from tests.sources.analysis.analysis_factories import BTC, START

HOUR = 3_600_000
PRICES = st.one_of(
    st.sampled_from([1.0, 1e-12, 1e12, 1e29, 1e-29, 100.0, 100.00000001]), st.floats(allow_nan=True), st.floats(1, 2)
)


@st.composite
def candles(draw: st.DrawFn) -> list[Candle]:
    """Some sound, some broken, some missing, with stretches that repeat one candle."""
    found = []
    place = 0
    for _ in range(draw(st.integers(0, 8))):
        numbers = [draw(PRICES) for _ in range(4)]
        volume = draw(st.one_of(st.just(0.0), st.floats(allow_nan=True), st.floats(0, 10)))
        if draw(st.booleans()):
            opened, close = numbers[:2]
            numbers = [opened, max(numbers), min(numbers), close]
        for _ in range(draw(st.sampled_from([1, 1, 2, 15, 60]))):
            place += draw(st.sampled_from([1, 1, 1, 2, 0]))
            ts = START + place * HOUR
            found.append(Candle(BTC, "1h", ts + HOUR, ts, numbers[0], numbers[1], numbers[2], numbers[3], volume))
    return found


def finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(finite(each) for each in value.values())
    if isinstance(value, list):
        return all(finite(each) for each in value)
    return not isinstance(value, float) or math.isfinite(value)


@settings(max_examples=150, deadline=None)
@given(candles())
def test_no_candles_break_the_analysis(some: list[Candle]) -> None:
    found = technical(BTC, {"1h": some})
    assert finite(orjson.loads(orjson.dumps(found)))
    assert "nan" not in repr(found)
    assert found.score is None or -1 <= found.score <= 1
    assert found.timeframes[0].count + found.timeframes[0].dropped == len(some)
