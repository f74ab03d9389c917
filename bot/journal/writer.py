"""The writer: one thread that commits in groups whatever has gathered.

The desk's task hands facts over and goes on; nothing here makes it wait. Intents go first and are answered, one call into the
loop per batch, once they are on the disk. When a commit fails, intents fail with it (they were not sent, so nothing is owed), and
everything else that was accepted stays in memory, in order, until the database takes it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

import structlog

from bot.core.facts import Fact, OrderChanged
from bot.core.orders import ZERO, OrderRequest, OrderState
from bot.journal.engine import Engine, Mark, Write
from bot.journal.errors import JournalTrouble, JournalUnavailable, RowFault, StoreFault, Trouble
from bot.journal.rescue import save
from bot.journal.rows import STATISTICS, Row, rows_by_table
from bot.latency import LatencyHistogram

log = structlog.get_logger(__name__)

OnStored = Callable[[Exception | None], None]
Ack = tuple[OnStored, Exception | None]

# Bounds how long an intent may wait behind a batch of telemetry; the smaller one where more intents wait already.
_BATCH = 256
_BATCH_BETWEEN_INTENTS = 32
_INTENTS = 1_024
# How far past `limit` facts that are not statistics are still accepted.
_HARD_FACTOR = 10


@dataclass(frozen=True, slots=True)
class Put:
    """A row that is not a fact: of runs, snapshots or segments, whole."""

    table: str
    row: Row


@dataclass(frozen=True, slots=True)
class Barrier:
    """Everything accepted before it is on the disk, or was told to have failed, when it is answered.

    `intents`: how many had been accepted by then; they wait in a queue of their own.
    """

    on_stored: OnStored
    intents: int


@dataclass(frozen=True, slots=True)
class Intent:
    """An order to be stored durably before the venue hears of it."""

    fact: OrderChanged
    on_stored: OnStored


Entry = tuple[Fact | Put | Barrier, bool]


@dataclass(slots=True)
class WriterCounts:
    """What the writer did since it started; written by its thread, read by anyone.

    `committing` has the seconds of every commit, also of one that failed; `looked` is when (monotonic seconds) nothing was left.
    """

    rows: int = 0
    batches: int = 0
    intents: int = 0
    intents_failed: int = 0
    faults: int = 0
    refused: int = 0
    dropped: int = 0
    lost: int = 0
    rescued: int = 0
    committing: LatencyHistogram = field(default_factory=LatencyHistogram)
    looked: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """Facts `waiting` before statistics are dropped; seconds that telemetry may `gather`; seconds between retries."""

    waiting: int = 100_000
    gather: float = 0.05
    retry: float = 0.1
    retry_longest: float = 5.0


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told, in the event loop, when the journal cannot be written and when it can again."""

    on_trouble: Callable[[JournalTrouble], None]
    on_recovered: Callable[[], None]


@dataclass(slots=True)
class _Batch:
    """What is committed together, under a number of its own; `unsure` once it may be stored although a commit failed."""

    number: int
    intents: list[Intent]
    entries: list[Entry]
    unsure: bool = False

    @property
    def durable(self) -> bool:
        return bool(self.intents) or any(durable for _, durable in self.entries)

    def __len__(self) -> int:
        return len(self.intents) + len(self.entries)

    def singly(self) -> Iterator[tuple[list[Intent], list[Entry]]]:
        """The same, one by one."""
        for intent in self.intents:
            yield [intent], []
        for entry in self.entries:
            yield [], [entry]


