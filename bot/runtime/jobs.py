"""Jobs: work that takes a while, owned by the bot from its start to its end, and told about on the feed.

A job is asked for by a command and answered with its id; how far it is goes out as `jobs.changed`, what came of it is kept here
to be asked for. A job that fails takes nothing with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from bot.outlets.envelope import JobChanged, JobState
from bot.runtime.supervision import release

log = structlog.get_logger(__name__)

_LET_GO_SECONDS = 0.3
_ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far work is: what it is doing, and how much of how much is done, where that is known."""

    stage: str
    done: float = 0.0
    total: float | None = None
    note: str = ""


Report = Callable[[Progress], None]
Result = Mapping[str, object]
Work = Callable[[Report], Awaitable[Result]]
"""Reports as it goes, gives plain JSON values; ended early by cancellation, after which it must clean up within seconds."""


class JobRefused(Exception):  # noqa: N818 - it names what happened
    """Too many jobs run already, or there is none of that id."""


@dataclass(slots=True)
class Job:
    """One job. Times are ms UTC; `result` is what it came to, `error` one line when it failed.

    `missing` says that it failed because what it was asked for does not exist.
    """

    id: str
    kind: str
    actor: str
    started: int
    at: int
    args: Mapping[str, object]
    state: JobState = JobState.RUNNING
    progress: Progress = field(default_factory=lambda: Progress("started"))
    result: Result | None = None
    error: str = ""
    missing: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in _ENDED

    def changed(self) -> JobChanged:
        """What the feed says of it now."""
        told = self.progress
        return JobChanged(
            self.at,
            self.id,
            self.kind,
            self.actor,
            self.state,
            self.started,
            told.stage,
            told.done,
            told.total,
            told.note,
            self.error,
        )

    def as_json(self) -> dict[str, object]:
        """All of it, in plain JSON values."""
        return {
            "id": self.id,
            "kind": self.kind,
            "actor": self.actor,
            "state": self.state.value,
            "started": self.started,
            "at": self.at,
            "args": dict(self.args),
            "stage": self.progress.stage,
            "done": self.progress.done,
            "total": self.progress.total,
            "note": self.progress.note,
            "error": self.error,
            "missing": self.missing,
            "result": None if self.result is None else dict(self.result),
        }


class Jobs:
    """The jobs of one process: at most `most` run at once, the last `kept` are remembered.

    `now` is in ms; `tell` hears of every change and must not raise; `explain` makes one line of a failure that is an answer, and
    None of one that is a defect; `missing` knows those that say that something does not exist.
    """

    def __init__(
        self,
        now: Callable[[], int],
        tell: Callable[[JobChanged], None],
        explain: Callable[[BaseException], str | None] = lambda _: None,
        missing: Callable[[BaseException], bool] = lambda _: False,
        *,
        most: int = 4,
        kept: int = 100,
    ) -> None:
        self._now = now
        self._tell = tell
        self._explain = explain
        self._missing = missing
        self._most = most
        self._kept = kept
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._count = 0
        self._closed = False

    def start(self, kind: str, args: Mapping[str, object], work: Work, actor: str) -> Job:
        """Begin; `JobRefused` when as many run as may."""
        if self._closed or len(self._tasks) >= self._most:
            running = ", ".join(f"{name} ({self._jobs[name].kind})" for name in self._tasks)
            full = f"{len(self._tasks)} jobs run already: {running}; cancel one, or wait"
            raise JobRefused("the bot is stopping" if self._closed else full)
        self._count += 1
        now = self._now()
        job = Job(f"job-{now}-{self._count}", kind, actor, now, now, args)
        self._jobs[job.id] = job
        self._forget()
        self._tell(job.changed())
        task = self._tasks[job.id] = asyncio.create_task(self._live(job, work), name=f"job {kind}")
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))
        return job

    def get(self, name: str) -> Job:
        """The job of this id; `JobRefused` if none is remembered."""
        job = self._jobs.get(name)
        if job is None:
            message = f"no job is called {name!r}; `jobs` lists those that are remembered"
            raise JobRefused(message)
        return job

    def all(self) -> list[Job]:
        """Those that are remembered, the newest first."""
        return list(reversed(self._jobs.values()))

    async def cancel(self, name: str, seconds: float = 10.0) -> Job:
        """End a job early and wait until it has cleaned up, at most so long; one that has ended stays as it is."""
        job, task = self.get(name), self._tasks.get(name)
        if task is not None:
            await _end([task], seconds)
        return job

    async def close(self, seconds: float) -> None:
        """End all of them; no other begins."""
        self._closed = True
        await _end(list(self._tasks.values()), seconds)

    async def _live(self, job: Job, work: Work) -> None:
        def report(progress: Progress) -> None:
            if not job.ended:
                job.progress = progress
                self._change(job, JobState.RUNNING)

        try:
            job.result = await work(report)
        except asyncio.CancelledError:
            self._change(job, JobState.CANCELLED)
            raise
        except Exception as error:  # noqa: BLE001 - the boundary of jobs: whatever one does wrong is its own end
            job.error, job.missing = self._explained(job, error), self._missing(error)
            self._change(job, JobState.FAILED)
        else:
            self._change(job, JobState.DONE)

    def _explained(self, job: Job, error: Exception) -> str:
        line = self._explain(error)
        if line is None:
            log.exception("job_failed", job=job.id, kind=job.kind)
            return f"unexpected {type(error).__name__}; the log has more"
        log.warning("job_failed", job=job.id, kind=job.kind, reason=line)
        return line

    def _change(self, job: Job, state: JobState) -> None:
        job.state, job.at = state, self._now()
        self._tell(job.changed())

    def _forget(self) -> None:
        """Let go of the oldest that have ended, beyond those that are kept."""
        over = len(self._jobs) - self._kept
        for name in [name for name, job in self._jobs.items() if job.ended][: max(0, over)]:
            del self._jobs[name]


async def _end(tasks: list[asyncio.Task[None]], seconds: float) -> None:
    """Cancel once, so that what is cleaned up is not cut short; whoever takes longer is let go."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
        await release(tasks, _LET_GO_SECONDS)
