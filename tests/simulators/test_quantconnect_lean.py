"""The stand-in for LEAN: what its indicators give, when it calls whom, how orders fill, and what it keeps uploaded text from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from bot.core.market import Candle, MarketView
from bot.market.simulated import SimulatedMarket
from simulators.quantconnect.figures import money, percent, plain, span
from simulators.quantconnect.lean import AlgorithmError, Run, bars_of, simulate
from simulators.quantconnect.lean_indicators import (
    AverageTrueRange,
    BollingerBands,
    DonchianChannel,
    ExponentialMovingAverage,
    Indicator,
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
    naive,
)
from simulators.quantconnect.market import Archive, LiveMarket, MarketSpec
from simulators.quantconnect.results import result_of
from sources.rules.crossover import CrossoverParams, SmaCross

HOUR = 3_600_000
BEGIN = 1_767_225_600_000  # 2026-01-01
HEAD = """from AlgorithmImports import *


class Tested(QCAlgorithm):

    def initialize(self):
        self.set_time_zone(TimeZones.UTC)
        self.set_start_date(2026, 1, 1)
        self.set_end_date(2026, 1, 1)
        self.set_cash(10000)
        self.s = self.add_crypto("BTCUSDT", Resolution.HOUR, Market.BINANCE).symbol
        self.seen = []
        self.begin()

    def begin(self):
        pass
"""


def candles(closes: Sequence[float], begin: int = BEGIN, spread: float = 1.0) -> list[Candle]:
    """Hours that open where the one before closed."""
    made, last = [], closes[0]
    for place, close in enumerate(closes):
        ts = begin + place * HOUR
        high, low = max(last, close) + spread, min(last, close) - spread
        made.append(Candle("BTC/USDT", "1h", ts + HOUR, ts, last, high, low, close, 5.0))
        last = close
    return made


def ran(body: str, closes: Sequence[float] = tuple(range(100, 124)), **more: Any) -> Run:
    """A day of the algorithm."""
    return simulate({"main.py": HEAD + body}, bars_of(candles(closes)), BEGIN + 400 * 24 * HOUR, **more)


def fed(indicator: Indicator, numbers: Sequence[float]) -> list[float]:
    """The values it gives."""
    found = []
    for place, number in enumerate(numbers):
        indicator.update(naive(BEGIN + place * HOUR, UTC_ZONE), number)
        found.append(indicator.current.value)
    return found


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


def test_results_have_the_formats_of_the_reference() -> None:
    run = ran(
        """
    def on_data(self, data):
        if self.time.hour == 2:
            self.set_holdings(self.s, 0.9)
        elif self.time.hour == 6:
            self.liquidate()
        elif self.time.hour == 7:
            self.set_holdings(self.s, -0.5)
        self.plot("Own", "hour", self.time.hour)
