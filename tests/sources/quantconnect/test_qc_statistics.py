"""Every figure that the service prints is read with its unit: the tables of LEAN's formats, row by row."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.quantconnect.models_statistics import (
    BY_INDEX,
    Performance,
    PortfolioStatistics,
    RuntimeStatistics,
    Statistics,
    TradeStatistics,
)
from sources.quantconnect.models_trade import TradeDirection
from sources.quantconnect.values import currency_symbol, moment_ms, number, percent, span_s


@pytest.mark.parametrize(
    ("key", "text", "field", "value"),
    [
        ("Total Orders", "42", "total_orders", 42),
        ("Total Trades", "42", "total_orders", 42),
        ("Drawdown Recovery", "73", "drawdown_recovery", 73),
        ("Average Win", "2.15%", "average_win", 0.0215),
        ("Average Loss", "-1.02%", "average_loss", -0.0102),
        ("Portfolio Turnover", "8.41%", "portfolio_turnover", 0.0841),
        ("Compounding Annual Return", "45.000%", "compounding_annual_return", 0.45),
        ("Drawdown", "9.800%", "drawdown", 0.098),
        ("Net Profit", "12.346%", "net_profit", 0.12346),
        ("Net Profit", "0%", "net_profit", 0.0),
        ("Probabilistic Sharpe Ratio", "41.203%", "probabilistic_sharpe_ratio", 0.41203),
        ("Loss Rate", "52%", "loss_rate", 0.52),
        ("Win Rate", "48%", "win_rate", 0.48),
        ("Expectancy", "0.412", "expectancy", 0.412),
        ("Start Equity", "100000", "start_equity", 100_000.0),
        ("End Equity", "112345.67", "end_equity", 112_345.67),
        ("Sharpe Ratio", "0.91", "sharpe_ratio", 0.91),
        ("Sortino Ratio", "1.102", "sortino_ratio", 1.102),
        ("Alpha", "0.031", "alpha", 0.031),
        ("Beta", "0.42", "beta", 0.42),
        ("Annual Standard Deviation", "0.113", "annual_standard_deviation", 0.113),
        ("Annual Variance", "0.013", "annual_variance", 0.013),
        ("Information Ratio", "-0.2", "information_ratio", -0.2),
        ("Tracking Error", "0.21", "tracking_error", 0.21),
        ("Treynor Ratio", "0.245", "treynor_ratio", 0.245),
        ("Profit-Loss Ratio", "2.11", "profit_loss_ratio", 2.11),
        ("Total Fees", "$210.40", "total_fees", 210.40),
        ("Estimated Strategy Capacity", "$6300000", "estimated_strategy_capacity", 6_300_000.0),
        ("Lowest Capacity Asset", "BTCUSDT 18N", "lowest_capacity_asset", "BTCUSDT 18N"),
        ("Lowest Capacity Asset", "", "lowest_capacity_asset", ""),
    ],
)
def test_a_statistic_is_read_with_its_unit(key: str, text: str, field: str, value: object) -> None:
    found = getattr(Statistics.model_validate({key: text}), field)
    assert found == (pytest.approx(value) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    ("key", "text", "field", "value"),
    [
        ("Equity", "$112,345.67", "equity", 112_345.67),
        ("Holdings", "$0.00", "holdings", 0.0),
        ("Volume", "$1,204,550.10", "volume", 1_204_550.10),
        ("Net Profit", "$12,345.67", "net_profit", 12_345.67),
        ("Unrealized", "$-4.94", "unrealized", -4.94),
        ("Fees", "-$210.40", "fees", -210.40),
        ("Return", "12.35 %", "total_return", 0.1235),
        ("Return", "-0.57 %", "total_return", -0.0057),
        ("Probabilistic Sharpe Ratio", "41.203%", "probabilistic_sharpe_ratio", 0.41203),
    ],
)
def test_a_runtime_statistic_is_read_with_its_trap(key: str, text: str, field: str, value: float) -> None:
    assert getattr(RuntimeStatistics.model_validate({key: text}), field) == pytest.approx(value)


@pytest.mark.parametrize("symbol", ["$", "₮", "€", "₿", "kr.", "CHF", "лв.", "Fr."])
@pytest.mark.parametrize(("sign", "value"), [("", 1_234.5), ("-", -1_234.5)])
def test_the_currency_of_the_account_does_not_disturb_the_amount(symbol: str, sign: str, value: float) -> None:
    for text in (f"{symbol}{sign}1,234.50", f"{sign}{symbol}1,234.50", f"{sign}1,234.50 {symbol}"):
        assert number(text) == value
        assert (currency_symbol(text) or "").rstrip(".") == symbol.rstrip(".")
    assert RuntimeStatistics.model_validate({"Equity": f"{symbol}5", "Fees": f"-{symbol}1"}).paid_fees == 1.0


def test_the_currency_is_told() -> None:
    assert Statistics.model_validate({"Total Fees": "₮210.40"}).currency == "₮"
    assert RuntimeStatistics.model_validate({"Unrealized": "$-4.94", "Fees": "-€210.40"}).currency == "€"


def test_what_an_algorithm_adds_is_kept_as_it_was_written() -> None:
    assert Statistics.model_validate({"Signals": "7 up", "Depth": 3, "Alpha": "1"}).custom == {"Signals": "7 up", "Depth": "3"}
    assert RuntimeStatistics.model_validate({"last signal": "up", "Equity": "$1"}).custom == {"last signal": "up"}


@pytest.mark.parametrize("nothing", ["", "-", "NaN", "∞", "-Infinity", "$", "%", None, [], {}, "n/a", math.inf, "1e999", 10**400])
def test_what_says_nothing_is_no_number(nothing: object) -> None:
    assert number(nothing) is None
    assert percent(nothing) is None
    assert Statistics.model_validate({"Sharpe Ratio": nothing}).sharpe_ratio is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1E-05", 1e-05),
        ("-1.5e+3", -1500.0),
        ("$1E-05", 1e-05),
        ("-$1.5e-3", -0.0015),
        (".5", 0.5),
        ("5.", 5.0),
        (7, 7.0),
        ("0.9103", 0.9103),
    ],
)
def test_an_exponent_is_not_a_sign(text: object, value: float) -> None:
    assert number(text) == pytest.approx(value)


@given(st.floats(-1e12, 1e12, allow_subnormal=False), st.sampled_from(["${}", "{} %", "₮{}", "{}%"]))
def test_every_printed_number_is_read_back(value: float, form: str) -> None:
    assert number(form.format(f"{value:,.2f}")) == pytest.approx(value, abs=0.00501)


@given(st.text(max_size=30) | st.integers() | st.floats() | st.none() | st.booleans() | st.lists(st.integers(), max_size=3))
def test_nothing_that_may_come_breaks_the_readers(raw: object) -> None:
    for reader in (number, percent, moment_ms, span_s, currency_symbol):
        reader(raw)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4.05:12:00", 4 * 86_400 + 5 * 3_600 + 720),
        ("00:00:20", 20.0),
        ("8.00:00:00", 8 * 86_400.0),
        ("00:00:00.5000000", 0.5),
        ("-1.00:00:01", -86_401.0),
        (86_400, 86_400.0),
        ("60", 60.0),
        ("", None),
        ("later: 5", None),
    ],
)
def test_a_time_span_of_net_is_read_in_seconds(text: object, seconds: float | None) -> None:
    assert span_s(text) == seconds


@pytest.mark.parametrize(
    ("raw", "ms"),
    [
        ("2026-03-02 10:15:00", 1_772_446_500_000),
        ("2026-03-02T10:15:00Z", 1_772_446_500_000),
        ("2026-03-02T10:15:00", 1_772_446_500_000),
        ("2026-03-02T10:15:00.1234567Z", 1_772_446_500_123),
        ("2026-03-02T11:15:00+01:00", 1_772_446_500_000),
        (1_772_446_500, 1_772_446_500_000),
        (1_772_446_500.25, 1_772_446_500_250),
        ("1772446500", 1_772_446_500_000),
        ("1772446500.25", 1_772_446_500_250),
        (1_772_446_500_000, 1_772_446_500_000),
        ("0001-01-01T00:00:00", None),
        (0, None),
        ("", None),
        (True, None),
        ("soon", None),
        (float("nan"), None),
    ],
)
def test_a_moment_is_read_from_every_form_the_service_has(raw: object, ms: int | None) -> None:
    assert moment_ms(raw) == ms


PORTFOLIO = """
averageWinRate averageLossRate profitLossRatio winRate lossRate expectancy startEquity endEquity compoundingAnnualReturn drawdown
totalNetProfit sharpeRatio probabilisticSharpeRatio sortinoRatio alpha beta annualStandardDeviation annualVariance
informationRatio trackingError treynorRatio portfolioTurnover valueAtRisk99 valueAtRisk95
"""


@pytest.mark.parametrize("written", [0.0123, "0.0123", "0.01230000"])
@pytest.mark.parametrize("name", PORTFOLIO.split())
def test_a_portfolio_statistic_is_a_fraction_already(name: str, written: object) -> None:
    (value,) = PortfolioStatistics.model_validate({name: written}).model_dump(exclude_none=True).values()
    assert value == 0.0123


@pytest.mark.parametrize(
    ("names", "written", "value"),
    [
        ("startDateTime endDateTime", "2024-01-31T00:00:00Z", 1_706_659_200_000),
        (
            """totalNumberOfTrades numberOfWinningTrades numberOfLosingTrades maxConsecutiveWinningTrades
            maxConsecutiveLosingTrades""",
            "21",
            21,
        ),
        (
            """totalProfitLoss totalProfit totalLoss largestProfit largestLoss averageProfitLoss averageProfit averageLoss
            profitLossRatio winLossRatio winRate lossRate averageMAE averageMFE largestMAE largestMFE maximumClosedTradeDrawdown
            maximumIntraTradeDrawdown profitLossStandardDeviation profitLossDownsideDeviation profitFactor sharpeRatio
            sortinoRatio profitToMaxDrawdownRatio maximumEndTradeDrawdown averageEndTradeDrawdown totalFees""",
            "-12.5000",
            -12.5,
        ),
        (
            """averageTradeDuration averageWinningTradeDuration averageLosingTradeDuration medianTradeDuration
            medianWinningTradeDuration medianLosingTradeDuration maximumDrawdownDuration""",
            "4.05:12:00",
            364_320.0,
        ),
    ],
)
def test_every_trade_statistic_is_read(names: str, written: str, value: object) -> None:
    for name in names.split():
        for key in (name, name[0].upper() + name[1:]):
            assert list(TradeStatistics.model_validate({key: written}).model_dump(exclude_none=True).values()) == [value], key


@pytest.mark.parametrize(
    ("direction", "expected"), [(0, TradeDirection.LONG), ("1", TradeDirection.SHORT), ("Short", TradeDirection.SHORT)]
)
def test_a_closed_trade_is_read_in_the_old_shape_and_the_new(direction: object, expected: TradeDirection) -> None:
    trade: dict[str, Any] = {
        "entryTime": "2024-02-01T00:00:00Z",
        "entryPrice": "43000.1",
        "direction": direction,
        "quantity": 0.5,
        "exitTime": "2024-02-09 00:00:00",
        "exitPrice": 47000.2,
        "profitLoss": 2000.05,
        "totalFees": 4.5,
        "mae": -120.0,
        "mfe": 2100.0,
        "duration": "8.00:00:00",
        "endTradeDrawdown": -99.95,
    }
    symbol = {"value": "BTCUSDT", "id": "BTCUSDT 18N", "permtick": "BTCUSDT"}
    new = {**trade, "id": 7, "symbols": [symbol], "isWin": True, "orderIds": [1, 2]}
    for row in ({**trade, "symbol": symbol}, new):
        (found,) = Performance.model_validate({"closedTrades": [row]}).closed_trades
        assert (found.symbol.id, found.direction, found.entry_price) == ("BTCUSDT 18N", expected, 43_000.1)
        assert (found.entry_time, found.exit_time, found.duration) == (1_706_745_600_000, 1_707_436_800_000, 691_200.0)
    assert (found.is_win, found.order_ids, found.id) == (True, (1, 2), "7")


def test_the_figures_of_an_optimization_go_by_their_place() -> None:
    assert BY_INDEX[15] == "sharpe_ratio"
    assert len(BY_INDEX) == 25
