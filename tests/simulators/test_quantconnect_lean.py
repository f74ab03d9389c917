"""The stand-in for LEAN: what its indicators give, when it calls whom, how orders fill, and what it keeps uploaded text from."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from simulators.quantconnect.lean import AlgorithmError, bars_of, simulate
from simulators.quantconnect.lean_indicators import (
    AverageTrueRange,
    BollingerBands,
    DonchianChannel,
    ExponentialMovingAverage,
    Momentum,
    MovingAverageConvergenceDivergence,
    RateOfChange,
    RelativeStrengthIndex,
    SimpleMovingAverage,
)
from simulators.quantconnect.lean_types import (
    UTC_ZONE,
    Insight,
    InsightDirection,
    MovingAverageType,
    Resolution,
    SecurityType,
    Symbol,
    TradeBar,
)
from tests.simulators.lean_runs import BEGIN, HEAD, HOUR, candles, fed, ran


def test_a_simple_average_is_the_mean_of_what_there_is_until_it_is_ready() -> None:
    sma = SimpleMovingAverage(3)
    assert fed(sma, [3.0, 6.0, 9.0, 12.0]) == [3.0, 4.5, 6.0, 9.0]
    assert sma.is_ready
    assert sma.previous.value == 6.0


def test_an_exponential_average_begins_with_a_simple_one() -> None:
    assert fed(ExponentialMovingAverage(3), [1.0, 2.0, 6.0, 4.0]) == [1.0, 1.5, 3.0, 3.5]


def test_the_strength_index_is_100_while_nothing_was_lost_and_wilders_afterwards() -> None:
    rsi = RelativeStrengthIndex(2)
    values = fed(rsi, [10.0, 11.0, 12.0, 11.0])
    assert values[:3] == [100.0, 100.0, 100.0]
    assert values[3] == pytest.approx(100 - 100 / (1 + 0.5 / 0.5))
    assert rsi.warm_up_period == 3


def test_rates_of_change_compare_with_the_number_so_many_updates_ago() -> None:
    assert fed(RateOfChange(2), [100.0, 110.0, 121.0])[-1] == pytest.approx(0.21)
    assert fed(Momentum(2), [100.0, 110.0, 121.0])[-1] == 21.0


def test_bollinger_bands_use_the_deviation_of_the_population() -> None:
    bands = BollingerBands(4, 2)
    fed(bands, [2.0, 4.0, 4.0, 6.0])
    assert bands.upper_band.current.value == pytest.approx(4 + 2 * math.sqrt(2))
    assert bands.lower_band.current.value == pytest.approx(4 - 2 * math.sqrt(2))
    assert bands.current.value == 6.0


def bar(high: float, low: float, close: float) -> TradeBar:
    return TradeBar(Symbol("BTCUSDT", SecurityType.CRYPTO, "binance"), BEGIN, HOUR, close, high, low, close, 1.0, UTC_ZONE)


def test_a_donchian_channel_leaves_out_the_present_bar_so_that_it_can_break_out() -> None:
    channel = DonchianChannel(2)
    for each in (bar(10, 5, 7), bar(12, 6, 11), bar(20, 4, 19)):
        channel.update(each)
    assert (channel.upper_band.current.value, channel.lower_band.current.value) == (12.0, 5.0)
    assert channel.is_ready


def test_the_true_range_counts_the_gap_to_the_close_before() -> None:
    atr = AverageTrueRange(2, MovingAverageType.SIMPLE)
    atr.update(bar(10, 8, 9))
    atr.update(bar(15, 14, 15))
    assert atr.current.value == pytest.approx((2 + 6) / 2)


def test_the_histogram_waits_for_both_averages() -> None:
    macd = MovingAverageConvergenceDivergence(2, 3, 2)
    fed(macd, [1.0, 2.0, 4.0, 8.0, 16.0])
    line = macd.fast.current.value - macd.slow.current.value
    assert macd.histogram.current.value == pytest.approx(line - macd.signal.current.value)
    assert macd.is_ready


def test_a_resolution_where_the_kind_of_average_belongs_is_refused_as_lean_would_not() -> None:
    with pytest.raises(TypeError, match="passed by name"):
        RelativeStrengthIndex(14, Resolution.DAILY)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("symbol", "text"),
    [
        (Symbol("BTCUSDT", SecurityType.CRYPTO, "binance"), "BTCUSDT 18N"),
        (Symbol("BTCUSDT", SecurityType.CRYPTO_FUTURE, "binance"), "BTCUSDT 18R"),
        (Symbol("BTCUSD", SecurityType.CRYPTO, "coinbase"), "BTCUSD 2XR"),
        (Symbol("BTCUSD", SecurityType.CRYPTO, "kraken"), "BTCUSD 10B"),
        (Symbol("EURUSD", SecurityType.FOREX, "oanda"), "EURUSD 8G"),
        (Symbol("SPY", SecurityType.EQUITY, "usa"), "SPY R735QTJ8XC9X"),
    ],
)
def test_identifiers_are_those_of_lean(symbol: Symbol, text: str) -> None:
    assert str(symbol.id) == text


def test_an_insight_takes_a_length_or_a_number_of_bars() -> None:
    symbol = Symbol("BTCUSDT", SecurityType.CRYPTO, "binance")
    one = Insight.price(symbol, timedelta(hours=3), InsightDirection.UP, None, 0.5, "m", 0.2, "t")
    other = Insight.price(symbol, Resolution.HOUR, 3, InsightDirection.UP, confidence=0.5, source_model="m", weight=0.2, tag="t")
    assert one.as_json() == other.as_json()
    assert one.as_json()["period"] == 10_800


def test_indicators_are_fed_before_on_data_and_warm_up_calls_neither_orders_nor_schedules() -> None:
    body = """
        self.i = self.sma(self.s, 3)
        self.set_warm_up(3, Resolution.HOUR)
        self.schedule.on(self.date_rules.every_day(), self.time_rules.every(timedelta(hours=12)), self.tick)

    def tick(self):
        self.seen.append(("tick", self.time.hour))

    def on_warmup_finished(self):
        self.seen.append(("warm", self.i.is_ready, self.i.current.value))

    def on_data(self, data):
        if self.is_warming_up:
            assert self.market_order(self.s, 1).status == OrderStatus.INVALID
            self.emit_insights(Insight.price(self.s, timedelta(1), InsightDirection.UP))
            return
        if self.time.hour == 1:
            self.seen.append((data.bars[self.s].close, self.i.current.value, self.securities[self.s].price))
