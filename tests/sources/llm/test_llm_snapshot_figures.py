"""The figures of a snapshot are those of the desk's own indicators."""

from __future__ import annotations

import math
import random

import pytest

from bot.core.indicators import EMA, MACD, RSI, SMA
from bot.core.indicators_bands import ADX, ATR, Bollinger
from bot.core.market import Candle
from sources.llm.figures import columns, figures


def _candles(count: int, seed: int = 7) -> list[Candle]:
    dice, price, made = random.Random(seed), 100.0, []
    for number in range(count):
        opened, price = price, price * (1 + dice.gauss(0, 0.01))
        top, bottom = max(opened, price) * (1 + dice.random() / 100), min(opened, price) * (1 - dice.random() / 100)
        made.append(Candle("BTC/USDT", "5m", 0, number * 300_000, opened, top, bottom, price, dice.random()))
    return made


def _of_the_desk(candles: list[Candle]) -> dict[str, float | None]:
    closing: dict[str, SMA | EMA | RSI | Bollinger] = {
        "sma20": SMA(20),
        "sma50": SMA(50),
        "ema12": EMA(12),
        "ema26": EMA(26),
        "rsi14": RSI(14),
        "bb_z": Bollinger(20),
    }
    macd, atr, adx = MACD(), ATR(14), ADX(14)
    for candle in candles:
        for one in closing.values():
            one.update(candle.close)
        macd.update(candle.close)
        atr.update(candle.high, candle.low, candle.close)
        adx.update(candle.high, candle.low, candle.close)
    known = {name: one.value for name, one in closing.items()}
    return known | {"macd": macd.line, "macd_hist": macd.value, "atr14": atr.value, "adx14": adx.value, "di_plus": adx.plus}


@pytest.mark.parametrize("count", [1, 2, 13, 14, 15, 20, 27, 28, 29, 33, 34, 50, 51, 199, 200])
def test_figures_are_those_of_the_incremental_indicators_whatever_the_length(count: int) -> None:
    candles = _candles(count)
    found = figures(columns(candles))
    for name, value in _of_the_desk(candles).items():
        if value is None:
            assert math.isnan(found[name]), name
        else:
            assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name


def test_a_market_that_does_not_move_has_no_direction() -> None:
    still = [Candle("BTC/USDT", "5m", 0, number * 300_000, 5.0, 5.0, 5.0, 5.0, 0.0) for number in range(60)]
    found = figures(columns(still))
    assert (found["rsi14"], found["adx14"], found["bb_z"], found["ret5"]) == (50.0, 0.0, 0.0, 0.0)
    assert math.isnan(found["range_pos"])
    assert math.isnan(found["volume_ratio"])


def test_the_range_position_is_one_at_the_high_and_zero_at_the_low() -> None:
    rising = [Candle("BTC/USDT", "5m", 0, n * 300_000, n + 1.0, n + 2.0, n + 1.0, n + 2.0, 1.0) for n in range(30)]
    falling = [Candle("BTC/USDT", "5m", 0, n * 300_000, 40.0 - n, 40.0 - n, 39.0 - n, 39.0 - n, 1.0) for n in range(30)]
    assert figures(columns(rising))["range_pos"] == 1.0
    assert figures(columns(falling))["range_pos"] == 0.0
