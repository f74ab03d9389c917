"""§3.4 and §3.5 of the reference, row by row: every figure of `statistics` and `runtimeStatistics`, in every format given for it.

The id of a case is the row of the table it stands for. Values in percent are read as fractions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from simulators.quantconnect.server import QuantConnectSimulator
from sources.quantconnect.models_backtest import Stage
from sources.quantconnect.models_statistics import PortfolioStatistics, RuntimeStatistics, Statistics
from tests.sources.quantconnect.test_qc_simulator import client_of, compiled, ended


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its keys with the fields they are read into, what it prints, and what each print means."""

    row: str
    fields: dict[str, str]
    prints: dict[str, Any]
    form: str = ""
    """What our simulator's own print of it must look like."""


def fields(keys: str) -> dict[str, str]:
    """Keys as printed, by the field that has the same words."""
    return {key: re.sub(r"[ -]", "_", key).lower() for key in keys.split(", ")}


SUMMARY = (
    Row(
        "Total Orders, Drawdown Recovery (days)",
        fields("Total Orders, Drawdown Recovery"),
        {"42": 42, "0": 0},
        r"\d+",
    ),
    Row(
        "Average Win, Average Loss, Portfolio Turnover",
        fields("Average Win, Average Loss, Portfolio Turnover"),
        {"-1.02%": -0.0102, "2.15%": 0.0215, "0%": 0.0},
        r"-?\d+(\.\d{1,2})?%",
    ),
    Row(
        "Compounding Annual Return, Drawdown, Net Profit, Probabilistic Sharpe Ratio",
        fields("Compounding Annual Return, Drawdown, Net Profit, Probabilistic Sharpe Ratio"),
        {"45.000%": 0.45, "9.800%": 0.098, "0%": 0.0, "-12.346%": -0.12346},
        r"(-?\d+\.\d{3}|0)%",
    ),
    Row("Loss Rate, Win Rate", fields("Loss Rate, Win Rate"), {"48%": 0.48, "0%": 0.0, "100%": 1.0}, r"\d+%"),
    Row("Expectancy", fields("Expectancy"), {"0.412": 0.412, "-0.5": -0.5, "0": 0.0}, r"-?\d+(\.\d{1,3})?"),
    Row(
        "Start Equity, End Equity",
        fields("Start Equity, End Equity"),
        {"112345.67": 112_345.67, "100000": 100_000.0},
        r"\d+(\.\d{1,2})?",
    ),
    Row(
        "Sharpe to Treynor Ratio",
        fields(
            "Sharpe Ratio, Sortino Ratio, Alpha, Beta, Annual Standard Deviation, Annual Variance, "
            "Information Ratio, Tracking Error, Treynor Ratio"
        ),
        {"0.91": 0.91, "-0.2": -0.2, "1E-05": 1e-05, "0": 0.0},
        r"-?\d+(\.\d{1,3})?",
    ),
    Row("Profit-Loss Ratio", fields("Profit-Loss Ratio"), {"2.11": 2.11, "0": 0.0}, r"-?\d+(\.\d{1,2})?"),
    Row("Total Fees", fields("Total Fees"), {"$210.40": 210.40, "₮0.00": 0.0}, r"[^\d\s]*\d+\.\d{2}"),
    Row(
        "Estimated Strategy Capacity",
        fields("Estimated Strategy Capacity"),
        {"$6300000": 6_300_000.0, "$0": 0.0},
        r"[^\d\s]*\d+(\.\d+)?",
    ),
    Row("Lowest Capacity Asset", fields("Lowest Capacity Asset"), {"BTCUSDT 18N": "BTCUSDT 18N", "": ""}, r"(\S+ \S+)?"),
    Row("older runs: Total Trades", {"Total Trades": "total_orders"}, {"42": 42}),
)
"""The rows of §3.4, and what is said below its table."""

