from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.market import Candle, Instrument, Quote, Side, Trade
from bot.core.matching import (
    FEE_STEP,
    FillModel,
    candle_market_price,
    displayed_size,
    fee_of,
    market_price,
    marketable,
    met_by_quote,
    protective_exit_price,
    queue_ahead,
    round_against,
    takeable,
    traded_against,
    traded_through,
    triggered_by_candle,
    triggered_by_quote,
)
from bot.core.orders import Leg

D = Decimal
INF = float("inf")
BTC = Instrument("BTC/USDT", "BTC", "USDT", D("0.01"), D("0.001"), D("0.001"), D(5), maker_fee=D("0.0005"), taker_fee=D("0.001"))
QUOTE = Quote.of("BTC/USDT", 1, 100.1, 100.2, 4.0, 2.0)

sides = st.sampled_from(Side)
prices = st.floats(0.01, 1e7, allow_nan=False)
fractions = st.floats(0, 0.2, allow_nan=False)


def test_a_taker_without_friction_trades_exactly_at_the_displayed_price() -> None:
    assert market_price(Side.BUY, D(1), QUOTE, BTC, FillModel()) == D("100.2")
    assert market_price(Side.SELL, D(1), QUOTE, BTC, FillModel()) == D("100.1")


def test_slippage_is_added_against_us_and_rounded_to_the_step_against_us() -> None:
    model = FillModel(slippage=0.001)
    assert market_price(Side.BUY, D(1), QUOTE, BTC, model) == D("100.31")  # 100.3002 up
    assert market_price(Side.SELL, D(1), QUOTE, BTC, model) == D("99.99")  # 99.9999 down


def test_impact_is_a_fraction_of_the_spread_per_multiple_of_the_displayed_size() -> None:
    model = FillModel(impact=0.5)
    assert market_price(Side.BUY, D(2), QUOTE, BTC, model) == D("100.25")  # one whole size of 2: half a spread
    assert market_price(Side.BUY, D(4), QUOTE, BTC, model) == D("100.30")
    assert market_price(Side.SELL, D(4), QUOTE, BTC, model) == D("100.05")


def test_where_no_size_is_displayed_one_whole_size_is_assumed_taken() -> None:
    blind = Quote.of("BTC/USDT", 1, 100.0, 100.2, 0.0, float("nan"))
    assert displayed_size(Side.SELL, blind) == displayed_size(Side.BUY, blind) == INF
    assert market_price(Side.BUY, D(9), blind, BTC, FillModel(impact=0.5)) == D("100.30")


def test_a_candle_taker_pays_half_the_hidden_spread_and_slippage() -> None:
    model = FillModel(slippage=0.001, candle_spread=0.002)
    assert candle_market_price(Side.BUY, 100.0, BTC, model) == D("100.20")
    assert candle_market_price(Side.SELL, 100.0, BTC, model) == D("99.80")
    assert candle_market_price(Side.SELL, 100.1, BTC, FillModel()) == D("100.1")


@given(sides, prices, prices, st.integers(1, 10**7), st.floats(0.001, 1e4), fractions, st.floats(0, 5))
def test_no_taker_trades_better_than_the_quote(
    side: Side, bid: float, gap: float, steps: int, size: float, slippage: float, impact: float
) -> None:
    quote = Quote.of("BTC/USDT", 1, bid, bid + gap, size, size)
    price = market_price(side, steps * BTC.amount_step, quote, BTC, FillModel(slippage=slippage, impact=impact))
    assert price % BTC.price_step == 0
    if side is Side.BUY:
        assert price >= D(repr(quote.ask))
    else:
        assert price <= D(repr(quote.bid)) or price == BTC.price_step


@given(sides, prices)
def test_rounding_against_us_moves_less_than_one_step_and_is_idempotent(side: Side, price: float) -> None:
    exact = D(repr(price))
    rounded = round_against(side, exact, BTC)
    assert round_against(side, rounded, BTC) == rounded
    distance = (rounded - exact) * side.sign
    assert 0 <= distance < BTC.price_step or rounded == BTC.price_step


def test_the_fee_is_in_the_quote_currency_by_the_instruments_rate_or_the_models() -> None:
    amount, price = D("0.5"), D("100.00")
    assert fee_of(Side.BUY, amount, price, BTC, FillModel(), maker=False) == (D("0.05"), "USDT")
    assert fee_of(Side.SELL, amount, price, BTC, FillModel(), maker=True) == (D("0.025"), "USDT")
    assert fee_of(Side.SELL, amount, price, BTC, FillModel(taker_fee=D(0)), maker=False) == (D(0), "USDT")


@given(st.integers(1, 10**12), st.integers(1, 10**9), st.decimals(D("-0.01"), D("0.01"), places=6), st.booleans())
def test_a_fee_is_rounded_up_by_less_than_its_step(amount: int, price: int, rate: Decimal, maker: bool) -> None:
    model = FillModel(maker_fee=rate, taker_fee=rate)
    size, paid = amount * D("1E-8"), price * D("0.01")
    fee, _ = fee_of(Side.BUY, size, paid, BTC, model, maker)
    assert 0 <= fee - size * paid * rate < FEE_STEP


@given(st.integers(1, 10**6), st.floats(0, 1e6), st.floats(0.01, 1))
def test_what_a_size_can_fill_is_in_whole_steps_and_never_more_than_its_share(steps: int, size: float, share: float) -> None:
    amount = steps * BTC.amount_step
    taken = takeable(amount, size, BTC, FillModel(max_participation=share))
    assert 0 <= taken <= amount
    assert taken % BTC.amount_step == 0
    assert float(taken) <= size * share
    assert taken == amount or float(taken + BTC.amount_step) > size * share


