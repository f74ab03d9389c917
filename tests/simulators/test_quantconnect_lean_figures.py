"""What the stand-in for LEAN reports, and how its market, schedule and commands fit together."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bot.core.market import MarketView
from bot.market.simulated import SimulatedMarket
from simulators.quantconnect.figures import money, percent, plain, span
from simulators.quantconnect.lean import bars_of, simulate
from simulators.quantconnect.market import Archive, LiveMarket, MarketSpec
from simulators.quantconnect.results import result_of
from sources.rules.crossover import CrossoverParams, SmaCross
from tests.simulators.lean_runs import BEGIN, HEAD, HOUR, candles, ran


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
