"""The use cases of backtests in the cloud.

`qc.backtests`, `qc.backtest-result`, `qc.compare`, `qc.export` change nothing in the cloud; `qc.estimate` leaves nothing there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from bot.core.market import timeframe_ms
from bot.runtime.jobs import Progress, Report, Result
from bot.services.quantconnect.access import client_of
from bot.services.quantconnect.account import PROJECTS
from bot.services.quantconnect.backtest_args import (
    CompareArguments,
    EstimateArguments,
    ExportArguments,
    Language,
    ListArguments,
    ReadArguments,
    ResultArguments,
    RunArguments,
    SweepArguments,
)
from bot.services.quantconnect.cloud import GENERATING, READING, CloudBacktests, Patience
from bot.services.quantconnect.cloud_errors import AlgorithmFailed, ServiceTrouble, TextRefused
from bot.services.quantconnect.cloud_projects import FOLDER, is_ours, own_projects
from bot.services.quantconnect.cloud_text import generated
from bot.services.quantconnect.shelf import let_go
from bot.services.use_case import Ground, Missing, UseCase, UseCaseError
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.models_backtest import BacktestSummary, Stage

if TYPE_CHECKING:
    from bot.services.quantconnect.conversion import CloudResult

log = structlog.get_logger(__name__)

T = TypeVar("T")
HELD = "quantconnect.backtests"
"""Where a ground holds them."""

ANALYSING, WRITING = "analysing", "writing"


async def _run(ground: Ground, args: RunArguments, report: Report) -> Result:
    patience = Patience(node_s=timeframe_ms(args.node_wait) / 1_000, run_s=timeframe_ms(args.limit) / 1_000)
    cloud = await cloud_of(ground, patience)
    if args.out is not None:
        await asyncio.to_thread(_usable, args.out)  # before it takes an hour, not after
    try:
        found = await cloud.run(args.config, report, keep=args.keep)
    finally:
        let_go(ground, PROJECTS)
    answer = await asyncio.to_thread(found.brief) | {"kept": args.keep, "lesson": None, "files": []}
    if args.out is not None:
        answer["files"] = await _written(found, args.out, report)
    if args.analyse:
        report(Progress(ANALYSING, note=found.reference))
        try:
            answer["lesson"] = await _remembered(ground, found)
        except UseCaseError as error:  # the backtest is worth something all the same
            log.warning("quantconnect_backtest_not_remembered", backtest=found.reference, reason=str(error))
            answer["notices"] = [*found.notices, f"it was not remembered: {error}"]
    return answer


async def _remembered(ground: Ground, found: CloudResult) -> object:
    """What it taught, as plain values."""
    import orjson  # noqa: PLC0415

    from bot.services.memory.backtests import remember_backtest  # noqa: PLC0415 - the memory, only where it is asked
    from bot.services.memory.subjects import subject_for  # noqa: PLC0415
    from bot.services.quantconnect.evidence import evidence_of  # noqa: PLC0415

    config = found.config
    if config is None:
        message = "a result without its configuration teaches nothing: run it with `qc backtest --analyse`"
        raise UseCaseError(message)
    subject = subject_for(ground, config.strategy.kind, config.symbol, config.timeframe)
    lesson = await remember_backtest(ground, evidence_of(found, subject, ground.now()))
    told: object = orjson.loads(orjson.dumps(lesson))
    return told


def _usable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"out: {out} cannot be a directory ({error.strerror or error}): name one that is yours"
        raise UseCaseError(message) from error


async def _written(found: CloudResult, out: Path, report: Report) -> list[str]:
    from bot.services.quantconnect.exporting import write_result  # noqa: PLC0415 - plotly

    report(Progress(WRITING, note=str(out)))
    return [str(path) for path in await asyncio.to_thread(write_result, found, out)]


async def _list(ground: Ground, args: ListArguments, report: Report) -> Result:
    client = await client_of(ground)
    rows: list[dict[str, object]] = []
    async with _named("qc.backtests"):
        if args.project is not None:
            chosen = [await _there(client.projects.read(args.project), f"project {args.project}")]
        else:
            chosen = list(await own_projects(client, ground.loaded.settings.quantconnect.organization))
        for done, project in enumerate(chosen):
            report(Progress(READING, done, len(chosen), project.name))
            found = await client.backtests.list(project.project_id)
            rows += [_row(project.project_id, project.name, row) for row in found]
    return {"at": ground.now(), "projects": len(chosen), "backtests": sorted(rows, key=_newest)}


def _row(project: int, name: str, row: BacktestSummary) -> dict[str, object]:
    from bot.services.quantconnect.conversion import representable  # noqa: PLC0415 - numpy

    body = representable(row.model_dump(mode="json", exclude={"backtest_id", "status"}))
    return {"reference": f"{project}/{row.backtest_id}", "project": project, "project_name": name} | body


def _newest(row: dict[str, object]) -> tuple[int, str]:
    created = row["created"]
    return (-created if isinstance(created, int) else 0, str(row["reference"]))


async def _result(ground: Ground, args: ResultArguments, report: Report) -> Result:
    found = await _read(ground, args.project, args.backtest, report)
    files = [] if args.out is None else await _written(found, args.out, report)
    return await asyncio.to_thread(found.as_json) | {"files": files}


async def _read(ground: Ground, project: int, backtest: str, report: Report) -> CloudResult:
    """A backtest of the cloud as it is; `UseCaseError` while it runs and where it failed."""
    from bot.services.quantconnect.cloud_reading import read_result  # noqa: PLC0415 - numpy

    client = await client_of(ground)
    async with _named(READING):
        found = await _there(client.backtests.read(project, backtest), f"backtest {project}/{backtest}")
        if found.stage is Stage.FAILED:
            name, trace = found.name or backtest, found.stacktrace
            raise AlgorithmFailed(name, found.error, trace, initializing=found.has_initialize_error)
        if found.stage is Stage.RUNNING:
            message = (
                f"backtest {project}/{backtest} still runs ({100 * (found.progress or 0.0):.0f} %); read it when it has ended"
            )
            raise UseCaseError(message)
        return await read_result(client, project, found, report)


async def _compare(ground: Ground, args: CompareArguments, report: Report) -> Result:
    from bot.services.quantconnect.comparison import Contender, compare  # noqa: PLC0415

    contenders = [Contender.read(name, body) for name, body in args.results.items()]
    for reference in args.backtests:
        project, _, backtest = reference.partition("/")
        found = await _read(ground, int(project), backtest, report)
        contenders.append(Contender.of(found, f"{found.name} ({found.reference})"))
    return compare(contenders).as_json()


async def _estimate(ground: Ground, args: EstimateArguments, report: Report) -> Result:
    """A project that had to be made for the question is deleted again."""
    from bot.services.quantconnect.sweep import Sweep, estimate  # noqa: PLC0415

    cloud = await cloud_of(ground)
    try:
        async with cloud.build(args.config, report, keep=False) as build:
            cost = await estimate(cloud, build, args.parameters, args.target, args.by, report)
    finally:
        let_go(ground, PROJECTS)
    return Sweep(args.by, args.target, cost, started=False).as_json()


async def _sweep(ground: Ground, args: SweepArguments, report: Report) -> Result:
    if not args.confirmed:
        return await _estimate(ground, args, report)
    from bot.services.quantconnect.sweep import estimate, sweep  # noqa: PLC0415

    cloud = await cloud_of(ground, Patience(node_s=timeframe_ms(args.node_wait) / 1_000))
    limit_s = timeframe_ms(args.limit) / 1_000
    try:
        async with cloud.build(args.config, report, keep=args.keep) as build:
            cost = await estimate(cloud, build, args.parameters, args.target, args.by, report)
            if args.most_credit is not None and cost.credit > args.most_credit:
                message = f"the sweep would cost {cost.credit:g} QCC and may cost {args.most_credit:g}; nothing was started"
                raise UseCaseError(message)
            found = await sweep(
                cloud, build, args.parameters, args.target, args.by, report, cost=cost, limit_s=limit_s, keep=args.keep
            )
    finally:
        let_go(ground, PROJECTS)
    return found.as_json()


async def _export(ground: Ground, args: ExportArguments, report: Report) -> Result:
    del ground
    from bot.services.quantconnect.exporting import write_files  # noqa: PLC0415
    from sources.quantconnect.lean.errors import LeanError  # noqa: PLC0415
    from sources.quantconnect.lean.generating import generate, generate_csharp  # noqa: PLC0415

    report(Progress(GENERATING, note=args.config.strategy.kind))
    if args.language is Language.CSHARP:
        try:
            made = generate_csharp(args.config)
        except LeanError as error:
            raise TextRefused(str(error)) from error
    else:
        made = await generated(generate, args.config)
    answer: dict[str, object] = {
        "name": made.name,
        "parameters": dict(made.parameters),
        "warmup": made.warmup,
        "files": dict(made.files),
        "written": [],
    }
    if args.out is not None:
        answer["written"] = [str(path) for path in await asyncio.to_thread(write_files, args.out, made.files)]
    return answer


async def _delete(ground: Ground, args: ReadArguments, report: Report) -> Result:
    """Only in a project of ours: what others made is theirs to delete."""
    del report
    client = await client_of(ground)
    async with _named("qc.delete-backtest"):
        project = await _there(client.projects.read(args.project), f"project {args.project}")
        if not is_ours(project):
            message = (
                f"project {project.name} ({args.project}) was not made by the bot, whose own are in {FOLDER}; delete it there"
            )
            raise UseCaseError(message)
        await _there(client.backtests.delete(args.project, args.backtest), f"backtest {args.project}/{args.backtest}")
    return {"deleted": f"{args.project}/{args.backtest}"}


async def cloud_of(ground: Ground, patience: Patience | None = None) -> CloudBacktests:
    """Cloud backtests on the ground's client; all of one ground mind each other's projects."""
    client = await client_of(ground)
    held: CloudBacktests | None = ground.held.get(HELD)
    if held is None:
        held = CloudBacktests(client, ground.now, organization=ground.loaded.settings.quantconnect.organization)
        ground.held[HELD] = held
    return held if patience is None else held.with_patience(patience)


async def _there(asked: Awaitable[T], what: str) -> T:
    """What was asked for by its id; `Missing` if it is not there, which the service calls an invalid argument."""
    try:
        return await asked
    except QcError as error:
        if error.kind not in {Kind.BAD_REQUEST, Kind.NOT_FOUND}:
            raise
        message = f"{what} is not there, or is none of this account ({error.reason}); see `qc backtests` and `qc projects`"
        raise Missing(message) from error


@asynccontextmanager
async def _named(stage: str) -> AsyncIterator[None]:
    try:
        yield
    except QcError as error:
        raise ServiceTrouble(stage, error) from error


CASES: tuple[UseCase[Any], ...] = (
    UseCase("qc.backtest", "run a backtest in the cloud", RunArguments, _run),
    UseCase("qc.backtests", "list the backtests of the bot's own projects, or of one project", ListArguments, _list),
    UseCase("qc.backtest-result", "read what a backtest in the cloud gave", ResultArguments, _result),
    UseCase("qc.compare", "hold backtests against each other, in the cloud and local ones", CompareArguments, _compare),
    UseCase("qc.estimate", "ask what a sweep would cost", EstimateArguments, _estimate),
    UseCase("qc.sweep", "run a strategy over a grid of its parameters", SweepArguments, _sweep),
    UseCase("qc.export", "write a strategy as a LEAN algorithm", ExportArguments, _export, quick=True),
    UseCase("qc.delete-backtest", "delete a backtest, which stops it and frees its node", ReadArguments, _delete, quick=True),
)
