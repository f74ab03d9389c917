"""One backtest: its course through queue and node, and what a read of it shows at each stage.

The algorithm really runs, in a process; a read shows it no further than it is, and at least so often at each stage as the terms
say, so that whoever polls sees queue, progress, half-finished statistics and the whole, whatever the machine's speed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog

from simulators.quantconnect.faults import HalfStatistics, LyingStatus, NeverCompletes, RuntimeFailure
from simulators.quantconnect.jobs import Crew, Worker, WorkerDied, cancel
from simulators.quantconnect.world import Compile, Project, Row, World, blank

log = structlog.get_logger(__name__)

MAX_LOGS = 10_000
_NEVER = 1 << 30


class Stage(StrEnum):
    """Where a backtest is."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class Pace:
    """Reads that still show an earlier stage than the true one."""

    queued: int
    running: int
    half: int
    ran: int = 0


@dataclass(slots=True)
class Backtest:
    """A backtest. `node` is the number of the node that it keeps busy."""

    id: str
    project: Project
    name: str
    created: datetime
    compile: Compile
    parameters: dict[str, str]
    snapshot: int
    node: int
    pace: Pace
    lying: str = ""
    stuck: NeverCompletes | None = None
    failure: RuntimeFailure | None = None
    note: str | None = None
    tags: list[str] = field(default_factory=list)
    optimization: str | None = None
    stage: Stage = Stage.QUEUED
    progress: float = 0.0
    equity: float = 0.0
    error: str | None = None
    stacktrace: str | None = None
    initializing: bool = False
    result: Row = field(default_factory=dict)
    logs: list[str] = field(default_factory=list)
    lost_logs: int = 0
    loads: dict[str, int] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether it keeps its node."""
        return self.stage in (Stage.QUEUED, Stage.RUNNING)

    def cancel(self) -> None:
        """Stop it and free its node."""
        if self.is_busy:
            self.stage = Stage.CANCELLED
        cancel(self.task)

    def rows(self, what: str) -> list[Row]:
        """Orders, trades or insights; none before it is finished."""
        found: list[Row] = self.result.get(what, [])
        return found

    def seen(self, what: str, reads: int) -> bool:
        """Whether something that loads at first has been asked for so often."""
        self.loads[what] = self.loads.get(what, 0) + 1
        return self.loads[what] > reads

    def shown(self) -> Stage:
        """The stage that a read sees; reading brings it nearer to the true one."""
        if self.pace.queued > 0 or self.stage is Stage.QUEUED:
            self.pace.queued -= 1
            return Stage.QUEUED
        if self.pace.running > 0 or self.stage is Stage.RUNNING:
            self.pace.running -= 1
            self.pace.ran += 1
            return Stage.RUNNING
        return self.stage

    def row(self, world: World) -> Row:
        """As `backtests/read` answers, by the stage that is shown."""
        stage = self.shown()
        row = self._common(world)
        if stage is Stage.QUEUED:
            row |= {"status": "In Queue...", "completed": False, "progress": 0}
        elif stage is Stage.RUNNING:
            row |= self._running()
        elif stage is Stage.FAILED:
            row |= self._failed()
        else:
            row |= self._finished(world)
        if self.lying:
            row["status"] = self.lying
        return row

    def _common(self, world: World) -> Row:
        return {
            "backtestId": self.id,
            "projectId": self.project.id,
            "organizationId": world.terms.organization,
            "name": self.name,
            "note": self.note,
            "created": blank(self.created),
            "error": None,
            "stacktrace": None,
            "hasInitializeError": False,
            "charts": None,
            "parameterSet": dict(self.parameters),
            "statistics": None,
            "runtimeStatistics": None,
            "totalPerformance": None,
            "optimizationId": self.optimization,
            "snapshotId": self.snapshot,
            "nodeName": "",
            "tags": list(self.tags),
        }

    def _running(self) -> Row:
        forced = self.pace.ran / (self.pace.ran + max(0, self.pace.running) + 1)
        progress = round(min(self.progress, forced) if self.stage is not Stage.RUNNING else self.progress, 3)
        return {
            "status": f"Running: {100 * progress:.0f}%" if self.pace.ran % 2 else "In Progress...",
            "completed": False,
            "progress": progress,
            "statistics": {},
            "runtimeStatistics": {"Equity": f"${self.equity:,.2f}"} if self.equity else {},
            "nodeName": f"B-MICRO node {self.node}",
        }

    def _failed(self) -> Row:
        return {
            "status": "Runtime Error",
            "completed": True,
            "progress": round(self.progress, 3),
            "error": self.error,
            "stacktrace": self.stacktrace,
            "hasInitializeError": self.initializing,
        }

    def _finished(self, world: World) -> Row:
        whole = self.result
        row = {
            "status": "Completed.",
            "completed": True,
            "progress": 1,
            "nodeName": f"B-MICRO node {self.node}",
            "backtestStart": whole["backtestStart"],
            "backtestEnd": whole["backtestEnd"],
            "tradeableDates": whole["tradeableDates"],
            "outOfSampleMaxEndDate": None,
            "outOfSampleDays": 0,
            "researchGuide": {"minutes": 3, "backtestCount": len(self.project.backtests), "parameters": len(self.parameters)},
            "runtimeStatistics": whole["runtimeStatistics"],
            "statistics": {},
            "charts": {name: {"name": name} for name in whole["charts"]},
            "rollingWindow": {},
        }
        if self.pace.half > 0:
            self.pace.half -= 1
            return row | {"runtimeStatistics": row["runtimeStatistics"] | {"Probabilistic Sharpe Ratio": "0%"}}
        return row | {
            "statistics": whole["statistics"],
            "totalPerformance": whole["totalPerformance"],
            "rollingWindow": whole["rollingWindow"],
            "serverStatistics": {"CPU Usage": "12%", "Used RAM (MB)": "301"},
            "analysis": [],
        }

    def summary(self, with_statistics: bool) -> Row:
        """As `backtests/list` answers."""
        words = {Stage.QUEUED: "In Queue...", Stage.RUNNING: "In Progress...", Stage.FAILED: "Runtime Error"}
        row: Row = {
            "backtestId": self.id,
            "status": self.lying or words.get(self.stage, "Completed."),
            "name": self.name,
            "created": blank(self.created),
            "progress": 1 if self.stage is Stage.FINISHED else round(self.progress, 3),
            "optimizationId": self.optimization,
            "tradeableDates": self.result.get("tradeableDates", 0),
            "parameterSet": dict(self.parameters),
            "snapshotId": self.snapshot,
            "tags": list(self.tags),
        }
        return row | (self._flat() if with_statistics else {})

    def _flat(self) -> Row:
        figures: Mapping[str, Any] = self.result.get("figures", {})
        percents = {"compoundingAnnualReturn": "compoundingAnnualReturn", "drawdown": "drawdown", "lossRate": "lossRate",
                    "netProfit": "totalNetProfit", "psr": "probabilisticSharpeRatio", "winRate": "winRate"}  # fmt: skip
        row: Row = {key: round(100 * float(figures[name]), 3) if figures else None for key, name in percents.items()}
        for key in ("sharpeRatio", "alpha", "beta", "sortinoRatio", "treynorRatio"):
            row[key] = round(float(figures[key]), 3) if figures else None
        kinds = self.result.get("securityTypes", [])
        return row | {"parameters": len(self.parameters), "trades": len(self.rows("orders")), "securityTypes": ",".join(kinds)}


def pace_of(world: World) -> Pace:
    """The pace of the next backtest, as the terms and the faults have it."""
    half = world.faults.of_job(HalfStatistics)
    halves = world.terms.half_reads if half is None else (_NEVER if half.reads is None else half.reads)
    return Pace(world.terms.queued_reads, world.terms.running_reads, halves)


def marked(world: World, backtest: Backtest) -> Backtest:
    """Let the faults that wait for a backtest strike this one."""
    backtest.stuck = world.faults.of_job(NeverCompletes)
    backtest.failure = world.faults.of_job(RuntimeFailure, where="backtest")
    lie = world.faults.of_job(LyingStatus)
    backtest.lying = lie.text if lie is not None else ""
    return backtest


def start(world: World, crew: Crew, backtest: Backtest) -> None:
    """Put it on its node."""
    backtest.task = crew.start(_run(world, backtest), f"quantconnect-backtest-{backtest.id}")


async def _run(world: World, one: Backtest) -> None:
    await asyncio.sleep(world.terms.node_delay)
    await run_alone(world, one)


async def run_alone(world: World, one: Backtest) -> None:
    """Run it here and now, to its end."""
    if one.stuck is not None:
        one.stage, one.progress = (Stage.RUNNING, 0.37) if one.stuck.running else (Stage.QUEUED, 0.0)
        await asyncio.Event().wait()  # until it is deleted
    one.stage = Stage.RUNNING
    if one.failure is not None:
        _fail(one, one.failure.error, f"{one.failure.error} in main.py: line 5", one.failure.initializing)
        return
    if not one.compile.python:
        _fail(one, "This simulator runs Python only", "no engine for C#", True)
        return
    try:
        async with asyncio.timeout(world.terms.backtest_limit):
            await _listen(world, one)
    except TimeoutError:
        _fail(one, f"Backtest exceeded the limit of {world.terms.backtest_limit:g} seconds", "time limit", False)
    except WorkerDied as problem:
        _fail(one, str(problem), str(problem), False)
    if one.stage is Stage.RUNNING:
        _fail(one, "Algorithm process ended without a result", "no result", False)


async def _listen(world: World, one: Backtest) -> None:
    worker = Worker(job_of(world, one.id, one.compile.files, one.parameters, "backtest"))
    messages = worker.messages()
    try:
        async for message in messages:
            _take(world, one, message)
    finally:
        await messages.aclose()


def _take(world: World, one: Backtest, message: Mapping[str, Any]) -> None:
    match message["kind"]:
        case "progress":
            one.progress, one.equity = float(message["fraction"]), float(message["equity"])
        case "log":
            if len(one.logs) < MAX_LOGS:
                one.logs.append(str(message["text"]))
            else:
                one.lost_logs += 1
        case "object":
            save(world, message["key"], bytes.fromhex(message["hex"]))
        case "failed":
            _fail(one, message["error"], message["stacktrace"], message["initializing"])
        case "result":
            one.result, one.progress, one.stage = message["result"], 1.0, Stage.FINISHED
        case other:
            log.warning("unknown_message", kind=other)


def _fail(one: Backtest, error: str, stacktrace: str, initializing: bool) -> None:
    one.stage, one.error, one.stacktrace, one.initializing = Stage.FAILED, error, stacktrace, initializing


def save(world: World, key: str, content: bytes) -> bool:
    """Put something into the object store; False when it is full."""
    now = world.now()
    used = sum(len(stored) for name, (stored, _, _) in world.objects.items() if name != key)
    if used + len(content) > world.terms.max_store:
        world.counts["objects_refused"] += 1
        return False
    key = key.strip("/")
    created = world.objects[key][1] if key in world.objects else now
    world.objects[key] = (content, created, now)
    return True


def job_of(
    world: World,
    id_: str,
    files: Mapping[str, str],
    parameters: Mapping[str, str],
    mode: str,
    cash: Mapping[str, float] | None = None,
) -> Row:
    """What a worker is told to do."""
    return {
        "mode": mode,
        "id": id_,
        "files": dict(files),
        "parameters": dict(parameters),
        "market": world.spec.as_json(),
        "now": world.now_ms(),
        "cash": dict(cash or {}),
        "objects": {key: content.hex() for key, (content, _, _) in world.objects.items()},
        "memory_mb": world.terms.memory_mb,
        "cpu_seconds": round(world.terms.backtest_limit) + 5,
    }
