"""The cloud's answer as the bot's own result: units, quirks, and the same figures as a local backtest has."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.backtest.statistics import statistics_of
from bot.services.quantconnect.conversion import HALF, NEVER_TRADED, CloudResult, Outcome, converted, read_scalars
from sources.quantconnect.models_backtest import Backtest, Chart
from sources.quantconnect.models_trade import ClosedTrade, Order
from tests.services.cloud_service import config
from tests.sources.quantconnect.qc_answers import FINISHED, ORDER, PERFORMANCE, QUEUED

DAY_S = 86_400
BEGAN_S = 1_704_067_200
STATISTICS = {
    "Total Orders": "42", "Average Win": "2.15%", "Average Loss": "-1.02%", "Compounding Annual Return": "12.310%",
    "Drawdown": "9.800%", "Expectancy": "0.412", "Start Equity": "100000", "End Equity": "112345.67", "Net Profit": "12.346%",
    "Sharpe Ratio": "0.91", "Sortino Ratio": "1.102", "Probabilistic Sharpe Ratio": "41.203%", "Loss Rate": "52%",
    "Win Rate": "48%", "Profit-Loss Ratio": "2.11", "Alpha": "0.031", "Beta": "0.42", "Annual Standard Deviation": "0.113",
    "Annual Variance": "0.013", "Information Ratio": "-0.2", "Tracking Error": "0.21", "Treynor Ratio": "0.245",
    "Total Fees": "$210.40", "Estimated Strategy Capacity": "$6300000", "Lowest Capacity Asset": "BTCUSDT 18N",
    "Portfolio Turnover": "8.41%", "Drawdown Recovery": "73", "Crosses": "7",
}  # fmt: skip
RUNTIME = {
    "Equity": "$112,345.67", "Fees": "-$210.40", "Holdings": "$0.00", "Net Profit": "$12,345.67",
    "Probabilistic Sharpe Ratio": "41.203%", "Return": "12.35 %", "Unrealized": "$-4.94", "Volume": "$1,204,550.10",
}  # fmt: skip


def chart(values: list[Any], name: str = "Equity", kind: int = 2) -> Chart:
    return Chart.model_validate(
        {"name": "Strategy Equity", "series": {name: {"name": name, "seriesType": kind, "values": values}}}
    )


def curve(*worth: float) -> Chart:
    """One candle a day, whose close counts."""
    return chart([[BEGAN_S + (day + 1) * DAY_S, 1.0, each * 2, 0.5, each] for day, each in enumerate(worth)])


def trade(**more: Any) -> ClosedTrade:
    row = {
        "symbol": {"value": "BTCUSDT", "id": "BTCUSDT 18N"}, "entryTime": "2024-01-02T00:00:00Z", "entryPrice": 100.0,
        "direction": 0, "quantity": 2.0, "exitTime": "2024-01-03T00:00:00Z", "exitPrice": 110.0, "profitLoss": 20.0,
        "totalFees": 0.5, "mae": -3.0, "mfe": 25.0, "duration": "1.00:00:00",
    }  # fmt: skip
    return ClosedTrade.model_validate(row | more)


def result(backtest: dict[str, Any] | None = None, **more: Any) -> CloudResult:
    read = Backtest.model_validate(FINISHED | {"statistics": STATISTICS, "runtimeStatistics": RUNTIME} | (backtest or {}))
    given: dict[str, Any] = {"project": 7, "trades": [], "charts": {}} | more
    return converted(read, **given)


def test_every_statistic_has_its_unit() -> None:
    told: Any = result().brief()["reported"]
    assert told["statistics"] == {
        "total_orders": 42, "average_win": 0.0215, "average_loss": -0.0102, "compounding_annual_return": pytest.approx(0.1231),
        "drawdown": pytest.approx(0.098), "expectancy": 0.412, "start_equity": 100_000.0, "end_equity": 112_345.67,
        "net_profit": pytest.approx(0.12346), "sharpe_ratio": 0.91, "sortino_ratio": 1.102,
        "probabilistic_sharpe_ratio": pytest.approx(0.41203), "loss_rate": 0.52, "win_rate": 0.48, "profit_loss_ratio": 2.11,
        "alpha": 0.031, "beta": 0.42, "annual_standard_deviation": 0.113, "annual_variance": 0.013, "information_ratio": -0.2,
        "tracking_error": 0.21, "treynor_ratio": 0.245, "total_fees": 210.4, "estimated_strategy_capacity": 6_300_000.0,
        "lowest_capacity_asset": "BTCUSDT 18N", "portfolio_turnover": pytest.approx(0.0841), "drawdown_recovery": 73,
        "currency": "$", "custom": {"Crosses": "7"},
    }  # fmt: skip
    assert told["runtime"] == {
        "equity": 112_345.67, "fees": -210.4, "holdings": 0.0, "net_profit": 12_345.67, "total_return": pytest.approx(0.1235),
        "probabilistic_sharpe_ratio": pytest.approx(0.41203), "unrealized": -4.94, "volume": 1_204_550.1, "currency": "$",
        "custom": {},
    }  # fmt: skip
    assert told["portfolio"]["drawdown"] == 0.098
    assert told["trades"]["average_trade_duration"] == 4 * DAY_S + 5 * 3_600 + 12 * 60


def test_the_figures_are_those_that_a_local_backtest_of_the_same_curve_has() -> None:
    worth = [100_500.0, 99_000.0, 103_000.0, 102_000.0]
    found = result(charts={"Strategy Equity": curve(*worth)}, trades=[trade(), trade(profitLoss=-9.5)])
    at = [(BEGAN_S + (day + 1) * DAY_S) * 1_000 for day in range(4)]
    assert found.statistics == statistics_of(at, worth, [], [19.5, -10.0], start=100_000.0, began=BEGAN_S * 1_000, fees=210.4)
    assert found.equity == tuple(worth)
    assert found.drawdown == pytest.approx((0.0, 1 - 99_000 / 100_500, 0.0, 1 - 102 / 103))
    assert found.daily() == list(zip(at, worth, strict=True))


def test_trades_are_net_of_fees_and_know_their_side() -> None:
    rows = [trade(), trade(direction="Short", profitLoss=-1.0), trade(direction=None, quantity=-2.0)]
    long, short, told_by_quantity = result(trades=rows, config=config()).trades
    assert (long.pnl, long.fees, long.side, long.symbol) == (19.5, 0.5, "long", "BTC/USDT")
    assert long.profit == pytest.approx(19.5 / 200)
    assert (short.pnl, short.side) == (-1.5, "short")
    assert (told_by_quantity.side, told_by_quantity.amount) == ("short", 2.0)


def test_trades_that_lack_something_are_left_out_and_counted() -> None:
    found = result(trades=[trade(), trade(entryPrice=None), trade(exitTime=None), trade(profitLoss="-"), trade(quantity=0)])
    assert len(found.trades) == 1
    assert any("4 closed trades" in notice for notice in found.notices)


def test_a_curve_survives_how_it_is_written() -> None:
    rows = [
        {"x": BEGAN_S + 2 * DAY_S, "y": "101000.5"},
        [BEGAN_S + DAY_S, 100_500],
        [BEGAN_S + 3 * DAY_S, None],
        [BEGAN_S + 4 * DAY_S, 0],
        [BEGAN_S + DAY_S, 100_600],
        "nothing",
        [BEGAN_S + 5 * DAY_S, "102000"],
    ]
    found = result(charts={"Strategy Equity": chart(rows, "equity")})
    assert found.equity == (100_600.0, 101_000.5, 102_000.0)
    assert list(found.at) == sorted(set(found.at))


def test_without_a_curve_the_first_and_the_last_equity_are_what_is_known() -> None:
    found = result()
    assert found.statistics is not None
    assert found.statistics.total_return == pytest.approx(0.1234567)
    assert any("no equity curve" in notice for notice in found.notices)


def test_without_anything_there_are_no_figures_and_no_failure() -> None:
    bare = QUEUED | {"completed": True}
    found = converted(Backtest.model_validate(bare), project=7, trades=[], charts={})
    assert (found.statistics, found.outcome, found.equity) == (None, Outcome.PARTIAL, ())
    assert HALF in found.notices
    orjson.dumps(found.as_json())


@pytest.mark.parametrize("missing", [{"statistics": []}, {"totalPerformance": None}, {"runtimeStatistics": []}])
def test_half_of_the_statistics_is_a_partial_result(missing: dict[str, Any]) -> None:
    assert result(missing).outcome is Outcome.PARTIAL


def test_orders_without_a_closed_trade_are_no_silence() -> None:
    assert result().outcome is Outcome.COMPLETE
    silent = result({"statistics": STATISTICS | {"Total Orders": "0"}})
    assert silent.outcome is Outcome.NO_TRADES
    assert NEVER_TRADED in silent.notices
    old = {key: value for key, value in STATISTICS.items() if key != "Total Orders"} | {"Total Trades": "3"}
    assert result({"statistics": old}).outcome is Outcome.COMPLETE


def test_all_orders_are_counted_though_only_the_first_are_read() -> None:
    orders = [Order.model_validate({"id": number}) for number in range(2)]
    assert result(orders=orders).brief()["orders"] == 42
    untold = {key: value for key, value in STATISTICS.items() if key != "Total Orders"}
    assert result({"statistics": untold}, orders=orders).brief()["orders"] == 2
    assert result({"statistics": STATISTICS | {"Total Orders": "0"}}).brief()["orders"] == 0


def test_rolling_windows_know_their_months_and_their_end() -> None:
    windows = {"M1_20240131": PERFORMANCE, "M12_20241231": PERFORMANCE, "M3_20240231": PERFORMANCE, "odd": PERFORMANCE}
    found = {each.key: (each.months, each.end) for each in result({"rollingWindow": windows}).rolling}
    assert found == {
        "M1_20240131": (1, date(2024, 1, 31)), "M12_20241231": (12, date(2024, 12, 31)), "M3_20240231": (3, None),
        "odd": (None, None),
    }  # fmt: skip
    assert result({"rollingWindow": []}).rolling == ()


@pytest.mark.parametrize(("sign", "currency"), [("$", "USD"), ("₮", "USDT"), ("€", "EUR"), ("Ƀ", "Ƀ")])
def test_the_currency_is_read_from_the_money(sign: str, currency: str) -> None:
    assert result({"runtimeStatistics": {"Equity": f"{sign}1,000.00"}}).currency == currency
    assert result(config=config()).currency == "USDT"


def test_exposure_is_the_share_of_days_with_a_position() -> None:
    ratio = chart([[BEGAN_S, 0], [BEGAN_S + 2 * DAY_S, 0.5], [BEGAN_S + 4 * DAY_S, 0]], "Crypto - Long Ratio", 0)
    found = result(charts={"Strategy Equity": curve(1.0, 2.0, 3.0, 4.0), "Exposure": ratio})
    assert found.statistics is not None
    assert found.statistics.exposure == 0.5
    without = result(charts={"Strategy Equity": curve(1.0, 2.0)})
    assert without.statistics is not None
    assert without.statistics.exposure is None


def test_parameters_are_numbers_where_they_are_written_as_such() -> None:
    given = {"fast": "10", "threshold": "0.001", "tickers": "BTCUSDT,ETHUSDT", "huge": "9" * 40, "odd": "nan"}
    assert read_scalars(given) == {
        "fast": 10, "threshold": 0.001, "tickers": "BTCUSDT,ETHUSDT", "huge": "9" * 40, "odd": "nan"
    }  # fmt: skip


def test_numbers_that_no_reader_can_hold_are_left_out() -> None:
    huge = 2**64
    order = Order.model_validate(ORDER | {"time": huge, "contingentId": huge})
    rows = [[huge, 1.0], [BEGAN_S + DAY_S, 2.0]]
    odd = {"tradeableDates": huge, "created": huge, "backtestStart": huge}
    found = result(odd, charts={"Strategy Equity": chart(rows)}, orders=[order], trades=[trade(exitTime=huge), trade()])
    read = orjson.loads(orjson.dumps(found.as_json()))
    assert (len(found.equity), len(found.trades), read["order_list"][0]["time"]) == (1, 1, None)


junk = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)


@given(
    rows=st.lists(st.lists(junk, max_size=5) | st.dictionaries(st.sampled_from(["x", "y", "o", "c"]), junk) | junk, max_size=8)
)
def test_no_chart_makes_it_fail(rows: list[Any]) -> None:
    found = result(charts={"Strategy Equity": chart(rows)})
    assert list(found.at) == sorted(set(found.at))
    assert all(worth > 0 and math.isfinite(worth) for worth in found.equity)
    assert all(0 <= fall <= 1 for fall in found.drawdown)
    orjson.dumps(found.as_json())


@given(rows=st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(
    ("entryTime", "exitTime", "entryPrice", "exitPrice", "quantity", "profitLoss", "totalFees", "direction", "mae"), junk
)), max_size=4))  # fmt: skip
def test_no_trade_makes_it_fail(rows: list[dict[str, Any]]) -> None:
    found = result(trades=[trade(**row) for row in rows])
    assert all(math.isfinite(each.profit) for each in found.trades)
    assert found.statistics is not None
    assert found.statistics.trades == len(found.trades)