class JournalWriter:
    """Facts in, batches out. `scope` is what every fact's row carries: its book and `run`.

    Built anywhere, started inside a running loop. `inputs_first` is called before facts are committed. `rescue` is where
    accepted facts go if the database takes none until the close.
    """

    def __init__(self, engine: Engine, book: int, run: str, rescue: Path, watch: Watch, limits: WriterLimits) -> None:
        self.counts = WriterCounts()
        self._engine = engine
        self._run_id = run
        self._scope: Row = {"book": book, "run": run}
        self._rescue = rescue
        self._watch = watch
        self._limits = limits
        self._intents: deque[Intent] = deque()
        self._entries: deque[Entry] = deque()
        self._unsure: _Batch | None = None
        self._number = 0
        self._intents_accepted = 0
        self._intents_taken = 0
        self._signal: SimpleQueue[None] = SimpleQueue()
        self._trouble: Trouble | None = None
        self._failing = False
        self._facts_are_next = False
        self._delay = limits.retry
        self._retry_at = 0.0
        self._closing = False
        self.inputs_first: Callable[[], None] = _nothing_first
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Start the thread; answers will come to the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    @property
    def pending(self) -> int:
        """Facts and intents accepted and not yet committed (those of the batch being written are not counted)."""
        unsure = self._unsure
        return len(self._intents) + len(self._entries) + (0 if unsure is None else len(unsure))

    @property
    def trouble(self) -> Trouble | None:
        """What hinders the writer now."""
        return self._trouble

    def append(self, fact: Fact, *, durable: bool = False) -> bool:
        """Accept a fact; never waits. `durable` ones are on the disk with the next commit.

        False if it was not accepted: a statistic while too much waits (counted as dropped), anything else only at ten times that
        (counted as lost, and told as trouble).
        """
        waiting = len(self._entries)
        if (waiting >= self._limits.waiting or self._closing) and not self._admits(fact, waiting):
            return False
        self._entries.append((fact, durable))
        if durable or waiting >= _BATCH:
            self._wake()
        return True

    def put(self, table: str, row: Row, *, durable: bool = False) -> None:
        """Accept a whole row of runs, snapshots or segments; never waits. Safe from any thread."""
        self._entries.append((Put(table, row), durable))
        if durable:
            self._wake()

    def store(self, request: OrderRequest, at: int, on_stored: OnStored) -> None:
        """Store an order's intent durably. `on_stored` is called once, in the loop: None, or why it was not stored."""
        loop = self._loop
        if loop is None or self._closing or len(self._intents) >= _INTENTS:
            error = JournalUnavailable("the journal is closed" if loop is None or self._closing else "too many intents wait")
            (loop or asyncio.get_running_loop()).call_soon(on_stored, error)
            return
        self._intents_accepted += 1
        self._intents.append(Intent(OrderChanged(at, request, OrderState.INTENT, ZERO, None), on_stored))
        self._wake()

    async def flush(self, timeout: float = 5.0) -> None:
        """Wait until all that was accepted is on the disk; `JournalUnavailable` if that takes longer than `timeout` seconds."""
        if not self._thread.is_alive():
            message = "the journal is closed"
            raise JournalUnavailable(message)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def answer(error: Exception | None) -> None:
            if not done.done():
                done.set_exception(error) if error else done.set_result(None)

        self._entries.append((Barrier(answer, self._intents_accepted), True))
        self._wake()
        try:
            await asyncio.wait_for(done, timeout)
        except TimeoutError as error:
            message = (
                f"the journal was not written within {timeout:g} s ({self._trouble or 'slow disk'}); {self.pending} rows wait"
            )
            raise JournalUnavailable(message) from error

    async def close(self, timeout: float = 5.0) -> None:
        """Write what is left and end the thread; what the database refuses goes to the rescue file.

        `JournalUnavailable` if the thread does not end within `timeout` seconds.
        """
        self._closing = True
        if not self._thread.is_alive():
            return
        self._wake()
        await asyncio.to_thread(self._thread.join, timeout)
        # Answers of the last batch are already queued in the loop: let them run before the caller tears it down.
        await asyncio.sleep(0)
        if self._thread.is_alive():
            message = f"the journal's writer did not end within {timeout:g} s; {self.pending} rows wait"
            raise JournalUnavailable(message)

    def _admits(self, fact: Fact, waiting: int) -> bool:
        if isinstance(fact, STATISTICS):
            self.counts.dropped += 1
            return False
        if waiting < self._limits.waiting * _HARD_FACTOR and not self._closing:
            return True
        self.counts.lost += 1
        if self.counts.lost == 1 or self.counts.lost % 10_000 == 0:
            log.critical("journal_overflow", lost=self.counts.lost, waiting=waiting)
            self._tell(JournalTrouble(Trouble.OVERFLOW, f"{waiting} facts wait; newer ones are lost", waiting))
        return False

    def _wake(self) -> None:
        """Rouse the thread. A signal that it has not taken yet will do: it looks at the queues after taking it."""
        if self._signal.empty():
            self._signal.put(None)

    # Below: the writer's thread.

    def _run(self) -> None:
        while not self._closing:
            self._wait()
            self._drain()
            self._recover()
        self._drain(last=True)
        self._save_rest()
        self._engine.close()

    def _wait(self) -> None:
        if not self._intents:
            until_retry = self._retry_at - time.monotonic() if self._failing else 0.0
            try:
                self._signal.get(timeout=max(until_retry, self._limits.gather))
            except Empty:
                self._engine.tidy(idle=True)

    def _drain(self, *, last: bool = False) -> None:
        """Commit batch after batch until nothing waits, or one fails."""
        while True:
            hindered = self._failing and not last and time.monotonic() < self._retry_at
            began = time.monotonic()
            batch = self._take(intents_only=hindered)
            if not len(batch) and not self._intents:
                if not hindered:
                    self.counts.looked = began
                return
            if len(batch) and not self._commit(batch):
                return
            self._engine.tidy(idle=False)

    def _take(self, *, intents_only: bool) -> _Batch:
        """The next batch: intents alone, so that an exit waits for nothing and needs the least of the disk; then facts."""
        if self._intents and (intents_only or not self._facts_are_next):
            self._facts_are_next = True
            intents = [self._intents.popleft() for _ in range(min(len(self._intents), _BATCH))]
            self._intents_taken += len(intents)
            return self._batch(intents, [])
        self._facts_are_next = False
        if self._unsure is not None and not intents_only:
            batch, self._unsure = self._unsure, None
            return batch
        room = 0 if intents_only else _BATCH_BETWEEN_INTENTS if self._intents else _BATCH
        return self._batch([], self._take_entries(room))

    def _take_entries(self, room: int) -> list[Entry]:
        """The next facts, `room` at most, and none past a barrier that still has intents before it."""
        taken: list[Entry] = []
        for _ in range(min(len(self._entries), room)):
            item = self._entries[0][0]
            if isinstance(item, Barrier) and item.intents > self._intents_taken:
                break
            taken.append(self._entries.popleft())
        return taken

    def _batch(self, intents: list[Intent], entries: list[Entry]) -> _Batch:
        self._number += 1
        return _Batch(self._number, intents, entries)

    def _commit(self, batch: _Batch) -> bool:
        """Whether the batch, except for rows that can never be stored, is in the database."""
        try:
            try:
                self._write(batch)
            except StoreFault as fault:
                if fault.kind is not Trouble.DISK_FULL or not self._engine.relieve():
                    raise
                self._hinder(fault, ballast=True)
                self._write(batch)
        except RowFault:
            return self._commit_singly(batch)
        except StoreFault as fault:
            self._give_back(batch, fault)
            return False
        self._settle(batch)
        return True

    def _write(self, batch: _Batch) -> None:
        # Intents are never tried again, so they need no mark; and they may overtake a batch that is.
        mark = Mark(self._run_id, batch.number) if batch.entries else None
        if batch.entries:
            self.inputs_first()
        began = time.perf_counter()
        try:
            self._engine.commit(self._writes(batch), durable=batch.durable, mark=mark)
        except (StoreFault, RowFault):
            raise
        except Exception as error:
            # The boundary of the thread: whatever an engine raises, accepted facts must outlive it.
            log.exception("journal_engine_failed")
            raise StoreFault(Trouble.IO, f"{type(error).__name__}: {error}") from error
        finally:
            self.counts.committing.add(time.perf_counter() - began)

    def _writes(self, batch: _Batch) -> Iterator[Write]:
        """Rows are made while the database takes them, so that the thread never holds the interpreter for a whole batch."""
        scope = self._scope
        facts: list[Fact] = [intent.fact for intent in batch.intents]
        facts.extend(item for item, _ in batch.entries if not isinstance(item, Put | Barrier))
        for table, group, to_row in rows_by_table(facts):
            yield Write(table, (to_row(fact) | scope for fact in group))
        for item, _ in batch.entries:
            if isinstance(item, Put):
                yield Write(item.table, [item.row])

    def _commit_singly(self, batch: _Batch) -> bool:
        """One row of the batch is bad: find it, and keep it from holding up the others."""
        singles = deque(self._batch(*items) for items in batch.singly())
        while singles:
            single = singles.popleft()
            try:
                self._write(single)
            except RowFault as fault:
                self._refuse(single, fault)
            except StoreFault as fault:
                self._entries.extendleft(entry for rest in reversed(singles) for entry in rest.entries)
                single.intents.extend(intent for rest in singles for intent in rest.intents)
                self._give_back(single, fault)
                return False
            else:
                self._settle(single)
        return True

    def _refuse(self, single: _Batch, fault: RowFault) -> None:
        self.counts.refused += 1
        items: Iterable[object] = (*(intent.fact for intent in single.intents), *(item for item, _ in single.entries))
        kind = ", ".join(type(item).__name__ for item in items)
        log.error("journal_row_refused", fact=kind, error=str(fault))
        self._tell(JournalTrouble(Trouble.ROW_REFUSED, f"{kind}: {fault}", self.pending))
        self._answer(
            [(intent.on_stored, JournalUnavailable(f"the order cannot be stored: {fault}")) for intent in single.intents]
        )

    def _settle(self, batch: _Batch) -> None:
        """The batch is stored: answer. Intents alone may have squeezed through: only more than those says that writing works."""
        self.counts.batches += 1
        self.counts.rows += len(batch)
        self.counts.intents += len(batch.intents)
        acks: list[Ack] = [(intent.on_stored, None) for intent in batch.intents]
        acks.extend((item.on_stored, None) for item, _ in batch.entries if isinstance(item, Barrier))
        self._answer(acks)
        if self._failing and (batch.entries or not (self._entries or self._unsure)):
            self._failing = False
            self._delay = self._limits.retry

    def _recover(self) -> None:
        """The trouble is over when writing works and the disk reserve is there for the next time."""
        if self._trouble is not None and not self._failing and not self._engine.relieved():
            self._trouble = None
            log.info("journal_recovered", pending=self.pending)
            self._call(self._watch.on_recovered)

    def _give_back(self, batch: _Batch, fault: StoreFault) -> None:
        """The batch is not known to be stored: its intents fail, the rest waits where it was, or as it is if that is unsure."""
        batch.unsure = batch.unsure or fault.unsure
        if batch.unsure and batch.entries:
            self._unsure = _Batch(batch.number, [], batch.entries, unsure=True)
        else:
            self._entries.extendleft(reversed(batch.entries))
        self.counts.intents_failed += len(batch.intents)
        self._failing = True
        self._retry_at = time.monotonic() + self._delay
        self._delay = min(self._delay * 2, self._limits.retry_longest)
        self._hinder(fault)
        self._answer([(intent.on_stored, JournalUnavailable(f"the order was not stored: {fault}")) for intent in batch.intents])

    def _hinder(self, fault: StoreFault, *, ballast: bool = False) -> None:
        self.counts.faults += 1
        first = self._trouble is not fault.kind
        self._trouble = fault.kind
        if first or ballast:
            log.error("journal_hindered", kind=fault.kind.value, error=str(fault), pending=self.pending, ballast=ballast)
            self._tell(JournalTrouble(fault.kind, str(fault), self.pending, ballast))

    def _save_rest(self) -> None:
        """The bot must stop and the database still refuses: keep what was accepted beside it."""
        rest = [self._batch(list(self._intents), list(self._entries))]
        if self._unsure is not None:
            rest.insert(0, self._unsure)
        self._intents.clear()
        self._entries.clear()
        self._unsure = None
        closed = JournalUnavailable("the journal closed")
        acks: list[Ack] = [(item.on_stored, closed) for b in rest for item, _ in b.entries if isinstance(item, Barrier)]
        acks.extend((intent.on_stored, closed) for b in rest for intent in b.intents)
        self._answer(acks)
        for batch in rest:
            kept = [entry for entry in batch.entries if not isinstance(entry[0], Barrier)]
            if kept:
                self._save(_Batch(batch.number, [], kept))

    def _save(self, batch: _Batch) -> None:
        try:
            self.counts.rescued += save(self._rescue, self._writes(batch), batch.number)
            log.error("journal_rest_rescued", path=str(self._rescue), rows=self.counts.rescued)
        except OSError as error:
            self.counts.lost += len(batch.entries)
            log.critical("journal_rest_lost", path=str(self._rescue), error=str(error), facts=len(batch.entries))

    def _tell(self, trouble: JournalTrouble) -> None:
        self._call(lambda: self._watch.on_trouble(trouble))

    def _answer(self, acks: list[Ack]) -> None:
        if acks:
            self._call(lambda: _deliver(acks))

    def _call(self, callback: Callable[[], None]) -> None:
        """One call into the loop, unless that has gone."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            log.warning("journal_answer_undeliverable")


def _deliver(acks: list[Ack]) -> None:
    for on_stored, error in acks:
        on_stored(error)


def _nothing_first() -> None:
    """Where inputs are not recorded, facts wait for none."""
