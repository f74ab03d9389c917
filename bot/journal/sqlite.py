"""The journal on SQLite: one connection in WAL mode, owned by the writer's thread.

A batch that holds durable rows commits with synchronous FULL (on the disk), telemetry alone with NORMAL (safe against a crash of
the process, not of the machine). Checkpoints run beside the writer, not inside a commit, where an order would wait for them.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path

import structlog
from sqlalchemy.dialects import sqlite

from bot.journal.ballast import Ballast
from bot.journal.engine import Mark, Write
from bot.journal.errors import JournalError, JournalUnavailable, RowFault, StoreFault, Trouble
from bot.journal.rows import Row
from bot.journal.run import BookKey
from bot.journal.statements import statements

log = structlog.get_logger(__name__)

_CHECKPOINT_CHANGES = 4_000
_CHECKPOINT_JOIN_SECONDS = 5.0
_WAL_LIMIT_BYTES = 64 * 1024 * 1024
_KINDS = {
    sqlite3.SQLITE_FULL: Trouble.DISK_FULL,
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_CORRUPT: Trouble.CORRUPT,
    sqlite3.SQLITE_NOTADB: Trouble.CORRUPT,
    sqlite3.SQLITE_READONLY: Trouble.READ_ONLY,
}
_PRIMARY = 0xFF
_ENTER_BOOK = "INSERT INTO books (bot, mode, venue, world) VALUES (:bot, :mode, :venue, :world) ON CONFLICT DO NOTHING"
_FIND_BOOK = "SELECT id FROM books WHERE bot = :bot AND mode = :mode AND venue = :venue AND world = :world"
# What a row that breaks a constraint or does not bind raises, and what making it from a fact may.
_ROW_ERRORS = (
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    ArithmeticError,
)


def kind_of(error: Exception) -> Trouble:
    """The trouble behind an error of SQLite or the operating system."""
    code = getattr(error, "sqlite_errorcode", None)
    return _KINDS.get(code & _PRIMARY, Trouble.IO) if isinstance(code, int) else Trouble.IO


class SqliteEngine:
    """The engine of the writer on a journal file whose schema is up to date.

    `busy_ms` bounds the wait for another process's lock; the disk reserve has `ballast_bytes` and is tried for again every
    `ballast_seconds`; `max_bytes` caps the file (None: the disk does).
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_ms: int = 1_000,
        ballast_bytes: int = 8 << 20,
        ballast_seconds: float = 30.0,
        max_bytes: int | None = None,
    ) -> None:
        self._path = path
        self._busy_ms = busy_ms
        self._max_bytes = max_bytes
        self._ballast = Ballast(path.with_name(path.name + ".ballast"), ballast_bytes)
        self._ballast_seconds = ballast_seconds
        self._ballast_due = 0.0
        self._relieved = False
        self._sql = statements(sqlite.dialect(paramstyle="named"))
        self._connection: sqlite3.Connection | None = None
        self._durable = False
        self._unsynced = False
        self._checkpointed = 0
        self._checkpointer: threading.Thread | None = None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=self._busy_ms / 1000, isolation_level=None, cached_statements=64)
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            connection.execute("PRAGMA synchronous = NORMAL").close()
            connection.execute("PRAGMA foreign_keys = ON").close()
            connection.execute("PRAGMA wal_autocheckpoint = 0").close()
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}").close()
            if self._max_bytes is not None:
                (page,) = connection.execute("PRAGMA page_size").fetchone()
                connection.execute(f"PRAGMA max_page_count = {self._max_bytes // page}").close()
        except BaseException:
            connection.close()
            raise
        self._durable = False
        self._checkpointed = 0
        return connection

    def enter(self, book: BookKey, row: Row) -> int:
        """Find or make the book and store the run's row durably; see `Engine.enter`."""
        try:
            with closing(self._open()) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_ENTER_BOOK, asdict(book))
                (key,) = connection.execute(_FIND_BOOK, asdict(book)).fetchone()
                if connection.execute("SELECT 1 FROM runs WHERE id = ?", (row["id"],)).fetchone():
                    message = f"{self._path}: run {row['id']} is there already"
                    raise JournalError(message)
                connection.execute(self._sql["runs"], row | {"book": key})
                connection.execute("COMMIT")
                return int(key)
        except (sqlite3.Error, OSError) as error:
            message = f"{self._path} cannot be written: {error}; check its permissions, the disk, and who else has it open"
            raise JournalUnavailable(message) from error

    def commit(self, writes: Iterable[Write], *, durable: bool, mark: Mark | None = None) -> None:
        """Write all or nothing; see `Engine.commit`. The answer cannot be lost here, so the mark is not needed."""
        del mark
        try:
            if self._connection is None:
                self._connection = self._open()
            self._write(self._connection, writes, durable=durable)
        except _ROW_ERRORS as error:
            self._roll_back()
            message = f"{type(error).__name__}: {error}"
            raise RowFault(message) from error
        except (sqlite3.Error, OSError) as error:
            kind = kind_of(error)
            self._roll_back()
            if kind not in {Trouble.LOCKED, Trouble.DISK_FULL}:
                self.close()
            message = f"{self._path}: {error}"
            raise StoreFault(kind, message) from error

    def _write(self, connection: sqlite3.Connection, writes: Iterable[Write], *, durable: bool) -> None:
        if durable is not self._durable:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}").close()
            self._durable = durable
        before = connection.total_changes
        connection.execute("BEGIN IMMEDIATE")
        for write in writes:
            connection.executemany(self._sql[write.table], write.rows)
        connection.execute("COMMIT")
        wrote = connection.total_changes != before
        if durable and not wrote and self._unsynced:
            self._sync()
        self._unsynced = not durable and (wrote or self._unsynced)

    def _sync(self) -> None:
        """Bring to the disk what NORMAL commits wrote: a FULL one with nothing to write does not."""
        descriptor = os.open(f"{self._path}-wal", os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def relieve(self) -> bool:
        """Delete the ballast file; whether there was one."""
        self._ballast_due = time.monotonic() + self._ballast_seconds
        released = self._ballast.release()
        self._relieved = self._relieved or released
        return released

    def hold_reserve(self) -> None:
        """Preallocate the ballast if the disk has plenty."""
        self._ballast.take()

    def relieved(self) -> bool:
        """Whether the ballast was given up and is not held again."""
        return self._relieved

    def tidy(self, *, idle: bool) -> None:
        """Move the write-ahead log into the database when enough has gathered, and hold the ballast again."""
        if idle and time.monotonic() >= self._ballast_due:
            if self._ballast.take():
                self._relieved = False
            self._ballast_due = time.monotonic() + self._ballast_seconds
        connection = self._connection
        if connection is None or (self._checkpointer is not None and self._checkpointer.is_alive()):
            return
        if connection.total_changes - self._checkpointed < _CHECKPOINT_CHANGES:
            return
        self._checkpointed = connection.total_changes
        self._checkpointer = threading.Thread(target=self._checkpoint, name="checkpoint", daemon=True)
        self._checkpointer.start()

    def _checkpoint(self) -> None:
        """A passive checkpoint keeps neither writers nor readers waiting; what it cannot move, the next one does."""
        try:
            with closing(sqlite3.connect(self._path, timeout=0.0, isolation_level=None)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            log.warning("journal_checkpoint_failed", path=str(self._path), error=str(error))

    def close(self) -> None:
        """Close the connection; the last one to close also checkpoints."""
        if self._checkpointer is not None:
            self._checkpointer.join(_CHECKPOINT_JOIN_SECONDS)
            self._checkpointer = None
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
