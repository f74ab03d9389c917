"""Parameter sweeps in the cloud: the same algorithm over a grid of its parameters, sorted by a target.

By optimization it costs credit, and what it will cost is asked first; by backtests it costs time on the nodes that are there, as
many at once as there are nodes. Nothing is started without a yes.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import structlog

from bot.runtime.jobs import Progress, Report
from bot.services.quantconnect.backtest_args import By, Steps, Target
from bot.services.quantconnect.cloud import Build, CloudBacktests, pauses
from bot.services.quantconnect.cloud_errors import (
    AlgorithmFailed,
    CloudError,
    NoFreeNode,
    StageTimedOut,
    Vanished,
)
from bot.services.quantconnect.conversion import Scalar, read_scalars
from bot.services.use_case import UseCaseError
from sources.quantconnect.errors import QcError
from sources.quantconnect.models_optimization import Optimization, OptimizationSummary, Range

if TYPE_CHECKING:
    from sources.quantconnect.client_optimizations import Search
    from sources.quantconnect.models_statistics import Statistics

log = structlog.get_logger(__name__)

ESTIMATING, OPTIMIZING, QUEUED = "estimating", "optimizing", "running backtests"
MOST_POINTS = 200
NODE_TYPE = "O2-8"
_SHOWN = (
    "sharpe_ratio", "compounding_annual_return", "net_profit", "drawdown", "win_rate", "profit_loss_ratio", "total_orders",
    "probabilistic_sharpe_ratio", "total_fees", "end_equity",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Aim:
    """A target: its name at the service, the figure of `Statistics` that it is, and whether the most or the least is best."""

    name: str
    figure: str
    most: bool


_BASE = "TotalPerformance.PortfolioStatistics"
AIMS: Mapping[Target, Aim] = {
    Target.SHARPE: Aim(f"{_BASE}.SharpeRatio", "sharpe_ratio", True),
    Target.RETURN: Aim(f"{_BASE}.CompoundingAnnualReturn", "compounding_annual_return", True),
    Target.PROBABILISTIC_SHARPE: Aim(f"{_BASE}.ProbabilisticSharpeRatio", "probabilistic_sharpe_ratio", True),
    Target.DRAWDOWN: Aim(f"{_BASE}.Drawdown", "drawdown", False),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a sweep would take: `credit` in QCC, `seconds` where the service says, `at_once` how many run together."""

    points: int
    credit: float
    seconds: float | None
    at_once: int


