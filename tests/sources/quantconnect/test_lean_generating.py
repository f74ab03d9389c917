"""What a generated algorithm is: readable, valid, harmless whatever its configuration says, and everything that was asked for."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.market import Candle
from simulators.quantconnect import lean
from simulators.quantconnect.lean import Run, bars_of
from sources.loading import RULES
from sources.quantconnect.insights import Heading, Way, of_message
from sources.quantconnect.lean.checking import check_project
from sources.quantconnect.lean.config import BacktestConfig, StrategyConfig
from sources.quantconnect.lean.errors import LeanError
from sources.quantconnect.lean.generating import export_rule, generate
from sources.quantconnect.lean.strategies import TEMPLATES, UNCARRIED, strategy_of
from tests.sources.quantconnect.lean_twins import BEGIN, DAY, config_of, joined, ran, said, said_locally, walk

KINDS = [kind for kind in dict.fromkeys((*TEMPLATES, *RULES)) if kind not in UNCARRIED]
HOUR = 3_600_000


def main_of(config: BacktestConfig) -> str:
    return generate(config).files["main.py"]


def lean_name(config: BacktestConfig) -> str:
    """Under which name the simulated market has the security."""
    return f"{config.symbol}/USD" if config.asset_class == "equity" else config.symbol.partition(":")[0]


def initialize_of(text: str) -> list[str]:
    """The calls of `initialize`, as they stand."""
    tree = ast.parse(text)
    found = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "initialize")
    return [ast.unparse(node) for node in found.body]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("forward", ["none", "webhook", "objects"])
def test_the_text_stands_every_check(kind: str, forward: str) -> None:
    config = config_of(
        kind, "4h", forward=forward, webhook_url="https://bot.example/qc", fees={"rate": 0.001, "slippage": 0.0002}
    )
    text = main_of(config)
    assert check_project({"main.py": text}) == []
    assert text.isascii()
    assert text.startswith("from AlgorithmImports import *\n")
    assert max(map(len, text.splitlines())) <= 140


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_rule_is_carried_with_is_all_used(kind: str) -> None:
    tree = ast.parse(main_of(config_of(kind)))
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    tops = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    assert set(tops[1:]) <= named
    imported = {alias.name for node in tree.body[1:] if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported <= named


def test_the_framework_of_the_bot_stays_at_home() -> None:
    text = main_of(config_of("factors"))
    for word in ("snapshot", "restore", "__slots__", "ClassVar", "pydantic", "MarketView", "noqa", "type: ignore", "bot.core"):
        assert word not in text


ASSETS: list[tuple[dict[str, Any], list[str]]] = [
    (
        {},
        [
            "self.set_account_currency('USDT')",
            "self.set_brokerage_model(BrokerageName.BINANCE, AccountType.CASH)",
            "security = self.add_crypto('BTCUSDT', Resolution.HOUR, Market.BINANCE, fill_forward=False)",
        ],
    ),
    (
        {"symbol": "BTC/USDT:USDT", "asset_class": "crypto-future"},
        [
            "self.set_brokerage_model(BrokerageName.BINANCE_FUTURES, AccountType.MARGIN)",
            "security = self.add_crypto_future('BTCUSDT', Resolution.HOUR, Market.BINANCE, fill_forward=False)",
        ],
    ),
    (
        {"symbol": "BTC/USD", "market": "coinbase", "currency": "USD"},
        [
            "self.set_account_currency('USD')",
            "self.set_brokerage_model(BrokerageName.COINBASE, AccountType.CASH)",
            "security = self.add_crypto('BTCUSD', Resolution.HOUR, Market.COINBASE, fill_forward=False)",
        ],
    ),
    (
        {"symbol": "SPY", "asset_class": "equity", "market": "usa", "currency": "USD", "timeframe": "1d"},
        [
            "self.set_brokerage_model(BrokerageName.INTERACTIVE_BROKERS_BROKERAGE, AccountType.MARGIN)",
            "security = self.add_equity('SPY', Resolution.DAILY, Market.USA, fill_forward=False)",
        ],
    ),
    (
        {"symbol": "EUR/USD", "asset_class": "forex", "market": "oanda", "currency": "USD"},
        [
            "self.set_brokerage_model(BrokerageName.OANDA_BROKERAGE, AccountType.MARGIN)",
            "security = self.add_forex('EURUSD', Resolution.HOUR, Market.OANDA, fill_forward=False)",
        ],
    ),
    (
        {"symbol": "XAU/USD", "asset_class": "cfd", "market": "oanda", "currency": "USD"},
        ["security = self.add_cfd('XAUUSD', Resolution.HOUR, Market.OANDA, fill_forward=False)"],
    ),
]


@pytest.mark.parametrize(("asset", "lines"), ASSETS)
def test_a_security_is_added_as_its_class_and_market_want(asset: dict[str, Any], lines: list[str]) -> None:
    text = main_of(config_of("sma-rsi", **asset))
    assert set(lines) <= set(initialize_of(text))
    assert ("quote_bars" in text) == (asset.get("asset_class") in {"forex", "cfd"})


@pytest.mark.parametrize(
    ("timeframe", "resolution", "joins", "warm"),
    [
        ("1m", "MINUTE", "", "self._rule.warmup"),
        ("5m", "MINUTE", "timedelta(minutes=5)", "self._rule.warmup * 5"),
        ("1h", "HOUR", "", "self._rule.warmup"),
        ("4h", "HOUR", "timedelta(hours=4)", "self._rule.warmup * 4"),
        ("90m", "MINUTE", "timedelta(minutes=90)", "self._rule.warmup * 90"),
        ("1d", "DAILY", "", "self._rule.warmup"),
        ("1w", "DAILY", "timedelta(days=7)", "(self._rule.warmup + 1) * 7"),
        ("30s", "SECOND", "timedelta(seconds=30)", "self._rule.warmup * 30"),
    ],
)
def test_candles_that_lean_does_not_have_are_joined(timeframe: str, resolution: str, joins: str, warm: str) -> None:
    lines = initialize_of(main_of(config_of("sma-rsi", timeframe)))
    assert [line for line in lines if "consolidate" in line] == (
        [f"self.consolidate(self._symbol, {joins}, self._on_candle)"] if joins else []
    )
    assert f"self.set_warm_up({warm}, Resolution.{resolution})" in lines


def test_every_parameter_can_be_swept() -> None:
    config = config_of("sma-rsi", params={"fast": 3, "slow": 9, "rsi": 5})
    project = generate(config)
    assert project.parameters == {"fast": "3", "slow": "9", "rsi": "5", "buy_below_rsi": "70.0", "position_size": "0.95"}
    swept = config_of("sma-rsi", params={"fast": 5, "slow": 14, "rsi": 4, "buy_below_rsi": 60.0, "sell_above_rsi": 15.0})
    candles = walk(swept, 4)
    parameters = {"fast": "5", "slow": "14", "rsi": "4", "buy_below_rsi": "60", "sell_above_rsi": "15", "position_size": "0.5"}
    run = lean.simulate(project.files, bars_of(candles), BEGIN + 400 * DAY, parameters)
    assert said(run) == said_locally(swept, candles)
    first = run.ledger.orders[0]
    assert first.quantity * first.average_fill_price == pytest.approx(5_000, rel=0.01)


def test_a_sweep_to_values_that_exclude_each_other_is_told() -> None:
    project = generate(config_of("sma-rsi"))
    with pytest.raises(lean.AlgorithmError, match=r"fast \(40\) and rsi \(14\) must be shorter than slow \(30\)"):
        lean.simulate(project.files, bars_of([]), BEGIN + 400 * DAY, {"fast": "40"})


def test_nested_parameters_have_names_of_their_own_and_none_can_be_said() -> None:
    project = generate(config_of("factors", params={"weights": {"trend": 0.9}}))
    assert project.parameters["weights_trend"] == "0.9"
    config = config_of("sma-rsi", params={"fast": 3, "slow": 9, "rsi": 5, "buy_below_rsi": None})
    candles = walk(config, 9)
    open_project = generate(config_of("sma-rsi", params={"fast": 3, "slow": 9, "rsi": 5, "buy_below_rsi": 40.0}))
    run = lean.simulate(open_project.files, bars_of(candles), BEGIN + 400 * DAY, {"buy_below_rsi": "none"})
    assert said(run) == said_locally(config, candles)


def test_the_days_are_parameters_too() -> None:
    config = config_of("rsi-reversion", params={"period": 4})
    run = ran(config, walk(config, 2))
    moved = lean.simulate(
        generate(config).files, bars_of(walk(config, 2)), BEGIN + 400 * DAY, {"start": "2026-01-05", "end": "2026-01-06"}
    )
    assert (run.started, run.ended) == (BEGIN, BEGIN + 20 * DAY)
    assert (moved.started, moved.ended) == (BEGIN + 4 * DAY, BEGIN + 6 * DAY)


def path(*closes: float, low: dict[int, float] | None = None, high: dict[int, float] | None = None) -> list[Candle]:
    """Hours with these closes from the beginning, after a fall that leaves the RSI low; lows and highs where they are given."""
    before = [100.0 - at for at in range(6)]
    rows = []
    for place, close in enumerate((*before, *closes)):
        ts = BEGIN + (place - len(before)) * HOUR
        at = place - len(before)
        bottom, top = (low or {}).get(at, close), (high or {}).get(at, close)
        rows.append(Candle("BTC/USDT", "1h", ts + HOUR, ts, close, max(top, close), min(bottom, close), close, 1.0))
    return rows


ONE_BUY = {"period": 2, "oversold": 20, "overbought": 99}


def exits(candles: list[Candle], **levels: Any) -> list[tuple[int, str]]:
    config = config_of("rsi-reversion", days=2, params=ONE_BUY, **levels)
    orders = ran(config, candles).ledger.orders
    assert orders[0].created_ms == BEGIN + HOUR
    return [(order.created_ms, order.tag) for order in orders[1:]]


def test_a_stop_loss_closes_the_position_and_says_so() -> None:
    candles = path(100.0, 99.0, 98.5, 98.0, 98.0, low={2: 96.9})
    assert exits(candles, stop_loss=0.03) == [(BEGIN + 3 * HOUR, "stop-loss")]
    run = ran(config_of("rsi-reversion", days=2, params=ONE_BUY, stop_loss=0.03), candles)
    assert [(one.direction.name, one.tag) for one in run.insights][1:2] == [("FLAT", "stop-loss")]
    assert exits(candles, stop_loss=0.05) == []


def test_a_take_profit_closes_the_position() -> None:
    assert exits(path(100.0, 101.0, 101.0, 101.0, high={2: 102.1}), take_profit=0.02) == [(BEGIN + 3 * HOUR, "take-profit")]


def test_the_stop_comes_before_the_target_in_one_bar() -> None:
    candles = path(100.0, 100.5, 100.5, low={1: 90.0}, high={1: 110.0})
    assert exits(candles, stop_loss=0.03, take_profit=0.03)[0] == (BEGIN + 2 * HOUR, "stop-loss")


def test_the_bar_that_opened_a_position_does_not_close_it() -> None:
    assert exits(path(100.0, 100.5, 100.5, low={0: 80.0}, high={0: 120.0}), stop_loss=0.03, take_profit=0.03) == []


def test_a_joined_candle_is_guarded_by_the_bars_inside() -> None:
    config = config_of("rsi-reversion", "4h", days=20, params={"period": 3, "oversold": 40, "overbought": 99}, stop_loss=0.004)
    run = ran(config, walk(config, 5))
    stops = [order for order in run.ledger.orders if order.tag == "stop-loss"]
    assert any(order.created_ms % (4 * HOUR) for order in stops)


def test_a_position_of_an_earlier_deployment_is_guarded_from_what_it_cost() -> None:
    config = config_of("rsi-reversion", days=2, params=ONE_BUY, stop_loss=0.03)
    candles = path(101.0, 101.0, 101.0, low={1: 96.0})
    run = Run(bars_of(candles), lambda *_: None, BEGIN, {}, live=True, cash={"USDT": 1e4})
    algorithm = lean.load(generate(config).files, run)
    run.begin(algorithm)
    holding = next(iter(run.portfolio.values()))
    holding.quantity, holding.average_price = 1.0, 100.0
    algorithm.on_warmup_finished()
    for end, arrived in run.timeline(BEGIN, BEGIN + DAY):
        run.step(end, arrived)
    assert (run.ledger.orders[0].tag, run.ledger.orders[0].created_ms) == ("stop-loss", BEGIN + 2 * HOUR)


def test_a_rules_own_trailing_stop_goes_with_it() -> None:
    config = config_of("atr-trend", days=40, params={"period": 5, "multiple": 1.0, "adx": 4})
    run = ran(config, walk(config, 6))
    assert {order.tag for order in run.ledger.orders} & {"trailing-stop"}
    assert said(run) == said_locally(config, walk(config, 6))


def test_dca_buys_parts_up_to_the_whole_size() -> None:
    config = config_of("dca", days=12, size=0.5, params={"schedule": {"every": "1d"}, "size": 0.25})
    run = ran(config, walk(config, 1))
    held = [order for order in run.ledger.orders if order.quantity > 0]
    assert len(held) >= 4
    assert run.portfolio.total_holdings_value / run.portfolio.total_portfolio_value == pytest.approx(0.5, abs=0.02)
    assert held[0].quantity * held[0].average_fill_price == pytest.approx(0.125 * 10_000, rel=0.02)


def live(config: BacktestConfig, parameters: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """What the server hears of a live run over a walk."""
    heard: list[tuple[str, dict[str, Any]]] = []
    candles = walk(config, 3)
    run = Run(
        bars_of(candles), lambda kind, row: heard.append((kind, dict(row))), BEGIN, parameters, live=True, cash={"USDT": 1e4}
    )
    run.begin(lean.load(generate(config).files, run))
    for end, arrived in run.timeline(BEGIN, BEGIN + 20 * DAY):
        run.step(end, arrived)
    return heard


def test_the_webhook_gets_every_live_insight_as_the_bot_reads_it() -> None:
    config = config_of("rsi-reversion", params={"period": 5}, forward="webhook", webhook_url="https://bot.example/qc")
    heard = live(config, {"webhook_secret": "s" * 32})
    posts = [row for kind, row in heard if kind == "notify"]
    signals = [of_message(json.loads(row["body"]), Way.WEBHOOK) for row in posts]
    fresh = {row["id"]: row for kind, row in heard if kind == "insight"}
    assert posts
    assert {(row["address"], row["headers"]["X-Secret"]) for row in posts} == {("https://bot.example/qc", "s" * 32)}
    assert [signal.id for signal in signals] == list(fresh)
    for signal in signals:
        row = fresh[signal.id]
        assert (signal.heading.value, signal.confidence, signal.tag) == (row["direction"], row["confidence"], row["tag"])
        assert (signal.ticker, signal.market, signal.generated) == ("BTCUSDT", "binance", row["generatedTime"] * 1000)
        assert signal.closes == (signal.generated or 0) + 5 * HOUR
        assert signal.price == row["reference"]


def test_the_webhook_is_silent_in_a_backtest_and_the_secret_is_never_in_the_text() -> None:
    config = config_of("rsi-reversion", params={"period": 5}, forward="webhook", webhook_url="https://bot.example/qc")
    heard: list[str] = []
    run = ran(config, walk(config, 3), tell=lambda kind, _: heard.append(kind))
    assert run.insights
    assert "notify" not in heard
    assert 'get_parameter("webhook_secret", "")' in main_of(config)


def test_the_object_store_gets_the_newest_insights_at_the_end() -> None:
    config = config_of("rsi-reversion", params={"period": 2}, days=60, forward="objects", object_key="signals/x.json")
    run = ran(config, walk(config, 3))
    signals = [of_message(row, Way.OBJECTS) for row in json.loads(run.objects["signals/x.json"])["signals"]]
    assert len(run.insights) > 100
    assert [signal.id for signal in signals] == [one.id for one in run.insights[-100:]]
    assert {signal.heading for signal in signals} == {Heading.UP, Heading.DOWN}


def test_the_object_store_gets_each_insight_at_once_live() -> None:
    config = config_of("rsi-reversion", params={"period": 5}, forward="objects")
    heard = [kind for kind, _ in live(config, {}) if kind in {"insight", "object"}]
    assert "object" in heard
    assert heard.index("object") == heard.index("insight") + 1


def test_fees_and_slippage_become_models_of_the_security() -> None:
    config = config_of("rsi-reversion", params={"period": 5}, fees={"rate": 0.002, "slippage": 0.0005})
    run = ran(config, walk(config, 1))
    fills = [order for order in run.ledger.orders if order.quantity_filled]
    assert len(fills) > 5
    for order in fills:
        side = 1 if order.quantity > 0 else -1
        assert order.average_fill_price == pytest.approx(order.last_price * (1 + side * 0.0005), rel=1e-12)
        assert order.events[-1].fee == pytest.approx(0.002 * abs(order.quantity) * order.last_price, rel=1e-12)
    assert run.portfolio.total_fees == pytest.approx(sum(order.events[-1].fee for order in fills))


@pytest.mark.parametrize("asset", [each for each, _ in ASSETS], ids=lambda asset: asset.get("asset_class", "crypto"))
def test_every_class_of_security_runs_with_fees_of_its_own(asset: dict[str, Any]) -> None:
    config = config_of("rsi-reversion", params={"period": 5}, days=60, fees={"rate": 0.001, "slippage": 0.0001}, **asset)
    candles = [replace(one, symbol=lean_name(config)) for one in walk(config, 1)]
    run = ran(config, candles)
    filled = [order for order in run.ledger.orders if order.quantity_filled]
    assert filled
    assert run.portfolio.total_fees == pytest.approx(0.001 * run.portfolio.volume, rel=2e-4)


def test_without_fees_of_its_own_the_brokerage_decides() -> None:
    assert "FeeModel" not in main_of(config_of("sma-rsi"))


def test_templates_are_rules_by_another_name() -> None:
    assert set(TEMPLATES) == {"sma-rsi", "momentum", "mean-reversion", "breakout"}
    for kind, template in TEMPLATES.items():
        strategy = strategy_of(kind, {})
        same = strategy_of(template.rule, template.defaults)
        assert (strategy.rule, strategy.params) == (same.rule, same.params)
    assert strategy_of("sma-rsi", {}).params.model_dump()["buy_below_rsi"] == 70.0


def test_a_rule_is_exported_with_parameters_of_its_own() -> None:
    config = config_of("sma-rsi")
    exported = export_rule("donchian", {"entry": 7, "exit": 3}, config)
    wanted = generate(config.model_copy(update={"strategy": StrategyConfig(kind="donchian", params={"entry": 7, "exit": 3})}))
    assert exported == wanted
    assert exported.warmup == strategy_of("donchian", {"entry": 7, "exit": 3}).warmup


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"kind": "nope"}, r"^backtest: strategy.kind = 'nope': unknown; use one of sma-rsi, momentum"),
    ({"kind": "sma-rsi", "params": {"fats": 3}}, r"strategy.params.fats = '3': unknown key; did you mean fast\?"),
    ({"kind": "sma-rsi", "params": {"fast": 0}}, r"strategy.params.fast = '0': Input should be greater"),
    ({"kind": "sma-rsi", "params": {"fast": 50, "slow": 9}}, r"strategy.params: .*must be shorter than slow"),
    (
        {"kind": "dca", "params": {"schedule": {"cron": "0 9 * * *"}}},
        r"strategy.params.schedule.cron = '0 9 \* \* \*': LEAN counts",
    ),
    ({"symbol": "SPY"}, r"symbol = 'SPY': a crypto is a pair"),
    ({"symbol": "BTC/USDT:USDT"}, r"is a perpetual; give asset_class: crypto-future"),
    ({"symbol": "BTC/USDT", "asset_class": "equity", "market": "usa"}, r"is a pair; give asset_class: crypto"),
    ({"symbol": "EUR/USD", "asset_class": "forex"}, r"market = 'binance': has no forex; give market: oanda"),
    ({"market": "usa"}, r"market = 'usa': has no crypto"),
    ({"currency": "US$"}, r"currency = 'US\$': is no currency"),
    ({"market": " "}, r"market = ' ': name a market"),
    ({"symbol": "B'C/USDT"}, r"is no symbol; write it as BTC/USDT"),
    ({"forward": "webhook"}, r"webhook_url = '': give the bot's address"),
    ({"forward": "objects", "object_key": " "}, r"object_key = ' ': give a key"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_what_cannot_be_exported_is_said_with_a_remedy(given: dict[str, Any], message: str) -> None:
    with pytest.raises(LeanError, match=message) as caught:
        generate(config_of(given.pop("kind", "sma-rsi"), **given))
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def shape(text: str) -> str:
    """The text's tree without its literals."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


