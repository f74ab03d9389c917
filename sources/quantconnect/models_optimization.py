"""Optimizations: a grid of backtests, run and paid for as one. Times are ms UTC, cost is in QuantConnect credit (QCC)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from sources.quantconnect.models_statistics import Statistics, by_name
from sources.quantconnect.shapes import (
    Also,
    Id,
    Keyed,
    Many,
    Maybe,
    Moment,
    Number,
    Percent,
    Shape,
    Span,
    Text,
    Whole,
    Word,
    one_of,
)


class OptimizationStatus(Word):
    """How far an optimization is."""

    UNKNOWN = "unknown"
    NEW = "new"
    RUNNING = "running"
    ACTIVE = "active"
    COMPLETED = "completed"
    ABORTED = "aborted"

    @property
    def finished(self) -> bool:
        """Whether nothing more will come. A new one has not finished."""
        return self not in {OptimizationStatus.NEW, OptimizationStatus.RUNNING, OptimizationStatus.ACTIVE}


class Criterion(Shape):
    """What is made as large (`max`) or as small (`min`) as can be."""

    target: Text = ""
    extremum: Text = ""
    target_value: Number = None


class Constraint(Shape):
    """What a backtest must fulfil to count."""

    target: Text = ""
    operator: Text = ""
    target_value: Number = None


class Range(Shape):
    """The values that a parameter takes."""

    name: Annotated[Text, Also.of("key")]
    min: Number = None
    max: Number = None
    step: Number = None
    min_step: Number = None


class OptimizationProgress(Shape):
    """How many backtests there are, and where they stand; `consumed` is QCC."""

    total: Whole = None
    completed: Whole = None
    failed: Whole = None
    running: Whole = None
    in_queue: Whole = None
    average_length: Span = None
    total_runtime: Span = None
    consumed: Number = None

    @property
    def fraction(self) -> float | None:
        """How much of it is over, 0 to 1; None as long as the total is not known."""
        return ((self.completed or 0) + (self.failed or 0)) / self.total if self.total else None


class OptimizationBacktest(Shape):
    """One backtest of an optimization; `equity` rows are as the service draws them."""

    id: Annotated[Text, Also.of("backtest id")]
    name: Text = ""
    progress: Number = None
    exit_code: Whole = None
    start_date: Moment = None
    end_date: Moment = None
    parameter_set: Keyed[Text] = Field(default_factory=dict)
    statistics: Annotated[Statistics | None, BeforeValidator(by_name)] = None
    equity: Many[Many[Number]] = ()


class OptimizationSummary(Shape):
    """A row of the list of optimizations; `psr` is a fraction."""

    optimization_id: Text
    project_id: Id | None = None
    name: Text = ""
    status: Annotated[OptimizationStatus, one_of(OptimizationStatus)] = OptimizationStatus.UNKNOWN
    node_type: Text = ""
    criterion: Maybe[Criterion] = None
    created: Moment = None
    psr: Percent = None
    sharpe_ratio: Number = None
    trades: Whole = None
    clone_id: Id | None = None
    parameters: Many[Range] = ()


class Optimization(Shape):
    """An optimization with its backtests by id."""

    optimization_id: Text
    snapshot_id: Id | None = None
    project_id: Id | None = None
    name: Text = ""
    status: Annotated[OptimizationStatus, one_of(OptimizationStatus)] = OptimizationStatus.UNKNOWN
    node_type: Text = ""
    parallel_nodes: Whole = None
    criterion: Maybe[Criterion] = None
    runtime_statistics: Maybe[OptimizationProgress] = None
    constraints: Many[Constraint] = ()
    parameters: Many[Range] = ()
    backtests: Keyed[OptimizationBacktest] = Field(default_factory=dict)
    strategy: Text = ""
    requested: Moment = None


class Estimate(Shape):
    """What an optimization would take: `time` in seconds; `balance` in QCC."""

    estimate_id: Text = ""
    time: Number = None
    balance: Number = None