@dataclass(frozen=True, slots=True)
class Point:
    """One set of parameters and what came of it; `error` says why there are no figures."""

    parameters: Mapping[str, Scalar]
    figures: Mapping[str, float | int | None]
    backtest: str = ""
    error: str = ""

    def as_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "parameters": dict(self.parameters),
            "backtest": self.backtest,
            "figures": dict(self.figures),
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep, or only what it would take where it was not `started`. `points` are the best first, those that failed last."""

    by: By
    target: Target
    cost: Cost
    started: bool
    project: int | None = None
    optimization: str = ""
    points: tuple[Point, ...] = ()
    consumed: float | None = None

    @property
    def best(self) -> Point | None:
        """The best set, if any has figures."""
        return next((point for point in self.points if not point.error), None)

    def as_json(self) -> dict[str, object]:
        """As plain JSON values. Credit is QCC."""
        return {
            "by": self.by.value,
            "target": self.target.value,
            "started": self.started,
            "cost": {
                "points": self.cost.points,
                "credit": self.cost.credit,
                "seconds": self.cost.seconds,
                "at_once": self.cost.at_once,
            },
            "project": self.project,
            "optimization": self.optimization,
            "consumed": self.consumed,
            "best": None if self.best is None else self.best.as_json(),
            "points": [point.as_json() for point in self.points],
        }


async def estimate(
    cloud: CloudBacktests, build: Build, steps: Mapping[str, Steps], target: Target, by: By, report: Report
) -> Cost:
    """What a sweep of a build would take; nothing is started."""
    grid = grid_of(build.generated.parameters, steps)
    report(Progress(ESTIMATING, 0, len(grid)))
    async with cloud.stage(ESTIMATING, cloud.patience.upload_s, "try again later", build.project):
        if by is By.BACKTESTS:
            return Cost(len(grid), 0.0, None, min(len(grid), await _nodes(cloud, build)))
        found = await cloud.client.optimizations.estimate(_search(build, steps, target))
    if found.balance is None:
        message = "the service does not say what the optimization would cost; try again later, or sweep by backtests"
        raise CloudError(message)
    return Cost(len(grid), found.balance, found.time, 1)


async def sweep(
    cloud: CloudBacktests,
    build: Build,
    steps: Mapping[str, Steps],
    target: Target,
    by: By,
    report: Report,
    *,
    cost: Cost,
    limit_s: float,
    keep: bool = True,
) -> Sweep:
    """Run it, at a cost that somebody has said yes to. What takes longer than `limit_s` is stopped."""
    run = _optimize if by is By.OPTIMIZATION else _queue
    async with cloud.stage("the sweep", limit_s, "it was stopped; allow it more time, or take larger steps", build.project):
        found = await run(cloud, build, steps, target, report, cost, keep)
    return replace(found, points=tuple(ranked(found.points, target)))


def grid_of(known: Mapping[str, str], steps: Mapping[str, Steps]) -> list[dict[str, float]]:
    """Every set of values. `UseCaseError` for a parameter that the algorithm does not have, and for too many sets."""
    for name, each in steps.items():
        if name not in known:
            message = f"the algorithm has no parameter {name!r}; it has {', '.join(known) or 'none'}"
            raise UseCaseError(message)
        if isinstance(read_scalars(known)[name], int) and any(value != int(value) for value in values_of(each)):
            message = f"{name} takes whole numbers (it is {known[name]}); give a whole min and step"
            raise UseCaseError(message)
    count = math.prod(_count(each) for each in steps.values())
    if count > MOST_POINTS:
        message = f"the sweep has {count:,} sets of parameters and may have {MOST_POINTS}; take larger steps"
        raise UseCaseError(message)
    values = itertools.product(*(values_of(each) for each in steps.values()))
    return [dict(zip(steps, row, strict=True)) for row in values]


def values_of(steps: Steps) -> list[float]:
    """The values of a parameter, whole ones as whole numbers."""
    found = [round(steps.min + place * steps.step, 10) for place in range(min(_count(steps), MOST_POINTS + 1))]
    return [int(value) if value == int(value) else value for value in found]


def _count(steps: Steps) -> int:
    return math.floor((steps.max - steps.min) / steps.step + 1e-9) + 1


def ranked(points: Sequence[Point], target: Target) -> list[Point]:
    """The best first; those without the figure, then those that failed, last."""
    aim = AIMS[target]

    def place(point: Point) -> tuple[bool, bool, float]:
        value = point.figures.get(aim.figure)
        return bool(point.error), value is None, 0.0 if value is None else (-value if aim.most else value)

    return sorted(points, key=place)


async def _queue(
    cloud: CloudBacktests, build: Build, steps: Mapping[str, Steps], target: Target, report: Report, cost: Cost, keep: bool
) -> Sweep:
    """Backtest after backtest, as many at once as there are nodes."""
    grid = grid_of(build.generated.parameters, steps)
    points: list[Point] = []
    waiting = list(enumerate(grid, 1))
    base = cloud.name_of(build.config)

    async def work() -> None:
        while waiting:
            number, values = waiting.pop(0)
            points.append(await _one(cloud, build, f"{base} #{number}", values, keep))
            report(Progress(QUEUED, len(points), len(grid), f"{cost.at_once} at once"))

    report(Progress(QUEUED, 0, len(grid), f"{cost.at_once} at once"))
    await _together([work() for _ in range(cost.at_once)])
    return Sweep(By.BACKTESTS, target, cost, True, build.project.id, points=tuple(points), consumed=0.0)


async def _together(works: Sequence[Coroutine[object, object, None]]) -> None:
    """All of them; the first failure of one ends the others and is the failure of all."""
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work, name="quantconnect-sweep")
    except* CloudError as failures:
        failure = failures.exceptions[0]
    if failure is not None:
        raise failure


async def _one(cloud: CloudBacktests, build: Build, name: str, values: Mapping[str, float], keep: bool) -> Point:
    parameters = {**read_scalars(build.generated.parameters), **values}
    try:
        async with cloud.backtest(build, name, dict(values), _silent, keep=keep) as ended:
            return Point(parameters, _figures(ended.statistics), ended.backtest_id)
    except (AlgorithmFailed, StageTimedOut, NoFreeNode) as error:
        return Point(parameters, {}, error=str(error))
    except Vanished as error:
        if error.what != "backtest":
            raise
        return Point(parameters, {}, error=str(error))


def _silent(progress: Progress) -> None:
    """How far one of many is interests nobody."""
    del progress


async def _optimize(
    cloud: CloudBacktests, build: Build, steps: Mapping[str, Steps], target: Target, report: Report, cost: Cost, keep: bool
) -> Sweep:
    search = _search(build, steps, target, cloud.name_of(build.config))
    async with _optimization(cloud, search, cost, keep) as begun:
        ended = await _watched(cloud, begun, report, cost.points)
    base = read_scalars(build.generated.parameters)
    points = [
        Point(
            {**base, **read_scalars(each.parameter_set)},
            _figures(each.statistics),
            each.id,
            "" if each.statistics is not None else f"it failed (exit code {each.exit_code})",
        )
        for each in ended.backtests.values()
    ]
    progress = ended.runtime_statistics
    consumed = None if progress is None else progress.consumed
    return Sweep(
        By.OPTIMIZATION, target, cost, True, build.project.id, ended.optimization_id, tuple(points), consumed
    )  # fmt: skip


@asynccontextmanager
async def _optimization(cloud: CloudBacktests, search: Search, cost: Cost, keep: bool) -> AsyncIterator[OptimizationSummary]:
    """One that was started; however its watching ends, none is left running."""
    begun: OptimizationSummary | None = None
    ended = False
    try:
        begun = await _begun(cloud, search, cost)
        yield begun
        ended = True
    finally:
        if not (ended and keep):
            await _stop(cloud, search, None if begun is None else begun.optimization_id, abort=not ended)


async def _begun(cloud: CloudBacktests, search: Search, cost: Cost) -> OptimizationSummary:
    """Started once: where its answer was lost it is looked for by its name, for a second one would cost again."""
    client = cloud.client.optimizations
    try:
        return await client.create(search, estimated_cost=cost.credit, node_type=NODE_TYPE, parallel_nodes=cost.at_once)
    except QcError as error:
        if error.may_have_happened:
            for row in await client.list(search.project_id):
                if row.name == search.name:
                    return row
        raise


async def _watched(cloud: CloudBacktests, begun: OptimizationSummary, report: Report, total: int) -> Optimization:
    pace = pauses()
    while True:
        found = await cloud.client.optimizations.read(begun.optimization_id)
        progress = found.runtime_statistics
        done = 0 if progress is None else (progress.completed or 0) + (progress.failed or 0)
        report(Progress(OPTIMIZING, min(done, total), total, found.status.value))
        if found.status.finished:
            return found
        await cloud.pause(next(pace))


async def _stop(cloud: CloudBacktests, search: Search, id_: str | None, *, abort: bool) -> None:
    """Abort and delete, within bounded time; one that was perhaps begun is looked for by its name."""
    client = cloud.client.optimizations
    try:
        async with asyncio.timeout(cloud.patience.clean_up_s):
            found = [id_] if id_ is not None else []
            if id_ is None:
                found = [row.optimization_id for row in await client.list(search.project_id) if row.name == search.name]
            for each in found:
                if abort:
                    await client.abort(each)
                await client.delete(each)
    except (QcError, TimeoutError) as error:
        log.warning("quantconnect_optimization_left", name=search.name, reason=str(error) or "no answer in time")


async def _nodes(cloud: CloudBacktests, build: Build) -> int:
    """Backtest nodes that may be used at once."""
    nodes = (await cloud.client.projects.nodes(build.project.id)).nodes.backtest
    return max(1, sum(node.active for node in nodes) or len(nodes))


def _search(build: Build, steps: Mapping[str, Steps], target: Target, name: str = "estimate") -> Search:
    from sources.quantconnect.client_optimizations import Search  # noqa: PLC0415 - aiohttp comes with it

    aim = AIMS[target]
    ranges = [Range(name=key, min=each.min, max=each.max, step=each.step, min_step=each.step) for key, each in steps.items()]
    extremum: Literal["max", "min"] = "max" if aim.most else "min"
    return Search(build.project.id, name, build.compile_id, ranges, target=aim.name, target_to=extremum)


def _figures(statistics: Statistics | None) -> dict[str, float | int | None]:
    return {} if statistics is None else {name: getattr(statistics, name) for name in _SHOWN}