"""
    run = simulate(
        {"main.py": HEAD.replace("    def begin(self):\n        pass\n", "    def begin(self):") + body},
        bars_of(candles(range(97, 121), BEGIN - 3 * HOUR)),
        BEGIN + 400 * 24 * HOUR,
    )
    seen = vars(run.algorithm)["seen"]
    assert seen == [("warm", True, 98.0), ("tick", 0), (100.0, 99.0, 100.0), ("tick", 12)]
    assert run.insights == []
    assert all(one.status == 7 for one in run.ledger.orders)


def test_orders_fill_as_lean_fills_them_on_bars() -> None:
    run = ran("""
    def on_data(self, data):
        hour = self.time.hour
        if hour == 1:
            self.market_order(self.s, 2)
            self.a = self.limit_order(self.s, 1, 99.5)
            self.b = self.stop_market_order(self.s, -1, 90)
            self.c = self.limit_order(self.s, -1, 105.5)
        elif hour == 20:
            self.a.cancel("enough")
            self.transactions.cancel_open_orders()
            self.liquidate()
""")
    market, low, stop, high, rest = run.ledger.orders
    assert (market.average_fill_price, market.filled_ms) == (100.0, BEGIN + HOUR)
    assert (low.average_fill_price, low.status) == (99.5, 3)  # the low of the second hour is 99
    assert (stop.status, stop.tag) == (5, "")
    assert high.average_fill_price == 105.5
    assert rest.quantity == -2.0
    assert run.portfolio.total_holdings_value == 0.0
    gained = sum(trade.profit - trade.fees for trade in run.ledger.trades)
    assert run.portfolio.total_portfolio_value == pytest.approx(10_000 + gained)
    assert run.portfolio.total_net_profit == pytest.approx(gained)


def test_a_cash_account_cannot_be_short_and_nobody_spends_what_he_has_not() -> None:
    run = ran("""
    def begin(self):
        self.set_brokerage_model(BrokerageName.BINANCE, AccountType.CASH)

    def on_data(self, data):
        if self.time.hour == 1:
            self.market_order(self.s, -1)
            self.market_order(self.s, 101)
        elif self.time.hour == 2:
            self.set_holdings(self.s, 1.0)
""")
    short, large, whole = run.ledger.orders
    assert (short.status, large.status, whole.status) == (7, 7, 3)
    assert "Insufficient buying power" in large.events[-1].message
    assert 9_900 < whole.quantity * whole.average_fill_price < 10_000
    assert run.portfolio.cash > 0


def test_a_margin_account_goes_from_long_to_short_in_one_order() -> None:
    run = ran("""
    def on_data(self, data):
        if self.time.hour in (1, 2):
            self.set_holdings(self.s, 0.5 if self.time.hour == 1 else -0.5)
""")
    assert [one.status for one in run.ledger.orders] == [3, 3]
    assert run.portfolio["BTCUSDT"].is_short  # type: ignore[index]
    assert run.ledger.trades[0].is_long
    assert run.portfolio.total_portfolio_value < 10_000  # the price rose


def test_bars_are_consolidated_to_a_length_and_history_knows_the_past_only() -> None:
    run = ran("""
    def begin(self):
        self.consolidate(self.s, timedelta(hours=4), lambda bar: self.seen.append((bar.time.hour, bar.open, bar.high, bar.close)))
        self.slow = self.sma(self.s, 2, timedelta(hours=4))

    def on_data(self, data):
        if self.time.hour == 6:
            self.seen.append([bar.close for bar in self.history[TradeBar](self.s, 3, Resolution.HOUR)])
