"""Backtests and charts. Times are ms UTC, `progress` runs from 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from sources.quantconnect.models_statistics import Performance, RuntimeStatistics, Statistics
from sources.quantconnect.shapes import (
    Also,
    Code,
    Flag,
    Id,
    Keyed,
    Many,
    Maybe,
    MaybeMap,
    Moment,
    Number,
    Percent,
    Shape,
    Text,
    Whole,
    one_of,
)
from sources.quantconnect.values import moment_ms, number


class Stage(StrEnum):
    """How far a backtest really is, whatever its status says."""

    RUNNING = "running"
    UNSETTLED = "unsettled"
    DONE = "done"
    FAILED = "failed"


def _names(raw: object) -> object:
    if isinstance(raw, dict):
        return tuple(raw)
    return [entry for entry in raw if isinstance(entry, str)] if isinstance(raw, list) else ()


class ResearchGuide(Shape):
    """How much has been tried already: many trials make a good result likelier by chance."""

    minutes: Number = None
    backtest_count: Whole = None
    parameters: Whole = None


class Backtest(Shape):
    """A backtest, of which anything may be missing until it is done. `status` is for reading only: see `stage`."""

    backtest_id: Text
    project_id: Id | None = None
    organization_id: Text = ""
    name: Text = ""
    note: Text = ""
    created: Moment = None
    status: Text = ""
    completed: Flag = False
    progress: Number = None
    error: Text = ""
    stacktrace: Text = ""
    has_initialize_error: Flag = False
    backtest_start: Moment = None
    backtest_end: Moment = None
    tradeable_dates: Whole = None
    snapshot_id: Id | None = None
    optimization_id: Text = ""
    parameter_set: Keyed[Text] = Field(default_factory=dict)
    research_guide: Maybe[ResearchGuide] = None
    chart_names: Annotated[tuple[str, ...], BeforeValidator(_names), Also.of("charts")] = ()
    rolling_window: Keyed[Performance] = Field(default_factory=dict)
    total_performance: Maybe[Performance] = None
    statistics: MaybeMap[Statistics] = None
    runtime_statistics: MaybeMap[RuntimeStatistics] = None
    server_statistics: Keyed[Text] = Field(default_factory=dict)
    node_name: Text = ""
    out_of_sample_max_end_date: Moment = None
    out_of_sample_days: Whole = None

    @property
    def stage(self) -> Stage:
        """By what it brings: an error or a stack trace has failed, and it is done when all three tables of figures are there.

        `UNSETTLED` says that it is complete but not all there yet; read it again, a few times, before you take what there is.
        """
        if self.error or self.stacktrace:
            return Stage.FAILED
        if not self.completed:
            return Stage.RUNNING
        whole = self.runtime_statistics is not None and self.statistics is not None and self.total_performance is not None
        return Stage.DONE if whole else Stage.UNSETTLED


class BacktestSummary(Shape):
    """A row of the list of backtests; rates, returns and drawdown are fractions. It does not say whether it is complete."""

    backtest_id: Text
    name: Text = ""
    status: Text = ""
    created: Moment = None
    progress: Number = None
    optimization_id: Text = ""
    tradeable_dates: Whole = None
    parameter_set: Keyed[Text] = Field(default_factory=dict)
    snapshot_id: Id | None = None
    tags: Many[Text] = ()
    sharpe_ratio: Number = None
    sortino_ratio: Number = None
    treynor_ratio: Number = None
    alpha: Number = None
    beta: Number = None
    compounding_annual_return: Percent = None
    drawdown: Percent = None
    loss_rate: Percent = None
    win_rate: Percent = None
    net_profit: Percent = None
    psr: Percent = None
    parameters: Whole = None
    trades: Whole = None
    security_types: Text = ""


class SeriesType(Code):
    """How a series is drawn."""

    UNKNOWN = -1
    LINE = 0
    SCATTER = 1
    CANDLE = 2
    BAR = 3
    FLAG = 4
    STACKED_AREA = 5
    PIE = 6
    TREEMAP = 7
    HEATMAP = 9
    SCATTER3D = 10


@dataclass(frozen=True, slots=True)
class Point:
    """A moment (ms UTC) and its values: one, or open, high, low and close; a gap is None."""

    at: int
    values: tuple[float | None, ...]

    @property
    def last(self) -> float | None:
        """The value, or a candle's close."""
        return self.values[-1] if self.values else None


def _points(raw: object) -> object:
    rows = [raw[key] for key in sorted(raw, key=int)] if isinstance(raw, dict) else raw
    return [point for row in rows if (point := _point(row)) is not None] if isinstance(rows, list) else rows


def _point(row: object) -> Point | None:
    if isinstance(row, dict):
        keyed = {str(key).lower()[:1]: value for key, value in row.items()}
        at = moment_ms(keyed.get("x", keyed.get("t")))
        candle = [keyed[letter] for letter in "ohlc" if letter in keyed]
        values = candle or [keyed.get("y")]
    elif isinstance(row, list) and row:
        at, values = moment_ms(row[0]), row[1:]
    else:
        return None
    return None if at is None else Point(at, tuple(number(value) for value in values))


class Series(Shape):
    """One line of a chart; `unit` such as `$` or `%`."""

    name: Text = ""
    unit: Text = ""
    index: Whole = None
    series_type: Annotated[SeriesType, one_of(SeriesType)] = SeriesType.UNKNOWN
    color: Text = ""
    values: Annotated[tuple[Point, ...], BeforeValidator(_points)] = ()


class Chart(Shape):
    """A chart and its series by name."""

    name: Text = ""
    chart_type: Whole = None
    series: Keyed[Series] = Field(default_factory=dict)
