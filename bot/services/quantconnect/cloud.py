"""Backtests in the cloud, from a `BacktestConfig` to a result: generate, upload, compile, wait for a node, run, read.

Whether a backtest is done is told by what it brings (see `Backtest.stage`), never by its status. Whatever ends a run early, a
cancellation among it, deletes the backtest, which alone frees its node; what was made for a run that was cancelled goes too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from bot.runtime.jobs import Progress, Report
from bot.services.quantconnect.cloud_errors import (
    AlgorithmFailed,
    BuildFailed,
    CloudError,
    NoFreeNode,
    ServiceTrouble,
    StageTimedOut,
    Vanished,
)
from bot.services.quantconnect.cloud_projects import UPLOADING, OwnProject, opened, project_name, upload
from bot.services.quantconnect.cloud_text import Generate, generated
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.lean.config import BacktestConfig
from sources.quantconnect.models_backtest import Backtest, Stage

if TYPE_CHECKING:
    from bot.services.quantconnect.conversion import CloudResult
    from sources.quantconnect.client import Client
    from sources.quantconnect.lean.generating import LeanProject

log = structlog.get_logger(__name__)

GENERATING, COMPILING, WAITING, RUNNING, READING = (
    "generating", "compiling", "waiting for a node", "running", "reading results",
)  # fmt: skip
SETTLING_LOOKS = 6
_SETTLING_S = 10.0
_NODE_FIRST_S, _NODE_LONGEST_S = 20.0, 60.0
_PACE = ((1.0, 5), (2.0, 10), (5.0, 54))
"""Pauses between looks at a run, and how often each: half as eager as the official client, whose first minute is the budget."""
_LAST_PACE = 10.0
_LOOKS_AFTER_LOSS = (0.0, 0.5, 2.0)

Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each stage may take, in seconds. `stalled_s` is without any progress, `outage_s` without any answer."""

    upload_s: float = 180.0
    compile_s: float = 300.0
    node_s: float = 600.0
    run_s: float = 7_200.0
    stalled_s: float = 1_500.0  # one time step may take ten minutes, and a queue has no progress
    outage_s: float = 600.0
    read_s: float = 900.0
    clean_up_s: float = 4.0  # for the backtest, and again for its project


@dataclass(frozen=True, slots=True)
class Build:
    """A compiled project: any number of backtests may be run of it, whatever happens to its files later."""

    config: BacktestConfig
    generated: LeanProject
    project: OwnProject
    compile_id: str