""")
    seen = vars(run.algorithm)["seen"]
    assert seen[0] == (0, 100.0, 104.0, 103.0)
    assert seen[1] == [103.0, 104.0, 105.0]
    assert seen[2] == (4, 103.0, 108.0, 107.0)
    assert vars(run.algorithm)["slow"].current.value == pytest.approx((119 + 123) / 2)


def test_insights_have_reference_and_score_and_a_hook_hears_them() -> None:
    run = ran("""
    def begin(self):
        self.insights_generated += self.heard

    def heard(self, algorithm, collection):
        self.seen += [(one.id, one.reference_value) for one in collection.insights]
        assert self.notify.web("http://localhost/", {}) is False

    def on_data(self, data):
        if self.time.hour == 2:
            self.emit_insights([Insight.price(self.s, timedelta(hours=3), InsightDirection.UP, confidence=0.6),
                                Insight.price(self.s, timedelta(days=9), InsightDirection.DOWN)])
""")
    up, down = run.insights
    assert vars(run.algorithm)["seen"] == [(up.id, 101.0), (down.id, 101.0)]
    assert (up.score_final, up.score_direction, up.reference_final) == (True, 1.0, 104.0)
    assert (down.score_final, down.source_model) == (False, "Tested")


def test_parameters_take_the_type_of_their_default() -> None:
    run = ran(
        """
    def begin(self):
        for default in (1, 1.5, "x", None):
            self.seen.append(self.get_parameter("p", default))
        self.seen.append((self.get_parameter("q", 3), self.get_parameter("r", 4)))
""",
        parameters={"p": "7", "q": "many"},
    )
    assert vars(run.algorithm)["seen"] == [7, 7.0, "7", "7", (3, 4)]


def test_the_object_store_keeps_what_was_there_and_what_is_saved() -> None:
    told: list[tuple[str, Any]] = []
    run = ran(
        """
    def begin(self):
        self.seen.append(self.object_store.read("old"))
        self.object_store.save("a/b", "c")
        self.seen.append(self.object_store.contains_key("a/b"))
""",
        objects={"old": b"was"},
        tell=lambda kind, body: told.append((kind, body)),
    )
    assert vars(run.algorithm)["seen"] == ["was", True]
    assert ("object", {"key": "a/b", "hex": b"c".hex()}) in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os\n", "No module named 'os'"),
        ("import socket\n", "No module named 'socket'"),
        ("x = ().__class__.__base__\n", "__base__ is not allowed"),
        ("x = (lambda: 0).__globals__\n", "__globals__ is not allowed"),
        ("x = getattr(int, '__sub' + 'classes__')\n", "__subclasses__ is not allowed"),
        ("open('secrets')\n", "open"),
        ("eval('1')\n", "eval"),
        ("import typing\ntyping.sys\n", "sys"),
        ("import functools\nfunctools._os\n", "_os"),
        ("from dataclasses import sys\n", "sys"),
        ("import numpy\nnumpy.fromfile('x')\n", "fromfile"),
        ("match 1:\n    case int(__globals__=x):\n        pass\n", "__globals__ is not allowed"),
        ("type('T', (), {})\n", "takes 1 positional argument"),
        ("import typing\ntyping.get_type_hints\n", "get_type_hints"),
        ("from string import Formatter\n", "Formatter"),
        ("from functools import update_wrapper\n", "update_wrapper"),
        ("x = '{0.__class__}'.format_map({})\n", "format_map is not allowed"),
        ("from AlgorithmImports import *\nmath.inf\njson.decoder\n", "decoder"),
        ("x = 1\n", "exactly one class"),
        ("x = (\n", "never closed"),
    ],
)
def test_what_leads_out_is_refused_and_so_is_what_is_no_algorithm(text: str, words: str) -> None:
    with pytest.raises(AlgorithmError, match=words) as found:
        simulate({"main.py": text}, bars_of([]), BEGIN)
    assert found.value.initializing


def test_an_error_names_the_line_of_the_uploaded_text() -> None:
    with pytest.raises(AlgorithmError) as found:
        ran("""
    def on_data(self, data):
        data.bars[self.s].nothing
""")
    assert not found.value.initializing
    assert "at on_data in main.py: line 19" in found.value.stacktrace


def test_an_algorithm_may_have_several_files() -> None:
    files = {"main.py": "from alphas import Own\n\nclass Mine(Own):\n    pass\n", "alphas.py": HEAD.replace("Tested", "Own")}
    with pytest.raises(AlgorithmError, match="defines 2"):
        simulate(files, bars_of(candles([100.0, 101.0])), BEGIN + 400 * 24 * HOUR)
    files["main.py"] = "import alphas\n\nclass Mine(alphas.Own):\n    pass\n"
    run = simulate(files, bars_of(candles([100.0, 101.0])), BEGIN + 400 * 24 * HOUR)
    assert type(run.algorithm).__name__ == "Mine"
