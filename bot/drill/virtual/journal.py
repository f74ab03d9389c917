"""The journal of a drill: in memory, with the promises of the real one and nothing beyond them.

* An intent that was acknowledged is on the disk; one may be on the disk although its acknowledgement was never heard.
* Inputs reach the disk in their order, within a moment; intents overtake them.
* Facts reach it in their order, and only after every input that was recorded before their commit.
* A killed process loses whatever had not got there; how much that is, is drawn.

`Disk` is what survives, `MemoryJournal` what one process has of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bot.core.effects import Effect
from bot.core.facts import (
    CommandDone,
    DecisionFate,
    DecisionSeen,
    Fact,
    FillBooked,
    OrderChanged,
    PositionChanged,
    Verdict,
)
from bot.core.inputs import Input
from bot.core.orders import ZERO, OrderRequest, OrderState
from bot.drill.virtual.chance import Chance
from bot.drill.virtual.loop import VirtualLoop
from bot.drill.virtual.schedule import Moment
from bot.journal.codec import decode_snapshot, encode_snapshot
from bot.journal.errors import JournalUnavailable
from bot.journal.reading import Recorded
from bot.journal.records import JournaledFill, JournaledOrder, Snapshot
from bot.journal.untold import Key, key_of, lacking
from bot.journal.writer import OnStored

_IN_THEIR_TURN = (DecisionSeen, DecisionFate, Verdict, FillBooked, OrderChanged, PositionChanged, CommandDone)
_RETRY_SECONDS = 0.1


@dataclass(slots=True)
class Run:
    """What is on the disk of one run; `kept` are (input number, time, state)."""

    id: str
    kept: list[tuple[int, int, bytes]]
    inputs: list[Input] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    intents: list[OrderChanged] = field(default_factory=list)


@dataclass(slots=True)
class Disk:
    """Everything that survives a process. `orders` is the newest state of each order; `full` says that it takes nothing now."""

    runs: list[Run] = field(default_factory=list)
    orders: dict[str, tuple[str, OrderChanged]] = field(default_factory=dict)
    full: Callable[[], bool] = lambda: False

    def complete(self, run: str | None, facts: Sequence[Fact]) -> None:
        """Commit facts that a crash kept out of an earlier run."""
        if run is not None:
            self.commit(self._run(run), facts)

    def commit(self, run: Run, facts: Sequence[Fact]) -> None:
        """Commit facts of a run, in their order."""
        run.facts.extend(facts)
        for fact in facts:
            if isinstance(fact, OrderChanged):
                self.write(run, fact)

    def facts(self) -> Iterator[Fact]:
        """Every committed fact of every run, in the order of their commits within a run."""
        for run in self.runs:
            yield from run.facts

    def intents(self) -> Iterator[OrderChanged]:
        """Every stored intent."""
        for run in self.runs:
            yield from run.intents

    def write(self, run: Run, fact: OrderChanged) -> None:
        """An order's row: the newest state, under the run that made it."""
        made = self.orders[fact.request.id][0] if fact.request.id in self.orders else run.id
        self.orders[fact.request.id] = (made, fact)

    # What recovery asks, in the words of `bot.runtime.recovery.Remains`.

    def snapshot(self) -> Snapshot | None:
        """The newest state of the newest run."""
        if not self.runs:
            return None
        newest = self.runs[-1]
        seq, at, state = newest.kept[-1]
        return Snapshot(newest.id, at, seq, decode_snapshot(state))

    def inputs(self, run: str) -> Iterator[Recorded]:
        """The recorded inputs of a run."""
        return (Recorded(n, event, None) for n, event in enumerate(self._run(run).inputs, 1))

    def untold(self, run: str, replayed: Sequence[Fact]) -> list[Fact]:
        """The facts of the replay that never were committed."""
        kept = self._run(run)
        newest = max((fact.at for fact in kept.facts if isinstance(fact, _IN_THEIR_TURN)), default=0)
        stored = (key_of(fact) for fact in (*kept.intents, *kept.facts) if fact.at >= newest)
        keys: set[Key] = {key for key in stored if key is not None}
        return lacking(newest, keys, replayed)

    def open_orders(self) -> list[JournaledOrder]:
        """The orders whose rows do not say that they ended."""
        return [_order_row(run, fact) for run, fact in self.orders.values() if not fact.state.terminal]

    def fills(self, run: str) -> list[JournaledFill]:
        """The fills of a run, the newest first."""
        booked = [fact for fact in self._run(run).facts if isinstance(fact, FillBooked)]
        return [_fill_row(number, run, fact) for number, fact in reversed(list(enumerate(booked, 1)))]

    def _run(self, run: str) -> Run:
        return next(kept for kept in self.runs if kept.id == run)