RUNTIME = (
    Row(
        "Equity, Holdings, Volume",
        fields("Equity, Holdings, Volume"),
        {"$1,234.00": 1_234.0, "$1,204,550.10": 1_204_550.10},
        r"[^\d\s]*-?[\d,]+\.\d{2}",
    ),
    Row(
        "Net Profit, Unrealized",
        fields("Net Profit, Unrealized"),
        {"$12,345.67": 12_345.67, "$-4.94": -4.94},
        r"[^\d\s-]*-?[\d,]+\.\d{2}",
    ),
    Row("Fees", fields("Fees"), {"-$210.40": -210.40, "-₮1,210.40": -1_210.40}, r"-[^\d\s]*[\d,]+\.\d{2}"),
    Row("Return", {"Return": "total_return"}, {"12.35 %": 0.1235, "-0.57 %": -0.0057}, r"-?[\d,]+(\.\d{1,2})? %"),
    Row(
        "Probabilistic Sharpe Ratio",
        fields("Probabilistic Sharpe Ratio"),
        {"41.203%": 0.41203, "0%": 0.0},
        r"\d+(\.\d{1,3})?%",
    ),
    Row(
        "the account's currency changes the symbol",
        fields("Equity, Unrealized"),
        {"₮1,234.50": 1_234.5, "€-4.94": -4.94, "₿0.51": 0.51, "-€4.94": -4.94},
    ),
    Row(
        "one parser for all: empty, a dash and NaN are nothing",
        {**fields("Equity, Net Profit, Fees"), "Return": "total_return"},
        {"": None, "-": None, "NaN": None},
    ),
    Row(
        "one parser for all: E, e and + belong to the number", fields("Equity, Volume"), {"$1.5E+06": 1_500_000.0, "2e-3": 0.002}
    ),
)
"""The rows of §3.5, and what is said below its table."""


def cases(rows: tuple[Row, ...], section: str) -> list[Any]:
    return [pytest.param(row, id=f"{section} {row.row}") for row in rows]


def read(model: type[Statistics | RuntimeStatistics], row: Row) -> None:
    for key, field in row.fields.items():
        for text, value in row.prints.items():
            for spelt in (key, key.upper(), key.replace(" ", "")):
                found = getattr(model.model_validate({spelt: text}), field)
                assert found == (pytest.approx(value) if isinstance(value, float) else value), (spelt, text)


@pytest.mark.parametrize("row", cases(SUMMARY, "3.4"))
def test_every_row_of_the_statistics_is_read_with_its_unit(row: Row) -> None:
    read(Statistics, row)


@pytest.mark.parametrize("row", cases(RUNTIME, "3.5"))
def test_every_row_of_the_runtime_statistics_is_read_with_its_trap(row: Row) -> None:
    read(RuntimeStatistics, row)


@pytest.mark.parametrize("model", [Statistics, RuntimeStatistics], ids=["3.4 set_summary_statistic", "3.5 set_runtime_statistic"])
def test_what_an_algorithm_adds_stands_beside_the_rest_as_it_was_written(model: type[Statistics | RuntimeStatistics]) -> None:
    found = model.model_validate({"Net Profit": "1%", "Last Signal": "up 3 %", "Depth": 7})
    assert found.custom == {"Last Signal": "up 3 %", "Depth": "7"}


def test_percent_of_the_statistics_and_fractions_of_the_portfolio_are_the_same_number() -> None:
    """§3.4: 9.8 is 9.8 % there, whereas `portfolioStatistics` holds fractions."""
    summary = Statistics.model_validate({"Drawdown": "9.800%", "Win Rate": "48%", "Compounding Annual Return": "12.310%"})
    portfolio = PortfolioStatistics.model_validate({"drawdown": "0.098", "winRate": 0.48, "compoundingAnnualReturn": "0.1231"})
    for field in ("drawdown", "win_rate", "compounding_annual_return"):
        assert getattr(summary, field) == pytest.approx(getattr(portfolio, field))


async def test_what_the_simulator_prints_has_the_format_of_its_row_and_every_row_is_printed() -> None:
    async with QuantConnectSimulator(quirks={}) as simulator, client_of(simulator) as client:
        project, compile_id = await compiled(client)
        begun = await client.backtests.create(project, compile_id, "figures")
        await ended(client, project, begun.backtest_id, Stage.DONE)
        result = simulator.world.projects[project].backtests[begun.backtest_id].result
    for rows, name in ((SUMMARY, "statistics"), (RUNTIME, "runtimeStatistics")):
        forms = {key: row.form for row in rows if row.form for key in row.fields}
        assert set(forms) <= set(result[name]), name
        for key, form in forms.items():
            assert re.fullmatch(form, result[name][key]), (key, result[name][key])
