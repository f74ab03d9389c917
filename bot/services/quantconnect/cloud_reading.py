"""Reads all that an ended backtest gave. What is asked for page by page is bounded, and says so where it was cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from bot.runtime.jobs import Progress, Report
from bot.services.quantconnect.conversion import EQUITY, EXPOSURE, CloudResult, converted
from sources.quantconnect.errors import QcError
from sources.quantconnect.models_backtest import Backtest, Chart, Stage

if TYPE_CHECKING:
    from sources.quantconnect.client import Client
    from sources.quantconnect.lean.config import BacktestConfig
    from sources.quantconnect.models_trade import ClosedTrade

log = structlog.get_logger(__name__)

T = TypeVar("T")

READING = "reading results"
MOST_ROWS = 5_000
_EQUITY_POINTS, _POINTS = 4_000, 1_000
_MOST_CHARTS = 12
_FIRST = (EQUITY, "Drawdown", "Benchmark", EXPOSURE)
_DULL = frozenset({"Capacity", "Assets Sales Volume", "Portfolio Turnover", "Portfolio Margin"})
_MARGIN_S = 86_400
_NEVER_S = 4_102_444_800


async def read_result(
    client: Client, project: int, backtest: Backtest, report: Report, *, config: BacktestConfig | None = None
) -> CloudResult:
    """The result of an ended backtest.

    A chart that cannot be read is a notice, unless it is the equity; everything else that fails is a `QcError`.
    """
    notices: list[str] = []
    id_ = backtest.backtest_id
    wanted = _wanted(backtest)
    steps = len(wanted) + 3
    charts: dict[str, Chart] = {}
    report(Progress(READING, 0, steps, EQUITY))
    if EQUITY in wanted:
        charts[EQUITY] = await _chart(client, project, backtest, EQUITY)
    others = [name for name in wanted if name != EQUITY]
    report(Progress(READING, steps - 3 - len(others), steps, "charts"))
    async with asyncio.TaskGroup() as group:  # each is loaded for seconds before it is there
        for name in others:
            group.create_task(_other_chart(client, project, backtest, name, charts, notices), name=f"quantconnect-chart-{name}")
    report(Progress(READING, steps - 3, steps, "trades"))
    trades = await _trades(client, project, backtest, notices)
    report(Progress(READING, steps - 2, steps, "orders"))
    orders = await _bounded(client.backtests.orders(project, id_), "orders", notices)
    report(Progress(READING, steps - 1, steps, "insights"))
    insights = await _bounded(client.backtests.insights(project, id_), "insights", notices)
    report(Progress(READING, steps, steps))
    convert = partial(converted, backtest, project=project, trades=trades, charts=charts, orders=orders, insights=insights)
    return await asyncio.to_thread(convert, config=config, notices=notices)


def _wanted(backtest: Backtest) -> list[str]:
    """The charts that say something: four of the default ones, and those of the algorithm."""
    names = backtest.chart_names
    own = [name for name in names if name not in _FIRST and name not in _DULL]
    return [*(name for name in _FIRST if name in names), *own][:_MOST_CHARTS]


async def _chart(client: Client, project: int, backtest: Backtest, name: str) -> Chart:
    start = max(0, (backtest.backtest_start or 0) // 1_000 - _MARGIN_S)
    end = (backtest.backtest_end or _NEVER_S * 1_000) // 1_000 + _MARGIN_S
    points = _EQUITY_POINTS if name == EQUITY else _POINTS
    return await client.backtests.chart(project, backtest.backtest_id, name, start, end, points)


async def _other_chart(
    client: Client, project: int, backtest: Backtest, name: str, charts: dict[str, Chart], notices: list[str]
) -> None:
    try:
        charts[name] = await _chart(client, project, backtest, name)
    except QcError as error:
        log.warning("quantconnect_chart_unread", chart=name, backtest=backtest.backtest_id, reason=error.reason)
        notices.append(f"the chart {name} could not be read: {error.reason}")


async def _trades(client: Client, project: int, backtest: Backtest, notices: list[str]) -> list[ClosedTrade]:
    """From the performance, which has all of them; where that is missing, page by page."""
    whole = backtest.total_performance
    if whole is not None:
        told = whole.trade_statistics
        count = 0 if told is None else told.total_number_of_trades or 0
        if len(whole.closed_trades) >= count:
            return list(whole.closed_trades)
    if backtest.stage is Stage.FAILED:
        return []
    return await _bounded(client.backtests.trades(project, backtest.backtest_id), "trades", notices)


async def _bounded(rows: AsyncIterator[T], what: str, notices: list[str]) -> list[T]:
    found: list[T] = []
    async for row in rows:
        if len(found) >= MOST_ROWS:
            notices.append(f"only the first {MOST_ROWS:,} {what} were read")
            break
        found.append(row)
    return found
