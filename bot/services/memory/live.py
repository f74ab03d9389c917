"""The memory of a running bot: it hears of every closed trade, and has its say on the confidence of every decision.

Neither waits: what is to be asked lies ready beside the store, and what is to be kept goes to one task through a bounded queue. A
store that fails costs nothing but what it would have learnt, and that only until the next start, which reads the journal again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import structlog

from bot.core.decision import Decision
from bot.core.facts import Fact, LotClosed, PositionChanged
from bot.services.memory.beliefs import beliefs_of
from bot.services.memory.heard import HeardMemory
from bot.services.memory.subjects import NO_TIMEFRAME, subject_of
from bot.services.memory.trades import ClosedPart, ClosedTrade, Closings
from research.memory.confidence import adjusted
from research.memory.errors import EvidenceError, MemoryUnavailable
from research.memory.evidence import Evidence, Subject, TradeEvidence
from research.memory.policy import MemoryPolicy
from research.memory.store import MemoryStore

log = structlog.get_logger(__name__)

FACTOR = "memory_factor"
"""Where a decision's evidence says what the memory made of its confidence."""

Held = Mapping[str, tuple[Decimal, str | None]]
"""Positions: by symbol the signed amount, and the opener of the oldest lot."""


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """Bounds. `waiting` trades wait to be written, `batch` at once; `subjects` are followed; pauses are in seconds."""

    waiting: int = 1_000
    batch: int = 100
    subjects: int = 2_000
    retry: float = 1.0
    retry_longest: float = 60.0
    refresh: float = 60.0


_LIMITS = LiveLimits()