class CloudBacktests:
    """Runs backtests on one client. `now` is in ms; `sleep` is for those who need time to be theirs.

    Every failure is a `CloudError`.
    """

    def __init__(
        self,
        client: Client,
        now: Callable[[], int],
        *,
        organization: str = "",
        patience: Patience = Patience(),
        generate: Generate | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.client = client
        self.patience = patience
        self._now = now
        self._organization = organization
        self._generate = generate or _generate
        self.pause = sleep
        self._opening: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._users: Counter[int] = Counter()

    def with_patience(self, patience: Patience) -> CloudBacktests:
        """The same, more or less patient; both mind which projects the other uses."""
        other = copy(self)
        other.patience = patience
        return other

    async def run(self, config: BacktestConfig, report: Report, *, keep: bool = True) -> CloudResult:
        """One backtest, whole. Without `keep`, what was made for it is deleted afterwards."""
        async with self.build(config, report, keep=keep) as build:
            return await self.execute(build, self.name_of(config), {}, report, keep=keep)

    @asynccontextmanager
    async def build(self, config: BacktestConfig, report: Report, *, keep: bool = True) -> AsyncIterator[Build]:
        """A compiled project, for as long as it is needed.

        A project that was made for it is deleted at the end unless it is to be kept, and whenever it is cancelled.
        """
        report(Progress(GENERATING, note=f"{config.strategy.kind} on {config.symbol}"))
        made = await generated(self._generate, config)
        name = project_name(config.name or made.name)
        project: OwnProject | None = None
        kept = False
        try:
            opening = self._opening.setdefault(name, asyncio.Lock())
            async with opening:  # two that share a project must not write its files at once
                report(Progress(UPLOADING, note=name))
                limit, remedy = self.patience.upload_s, "try again later, or raise the budget of calls"
                async with self.stage(UPLOADING, limit, remedy):
                    project = await opened(self.client, name, self._organization)
                    self._users[project.id] += 1
                async with self.stage(UPLOADING, limit, remedy, project):
                    await upload(self.client, project, made.files, report)
                compile_id = await self._compiled(project, report)
            yield Build(config, made, project, compile_id)
            kept = keep
        except asyncio.CancelledError:
            raise
        except Exception:
            kept = keep
            raise
        finally:
            if project is not None:
                self._users -= Counter({project.id: 1})  # who is at zero is let go of
                if not kept and project.fresh and not self._users[project.id]:
                    await self._forget_project(project)

    async def execute(
        self, build: Build, name: str, parameters: Mapping[str, str | float], report: Report, *, keep: bool = True
    ) -> CloudResult:
        """One backtest of a build, and all that it gave."""
        from bot.services.quantconnect.cloud_reading import read_result  # noqa: PLC0415 - numpy

        async with self.backtest(build, name, parameters, report, keep=keep) as ended:
            remedy = f"read it later: qc backtest-result {build.project.id} {ended.backtest_id}"
            async with self.stage(READING, self.patience.read_s, remedy, build.project, ended):
                found = await read_result(self.client, build.project.id, ended, report, config=build.config)
        return found.completed({**build.generated.parameters, **found.parameters}, build.generated.files)

    @asynccontextmanager
    async def backtest(
        self, build: Build, name: str, parameters: Mapping[str, str | float], report: Report, *, keep: bool = True
    ) -> AsyncIterator[Backtest]:
        """A backtest that has ended, for as long as it is needed.

        It is deleted unless it is to be kept; one that has not ended, always, for it would hold its node.
        """
        begun: Backtest | None = None
        kept = ended = False
        try:
            begun = await self._begun(build, name, parameters, report)
            found = await self._ended(build.project, begun, report)
            ended = True
            yield found
            kept = keep
        except CloudError as error:
            # What has ended is there to be looked at; what was never begun need not be looked for.
            kept = not _unanswered(error) if begun is None else keep and (ended or isinstance(error, AlgorithmFailed))
            raise
        except Exception:
            kept = keep and ended
            raise
        finally:
            if not kept:
                await self._forget(build.project, name, None if begun is None else begun.backtest_id)

    def name_of(self, config: BacktestConfig) -> str:
        """What a backtest that begins now is called: no two of a project have the same name."""
        moment = datetime.fromtimestamp(self._now() / 1_000, UTC)
        return f"{config.strategy.kind} {config.symbol} {moment:%Y-%m-%d %H:%M:%S}.{self._now() % 1_000:03d}"

    @asynccontextmanager
    async def stage(
        self, name: str, seconds: float, remedy: str, project: OwnProject | None = None, backtest: Backtest | None = None
    ) -> AsyncIterator[None]:
        """Whatever happens in it has a name: it took too long, something was deleted, or the service is in trouble."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise StageTimedOut(name, seconds, remedy) from error
        except QcError as error:
            if project is not None and error.kind in {Kind.BAD_REQUEST, Kind.NOT_FOUND}:
                gone = await self._gone(project, backtest)
                if gone is not None:
                    raise gone from error
            raise ServiceTrouble(name, error) from error

    async def _compiled(self, project: OwnProject, report: Report) -> str:
        report(Progress(COMPILING, note=project.name))
        remedy = "try again later: compiles hang at QuantConnect now and then"
        async with self.stage(COMPILING, self.patience.compile_s, remedy, project):
            compiled = await self.client.compiles.finished(project.id)
        if compiled.errors or compiled.state == "BuildError":
            raise BuildFailed(project.name, compiled.errors)
        return compiled.compile_id

    async def _begun(self, build: Build, name: str, parameters: Mapping[str, str | float], report: Report) -> Backtest:
        """Started, once there is a node for it; one whose creation was not answered is looked for by its name."""
        loop = asyncio.get_running_loop()
        began, pause, busy = loop.time(), _NODE_FIRST_S, ""
        project, limit = build.project, self.patience.node_s
        report(Progress(WAITING, 0.0, limit))
        while True:
            try:
                return await self._created(build, name, parameters)
            except QcError as error:
                if error.kind not in {Kind.CAPACITY, Kind.RATE_LIMIT}:
                    gone = await self._gone(project, None) if error.kind in {Kind.BAD_REQUEST, Kind.NOT_FOUND} else None
                    raise gone or ServiceTrouble(WAITING, error) from error
                waited = loop.time() - began
                busy = busy or await self._busy(project)
                if waited >= limit:
                    raise NoFreeNode(waited, busy) from error
                report(Progress(WAITING, min(waited, limit), limit, busy or error.reason))
                least = error.retry_after_s or 0.0
            await self.pause(max(0.0, min(max(pause, least), limit - waited)))
            pause = min(_NODE_LONGEST_S, pause * 1.5)

    async def _created(self, build: Build, name: str, parameters: Mapping[str, str | float]) -> Backtest:
        project = build.project.id
        given = {**build.generated.parameters, **parameters}
        try:
            return await self.client.backtests.create(project, build.compile_id, name, given)
        except QcError as error:
            found = await self._named(project, name) if error.may_have_happened else None
            if found is None:
                raise
            return found

    async def _named(self, project: int, name: str) -> Backtest | None:
        """The backtest of this name, if there is one and the service says so."""
        try:
            for row in await self.client.backtests.list(project, include_statistics=False):
                if row.name == name:
                    return await self.client.backtests.read(project, row.backtest_id)
        except QcError as error:
            log.info("quantconnect_whereabouts_unknown", backtest=name, reason=error.reason)
        return None

    async def _busy(self, project: OwnProject) -> str:
        """Which nodes there are and what they do, in words; nothing where that cannot be known."""
        try:
            nodes = (await self.client.projects.nodes(project.id)).nodes.backtest
        except QcError as error:
            log.info("quantconnect_nodes_unknown", project=project.name, reason=error.reason)
            return ""
        names = sorted({node.project_name or "?" for node in nodes if node.busy})
        return f"{sum(node.busy for node in nodes)} of {len(nodes)} nodes busy" + (f": {', '.join(names)}" if names else "")

    async def _ended(self, project: OwnProject, backtest: Backtest, report: Report) -> Backtest:
        """The backtest when nothing more will come of it."""
        limit, first = self.patience.run_s, backtest
        async with self.stage(RUNNING, limit, "it was deleted; shorten the dates, or allow it more time", project, first):
            return await self._watched(project, backtest, report)

    async def _watched(self, project: OwnProject, backtest: Backtest, report: Report) -> Backtest:
        loop, pace, settling = asyncio.get_running_loop(), pauses(), 0
        furthest, moved = -1.0, loop.time()
        while (stage := backtest.stage) is not Stage.DONE:
            if stage is Stage.FAILED:
                raise AlgorithmFailed(
                    backtest.name or backtest.backtest_id,
                    backtest.error,
                    backtest.stacktrace,
                    initializing=backtest.has_initialize_error,
                )
            settling += stage is Stage.UNSETTLED
            if settling > SETTLING_LOOKS:
                return backtest
            done = min(1.0, max(0.0, backtest.progress or 0.0))
            if done > furthest or settling:
                furthest, moved = done, loop.time()
            if loop.time() - moved > self.patience.stalled_s:
                remedy = "it stood still and was deleted; start it again"
                raise StageTimedOut(RUNNING, self.patience.stalled_s, remedy)
            report(Progress(RUNNING, done, 1.0, "waiting for the statistics" if settling else backtest.status))
            await self.pause(_SETTLING_S if settling else next(pace))
            backtest = await self._looked(project, backtest, report)
        return backtest

    async def _looked(self, project: OwnProject, backtest: Backtest, report: Report) -> Backtest:
        """The backtest as it is now; an outage is sat out, for the run goes on without us."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            try:
                return await self.client.backtests.read(project.id, backtest.backtest_id)
            except QcError as error:
                if not error.transient or loop.time() - began >= self.patience.outage_s:
                    raise
                report(Progress(RUNNING, backtest.progress or 0.0, 1.0, f"no answer: {error.kind}"))
            await self.pause(_LAST_PACE)

    async def _gone(self, project: OwnProject, backtest: Backtest | None) -> Vanished | None:
        """Whether the project, or the backtest, is there no more."""
        try:
            projects = await self.client.projects.list(organization_id=self._organization or None)
            if project.id not in {each.project_id for each in projects}:
                return Vanished("project", project.name)
            if backtest is None:
                return None
            rows = await self.client.backtests.list(project.id, include_statistics=False)
        except QcError as error:
            log.info("quantconnect_whereabouts_unknown", project=project.name, reason=error.reason)
            return None
        return None if backtest.backtest_id in {row.backtest_id for row in rows} else Vanished("backtest", backtest.name)

    async def _forget(self, project: OwnProject, name: str, backtest_id: str | None) -> None:
        """Delete a backtest and free its node. One that was perhaps begun is looked for by its name, a few times."""
        try:
            async with asyncio.timeout(self.patience.clean_up_s):
                if backtest_id is not None:
                    await self.client.backtests.delete(project.id, backtest_id)
                    return
                for pause in _LOOKS_AFTER_LOSS:
                    await self.pause(pause)
                    rows = await self.client.backtests.list(project.id, include_statistics=False)
                    for row in rows:
                        if row.name == name:
                            await self.client.backtests.delete(project.id, row.backtest_id)
                            return
        except (QcError, TimeoutError) as error:
            log.warning("quantconnect_backtest_left", project=project.name, name=name, reason=str(error) or "no answer in time")

    async def _forget_project(self, project: OwnProject) -> None:
        try:
            async with asyncio.timeout(self.patience.clean_up_s):
                await self.client.projects.delete(project.id)
        except (QcError, TimeoutError) as error:
            log.warning("quantconnect_project_left", project=project.name, reason=str(error) or "no answer in time")


def _unanswered(error: CloudError) -> bool:
    """Whether something may have been begun of which nobody told us."""
    return isinstance(error.__cause__, QcError) and error.__cause__.may_have_happened


def pauses() -> Iterator[float]:
    """Seconds between two looks at something that runs, without end."""
    return chain.from_iterable((*(repeat(pause, times) for pause, times in _PACE), repeat(_LAST_PACE)))


def _generate(config: BacktestConfig) -> LeanProject:
    from sources.quantconnect.lean.generating import generate  # noqa: PLC0415 - only where one is generated

    return generate(config)
