"""Calibration beside a running bot: it hears what came of every decision, and corrects the confidence of every new one.

Neither waits: maps lie ready, learnt in a thread at a bounded pace, and what is to be kept goes to one task through a bounded
queue. A decision is corrected only by maps that were learnt before it was made. A store that fails costs nothing but what it
would have kept, and that only until the next start, which reads the journal again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from bot.core.decision import Decision
from bot.core.facts import Fact
from bot.services.learning.fitting import Fitting, Known, Record, fitted, record_json
from bot.services.learning.opening import named, plain
from bot.services.learning.telling import Row, taught_by_fact, taught_by_row
from bot.services.memory.subjects import SIMULATED
from bot.settings.learning import Calibrate
from research.calibration.errors import CalibrationUnavailable
from research.calibration.evidence import Part
from research.calibration.feedback import Feedback
from research.calibration.maps import CalibrationMap, Fit, map_for, maps_in_use
from research.calibration.outcomes import MODEL, Outcomes
from research.calibration.policy import CalibrationPolicy
from research.calibration.sql import SqlCalibration
from research.calibration.states import SourceState
from research.memory.errors import EvidenceError

log = structlog.get_logger(__name__)

CALIBRATION = "calibration"
"""Where a decision's evidence says which map corrected its confidence: the kind of map and its version."""

Heed = Callable[[str, float], None]
"""Told a source's name and the threshold that it should have from now on; must neither wait nor raise."""

_SAME_THRESHOLD = 0.005
_FITTINGS = 16


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """Bounds. `waiting` outcomes wait to be kept, `batch` at once; `sources` are followed; pauses are in seconds."""

    waiting: int = 2_000
    batch: int = 200
    sources: int = 500
    retry: float = 1.0
    retry_longest: float = 60.0
    look: float = 60.0
    refit: float = 60.0


_LIMITS = LiveLimits()


@dataclass(slots=True)
class _Work:
    """What is to be done by the task: outcomes to keep, and whether there is anything new to learn."""

    parts: deque[Part] = field(default_factory=deque)
    keep: asyncio.Event = field(default_factory=asyncio.Event)
    learn: asyncio.Event = field(default_factory=asyncio.Event)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    learning: asyncio.Lock = field(default_factory=asyncio.Lock)