"""
    )
    body = result_of(run)
    table, runtime = body["statistics"], body["runtimeStatistics"]
    assert isinstance(table, dict)
    assert isinstance(runtime, dict)
    assert table["Start Equity"] == "10000"
    assert table["Total Orders"] == "3"
    assert table["Win Rate"] == "100%"
    assert table["Loss Rate"] == "0%"
    assert table["Total Fees"].startswith("$")
    assert table["Drawdown"].endswith("%")
    assert table["Lowest Capacity Asset"] == "BTCUSDT 18N"
    assert runtime["Fees"].startswith("-$")
    assert runtime["Unrealized"].startswith("$-")
    assert runtime["Return"].endswith(" %")
    performance: Any = body["totalPerformance"]
    (trade,) = performance["closedTrades"]
    assert (trade["direction"], trade["duration"], trade["isWin"]) == (0, "04:00:00", True)
    assert trade["mfe"] > 0 > trade["mae"] or trade["mae"] == 0.0
    assert performance["portfolioStatistics"]["winRate"] == 1.0
    charts: Any = body["charts"]
    assert set(charts) >= {"Strategy Equity", "Drawdown", "Benchmark", "Exposure", "Own"}
    assert charts["Strategy Equity"]["series"]["Equity"]["seriesType"] == 2
    assert all(len(row) == 5 for row in charts["Strategy Equity"]["series"]["Equity"]["values"])


def test_figures_are_written_as_lean_writes_them() -> None:
    assert [percent(0.45), percent(0.0), percent(-0.0102, 2), percent(0.48, 0)] == ["45.000%", "0%", "-1.02%", "48%"]
    assert [plain(0.412), plain(-0.2), plain(112345.67, 2), plain(100000.0, 2), plain(None)] == [
        "0.412", "-0.2", "112345.67", "100000", "0",
    ]  # fmt: skip
    assert [money(12345.67, "$"), money(-4.94, "$")] == ["$12,345.67", "$-4.94"]
    assert [span(timedelta(days=4, hours=5, minutes=12)), span(timedelta(minutes=3))] == ["4.05:12:00", "00:03:00"]


def test_history_is_the_same_for_all_who_ask_and_days_are_made_of_hours() -> None:
    spec = MarketSpec(history_genesis=BEGIN)
    hours = list(Archive(spec)("BTC/USDT", HOUR, BEGIN, BEGIN + 48 * HOUR))
    assert hours == list(Archive(spec)("BTC/USDT", HOUR, BEGIN, BEGIN + 48 * HOUR))
    (first, _) = Archive(spec)("BTC/USDT", 24 * HOUR, BEGIN, BEGIN + 48 * HOUR)
    assert first.high == max(one.high for one in hours[:24])
    assert list(Archive(spec)("BTC/USDT", 1_000, BEGIN, BEGIN + HOUR)) == []
    minutes = list(Archive(spec)("BTC/USDT", 60_000, BEGIN + HOUR, BEGIN + 2 * HOUR))
    assert len(minutes) == 60
    assert list(Archive(spec)("BTC/USDT", HOUR, BEGIN - 48 * HOUR, BEGIN)) == []


def test_the_past_of_the_live_market_ends_where_the_live_market_begins() -> None:
    genesis = BEGIN + 240 * HOUR + 1_234_000
    market = LiveMarket(MarketSpec(history_genesis=BEGIN, live_genesis=genesis))
    found = list(market("BTC/USDT", HOUR, genesis - 10 * HOUR, genesis + 2 * HOUR))
    assert [one.ts for one in found] == sorted({one.ts for one in found})
    assert len(found) == 11
    live = [one for one in found if one.ts >= genesis]
    assert abs(found[len(found) - len(live) - 1].close / market.price("BTC/USDT", genesis) - 1) < 0.02


def test_every_indicator_method_feeds_itself_and_every_rule_of_the_schedule_fits() -> None:
    run = ran("""
    def begin(self):
        s, h = self.s, Resolution.HOUR
        self.all = [self.sma(s, 3), self.ema(s, 3), self.ema(s, 3, 0.5), self.ema(s, 3, h), self.rsi(s, 3), self.roc(s, 3),
                    self.rocp(s, 3), self.mom(s, 3), self.std(s, 3), self.max(s, 3), self.min(s, 3), self.bb(s, 3, 2),
                    self.atr(s, 3), self.macd(s, 2, 3, 2), self.dch(s, 3), self.sma(s, 2, timedelta(hours=2)),
                    self.sma(s, 3, selector=lambda bar: bar.volume)]
        made = SimpleMovingAverage(2)
        self.register_indicator(s, made, timedelta(hours=2))
        pairs = TradeBarConsolidator(timedelta(hours=6))
        pairs.data_consolidated += lambda sender, bar: self.seen.append(("six", bar.close))
        self.subscription_manager.add_consolidator(s, pairs)
        self.window = RollingWindow[float](2)
        self.all.append(made)
        rules, times = self.date_rules, self.time_rules
        for name, dates, when in (
            ("thursday", rules.every(DayOfWeek.THURSDAY), times.at(2, 30)),
            ("monday", rules.every(DayOfWeek.MONDAY), times.noon()),
            ("first", rules.month_start(), times.after_market_open(s, 15)), ("open", rules.week_start(), times.midnight()),
            ("day", rules.on(2026, 1, 1), times.before_market_close(s, 30)), ("gone", rules.on(2020, 1, 1), times.noon()),
        ):
            self.schedule.on(name, dates, when, lambda name=name: self.tell(name))

    def tell(self, name):
        self.seen.append((name, self.time.strftime("%H:%M")))

    def on_data(self, data):
        self.window.add(data[self.s].close)
