"""Candles are whole, closed and in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.market import Candle, Side, Trade
from bot.market.candles import CandleAggregator, CandleBuilder, GapProof, MissingCandles, Sequel, candle_start

T0 = 1_700_000_040_000  # a whole minute


def trade(offset: int, price: float, amount: float = 1.0) -> Trade:
    return Trade("BTC/USDT", T0 + offset, T0 + offset, str(offset), price, amount, Side.BUY)


def candle(n: int, close: float = 100.0, timeframe: str = "1m") -> Candle:
    return Candle("BTC/USDT", timeframe, T0, T0 + n * 60_000, close - 1, close + 2, close - 2, close, 1.0)


def ohlcv(candle: Candle) -> tuple[int, float, float, float, float, float]:
    return (candle.ts - T0, candle.open, candle.high, candle.low, candle.close, candle.volume)


def test_weeks_begin_on_monday() -> None:
    monday = 1_699_833_600_000  # 2023-11-13
    assert candle_start(monday, "1w") == monday
    assert candle_start(monday - 1, "1w") == monday - 604_800_000
    assert candle_start(T0 + 59_999, "1m") == T0


def test_a_newer_trade_closes_the_candle() -> None:
    builder = CandleBuilder("BTC/USDT", "1m", since=T0)
    assert builder.on_trade(trade(0, 10.0)) == []
    assert builder.on_trade(trade(20_000, 12.0)) == []
    assert builder.on_trade(trade(30_000, 9.0)) == []
    (closed,) = builder.on_trade(trade(60_000, 11.0))
    assert ohlcv(closed) == (0, 10.0, 12.0, 9.0, 9.0, 3.0)
    assert closed.at == T0 + 60_000


def test_a_quiet_candle_repeats_the_last_close_with_zero_volume() -> None:
    builder = CandleBuilder("BTC/USDT", "1m", since=T0)
    builder.on_trade(trade(0, 10.0))
    closed = builder.close_until(T0 + 180_001, at=T0 + 180_500)
    assert [ohlcv(one) for one in closed] == [
        (0, 10.0, 10.0, 10.0, 10.0, 1.0),
        (60_000, 10.0, 10.0, 10.0, 10.0, 0.0),
        (120_000, 10.0, 10.0, 10.0, 10.0, 0.0),
    ]
    assert {one.at for one in closed} == {T0 + 180_500}


def test_the_first_trade_after_a_quiet_start_opens_the_candle() -> None:
    builder = CandleBuilder("BTC/USDT", "1m", since=T0)
    builder.on_trade(trade(0, 10.0))
    builder.close_until(T0 + 60_000, at=T0 + 60_000)
    builder.on_trade(trade(70_000, 20.0))
    (closed,) = builder.close_until(T0 + 120_000, at=T0 + 120_000)
    assert ohlcv(closed) == (60_000, 20.0, 20.0, 20.0, 20.0, 1.0)


def test_a_candle_whose_beginning_nobody_saw_is_not_let_out() -> None:
    builder = CandleBuilder("BTC/USDT", "1m")
    assert builder.on_trade(trade(30_000, 10.0)) == []
    assert builder.on_trade(trade(60_000, 11.0)) == []
    assert builder.incomplete == 1
    assert [ohlcv(one)[0] for one in builder.on_trade(trade(120_000, 11.0))] == [60_000]
    builder.distrust_until(T0 + 150_000)
    assert builder.on_trade(trade(180_000, 11.0)) == []


def test_a_late_trade_never_reopens_a_closed_candle() -> None:
    builder = CandleBuilder("BTC/USDT", "1m", since=T0)
    builder.on_trade(trade(0, 10.0))
    builder.on_trade(trade(60_000, 11.0))
    assert builder.on_trade(trade(59_000, 99.0)) == []
    assert builder.late == 1


def test_a_trade_from_the_far_future_does_not_make_a_million_candles() -> None:
    builder = CandleBuilder("BTC/USDT", "1m", since=T0)
    builder.on_trade(trade(0, 10.0))
    assert builder.on_trade(trade(60_000 * 1_000_000, 11.0)) == []


def test_smaller_candles_join_into_a_whole_larger_one() -> None:
    aggregator = CandleAggregator("BTC/USDT", "1m", "5m")
    start = (candle_start(T0, "5m") - T0) // 60_000 + 5
    joined = [aggregator.on_candle(candle(start + n, 100.0 + n)) for n in range(5)]
    assert joined[:4] == [None] * 4
    assert joined[4] is not None
    assert ohlcv(joined[4])[1:] == (99.0, 106.0, 98.0, 104.0, 5.0)
    assert joined[4].timeframe == "5m"


def test_a_larger_candle_with_a_missing_part_is_not_let_out() -> None:
    aggregator = CandleAggregator("BTC/USDT", "1m", "5m")
    start = (candle_start(T0, "5m") - T0) // 60_000 + 5
    assert [aggregator.on_candle(candle(start + n)) for n in (0, 1, 3, 4)] == [None] * 4
    assert aggregator.incomplete == 1
    assert [aggregator.on_candle(candle(start + n)) is None for n in range(5, 10)] == [True] * 4 + [False]


def test_timeframes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="whole multiple"):
        CandleAggregator("BTC/USDT", "3m", "5m")


def test_each_closed_candle_follows_its_predecessor() -> None:
    proof = GapProof("BTC/USDT", "1m")
    verdicts = [proof.admit(candle(n)) for n in (0, 1, 1, 0, 4, 2)]
    assert verdicts == [
        Sequel.NEXT,
        Sequel.NEXT,
        Sequel.DUPLICATE,
        Sequel.OUT_OF_ORDER,
        Sequel.GAP,
        Sequel.NEXT,
    ]
    odd = candle(3)
    odd.ts += 1
    assert proof.admit(odd) is Sequel.MISALIGNED


def test_what_is_missing_is_named_and_can_be_conceded() -> None:
    proof = GapProof("BTC/USDT", "1m", last=T0)
    hole = MissingCandles("BTC/USDT", "1m", T0 + 60_000, T0 + 120_000, 2)
    assert proof.missing_before(T0 + 180_000) == hole
    assert proof.missing_before(T0 + 60_000) is None
    assert proof.concede(T0 + 180_000) == hole
    assert proof.admit(candle(3)) is Sequel.NEXT
    assert proof.conceded == 2


@given(st.lists(st.tuples(st.integers(0, 900_000), st.floats(1, 1000), st.floats(0.001, 10)), min_size=1, max_size=60))
def test_built_candles_are_gapless_consistent_and_keep_every_amount(trades: list[tuple[int, float, float]]) -> None:
    builder = CandleBuilder("BTC/USDT", "1m", since=0)
    proof = GapProof("BTC/USDT", "1m")
    closed: list[Candle] = []
    for offset, price, amount in sorted(trades):
        closed += builder.on_trade(trade(offset, price, amount))
    closed += builder.close_until(T0 + 1_000_000, at=T0 + 1_000_000)
    assert all(proof.admit(one) is Sequel.NEXT and one.fault() is None for one in closed)
    assert sum(one.volume for one in closed) == pytest.approx(sum(amount for _, _, amount in trades))


@given(st.lists(st.integers(0, 12), max_size=60))
def test_only_a_gapless_rising_series_passes_whatever_is_offered(order: list[int]) -> None:
    proof = GapProof("BTC/USDT", "1m")
    passed = [n for n in order if proof.admit(candle(n)) is Sequel.NEXT]
    assert passed == list(range(passed[0], passed[0] + len(passed))) if passed else not order