@pytest.mark.parametrize(
    ("side", "leg", "level", "opened", "price"),
    [
        (Side.SELL, Leg.STOP_LOSS, 95.0, 100.0, 95.0),
        (Side.SELL, Leg.STOP_LOSS, 95.0, 90.0, 90.0),
        (Side.SELL, Leg.TRAILING_STOP, 95.0, 90.0, 90.0),
        (Side.SELL, Leg.TAKE_PROFIT, 110.0, 100.0, 110.0),
        (Side.SELL, Leg.TAKE_PROFIT, 110.0, 115.0, 115.0),
        (Side.BUY, Leg.STOP_LOSS, 105.0, 100.0, 105.0),
        (Side.BUY, Leg.STOP_LOSS, 105.0, 108.0, 108.0),
        (Side.BUY, Leg.TAKE_PROFIT, 90.0, 100.0, 90.0),
        (Side.BUY, Leg.TAKE_PROFIT, 90.0, 85.0, 85.0),
    ],
)
def test_protection_exits_at_its_level_or_at_an_open_beyond_it(
    side: Side, leg: Leg, level: float, opened: float, price: float
) -> None:
    assert protective_exit_price(level, opened, side, leg) == price


def test_limits_and_stops_watch_the_extremes_of_conflated_quotes() -> None:
    quote = Quote.of("BTC/USDT", 2, 100.0, 100.1).conflated_with(Quote.of("BTC/USDT", 1, 98.0, 98.1))
    quote = quote.conflated_with(Quote.of("BTC/USDT", 1, 103.0, 103.1))
    assert not marketable(Side.BUY, 98.1, quote)
    assert met_by_quote(Side.BUY, 98.1, quote)
    assert not met_by_quote(Side.BUY, 98.09, quote)
    assert met_by_quote(Side.SELL, 103.0, quote)
    assert not met_by_quote(Side.SELL, 103.01, quote)
    assert triggered_by_quote(Side.SELL, 98.0, quote)
    assert not triggered_by_quote(Side.SELL, 97.99, quote)
    assert triggered_by_quote(Side.BUY, 103.1, quote)
    assert not triggered_by_quote(Side.BUY, 103.11, quote)


def test_a_bar_fills_a_limit_beyond_it_and_triggers_a_stop_at_it() -> None:
    bar = Candle("BTC/USDT", "1m", 60_000, 0, 100.0, 105.0, 95.0, 101.0, 1.0)
    assert not traded_through(Side.BUY, 95.0, bar)
    assert traded_through(Side.BUY, 95.01, bar)
    assert not traded_through(Side.SELL, 105.0, bar)
    assert traded_through(Side.SELL, 104.99, bar)
    assert triggered_by_candle(Side.SELL, 95.0, bar)
    assert not triggered_by_candle(Side.SELL, 94.99, bar)
    assert triggered_by_candle(Side.BUY, 105.0, bar)
    assert not triggered_by_candle(Side.BUY, 105.01, bar)


def test_the_queue_ahead_is_what_is_displayed_at_our_price_and_only_shrinks() -> None:
    assert queue_ahead(Side.BUY, 100.1, QUOTE, INF) == 4.0
    assert queue_ahead(Side.BUY, 100.1, QUOTE, 1.5) == 1.5
    assert queue_ahead(Side.BUY, 100.15, QUOTE, INF) == 0.0
    assert queue_ahead(Side.BUY, 100.0, QUOTE, INF) == INF
    assert queue_ahead(Side.SELL, 100.2, QUOTE, INF) == 2.0
    assert queue_ahead(Side.SELL, 100.15, QUOTE, 3.0) == 0.0
    assert queue_ahead(Side.SELL, 100.3, QUOTE, 3.0) == 3.0


@given(sides, st.floats(0, 100), st.floats(0.001, 100))
def test_a_touch_serves_the_queue_first_and_conserves_what_was_traded(side: Side, ahead: float, amount: float) -> None:
    trade = Trade("BTC/USDT", 1, 1, "t", 100.0, amount, Side.SELL if side is Side.BUY else Side.BUY)
    ours, left = traded_against(side, 100.0, trade, ahead)
    assert ours == max(amount - ahead, 0.0)
    assert left == max(ahead - amount, 0.0)


def test_a_trade_beyond_our_limit_came_through_us_and_one_of_our_own_side_did_not() -> None:
    through = Trade("BTC/USDT", 1, 1, "t", 99.0, 2.0, Side.SELL)
    assert traded_against(Side.BUY, 100.0, through, 50.0) == (2.0, 0.0)
    assert traded_against(Side.BUY, 98.0, through, 50.0) == (0.0, 50.0)
    assert traded_against(Side.SELL, 98.0, through, 50.0) == (0.0, 50.0)


@pytest.mark.parametrize(
    ("terms", "named"),
    [
        ({"slippage": -0.1}, "slippage"),
        ({"impact": float("nan")}, "impact"),
        ({"latency_ms": -1}, "latency_ms"),
        ({"candle_spread": float("inf")}, "candle_spread"),
        ({"slippage": 0.5, "candle_spread": 1.0}, "slippage"),
        ({"max_participation": 0.0}, "max_participation"),
        ({"max_participation": 1.1}, "max_participation"),
    ],
)
def test_an_impossible_model_is_refused_by_the_name_of_its_field(terms: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        FillModel(**terms)  # type: ignore[arg-type]