class LiveCalibration:
    """One bot's calibration while it runs. `run` is its one task, to be supervised; `close` keeps what waits, and ends.

    `book` names the books whose outcomes these are. In a `simulated` world every source has that world's name. `dropped` outcomes
    found no room, `failures` counts the calls that the store did not answer, `unfollowed` the outcomes of one source too many.
    """

    def __init__(
        self,
        store: SqlCalibration,
        policy: CalibrationPolicy,
        now: Callable[[], int],
        *,
        calibrate: Calibrate = Calibrate.WATCH,
        book: str = "",
        simulated: bool = False,
        heed: Heed | None = None,
        limits: LiveLimits = _LIMITS,
    ) -> None:
        self.store = store
        self.policy = policy
        self.calibrate = calibrate
        self._now = now
        self._simulated = simulated
        self._heed = heed
        self._limits = limits
        self.outcomes = Outcomes(book, lambda source: named(source, simulated=simulated))
        self._parts: dict[str, dict[str, Part]] = {}
        self._states: Mapping[str, SourceState] = {}
        self._feedback: Sequence[Feedback] = ()
        # The newest few: a decision that was made before the newest was learnt is corrected by the one before.
        self._fittings: deque[Fitting] = deque(maxlen=_FITTINGS)
        self._heeded: dict[str, float] = {}
        self._work = _Work()
        self.dropped = 0
        self.failures = 0
        self.unfollowed = 0

    @property
    def waiting(self) -> int:
        """How many outcomes wait to be kept."""
        return len(self._work.parts)

    @property
    def records(self) -> Sequence[Record]:
        """How each source, model and action stands, as of when it was last learnt."""
        return self._fittings[-1].records if self._fittings else ()

    def state(self) -> list[dict[str, object]]:
        """How each source, model and action stands, as plain JSON values; `as_of` is when it was last learnt."""
        if not self._fittings:
            return []
        newest = self._fittings[-1]
        return [{"as_of": newest.as_of} | record_json(each) for each in newest.records]

    def adjust(self, decision: Decision) -> Decision:
        """The decision with its confidence calibrated by the newest map that was learnt before it was made.

        The stated confidence is kept as the raw one, unless the source itself gave a raw one: then that is what the map reads,
        and the confidence moves as far as the map moves it. To run before the memory. Given back as it is: where calibration is
        not on, where nothing is learnt or it is frozen to nothing, a second time, and a confidence that is none.
        """
        if self.calibrate is not Calibrate.ON or CALIBRATION in decision.evidence:
            return decision
        counted = decision.confidence
        stated = counted if decision.raw_confidence is None else decision.raw_confidence
        if not (0.0 <= counted <= 1.0 and 0.0 <= stated <= 1.0):
            return decision
        model = decision.evidence.get(MODEL)
        said = model if isinstance(model, str) else ""
        found = self._map_at(decision.source, said, decision.action.value, decision.created)
        if found is None or found.fit is Fit.IDENTITY:
            return decision
        calibrated = found(stated)
        if stated != counted:
            calibrated = min(1.0, max(0.0, counted + calibrated - stated))
        return replace(
            decision,
            confidence=calibrated,
            raw_confidence=stated,
            calibrated_confidence=calibrated,
            evidence={**decision.evidence, CALIBRATION: f"{found.fit.value} {found.version}"},
        )

    def calibrated(self, source: str, model: str, action: str, stated: float, at: int) -> float:
        """What a confidence stated at `at` (ms UTC) is worth by what was learnt before, whether or not calibration is on.

        For whoever weighs several models against each other; the stated one where nothing is learnt.
        """
        found = self._map_at(source, model, action, at)
        return stated if found is None else found(stated)

    def saw(self, fact: Fact) -> None:
        """Take what the desk tells; returns at once."""
        self._learn(taught_by_fact(self.outcomes, fact))

    async def recall(self) -> None:
        """Take up what the store knows and what people decided, and learn from it. `CalibrationUnavailable` if it cannot tell."""
        at = self._now()
        self._states, self._feedback = await self.store.states(), await self.store.feedback(at)
        ours = [source for source in await self.store.sources(at) if source.startswith(SIMULATED) is self._simulated]
        for source in ours[: self._limits.sources]:
            try:
                known = await self.store.parts(source, at, self.policy.window * 2)
            except EvidenceError as error:
                log.warning("calibration_unreadable", source=source, error=str(error))
                known = []
            held = {part.id: part for part in known}
            self._parts[source] = held | {key: part for key, part in self._parts.get(source, {}).items() if key not in held}
        await self.refit()

    async def catch_up(self, rows: Iterable[Row]) -> None:
        """Learn from the journal's rows, in their order, what an earlier run did not come to keep, and go on from there."""
        for row in rows:
            self._learn(taught_by_row(self.outcomes, row))
        with contextlib.suppress(CalibrationUnavailable):
            await self._write()
        await self.refit()

    async def refit(self) -> None:
        """Learn the maps anew from what is known now, in a thread."""
        async with self._work.learning:
            self._trim()
            known = Known({source: list(parts.values()) for source, parts in self._parts.items()}, self._states, self._feedback)
            found = await asyncio.to_thread(fitted, known, self._now(), self.policy)
            self._fittings.append(found)
            try:
                await self.store.keep_maps(maps_in_use(found.maps), found.as_of)
            except CalibrationUnavailable as error:
                self._failed(error)
        self._tell(found)

    async def run(self) -> None:
        """Keep what was learnt and learn the maps anew at their pace, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keeping(), name="calibration-keeping")
            tasks.create_task(self._learning(), name="calibration-learning")

    async def close(self, seconds: float) -> None:
        """Keep what waits, then close the store, each within `seconds`. What is not kept is found again in the journal."""
        try:
            async with asyncio.timeout(seconds):
                await self._write()
        except (TimeoutError, CalibrationUnavailable) as error:
            log.warning("calibration_unwritten", outcomes=self.waiting, error=str(error) or "no time was left")
        finally:
            with contextlib.suppress(TimeoutError, CalibrationUnavailable):
                async with asyncio.timeout(seconds):
                    await self.store.close()

    def _map_at(self, source: str, model: str, action: str, at: int) -> CalibrationMap | None:
        fitting = next((each for each in reversed(self._fittings) if each.as_of <= at), None)
        return None if fitting is None else map_for(fitting.maps, named(source, simulated=self._simulated), model, action)

    def _learn(self, parts: Iterable[Part]) -> None:
        for part in parts:
            source = part.opinion.source
            if source not in self._parts and len(self._parts) >= self._limits.sources:
                self.unfollowed += 1
                continue
            held = self._parts.setdefault(source, {})
            if part.id in held:
                continue
            held[part.id] = part
            self._work.learn.set()
            if len(self._work.parts) >= self._limits.waiting:
                self.dropped += 1
                log.warning("calibration_outcome_dropped", source=source, dropped=self.dropped)
                continue
            self._work.parts.append(part)
            self._work.keep.set()

    def _trim(self) -> None:
        """Let go of what no map looks at."""
        most = self.policy.window * 2
        for source, held in self._parts.items():
            if len(held) > most:
                newest = sorted(held.values(), key=lambda part: (part.known_at, part.id))[-most:]
                self._parts[source] = {part.id: part for part in newest}

    def _tell(self, found: Fitting) -> None:
        if self._heed is None:
            return
        for source, threshold in found.thresholds.items():
            if abs(self._heeded.get(source, -1.0) - threshold) > _SAME_THRESHOLD:
                self._heeded[source] = threshold
                self._heed(plain(source), threshold)

    async def _learning(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.look):
                    await self._work.learn.wait()
            if self._work.learn.is_set():
                self._work.learn.clear()
                await self.refit()
                await asyncio.sleep(self._limits.refit)

    async def _keeping(self) -> None:
        pause = self._limits.retry
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.look):
                    await self._work.keep.wait()
            self._work.keep.clear()
            try:
                await self._write()
                pause = self._limits.retry
            except CalibrationUnavailable:
                self._work.keep.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._limits.retry_longest)

    async def _write(self) -> None:
        waiting = self._work.parts
        async with self._work.writing:
            while waiting:
                batch = [waiting[place] for place in range(min(len(waiting), self._limits.batch))]
                try:
                    await self.store.keep(batch)
                except CalibrationUnavailable as error:
                    self._failed(error)
                    raise
                # Only now: a call that was cut short is made again, and what is kept already stays as it is.
                for _ in batch:
                    waiting.popleft()

    def _failed(self, error: CalibrationUnavailable) -> None:
        self.failures += 1
        log.warning("calibration_unavailable", error=str(error), failures=self.failures, waiting=self.waiting)
