"""The journal of one run: facts, durable intents, inputs and snapshots, behind one door.

`open` before the loop starts, `begin` inside it, `close` at the end. Nothing waits for a disk in between, except `flush`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.core.effects import Effect
from bot.core.facts import Fact
from bot.core.inputs import Input
from bot.core.orders import OrderRequest
from bot.journal.address import database_name, is_postgres, sqlite_path
from bot.journal.codec import encode_snapshot
from bot.journal.engine import TRIM, Engine
from bot.journal.errors import JournalError, Trouble
from bot.journal.rescue import restore
from bot.journal.rows import Row
from bot.journal.run import RunStart
from bot.journal.segments import SegmentLimits, SegmentRecorder
from bot.journal.upgrade import upgrade
from bot.journal.writer import JournalWriter, OnStored, Watch, WriterCounts, WriterLimits

_SNAPSHOTS_KEPT = 3


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """Every bound of the journal in one place; `busy_ms` bounds the wait for another process's lock.

    The ballast and `max_bytes` are for a database on this machine's disk: SQLite.
    """

    writer: WriterLimits = field(default_factory=WriterLimits)
    segments: SegmentLimits = field(default_factory=SegmentLimits)
    busy_ms: int = 1_000
    ballast_bytes: int = 8 << 20
    ballast_seconds: float = 30.0
    max_bytes: int | None = None
    record_inputs: bool = True


class Journal:
    """One run's journal; made by `open`. `beside` begins the names of what is kept beside the database."""

    def __init__(self, url: str, engine: Engine, beside: Path, data_dir: Path, limits: JournalLimits) -> None:
        self._url = url
        self._engine = engine
        self._beside = beside
        self._data_dir = data_dir
        self._limits = limits
        self._run: Row = {}
        self._writer: JournalWriter | None = None
        self._segments: SegmentRecorder | None = None

    @classmethod
    def open(cls, url: str, data_dir: Path, limits: JournalLimits | None = None) -> Journal:
        """Create or migrate the database, and put back what an earlier run could not store. Synchronous: before the loop.

        Raises `JournalCorrupt`, `JournalUnavailable`, or `StoreFault` if rescued facts do not go in.
        """
        limits = limits or JournalLimits()
        beside = data_dir / f"postgresql-{database_name(url)}" if is_postgres(url) else sqlite_path(url)
        upgrade(url)
        engine = _engine(url, limits)
        try:
            restore(beside.parent, beside.name, engine)
        finally:
            engine.close()
        return cls(url, engine, beside, data_dir, limits)

    def complete(self, run: str | None, facts: Sequence[Fact]) -> None:
        """Store what a crash kept out of the tables of an earlier run. Synchronous: after `open` and before `begin`.

        Raises `StoreFault` or `RowFault`.
        """
        if run is None or not facts:
            return
        from bot.journal.completion import complete  # noqa: PLC0415 - SQLAlchemy would cost the command line's --help

        try:
            complete(self._url, self._engine, run, facts)
        finally:
            self._engine.close()

    def begin(self, run: RunStart, watch: Watch) -> None:
        """Enter the run and start the threads; inside the running loop. Raises `JournalUnavailable`."""
        if self._writer is not None:
            message = f"run {self._run['id']} is being journaled already"
            raise JournalError(message)
        book = self._engine.enter(run.book, run.row())
        self._run = run.row() | {"book": book}
        rescue = self._beside.with_name(f"{self._beside.name}.rescue-{run.id}.jsonl")
        self._engine.hold_reserve()
        self._writer = JournalWriter(self._engine, book, run.id, rescue, watch, self._limits.writer)
        self._writer.start()
        if self._limits.record_inputs:
            self._segments = SegmentRecorder(self._data_dir, run.id, self._index, watch.on_trouble, self._limits.segments)
            self._segments.start()
            self._writer.inputs_first = self._segments.flush

    def _index(self, row: Row) -> None:
        self._open_writer.put("segments", row)

    @property
    def _open_writer(self) -> JournalWriter:
        if self._writer is None:
            message = "the journal has no run yet: call begin first"
            raise JournalError(message)
        return self._writer

    def append(self, fact: Fact, *, durable: bool = False) -> bool:
        """Accept a fact; see `JournalWriter.append`."""
        return self._open_writer.append(fact, durable=durable)

    def store(self, request: OrderRequest, at: int, on_stored: OnStored) -> None:
        """Store an order's intent durably; see `JournalWriter.store`."""
        self._open_writer.store(request, at, on_stored)

    def input(self, event: Input) -> int:
        """Record an input that the desk is about to handle; its number from 1, 0 when inputs are not recorded."""
        return 0 if self._segments is None else self._segments.input(event)

    def effects(self, n: int, returned: Sequence[Effect]) -> None:
        """Record what the desk returned for input `n`."""
        if self._segments is not None:
            self._segments.effects(n, returned)

    def snapshot(self, at: int, state: object) -> None:
        """Keep the state as it is after the newest input; the newest few of a run are kept."""
        seq = 0 if self._segments is None else self._segments.count
        row: Row = {"run": self._run["id"], "seq": seq, "at": at, "state": encode_snapshot(state).decode()}
        self._open_writer.put("snapshots", row)
        self._open_writer.put(TRIM, {"run": self._run["id"], "kept": _SNAPSHOTS_KEPT})

    @property
    def trouble(self) -> Trouble | None:
        """What hinders the journal now."""
        return self._open_writer.trouble

    @property
    def pending(self) -> int:
        """Rows accepted and not yet committed."""
        return self._open_writer.pending

    @property
    def counts(self) -> WriterCounts:
        """What the writer did so far."""
        return self._open_writer.counts

    @property
    def inputs(self) -> int:
        """Inputs recorded so far; 0 when they are not."""
        return 0 if self._segments is None else self._segments.count

    @property
    def inputs_dropped(self) -> int:
        """Inputs and effects that could not be recorded for replay."""
        return 0 if self._segments is None else self._segments.counts.dropped

    async def flush(self, timeout: float = 5.0) -> None:
        """Wait until all that was accepted is on the disk; `JournalUnavailable` after `timeout` seconds."""
        await self._open_writer.flush(timeout)

    async def close(self, ended: int, final: object = None, timeout: float = 4.0) -> None:
        """End the run: close the segments, note its end and last snapshot, write all that is left.

        `JournalUnavailable` if a thread does not end within `timeout` seconds each.
        """
        writer = self._open_writer
        try:
            if self._segments is not None:
                await self._segments.close(timeout)
        finally:
            state = None if final is None else encode_snapshot(final).decode()
            writer.put(
                "runs", self._run | {"ended": ended, "final_snapshot": state, "closed_cleanly": final is not None}, durable=True
            )
            await writer.close(timeout)


def _engine(url: str, limits: JournalLimits) -> Engine:
    """The engine of the URL; imported here, because SQLAlchemy would cost the command line's --help its quickness."""
    if is_postgres(url):
        from bot.journal.postgres import PostgresEngine  # noqa: PLC0415

        return PostgresEngine(url, busy_ms=limits.busy_ms)
    from bot.journal.sqlite import SqliteEngine  # noqa: PLC0415

    return SqliteEngine(
        sqlite_path(url),
        busy_ms=limits.busy_ms,
        ballast_bytes=limits.ballast_bytes,
        ballast_seconds=limits.ballast_seconds,
        max_bytes=limits.max_bytes,
    )