class LiveMemory:
    """One bot's memory while it runs. `run` is its one task, to be supervised; `close` writes what waits and closes the store.

    `book` names the books whose trades these are. In a `simulated` world everything has that world's names. `dropped` trades
    found no room, `refused` ones could not be kept as they were, `failures` counts the calls that the store did not answer,
    `unfollowed` the decisions about which it was not asked because too many subjects are followed already.
    """

    def __init__(
        self,
        store: MemoryStore,
        policy: MemoryPolicy,
        now: Callable[[], int],
        *,
        book: str = "",
        simulated: bool = False,
        limits: LiveLimits = _LIMITS,
    ) -> None:
        self._beliefs = beliefs_of(store, policy)
        self._inner = store
        self._policy = policy
        self._now = now
        self._book = book
        self._simulated = simulated
        self._limits = limits
        self._closings = Closings()
        self._timeframes: dict[str, str] = {}
        self._subjects: dict[tuple[str, str], Subject | None] = {}
        self._waiting: deque[TradeEvidence] = deque()
        self._wanted: dict[Subject, None] = {}
        self._work = asyncio.Event()
        self._writing = asyncio.Lock()
        self.store = HeardMemory(store, self._heard)
        self.dropped = 0
        self.refused = 0
        self.failures = 0
        self.unfollowed = 0

    @property
    def waiting(self) -> int:
        """How many trades wait to be written."""
        return len(self._waiting)

    def know(self, source: str, timeframe: str, symbols: Iterable[str] = ()) -> None:
        """Hear of a source before its first decision: its timeframe, and the symbols on which it may propose."""
        self._timeframes[source] = timeframe
        for symbol in symbols:
            self._subjects.pop((source, symbol), None)
            self._subject(source, symbol)

    async def recall(self) -> None:
        """Learn what the store knows of the subjects that were heard of; what it cannot tell now is asked for again later."""
        with contextlib.suppress(MemoryUnavailable):
            await self._recall()

    def adjust(self, decision: Decision) -> Decision:
        """The decision with the confidence that the memory leaves it, as of when it was made.

        The raw confidence is kept, the calibrated one as it is; evidence gets `memory_factor`. One of which nothing is known,
        that was adjusted before, or whose confidence is none, is given back as it is.
        """
        raw = decision.confidence
        if not 0.0 <= raw <= 1.0 or FACTOR in decision.evidence:
            return decision
        subject = self._subject(decision.source, decision.symbol)
        found = None if subject is None else self._beliefs.confidence(subject, decision.created)
        if found is None:
            return decision
        made = adjusted(found, raw, self._policy)
        return replace(
            decision,
            confidence=made.value,
            raw_confidence=raw if decision.raw_confidence is None else decision.raw_confidence,
            evidence={**decision.evidence, FACTOR: made.factor},
        )

    def saw(self, fact: Fact) -> None:
        """Take what closes from the desk's facts; returns at once."""
        kind = fact.__class__
        if kind is LotClosed:
            self._learn(self._closings.closed(fact))  # type: ignore[arg-type]
        elif kind is PositionChanged:
            self._learn(self._closings.position(fact.symbol, fact.amount, fact.opener))  # type: ignore[union-attr]

    async def catch_up(self, parts: Sequence[ClosedPart], held: Held, *, whole: bool) -> None:
        """Learn from the journal what an earlier run did not come to keep, and go on with the trades that it had begun to close.

        `parts` are the closed lots of the book in their order, and all there are if `whole`; `held` are its positions now.
        """
        seen: set[str] = set()
        trades: list[ClosedTrade | None] = []
        for part in parts:
            trades.append(self._closings.closed(part, cut=not whole and part.symbol not in seen))
            seen.add(part.symbol)
        for symbol in sorted(seen):
            amount, opener = held.get(symbol, (Decimal(0), None))
            trades.append(self._closings.position(symbol, amount, opener))
        evidence = [made for trade in trades if trade is not None and (made := self._evidence(trade)) is not None]
        try:
            fresh = await self._unknown(evidence)
            await self.store.remember(fresh)
        except MemoryUnavailable as error:
            self._failed(error)
            for each in evidence:
                self._put(each)

    async def run(self) -> None:
        """Keep what was learnt and look up what is asked about, until cancelled."""
        pause = self._limits.retry
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.refresh):
                    await self._work.wait()
            self._work.clear()
            if self._beliefs.ages:
                self._want_all()
            try:
                await self._recall()
                await self._write()
                pause = self._limits.retry
            except MemoryUnavailable:
                self._work.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._limits.retry_longest)

    async def close(self, seconds: float) -> None:
        """Write what waits, then close the store, each within `seconds`. What is not written is found again in the journal."""
        try:
            async with asyncio.timeout(seconds):
                await self._write()
        except (TimeoutError, MemoryUnavailable) as error:
            log.warning("memory_unwritten", trades=len(self._waiting), error=str(error) or "no time was left")
        finally:
            with contextlib.suppress(TimeoutError, MemoryUnavailable):
                async with asyncio.timeout(seconds):
                    await self._inner.close()

    def _subject(self, source: str, symbol: str) -> Subject | None:
        """The subject of a source's trades; one that is new is asked about soon. None for names that cannot be kept."""
        key = (source, symbol)
        if key in self._subjects:
            return self._subjects[key]
        if len(self._subjects) >= self._limits.subjects:
            self.unfollowed += 1
            if self.unfollowed == 1:
                log.warning("memory_follows_no_more", source=source, symbol=symbol, subjects=len(self._subjects))
            return None
        try:
            found = subject_of(source, symbol, self._timeframes.get(source, NO_TIMEFRAME), simulated=self._simulated)
        except EvidenceError:
            found = None
        self._subjects[key] = found
        if found is not None:
            self._wanted[found] = None
            self._work.set()
        return found

    def _evidence(self, trade: ClosedTrade) -> TradeEvidence | None:
        timeframe = self._timeframes.get(trade.source, NO_TIMEFRAME)
        try:
            subject = subject_of(trade.source, trade.symbol, timeframe, simulated=self._simulated)
            return trade.evidence(subject, self._book)
        except EvidenceError as error:
            self.refused += 1
            log.warning("memory_trade_refused", source=trade.source, symbol=trade.symbol, error=str(error), refused=self.refused)
            return None

    def _learn(self, trade: ClosedTrade | None) -> None:
        found = None if trade is None else self._evidence(trade)
        if found is not None:
            self._beliefs.add([found])
            self._put(found)

    def _put(self, evidence: TradeEvidence) -> None:
        if len(self._waiting) >= self._limits.waiting:
            self.dropped += 1
            log.warning("memory_trade_dropped", strategy=evidence.strategy, symbol=evidence.symbol, dropped=self.dropped)
            return
        self._waiting.append(evidence)
        self._work.set()

    def _heard(self, evidence: Sequence[Evidence]) -> None:
        """Someone remembered this: what decisions may ask about lies ready at once."""
        followed = set(self._subjects.values())
        self._beliefs.add(each for each in evidence if each.subject in followed)
        if self._beliefs.ages:
            self._work.set()

    def _want_all(self) -> None:
        self._wanted.update(dict.fromkeys(subject for subject in self._subjects.values() if subject is not None))

    async def _recall(self) -> None:
        while self._wanted:
            subject = next(iter(self._wanted))
            try:
                await self._beliefs.recall(subject, self._now())
            except MemoryUnavailable as error:
                self._failed(error)
                raise
            except EvidenceError as error:
                _unreadable(subject, error)
            self._wanted.pop(subject, None)

    async def _write(self) -> None:
        async with self._writing:
            while self._waiting:
                batch = [self._waiting[place] for place in range(min(len(self._waiting), self._limits.batch))]
                try:
                    await self._inner.remember(batch)
                except MemoryUnavailable as error:
                    self._failed(error)
                    raise
                # Only now: a call that was cut short is made again, and what is kept already stays as it is.
                for _ in batch:
                    self._waiting.popleft()
                for subject in {each.subject: None for each in batch}:
                    # Worked out here, so that no decision waits for it.
                    self._beliefs.confidence(subject, self._now())

    async def _unknown(self, evidence: Sequence[TradeEvidence]) -> list[TradeEvidence]:
        """Without the trades that are known already, also if the source had another timeframe then."""
        names = {(each.symbol, each.strategy) for each in evidence}
        known: set[tuple[str, int]] = set()
        for subject in await self._inner.subjects(self._now()):
            if (subject.symbol, subject.strategy) in names:
                known |= {(each.reference, each.closed) for each in await self._kept(subject)}
        return [each for each in evidence if (each.reference, each.closed) not in known]

    async def _kept(self, subject: Subject) -> list[TradeEvidence]:
        try:
            found = await self._beliefs.evidence(subject, self._now())
        except EvidenceError as error:
            _unreadable(subject, error)
            return []
        return [each for each in found if isinstance(each, TradeEvidence)]

    def _failed(self, error: MemoryUnavailable) -> None:
        self.failures += 1
        log.warning("memory_unavailable", error=str(error), failures=self.failures, waiting=len(self._waiting))


def _unreadable(subject: Subject, error: EvidenceError) -> None:
    log.warning("memory_unreadable", subject=str(subject), error=str(error))