WILD = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.text(alphabet="'\"\\\n\r{}#;()%$ \u2028\u2029\x00", max_size=40),
    st.sampled_from(['"""', "'''", "');import os#", '"+__import__("os")+"', "\\", "{0}", "%s", "KEPT", "MARKET"]),
)


@settings(max_examples=30, deadline=None)
@given(name=WILD, url=WILD, key=WILD, forward=st.sampled_from(["none", "webhook", "objects"]))
def test_no_text_of_a_configuration_becomes_code(name: str, url: str, key: str, forward: str) -> None:
    config = config_of("rsi-reversion", name=name[:100], forward=forward, webhook_url="http://" + url, object_key="k" + key)
    tame = config_of("rsi-reversion", name="x", forward=forward, webhook_url="http://x", object_key="k")
    text = main_of(config)
    assert shape(text) == shape(main_of(tame))
    constants = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    assert forward != "webhook" or "http://" + url in constants
    assert forward != "objects" or "k" + key in constants


@settings(max_examples=30, deadline=None)
@given(symbol=WILD | st.just("BTC"), market=WILD | st.just("binance"), currency=WILD | st.just("USDT"))
def test_a_symbol_market_or_currency_is_a_literal_or_refused(symbol: str, market: str, currency: str) -> None:
    config, refused = config_of("rsi-reversion", symbol=f"{symbol}/USDT", market=market, currency=currency), ""
    try:
        text = main_of(config)
    except LeanError as error:
        text = ""
        refused = error.key
    if not text:
        assert refused in {"symbol", "market", "currency"}
        return
    # A currency that is not the pair's is odd, and nothing worse.
    assert {finding.check for finding in check_project({"main.py": text})} <= {"currency-without-pair"}


@pytest.mark.parametrize("kind", UNCARRIED)
def test_a_rule_without_a_text_of_its_own_is_refused_with_a_reason(kind: str) -> None:
    with pytest.raises(LeanError, match=r"strategy\.kind.*composed"):
        generate(config_of(kind))


@pytest.mark.parametrize(("capital", "said"), [(Decimal(5000), "5000"), (Decimal("0.25"), "0.25"), (Decimal("1E+6"), "1000000")])
def test_money_is_written_plainly(capital: Decimal, said: str) -> None:
    assert f"self.set_cash({said})" in initialize_of(main_of(config_of("sma-rsi", capital=capital)))


def test_the_twins_join_candles_as_a_consolidator_does() -> None:
    config = config_of("sma-rsi", "4h", 3)
    rows = walk(config, 1)
    four = joined(rows, "4h")
    assert all(one.ts % (4 * HOUR) == 0 and one.at - one.ts == 4 * HOUR for one in four)
    assert four[-1].close == rows[-1].close
