"""Nothing absurd reaches anyone, and a real move is believed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.market import Candle, Quote, Side, Trade
from bot.market.sanity import MarketSanity, Refusal

AT = 1_700_000_000_000


def quote(bid: float, ask: float, size: float = 1.0, ts: int = AT) -> Quote:
    return Quote.of("BTC/USDT", ts, bid, ask, size, size, at=AT)


def trade(price: float, amount: float = 1.0) -> Trade:
    return Trade("BTC/USDT", AT, AT, "1", price, amount, Side.BUY)


def candle(close: float, low: float | None = None, high: float | None = None, n: int = 0) -> Candle:
    low, high = low or close, high or close
    return Candle("BTC/USDT", "1m", AT, AT - 60_000 + n * 60_000, close, high, low, close, 1.0)


@pytest.mark.parametrize(
    ("bid", "ask", "reason"),
    [
        (math.nan, 100.0, Refusal.NOT_FINITE),
        (100.0, math.nan, Refusal.NOT_FINITE),
        (100.0, math.inf, Refusal.NOT_FINITE),
        (-math.inf, 100.0, Refusal.NOT_FINITE),
        (0.0, 100.0, Refusal.NOT_POSITIVE),
        (-1.0, 100.0, Refusal.NOT_POSITIVE),
        (101.0, 100.0, Refusal.CROSSED),
    ],
)
def test_an_impossible_quote_is_refused_by_name_and_counted(bid: float, ask: float, reason: Refusal) -> None:
    sanity = MarketSanity()
    assert sanity.quote(quote(bid, ask)) is reason
    assert sanity.refused == {reason: 1}
    assert sanity.quote(quote(99.0, 100.0)) is None


@pytest.mark.parametrize("size", [math.nan, math.inf, -1.0])
def test_a_quote_with_an_impossible_size_is_refused(size: float) -> None:
    assert MarketSanity().quote(quote(99.0, 100.0, size)) is Refusal.NOT_FINITE


@pytest.mark.parametrize("ts", [0, -5, AT + 3_600_001])
def test_a_time_stamp_from_nowhere_is_refused(ts: int) -> None:
    assert MarketSanity().quote(quote(99.0, 100.0, ts=ts)) is Refusal.TIME


def test_a_bad_print_is_refused_and_leaves_no_trace() -> None:
    sanity = MarketSanity(band=0.2, confirmations=3)
    assert sanity.trade(trade(100.0)) is None
    assert sanity.trade(trade(1000.0)) is Refusal.JUMP
    assert sanity.trade(trade(101.0)) is None
    assert sanity.trade(trade(1000.0)) is Refusal.JUMP
    assert sanity.trade(trade(1000.0)) is Refusal.JUMP
    assert sanity.trade(trade(101.0)) is None


def test_a_jump_is_believed_when_enough_consecutive_values_agree() -> None:
    sanity = MarketSanity(band=0.2, confirmations=3)
    sanity.quote(quote(100.0, 101.0))
    verdicts = [sanity.quote(quote(50.0 + n, 51.0 + n)) for n in range(4)]
    assert verdicts == [Refusal.JUMP, Refusal.JUMP, None, None]


def test_values_that_disagree_with_each_other_confirm_nothing() -> None:
    sanity = MarketSanity(band=0.2, confirmations=2)
    sanity.trade(trade(100.0))
    assert [sanity.trade(trade(price)) for price in (1000.0, 10.0, 5000.0)] == [Refusal.JUMP] * 3


def test_a_quote_follows_trades_that_were_believed_at_the_new_price() -> None:
    sanity = MarketSanity(band=0.2, confirmations=2)
    sanity.quote(quote(100.0, 101.0))
    assert [sanity.trade(trade(60.0)), sanity.trade(trade(60.0))] == [Refusal.JUMP, None]
    assert sanity.quote(quote(59.9, 60.1)) is None


def test_a_wide_but_steady_spread_is_no_jump() -> None:
    sanity = MarketSanity(band=0.2)
    assert sanity.quote(quote(50.0, 100.0)) is None
    assert sanity.quote(quote(51.0, 99.0)) is None
    assert sanity.trade(trade(75.0)) is None


def test_a_candle_beyond_the_band_needs_the_venue_to_say_it_again() -> None:
    sanity = MarketSanity(band=0.2, confirmations=3)
    assert sanity.candle(candle(100.0)) is None
    spike = candle(100.0, high=300.0, n=1)
    assert [sanity.candle(spike) for _ in range(3)] == [Refusal.JUMP, Refusal.JUMP, None]


def test_a_candle_is_believed_where_the_live_market_already_is() -> None:
    sanity = MarketSanity(band=0.2, confirmations=2)
    sanity.candle(candle(100.0))
    sanity.seed("BTC/USDT", 100.0)
    sanity.trade(trade(60.0))
    sanity.trade(trade(60.0))
    assert sanity.candle(candle(60.0, high=100.0, n=1)) is None


def test_an_inconsistent_candle_is_refused() -> None:
    sanity = MarketSanity()
    assert sanity.candle(candle(100.0, low=101.0)) is Refusal.INCONSISTENT
    assert sanity.candle(candle(math.nan)) is Refusal.NOT_FINITE
    assert sanity.candle(candle(-1.0)) is Refusal.NOT_POSITIVE


def test_the_first_price_is_judged_against_the_seed() -> None:
    sanity = MarketSanity()
    sanity.seed("BTC/USDT", 100.0)
    assert sanity.quote(quote(1.0, 1.1)) is Refusal.JUMP


@pytest.mark.parametrize(("band", "confirmations"), [(0.0, 3), (1.0, 3), (-0.1, 3), (0.2, 0)])
def test_settings_that_would_pass_everything_or_nothing_are_refused(band: float, confirmations: int) -> None:
    with pytest.raises(ValueError, match=r"band|confirmations"):
        MarketSanity(band=band, confirmations=confirmations)


floats = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(floats, floats, floats), max_size=40))
def test_whatever_arrives_only_finite_uncrossed_quotes_pass(values: list[tuple[float, float, float]]) -> None:
    sanity = MarketSanity(confirmations=2)
    for bid, ask, size in values:
        if sanity.quote(quote(bid, ask, size)) is None:
            assert 0 < bid <= ask < math.inf
            assert 0 <= size < math.inf