""")
    state = vars(run.algorithm)
    assert all(one.is_ready for one in state["all"])
    assert [one.current.value for one in state["all"][9:11]] == [124.0, 119.0]  # the high and the low, not the close
    assert state["all"][16].current.value == 5.0
    assert (state["window"][0], state["window"][1], state["window"].is_ready) == (123.0, 122.0, True)
    seen = state["seen"]
    assert seen == [
        ("first", "00:15"), ("thursday", "02:30"), ("six", 105.0), ("six", 111.0), ("six", 117.0), ("day", "23:30"),
        ("six", 123.0),
    ]  # fmt: skip


def test_indicators_can_be_warmed_up_from_history() -> None:
    body = """
        self.settings.automatic_indicator_warm_up = True
        self.i = self.sma(self.s, 3)
        self.seen.append((self.i.is_ready, self.i.current.value))
        made = ExponentialMovingAverage(2)
        self.warm_up_indicator(self.s, made)
        self.seen.append(made.is_ready)
"""
    text = HEAD.replace("    def begin(self):\n        pass\n", "    def begin(self):") + body
    run = simulate({"main.py": text}, bars_of(candles(range(95, 119), BEGIN - 5 * HOUR)), BEGIN + 400 * 24 * HOUR)
    assert vars(run.algorithm)["seen"] == [(True, 98.0), True]


def test_commands_reach_what_they_name() -> None:
    run = ran("""
    def begin(self):
        self.add_command(Named)

    def on_command(self, data):
        self.seen.append(data.word)
        return True


class Named:
    word = ""

    def run(self, algorithm):
        algorithm.seen.append("named " + self.word)
        return False
""")
    algorithm = run.algorithm
    assert algorithm.command({"$type": "Named", "word": "x"}) is False
    assert algorithm.command({"Word": "y"}) is True
    assert vars(algorithm)["seen"] == ["named x", "y"]
    order = {"$type": "OrderCommand", "symbol": "BTCUSDT", "quantity": "2"}
    assert algorithm.command({**order, "order_type": "limit", "limit_price": 50})
    assert algorithm.command({**order, "order_type": "stop_market", "stop_price": 500})
    assert algorithm.command(order)
    assert [int(one.order_type) for one in run.ledger.orders] == [1, 2, 0]
    assert algorithm.command({"$type": "LiquidateCommand"})
    assert not run.portfolio.invested
    assert run.ledger.open_orders == []
    assert algorithm.command({"$type": "QuitCommand"})
    assert run.quitting


def test_an_average_cross_says_what_the_local_rule_says_on_the_same_candles() -> None:
    hours = list(Archive(MarketSpec(history_genesis=BEGIN))("BTC/USDT", HOUR, BEGIN, BEGIN + 24 * 30 * HOUR))
    rule = SmaCross(CrossoverParams(fast=5, slow=20, rsi=14))
    wanted = []
    for candle in hours:
        proposal = rule.step(candle, MarketView())
        if proposal is not None:
            wanted.append((candle.end, proposal.action.value, round(proposal.confidence, 6)))
    text = (
        HEAD.replace("2026, 1, 1)\n        self.set_cash", "2026, 1, 30)\n        self.set_cash")
        + """
    def begin(self):
        self.f, self.w, self.r = self.sma(self.s, 5), self.sma(self.s, 20), self.rsi(self.s, 14)
        self.up = None

    def on_data(self, data):
        if not self.w.is_ready:
            return
        up = self.f.current.value > self.w.current.value
        if self.up is not None and up != self.up:
            share = self.r.current.value / 100
            direction = InsightDirection.UP if up else InsightDirection.DOWN
            self.emit_insights(Insight.price(self.s, timedelta(1), direction, confidence=share if up else 1 - share))
        self.up = up
"""
    )
    run = simulate({"main.py": text}, bars_of(hours), BEGIN + 400 * 24 * HOUR)
    words = {1: "buy", -1: "sell"}
    found = [(one.generated_ms, words[int(one.direction)], round(one.confidence or 0.0, 6)) for one in run.insights]
    assert len(found) > 20
    assert found == wanted


def test_the_live_market_is_the_one_that_an_exchange_of_this_seed_and_genesis_shows() -> None:
    genesis = BEGIN + 5_000
    market = LiveMarket(MarketSpec(seed=9, live_genesis=genesis, history_genesis=BEGIN - 86_400_000))
    exchange = SimulatedMarket(9, ["ETH/USDT", "BTC/USDT"], genesis)
    stop = genesis + 300_000
    assert list(market("BTC/USDT", 60_000, genesis + 60_000, stop)) == exchange.candles("BTC/USDT", "1m", genesis + 60_000, stop)