class MemoryJournal:
    """What `Shell` and `Cycle` need of a journal. After `die` nothing more reaches the disk, and nobody is answered."""

    def __init__(self, disk: Disk, loop: VirtualLoop, chance: Chance, on_moment: Callable[[Moment], None]) -> None:
        self.disk = disk
        self.run = Run("", [])
        self._loop = loop
        self._chance = chance
        self._on_moment = on_moment
        self._alive = True
        self._tape: list[Input] = []
        self._entries: list[Fact | tuple[int, int, bytes]] = []
        self._committed = 0
        self._flushing = False
        self._committing = False
        self._stored_at = 0.0
        self._settled: asyncio.Future[None] | None = None

    def begin(self, run: str, at: int, initial: object) -> None:
        """Enter a run; it is on the disk at once, with the state it begins with."""
        self.run = Run(run, [(0, at, encode_snapshot(initial))])
        self.disk.runs.append(self.run)

    def die(self) -> None:
        """The process is killed."""
        self._alive = False

    async def flush(self) -> None:
        """Wait until all that was accepted is on the disk."""
        if self._committed < len(self._entries):
            self._settled = self._loop.create_future()
            await self._settled

    def append(self, fact: Fact, *, durable: bool = False) -> bool:
        """Accept a fact."""
        self._entries.append(fact)
        self._commit_soon(self._chance.between("commit", 0.001, 0.008 if durable else 0.06))
        return True

    def store(self, request: OrderRequest, at: int, on_stored: OnStored) -> None:
        """Store an order's intent, then say so."""
        self._on_moment(Moment.INTENT_ASKED)
        self._stored_at = max(self._stored_at, self._loop.time() + self._chance.between("intent", 0.001, 0.008))
        intent = OrderChanged(at, request, OrderState.INTENT, ZERO, None)
        self._loop.call_at(self._stored_at, self._store, intent, on_stored)

    def input(self, event: Input) -> int:
        """Record an input."""
        self._tape.append(event)
        if not self._flushing:
            self._flushing = True
            self._loop.call_later(self._chance.between("flush", 0.0, 0.06), self._flush)
        return len(self._tape)

    def effects(self, n: int, returned: Sequence[Effect]) -> None:
        """What the desk returned is what a replay gives again."""

    def snapshot(self, at: int, state: object) -> None:
        """Keep the state as it is after the newest input."""
        self._entries.append((len(self._tape), at, encode_snapshot(state)))
        self._commit_soon(self._chance.between("commit", 0.001, 0.06))

    def _flush(self) -> None:
        self._flushing = False
        if self._alive:
            self.run.inputs.extend(self._tape[len(self.run.inputs) :])

    def _store(self, intent: OrderChanged, on_stored: OnStored) -> None:
        if not self._alive:
            return
        error: Exception | None = None
        if self.disk.full():
            error = JournalUnavailable("the disk takes nothing")
        else:
            self._write_intent(intent)
            self._on_moment(Moment.INTENT_DURABLE)
        self._loop.call_later(self._chance.between("answer", 0.0, 0.002), self._answer, on_stored, error)

    def _write_intent(self, intent: OrderChanged) -> None:
        self.run.intents.append(intent)
        self.disk.write(self.run, intent)

    def _answer(self, on_stored: OnStored, error: Exception | None) -> None:
        if self._alive:
            on_stored(error)

    def _commit_soon(self, seconds: float) -> None:
        if not self._committing:
            self._committing = True
            self._loop.call_later(seconds, self._commit)

    def _commit(self) -> None:
        """A batch: the inputs first, then, a little later, the facts, all of them at once."""
        if not self._alive:
            return
        self._flush()
        if self.disk.full():
            self._loop.call_later(_RETRY_SECONDS, self._commit)
            return
        self._loop.call_later(self._chance.between("batch", 0.001, 0.006), self._committed_until, len(self._entries))

    def _committed_until(self, end: int) -> None:
        if not self._alive:
            return
        for entry in self._entries[self._committed : end]:
            if isinstance(entry, tuple):
                self.run.kept.append(entry)
            else:
                self.disk.commit(self.run, [entry])
        self._committed = end
        self._committing = False
        if len(self._entries) > end:
            self._commit_soon(0.001)
        elif self._settled is not None and not self._settled.done():
            self._settled.set_result(None)


def _order_row(run: str, fact: OrderChanged) -> JournaledOrder:
    request = fact.request
    return JournaledOrder(
        request.id,
        run,
        fact.at,
        request.symbol,
        request.side,
        request.type,
        request.amount,
        request.leg,
        request.cause,
        request.attempt,
        request.source,
        request.tier,
        request.confidence,
        request.reference,
        request.created,
        request.price,
        request.trigger,
        request.time_in_force,
        request.post_only,
        request.reduce_only,
        request.decision_id,
        fact.state,
        fact.filled,
        fact.average,
        fact.venue_id,
        fact.reason,
    )


def _fill_row(number: int, run: str, fact: FillBooked) -> JournaledFill:
    fill = fact.fill
    return JournaledFill(
        number,
        run,
        fact.at,
        fill.id,
        fill.order_id,
        fill.symbol,
        fill.side,
        fill.amount,
        fill.price,
        fill.fee,
        fill.fee_currency,
        fill.ts,
        fill.maker,
        fill.evidence,
        fact.source,
        fact.tier,
        fact.confidence,
        fact.decision_id,
        fact.realised,
        fact.fee_value,
        fact.slippage,
    )
