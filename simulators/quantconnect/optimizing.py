"""Optimizations: a grid of parameters, each point a backtest; the best by a target, within constraints."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from simulators.quantconnect.backtests import Backtest, Pace, Stage, run_alone
from simulators.quantconnect.compiling import built
from simulators.quantconnect.jobs import Crew, cancel
from simulators.quantconnect.transport import Arguments, Refused
from simulators.quantconnect.world import Compile, Endpoint, Project, Row, World, blank, zulu

TARGETS = {
    "TotalPerformance.PortfolioStatistics.SharpeRatio": "sharpeRatio",
    "TotalPerformance.PortfolioStatistics.CompoundingAnnualReturn": "compoundingAnnualReturn",
    "TotalPerformance.PortfolioStatistics.ProbabilisticSharpeRatio": "probabilisticSharpeRatio",
    "TotalPerformance.PortfolioStatistics.Drawdown": "drawdown",
}
ORDER = (
    "Alpha", "Annual Standard Deviation", "Annual Variance", "Average Loss", "Average Win", "Beta", "Compounding Annual Return",
    "Drawdown", "Estimated Strategy Capacity", "Expectancy", "Information Ratio", "Loss Rate", "Net Profit",
    "Probabilistic Sharpe Ratio", "Profit-Loss Ratio", "Sharpe Ratio", "Total Fees", "Total Orders", "Tracking Error",
    "Treynor Ratio", "Win Rate", "Sortino Ratio", "Start Equity", "End Equity", "Drawdown Recovery",
)  # fmt: skip
"""What stands at each place of the statistics of a point."""
_OPERATORS = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equals", "NotEqual")
_NODES = {"O2-8": 0.01, "O4-12": 0.02, "O8-16": 0.04}
_MAX_POINTS = 200
_MAX_AT_ONCE = 2


@dataclass(slots=True)
class Grid:
    """What is varied: a name, from, to, and the step."""

    name: str
    lowest: float
    highest: float
    step: float

    def values(self) -> list[float]:
        """Every value, both ends included."""
        count = math.floor((self.highest - self.lowest) / self.step + 1e-9) + 1
        return [round(self.lowest + place * self.step, 10) for place in range(count)]

    def row(self) -> Row:
        """As answers have it."""
        return {"name": self.name, "min": _short(self.lowest), "max": _short(self.highest), "step": _short(self.step)}


@dataclass(slots=True)
class Optimization:
    """An optimization and its points."""

    id: str
    project: Project
    name: str
    compile: Compile
    created: datetime
    criterion: Row
    grids: list[Grid]
    constraints: list[Row]
    strategy: str
    node: str
    parallel: int
    snapshot: int
    status: str = "new"
    points: list[Backtest] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    reads: int = 0

    def of_stage(self, *stages: Stage) -> list[Backtest]:
        """Points that are there."""
        return [one for one in self.points if one.stage in stages]

    def best(self) -> Backtest | None:
        """The finished point that the criterion prefers, of those within the constraints."""
        key = TARGETS[self.criterion["target"]]
        allowed = [
            one for one in self.of_stage(Stage.FINISHED) if all(_holds(rule, one.result["figures"]) for rule in self.constraints)
        ]
        sign = 1 if self.criterion["extremum"] == "max" else -1
        return max(allowed, key=lambda one: sign * float(one.result["figures"][key]), default=None)


class Optimizing:
    """Everything under `/optimizations`."""

    def __init__(self, world: World, crew: Crew) -> None:
        self._world, self._crew = world, crew
        self.known: dict[str, Optimization] = {}

    def routes(self) -> dict[str, Endpoint]:
        """By path."""
        return {
            "/optimizations/estimate": self._estimate,
            "/optimizations/create": self._create,
            "/optimizations/read": self._read,
            "/optimizations/list": self._list,
            "/optimizations/update": self._update,
            "/optimizations/abort": self._abort,
            "/optimizations/delete": self._delete,
        }

    def _asked(self, given: Arguments) -> Optimization:
        world = self._world
        project = world.project(given)
        target, extremum = given.text("target"), given.text("targetTo")
        grids = _grids(given)
        constraints = [_constraint(row) for row in given.rows("constraints")]
        points = math.prod(len(grid.values()) for grid in grids)
        if target not in TARGETS or extremum not in ("max", "min") or not 1 <= points <= _MAX_POINTS:
            raise Refused
        wanted = given.get("targetValue")
        criterion = {
            "target": target,
            "extremum": extremum,
            "targetValue": None if wanted in (None, "") else given.number("targetValue"),
        }
        return Optimization(
            f"O-{world.hex()}", project, given.text("name"), built(world, project, given), world.now(), criterion, grids,
            constraints, given.text("strategy"), given.text("nodeType", "O2-8"), given.integer("parallelNodes", 1),
            world.next_project(),
        )  # fmt: skip

    def _estimate(self, given: Arguments) -> Row:
        asked = self._asked(given)
        count = math.prod(len(grid.values()) for grid in asked.grids)
        cost = round(count * _NODES.get(asked.node, 0.01), 4)
        return {"estimate": {"estimateId": f"e-{self._world.hex()[:8]}", "time": 15 * count, "balance": cost}}

    def _create(self, given: Arguments) -> Row:
        asked = self._asked(given)
        given.number("estimatedCost")
        if given.text("nodeType") not in _NODES or given.integer("parallelNodes") < 1:
            raise Refused
        self.known[asked.id] = asked
        asked.task = self._crew.start(self._run(asked), f"quantconnect-optimization-{asked.id}")
        return {"optimizations": [self._summary(asked)]}

    async def _run(self, one: Optimization) -> None:
        names = [grid.name for grid in one.grids]
        for number, values in enumerate(itertools.product(*(grid.values() for grid in one.grids)), 1):
            parameters = dict(zip(names, (str(_short(value)) for value in values), strict=True))
            point = Backtest(
                self._world.hex(), one.project, f"{one.name} #{number}", self._world.now(), one.compile, parameters,
                self._world.next_project(), 0, Pace(0, 0, 0), optimization=one.id,
            )  # fmt: skip
            one.points.append(point)
        one.status = "running"
        room = asyncio.Semaphore(min(one.parallel, _MAX_AT_ONCE))

        async def each(point: Backtest) -> None:
            async with room:
                await run_alone(self._world, point)

        async with asyncio.TaskGroup() as group:
            for point in one.points:
                group.create_task(each(point), name=f"quantconnect-point-{point.id}")
        one.status = "completed"

    def _find(self, given: Arguments) -> Optimization:
        found = self.known.get(given.text("optimizationId"))
        if found is None or found.project.id not in self._world.projects:
            raise Refused
        return found

    def _read(self, given: Arguments) -> Row:
        one = self._find(given)
        one.reads += 1
        body = self._summary(one) | {
            "snapshotId": one.snapshot,
            "parallelNodes": one.parallel,
            "runtimeStatistics": self._runtime(one),
            "constraints": one.constraints,
            "backtests": {point.id: _point(point, as_map=one.reads % 2 == 0) for point in one.points},
            "strategy": one.strategy,
            "requested": blank(one.created),
        }
        return {"optimization": body}

    def _runtime(self, one: Optimization) -> Row:
        done = len(one.of_stage(Stage.FINISHED))
        return {
            "Completed": str(done),
            "Failed": str(len(one.of_stage(Stage.FAILED, Stage.CANCELLED))),
            "Running": str(len(one.of_stage(Stage.RUNNING))),
            "In Queue": str(len(one.of_stage(Stage.QUEUED))),
            "Average Length": "00:00:02",
            "Total Runtime": f"00:{done // 30:02d}:{2 * done % 60:02d}",
            "Total": str(len(one.points)),
            "Consumed": f"{done * _NODES.get(one.node, 0.01):.2f}",
        }

    def _summary(self, one: Optimization) -> Row:
        best = one.best() if one.status == "completed" else None
        figures: Mapping[str, float] = best.result["figures"] if best is not None else {}
        return {
            "optimizationId": one.id,
            "projectId": one.project.id,
            "name": one.name,
            "status": one.status,
            "nodeType": one.node,
            "criterion": one.criterion,
            "created": zulu(one.created),
            "psr": round(100 * figures["probabilisticSharpeRatio"], 3) if figures else None,
            "sharpeRatio": round(figures["sharpeRatio"], 3) if figures else None,
            "trades": len(best.rows("orders")) if best is not None else None,
            "cloneId": None,
            "outOfSampleDays": 0,
            "outOfSampleMaxEndDate": None,
            "parameters": [grid.row() for grid in one.grids],
        }

    def _list(self, given: Arguments) -> Row:
        project = self._world.project(given)
        return {"optimizations": [self._summary(one) for one in reversed(self.known.values()) if one.project is project]}

    def _update(self, given: Arguments) -> Row:
        self._find(given).name = given.text("name")
        return {}

    def _abort(self, given: Arguments) -> Row:
        one = self._find(given)
        if one.status not in ("new", "running"):
            raise Refused("Optimization is not running")
        self._stop(one)
        return {}

    def _stop(self, one: Optimization) -> None:
        one.status = "aborted"
        cancel(one.task)
        for point in one.points:
            point.cancel()

    def _delete(self, given: Arguments) -> Row:
        one = self._find(given)
        self._stop(one)
        del self.known[one.id]
        return {}


def _grids(given: Arguments) -> list[Grid]:
    found = []
    for row in given.rows("parameters"):
        if not isinstance(row, dict):
            raise Refused
        part = Arguments(row)
        name = part.text("name", "") or part.text("key")
        grid = Grid(name, part.number("min"), part.number("max"), part.number("step", part.number("minStep", 1.0)))
        if grid.step <= 0 or grid.highest < grid.lowest:
            raise Refused
        found.append(grid)
    if not found:
        raise Refused
    return found


def _constraint(row: object) -> Row:
    if not isinstance(row, dict):
        raise Refused
    part = Arguments(row)
    target, operator = part.text("target"), part.text("operator")
    value = part.number("target-value" if "target-value" in row else "targetValue")
    if target not in TARGETS or operator not in _OPERATORS:
        raise Refused
    return {"target": target, "operator": operator, "targetValue": value}


def _holds(rule: Mapping[str, object], figures: Mapping[str, float]) -> bool:
    value, limit = float(figures[TARGETS[str(rule["target"])]]), float(str(rule["targetValue"]))
    outcomes = (value < limit, value <= limit, value > limit, value >= limit, value == limit, value != limit)
    return outcomes[_OPERATORS.index(str(rule["operator"]))]


def _point(one: Backtest, as_map: bool) -> Row:
    """A backtest within an optimization: numbers by place, as a list of 21 or a map of 25."""
    row: Row = {
        "name": one.name, "id": one.id, "progress": round(one.progress, 3), "exitCode": int(one.stage is Stage.FAILED),
        "startDate": None, "endDate": None, "parameterSet": dict(one.parameters), "statistics": {}, "equity": [],
    }  # fmt: skip
    if one.stage is not Stage.FINISHED:
        return row
    table = one.result["statistics"]
    numbers = [_number(table.get(name, "0")) for name in ORDER]
    equity = one.result["charts"]["Strategy Equity"]["series"]["Equity"]["values"]
    statistics = {str(place): number for place, number in enumerate(numbers)} if as_map else numbers[:21]
    return row | {
        "startDate": one.result["backtestStart"],
        "endDate": one.result["backtestEnd"],
        "statistics": statistics,
        "equity": equity,
    }  # fmt: skip


def _number(text: str) -> float:
    kept = "".join(letter for letter in text if letter.isdigit() or letter in ".-eE")
    return float(kept or 0)


def _short(number: float) -> float | int:
    return int(number) if number == int(number) else number
