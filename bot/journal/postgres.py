"""The journal on PostgreSQL: one connection, driven by the writer's thread through an event loop of its own.

A batch that holds durable rows commits with synchronous_commit on (on the server's disk), telemetry alone with it off. A
connection that is lost while a commit is under way leaves open whether it happened: each batch therefore leaves its number in
the table `batches`, where the next connection looks it up. By the same numbers it sees what telemetry a crash of the server
took with it, and stores that again: only what bot and server lose together is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeVar

import asyncpg
import structlog

from bot.journal.address import postgres_dsn, shown
from bot.journal.engine import TRIM, Mark, Write
from bot.journal.errors import JournalError, JournalUnavailable, RowFault, StoreFault, Trouble
from bot.journal.loops import new_loop
from bot.journal.rows import Row
from bot.journal.run import BookKey
from bot.journal.sqlstates import DRIVER_ERRORS, kind_of, refuses_row, text_of
from bot.journal.statements import Argument, column_statements, trim_statement

log = structlog.get_logger(__name__)

T = TypeVar("T")
Step = tuple[str, list[Argument] | list[tuple[Any, ...]]]

# The server gives up first, so that its answer says why; closing the journal has time for two of these waits.
_CONNECT_SECONDS = 1.5
_STATEMENT_MS = 1_500
_COMMAND_SECONDS = 1.8
_CLOSE_SECONDS = 0.5
_IDLE_IN_TRANSACTION_MS = 5_000
_CHUNK = 1_000
# Batches that may be in the server's memory only, before one is made durable.
_UNFLUSHED = 64
_FIND_BOOK = "SELECT id FROM books WHERE bot = $1 AND mode = $2 AND venue = $3 AND world = $4"
_ENTER_BOOK = "INSERT INTO books (bot, mode, venue, world) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
_ENTER_BATCHES = "INSERT INTO batches (run, number) VALUES ($1, 0)"
# Waits for a transaction of a connection that we lost and the server has not ended yet.
_FIND_BATCH = "SELECT number FROM batches WHERE run = $1 FOR UPDATE"
_KEEP_BATCH = "INSERT INTO batches (run, number) VALUES ($1, $2) ON CONFLICT (run) DO UPDATE SET number = excluded.number"
# What making rows from facts, or arrays from rows, may raise.
_ROW_ERRORS = (ValueError, TypeError, AttributeError, KeyError, ArithmeticError)
_LOST = frozenset({Trouble.CONNECTION, Trouble.READ_ONLY, Trouble.CORRUPT, Trouble.IO})


def settings(busy_ms: int) -> dict[str, str]:
    """What every session of the journal asks of the server: bounds on each wait."""
    return {
        "application_name": "arbiter",
        "synchronous_commit": "on",
        "lock_timeout": str(busy_ms),
        "statement_timeout": str(max(_STATEMENT_MS, busy_ms)),
        "idle_in_transaction_session_timeout": str(_IDLE_IN_TRANSACTION_MS),
    }


class _CommitLost(Exception):  # noqa: N818 - never leaves this module
    """COMMIT was sent and no answer came."""


class PostgresEngine:
    """The engine of the writer on a database whose schema is up to date; `busy_ms` bounds the wait for another session's lock."""

    def __init__(self, url: str, *, busy_ms: int = 1_000) -> None:
        self._dsn = postgres_dsn(url)
        self._place = shown(url)
        self._settings = settings(busy_ms)
        self._sql = column_statements()
        self._trim = trim_statement()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Any = None  # asyncpg has no types
        self._stored: dict[str, int] = {}
        self._unflushed: list[tuple[Mark, list[Step]]] = []

    def enter(self, book: BookKey, row: Row) -> int:
        """Find or make the book and store the run's row durably; see `Engine.enter`."""
        try:
            return self._wait(self._enter(book, row))
        except DRIVER_ERRORS as error:
            self.close()
            message = f"{self._place} cannot be written: {text_of(error)}; check that it runs, the user's rights and its disk"
            raise JournalUnavailable(message) from error

    async def _enter(self, book: BookKey, row: Row) -> int:
        connection = await self._connected()
        names = tuple(asdict(book).values())
        async with connection.transaction():
            key = await connection.fetchval(_FIND_BOOK, *names)
            if key is None:
                await connection.execute(_ENTER_BOOK, *names)
                key = await connection.fetchval(_FIND_BOOK, *names)
            if await connection.fetchval("SELECT 1 FROM runs WHERE id = $1", row["id"]):
                message = f"{self._place}: run {row['id']} is there already"
                raise JournalError(message)
            statement = self._sql["runs"]
            await connection.execute(statement.sql, *statement.arguments([row | {"book": key}]))
            await connection.execute(_ENTER_BATCHES, row["id"])
        self._stored[str(row["id"])] = 0
        return int(key)

    def commit(self, writes: Iterable[Write], *, durable: bool, mark: Mark | None = None) -> None:
        """Write all or nothing; see `Engine.commit`. A connection that turns out to be lost is made anew, once."""
        try:
            steps = self._steps(writes)
            self._wait(self._commit(steps, durable=durable, mark=mark))
        except (RowFault, StoreFault):
            raise
        except _ROW_ERRORS as error:
            message = f"{type(error).__name__}: {error}"
            raise RowFault(message) from error

    def _steps(self, writes: Iterable[Write]) -> list[Step]:
        """The statements with their arguments: rows of one table that follow each other go together."""
        steps: list[Step] = []
        for table, group in groupby(writes, attrgetter("table")):
            rows = [row for write in group for row in write.rows]
            if table == TRIM:
                steps.append((self._trim, [(row["run"], row["kept"]) for row in rows]))
                continue
            statement = self._sql[table]
            steps.extend((statement.sql, statement.arguments(rows[n : n + _CHUNK])) for n in range(0, len(rows), _CHUNK))
        return steps

    async def _commit(self, steps: list[Step], *, durable: bool, mark: Mark | None) -> None:
        durable = durable or len(self._unflushed) >= _UNFLUSHED
        anew = self._connection is None or self._connection.is_closed()
        unsure = False
        while True:
            try:
                await self._attempt(steps, durable=durable, mark=mark)
            except (*DRIVER_ERRORS, _CommitLost) as error:
                lost = isinstance(error, _CommitLost)
                kind = Trouble.CONNECTION if lost else kind_of(error)
                if kind in _LOST and not refuses_row(error):
                    self._drop()
                if refuses_row(error):
                    message = f"{type(error).__name__}: {text_of(error)}"
                    raise RowFault(message) from error
                unsure = unsure or lost
                again = kind is Trouble.CONNECTION and not anew and not isinstance(error, TimeoutError)
                if not again or (unsure and mark is None):
                    message = f"{self._place}: {text_of(error)}"
                    raise StoreFault(kind, message, unsure=unsure) from error
                anew = True
                log.warning("journal_connection_lost", database=self._place, error=text_of(error))
            else:
                return

    async def _attempt(self, steps: list[Step], *, durable: bool, mark: Mark | None) -> None:
        connection = await self._connected()
        if mark is not None and mark.number <= await self._stored_of(connection, mark.run):
            return
        await self._transact(connection, steps, durable=durable, mark=mark)
        if durable:
            self._unflushed.clear()
        elif mark is not None:
            self._unflushed.append((mark, steps))

    async def _transact(self, connection: Any, steps: list[Step], *, durable: bool, mark: Mark | None) -> None:
        try:
            await connection.execute("BEGIN" if durable else "BEGIN; SET LOCAL synchronous_commit TO OFF")
            for sql, arguments in steps:
                if sql is self._trim:
                    await connection.executemany(sql, arguments)
                else:
                    await connection.execute(sql, *arguments)
            if mark is not None:
                await connection.execute(_KEEP_BATCH, mark.run, mark.number)
        except BaseException as error:
            if isinstance(error, OSError):  # a timeout too: what the server does now is its own affair
                self._drop()
            await self._roll_back(connection)
            raise
        try:
            await connection.execute("COMMIT")
        except DRIVER_ERRORS as error:
            if kind_of(error) is Trouble.CONNECTION or connection.is_closed():
                raise _CommitLost(text_of(error)) from error
            await self._roll_back(connection)
            raise

    async def _roll_back(self, connection: Any) -> None:
        if connection.is_closed():
            return
        try:
            await connection.execute("ROLLBACK")
        except DRIVER_ERRORS:
            self._drop()

    async def _stored_of(self, connection: Any, run: str) -> int:
        """The newest batch of the run that was in the database when this connection began."""
        if run not in self._stored:
            self._stored[run] = await connection.fetchval(_FIND_BATCH, run) or 0
        return self._stored[run]

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._drop()
            self._connection = await self._dial()
            try:
                await self._store_again(self._connection)
            except BaseException:
                self._drop()
                raise
        return self._connection

    async def _dial(self) -> Any:
        try:
            return await asyncpg.connect(
                self._dsn, timeout=_CONNECT_SECONDS, command_timeout=_COMMAND_SECONDS, server_settings=self._settings
            )
        except ValueError as error:  # a parameter that the driver cannot use: not a matter of the rows
            raise ConnectionError(text_of(error)) from error

    async def _store_again(self, connection: Any) -> None:
        """Telemetry that was committed in the server's memory, and is gone with it."""
        for mark, steps in self._unflushed:
            if mark.number > await self._stored_of(connection, mark.run):
                log.warning("journal_batch_stored_again", database=self._place, batch=mark.number)
                await self._transact(connection, steps, durable=True, mark=mark)
        self._unflushed.clear()

    def _drop(self) -> None:
        """Let go of a connection that is of no more use."""
        connection, self._connection = self._connection, None
        self._stored.clear()
        if connection is not None:
            connection.terminate()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on our loop, in this thread; in another one, for which this one waits, if a loop runs here already."""
        if self._loop is None:
            self._loop = new_loop()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._loop.run_until_complete(work)
        with ThreadPoolExecutor(1) as aside:
            return aside.submit(self._loop.run_until_complete, work).result()

    def relieve(self) -> bool:
        """There is no reserve to give up: the disk is the server's."""
        return False

    def hold_reserve(self) -> None:
        """Take none: the disk is the server's."""

    def relieved(self) -> bool:
        """Never: there is no reserve."""
        return False

    def tidy(self, *, idle: bool) -> None:
        """Nothing to do: checkpoints and vacuum are the server's."""

    def close(self) -> None:
        """Close the connection and the loop."""
        if self._loop is None:
            return
        self._wait(self._close())
        self._loop.close()
        self._loop = None

    async def _close(self) -> None:
        if self._connection is not None:
            with suppress(*DRIVER_ERRORS):
                await self._connection.close(timeout=_CLOSE_SECONDS)
        self._drop()
        self._unflushed.clear()
        await asyncio.sleep(0)
