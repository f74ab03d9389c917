"""Schedules: the moments (slots) at which something is due, and who rings at them.

A `Schedule` is arithmetic: it says which slot follows a time. Two things ring at slots. In backtest and replay the candles do: a
scheduled rule fires with the first candle known at or after its slot. In a running bot APScheduler does (`Scheduler`), so that a
slot is kept even in a market too thin to close a candle. Either way its slot names the decision: both worlds make the same one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import structlog
from pydantic import Field, field_validator, model_validator

from bot.core.decision import Decision, SourceSpec
from bot.core.market import MarketView, timeframe_ms
from bot.core.protocols import SourcePort
from sources.base import Strict

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

log = structlog.get_logger(__name__)

MISFIRE_GRACE_S = 30
CLOSE_TIMEOUT_S = 2.0

Job = Callable[[int], Awaitable[None]]
"""What is run at a slot; its argument is the slot in milliseconds UTC."""


class Schedule(Strict):
    """Either `every` with an optional `offset` (`every: 1d, offset: 9h`), or `cron` with five fields; always in UTC.

    Intervals are counted from the beginning of 1970, so those that divide a day begin at midnight.
    """

    every: str | None = Field(default=None, description="interval such as 30s, 15m, 4h, 1d, 1w")
    offset: str | None = Field(default=None, description="how long after the interval's beginning, such as 9h")
    cron: str | None = Field(default=None, description="minute hour day month weekday, UTC; weekdays by name")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.every is None) == (self.cron is None):
            message = "give either every (with offset, if you like) or cron"
            raise ValueError(message)
        if self.offset is not None and (self.every is None or timeframe_ms(self.offset) >= timeframe_ms(self.every)):
            message = "offset goes with every, and must be shorter than it"
            raise ValueError(message)
        return self

    @field_validator("every", "offset")
    @classmethod
    def _a_duration(cls, text: str | None) -> str | None:
        if text is not None:
            timeframe_ms(text)
        return text

    @field_validator("cron")
    @classmethod
    def _a_cron(cls, text: str | None) -> str | None:
        if text is None:
            return None
        fields = text.split()
        if len(fields) == 5 and any(letter.isdigit() for letter in fields[4]):
            message = f"weekday {fields[4]!r} is a number, which programs count differently; write mon, tue, ... sun"
            raise ValueError(message)
        _cron_trigger(text)
        return text

    def next_after(self, at: int) -> int:
        """The first slot after `at`, in milliseconds UTC. `ValueError` if a cron expression never comes due again."""
        if self.every is not None:
            every = timeframe_ms(self.every)
            offset = 0 if self.offset is None else timeframe_ms(self.offset)
            return at - (at - offset) % every + every
        after = datetime.fromtimestamp(at // 1000, UTC) + timedelta(seconds=1)
        due: datetime | None = _cron_trigger(self.cron or "").get_next_fire_time(None, after)
        if due is None:
            message = f"cron {self.cron!r} never comes due"
            raise ValueError(message)
        return round(due.timestamp() * 1000)

    def latest(self, slot: int, at: int) -> int:
        """The last slot that is not after `at`, where `slot` is one of those that are not."""
        if self.every is not None:
            return at - (at - slot) % timeframe_ms(self.every)
        while (following := self.next_after(slot)) <= at:
            slot = following
        return slot

    def trigger(self) -> Any:
        """The APScheduler trigger that fires at the same slots."""
        if self.every is None:
            return _cron_trigger(self.cron or "")
        from apscheduler.triggers.interval import IntervalTrigger  # noqa: PLC0415  # heavy

        offset = 0 if self.offset is None else timeframe_ms(self.offset)
        start = datetime.fromtimestamp(offset / 1000, UTC)
        return IntervalTrigger(seconds=timeframe_ms(self.every) // 1000, start_date=start, timezone=UTC)


@lru_cache(maxsize=64)
def _cron_trigger(expression: str) -> CronTrigger:
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415  # heavy

    return CronTrigger.from_crontab(expression, timezone=UTC)


class Scheduler:
    """Runs jobs at their slots on the running loop; an asynchronous context manager.

    One run of a job at a time; slots missed while the loop was blocked become one run, and are dropped after 30 s. Errors, drops
    and overlaps are counted in `errors`, `missed` and `overlaps`, and logged. Closing waits for running jobs (at most 2 s), then
    cancels them.
    """

    def __init__(self) -> None:
        self.errors = 0
        self.missed = 0
        self.overlaps = 0
        self._running: set[asyncio.Task[None]] = set()
        self._scheduler: Any = None

    async def __aenter__(self) -> Self:
        from apscheduler import events  # noqa: PLC0415  # heavy
        from apscheduler.schedulers.asyncio import AsyncIOScheduler  # noqa: PLC0415  # heavy

        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": MISFIRE_GRACE_S}
        self._scheduler = AsyncIOScheduler(timezone=UTC, job_defaults=defaults, event_loop=asyncio.get_running_loop())
        self._scheduler.add_listener(self._on_missed, events.EVENT_JOB_MISSED)
        self._scheduler.add_listener(self._on_overlap, events.EVENT_JOB_MAX_INSTANCES)
        self._scheduler.add_listener(self._on_error, events.EVENT_JOB_ERROR)
        self._scheduler.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._scheduler.remove_all_jobs()
        if self._running:
            await asyncio.wait(self._running, timeout=CLOSE_TIMEOUT_S)
        late = list(self._running)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        self._scheduler.shutdown(wait=False)
        await asyncio.sleep(0)  # the shutdown happens in the loop's next turn

    def add(self, name: str, schedule: Schedule, job: Job) -> None:
        """Run `job` at every slot of `schedule` from now on. `name` must be new."""
        due = schedule.next_after(_now())

        async def run() -> None:
            nonlocal due
            now = _now()
            slot, due = schedule.latest(due, now), schedule.next_after(now)
            task = asyncio.current_task()
            assert task is not None
            self._running.add(task)
            try:
                await job(slot)
            finally:
                self._running.discard(task)

        self._scheduler.add_job(run, schedule.trigger(), id=name, name=name)

    def remove(self, name: str) -> None:
        """Run the job no more; a run that has begun goes on. `KeyError` if there is none."""
        if self._scheduler.get_job(name) is None:
            raise KeyError(name)
        self._scheduler.remove_job(name)

    def _on_missed(self, event: Any) -> None:
        self.missed += 1
        log.warning("schedule_missed", job=event.job_id, due=event.scheduled_run_time.isoformat())

    def _on_overlap(self, event: Any) -> None:
        self.overlaps += 1
        log.warning("schedule_overlap", job=event.job_id)

    def _on_error(self, event: Any) -> None:
        self.errors += 1
        log.error("schedule_failed", job=event.job_id, error=f"{type(event.exception).__name__}: {event.exception}")


def _now() -> int:
    """The machine's own clock, which is the one that APScheduler goes by."""
    return time.time_ns() // 1_000_000


Propose = Callable[[str, int, int, MarketView], Decision | None]
"""(symbol, slot, now, view) -> a decision, or None if there is nothing to say."""


class ScheduledSource:
    """A `LiveSource` that proposes for each of its symbols at every slot."""

    def __init__(self, spec: SourceSpec, schedule: Schedule, symbols: Sequence[str], propose: Propose) -> None:
        self._spec = spec
        self._schedule = schedule
        self._symbols = tuple(symbols)
        self._propose = propose

    @property
    def spec(self) -> SourceSpec:
        """What the desk must know of it."""
        return self._spec

    async def run(self, port: SourcePort) -> None:
        """Propose until cancelled; what is being proposed then is finished first."""

        async def fire(slot: int) -> None:
            for symbol in self._symbols:
                decision = self._propose(symbol, slot, port.now(), port.view)
                if decision is None:
                    log.warning("schedule_without_price", source=self._spec.name, symbol=symbol, slot=slot)
                else:
                    await port.propose(decision)

        async with Scheduler() as scheduler:
            scheduler.add(self._spec.name, self._schedule, fire)
            await asyncio.Event().wait()  # for its cancellation: this is where the source lives
