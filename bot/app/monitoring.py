"""The parts of a run, as its monitor looks at them: what each says of itself, turned into one of four states."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bot.app.learners import Learners
from bot.app.live import LiveSide
from bot.app.world import World
from bot.core.market import Health
from bot.latency import LatencyHistogram
from bot.outlets.redis_feed import FeedState
from bot.runtime.hosting import SourceHost
from bot.runtime.jobs import Jobs
from bot.runtime.shell import Shell
from bot.runtime.supervision import Supervisor
from bot.services.llm.access import HELD as MINDS
from bot.services.monitoring.components import Look, Seen, State, Watch
from bot.services.monitoring.live import LiveMonitor, Measured
from bot.services.use_case import Ground

if TYPE_CHECKING:
    from sources.llm.minds import Minds

_GIB = 1 << 30
_MIB = 1 << 20
_BACKLOG = 10_000
_LAG_S, _STUCK_S = 0.25, 2.0
_MEMORY = 2 * _GIB
_OWN = frozenset({"feed", "account", "memory", "calibration"})
"""Tasks that are a part with a name of their own."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What there is to look at."""

    world: World
    shell: Shell
    host: SourceHost
    supervisor: Supervisor
    ground: Ground
    jobs: Jobs
    learners: Learners
    live: LiveSide | None

    def monitor(self) -> LiveMonitor:
        """The monitor of this run."""
        looks: Mapping[str, Look] = {
            "feed": self.feed,
            "journal": self.journal,
            "redis": self.redis,
            "local feed": self.local_feed,
            "account": self.account,
            "sources": self.sources,
            "language models": self.models,
            "quantconnect": self.quantconnect,
            "memory": self.memory,
            "calibration": self.calibration,
            "jobs": self.running_jobs,
            "tasks": self.tasks,
            "disk": self.disk,
            "process memory": self.process_memory,
            "event loop": self.event_loop,
        }
        return LiveMonitor(self.ground, Watch(looks), Measured(self.latencies, lambda: self.shell.journal.pending))

    def latencies(self) -> Mapping[str, LatencyHistogram]:
        """By stage, in seconds: see `bot.runtime.tally`."""
        tally, stages = self.shell.tally, self.shell.tally.stages
        return {
            "event_handled": tally.handled,
            "event_to_fill": tally.to_fill,
            "cause_to_intent": stages.intended,
            "intent_to_disk": stages.stored,
            "intent_to_venue": stages.sent,
            "venue_accepted": stages.accepted,
            "venue_filled": stages.filled,
            "journal_commit": self.shell.journal.counts.committing,
        }

    def feed(self) -> Mapping[str, Seen]:
        """Market data of every symbol."""
        risk, symbols = self.shell.desk.state.risk, tuple(self.world.feed.instruments)
        ill = {name: risk.health.get(name, Health.FRESH).value for name in symbols}
        told = [f"{name} {'has no price yet' if name not in risk.seen else 'is ' + ill[name]}" for name in symbols
                if name not in risk.seen or ill[name] != Health.FRESH.value]  # fmt: skip
        restarts = self.world.feed.statistics.reconnects
        failing = self.supervisor.failing.get("feed")
        if failing is not None:
            return {"feed": Seen(State.DOWN, failing, restarts)}
        if told:
            return {"feed": Seen(State.DOWN if len(told) == len(symbols) else State.DEGRADED, "; ".join(told), restarts)}
        return {"feed": Seen(State.OK, f"{self.world.venue}, {len(symbols)} symbols", restarts)}

    def journal(self) -> Mapping[str, Seen]:
        """Whether it can be written, and keeps up."""
        journal = self.shell.journal
        if journal.trouble is not None:
            return {"journal": Seen(State.DOWN, f"it cannot be written: {journal.trouble.value}")}
        state = State.DEGRADED if journal.pending > _BACKLOG else State.OK
        return {"journal": Seen(state, f"{journal.pending} rows wait, {journal.counts.faults} commits failed")}

    def redis(self) -> Mapping[str, Seen]:
        """The feed to others."""
        stats = self.shell.outlets.redis.stats()
        states = {FeedState.OFF: State.OFF, FeedState.UP: State.OK}
        told = f"{stats.state.value}, {stats.published} messages, {sum(stats.dropped.values())} dropped"
        return {"redis": Seen(states.get(stats.state, State.DEGRADED), told, stats.reconnects)}

    def local_feed(self) -> Mapping[str, Seen]:
        """The feed to commands and the control room."""
        local = self.shell.outlets.local
        if local is None:
            return {"local feed": Seen(State.OFF)}
        stats = local.stats()
        return {"local feed": Seen(State.OK, f"{stats.clients} clients, {stats.sent} messages, {stats.dropped} dropped")}

    def account(self) -> Mapping[str, Seen]:
        """The account at the venue."""
        if self.live is None:
            return {"account": Seen(State.OFF, "this run has paper fills")}
        ailments, risk = self.live.ailments(), self.shell.desk.state.risk
        told = "; ".join(ailments) or "; ".join(str(one) for one in risk.unexplained)
        state = State.DOWN if risk.unread else State.DEGRADED if told else State.OK
        restarts = self.supervisor.restarts.get("account", 0)
        return {"account": Seen(state, f"it is not read yet: {risk.unread}" if risk.unread else told or "read", restarts)}

    def sources(self) -> Mapping[str, Seen]:
        """Every source that was let in."""
        found, troubles = {}, self.host.troubles
        for name, spec in self.host.specs.items():
            task = f"source {name}"
            failing, ails = self.supervisor.failing.get(task), troubles.get(name, [])
            state = State.DOWN if failing else State.DEGRADED if ails else State.OK
            told = failing or "; ".join(ails) or ("paused" if spec.paused else "on")
            found[task] = Seen(state, told, self.supervisor.restarts.get(task, 0))
        return found

    def models(self) -> Mapping[str, Seen]:
        """Every language model that some role asks, once they are open."""
        minds: Minds | None = self.ground.held.get(MINDS)
        if minds is None:
            return {"language models": Seen(State.OFF, "nobody asks them in this run")}
        found: dict[str, Seen] = {}
        for seat in (seat for seats in minds.router.view().roles.values() for seat in seats):
            told = seat.disabled or ("it rests" if seat.breaker.value != "closed" else "")
            state = State.OFF if seat.disabled else State.DEGRADED if told else State.OK
            found[f"llm {seat.provider}/{seat.model}"] = Seen(state, told or "may be asked")
        return found or {"language models": Seen(State.OFF, "no role names one")}

    def quantconnect(self) -> Mapping[str, Seen]:
        """Its REST API, as its answers tell."""
        budget = self.ground.budget
        if not self.ground.quantconnect.complete or budget is None:
            return {"quantconnect": Seen(State.OFF, "nobody said who asks")}
        if budget.peace_s > 0:
            return {"quantconnect": Seen(State.DEGRADED, f"it wants no call for {budget.peace_s:.0f} s")}
        outcomes = budget.tally.outcomes
        failed = outcomes.total() - outcomes["answered"]
        state = State.DEGRADED if failed and failed * 2 >= outcomes.total() else State.OK
        return {"quantconnect": Seen(state, f"{outcomes.total()} calls, {failed} failed")}

    def memory(self) -> Mapping[str, Seen]:
        """What learns from closed trades."""
        memory = self.learners.memory
        return self._learner("memory", None if memory is None else (memory.waiting, memory.failures))

    def calibration(self) -> Mapping[str, Seen]:
        """What learns how far confidences come true."""
        calibration = self.learners.calibration
        return self._learner("calibration", None if calibration is None else (calibration.waiting, calibration.failures))

    def _learner(self, name: str, counts: tuple[int, int] | None) -> Mapping[str, Seen]:
        restarts = self.supervisor.restarts.get(name, 0)
        failing = self.supervisor.failing.get(name)
        if counts is None:
            return {name: Seen(State.OFF, "nothing is learnt in this run")}
        waiting, failures = counts
        state = State.DOWN if failing else State.DEGRADED if waiting and failures else State.OK
        return {name: Seen(state, failing or f"{waiting} wait, {failures} calls of the store failed", restarts)}

    def running_jobs(self) -> Mapping[str, Seen]:
        """Long use cases."""
        under_way = sum(not job.ended for job in self.jobs.all())
        return {"jobs": Seen(State.OK, f"{under_way} under way")}

    def tasks(self) -> Mapping[str, Seen]:
        """Supervised tasks that ever failed, but those that are parts with a name of their own."""
        supervisor = self.supervisor
        apart = {name for name in supervisor.restarts if name in _OWN or name.startswith("source ")}
        found = {f"task {name}": self._task(name) for name in supervisor.restarts if name not in apart}
        abandoned = f", would not end: {', '.join(supervisor.abandoned)}" if supervisor.abandoned else ""
        state = State.DEGRADED if abandoned else State.OK
        return {
            "tasks": Seen(state, f"{len(supervisor.failing)} are down{abandoned}", sum(supervisor.restarts.values())),
            **found,
        }

    def _task(self, name: str) -> Seen:
        failing, restarts = self.supervisor.failing.get(name), self.supervisor.restarts[name]
        return Seen(State.DOWN if failing else State.OK, failing or "runs again", restarts)

    def disk(self) -> Mapping[str, Seen]:
        """Room where the bot keeps its data."""
        settings = self.ground.loaded.settings
        free = shutil.disk_usage(settings.bot.data_dir).free
        least = 4 * settings.journal.ballast_bytes
        state = State.DOWN if free < least else State.DEGRADED if free < _GIB else State.OK
        return {"disk": Seen(state, f"{free / _GIB:.1f} GiB free in {settings.bot.data_dir}")}

    def process_memory(self) -> Mapping[str, Seen]:
        """What the process holds."""
        held = _resident()
        if held is None:
            return {"process memory": Seen(State.OFF, "this system does not tell")}
        return {"process memory": Seen(State.DEGRADED if held > _MEMORY else State.OK, f"{held / _MIB:.0f} MiB")}

    def event_loop(self) -> Mapping[str, Seen]:
        """How late the loop wakes whoever sleeps."""
        lag = self.shell.outlets.stats().loop_lag
        state = State.DOWN if lag > _STUCK_S else State.DEGRADED if lag > _LAG_S else State.OK
        return {"event loop": Seen(state, f"late by {lag * 1_000:.0f} ms at worst in the last seconds")}


def _resident() -> int | None:
    """Bytes of memory that the process holds; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
