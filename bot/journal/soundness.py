"""Whether a journal is sound, and a copy of it that is. All of this blocks: call it from a thread or the command line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, ForeignKeyConstraint, Table, and_, exists, func, literal_column, not_, select, text

from bot.journal.address import is_postgres, shown, sqlite_path
from bot.journal.database import open_database
from bot.journal.errors import JournalCorrupt, JournalError, JournalUnavailable
from bot.journal.tables import metadata

_BUSY_SECONDS = 5.0
_CHECK_SECONDS = 3_600.0
_FAULTS_TOLD = 5
_REMEDY = "restore a backup over it, or move it away"


@contextmanager
def _opened(url: str) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """A connection of our own to a journal file that must exist; SQLite's errors as the journal's."""
    path = sqlite_path(url)
    if not path.exists():
        message = f"{path} does not exist: no run was journaled there yet"
        raise JournalUnavailable(message)
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
            yield path, connection
    except sqlite3.OperationalError as error:
        message = f"{path}: {error}"
        raise JournalUnavailable(message) from error
    except sqlite3.DatabaseError as error:
        message = f"{path} is damaged ({error}): {_REMEDY}"
        raise JournalCorrupt(message) from error


def backup(url: str, to: Path) -> int:
    """Copy the database to `to`, consistent while the bot writes; its size in bytes. Never overwrites.

    The copy is checked before it takes its name. Raises `JournalError` if `to` exists or the journal is on PostgreSQL, whose own
    tools do this; `JournalUnavailable`, `JournalCorrupt`.
    """
    if is_postgres(url):
        message = (
            f"{shown(url)} is backed up by PostgreSQL's own tools, also while the bot runs: "
            "`pg_dump --format=custom --file=arbiter.dump URL`, and copy the folder segments/ of the data directory beside it"
        )
        raise JournalError(message)
    if to.exists():
        message = f"{to} exists already: name another file"
        raise JournalError(message)
    partial = to.with_name(to.name + ".partial")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with _opened(url) as (_, source), closing(sqlite3.connect(partial)) as target:
            # In one step: the copy of a journal that grows would start anew with each commit of the bot.
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE").fetchone()
            _check_file(target, partial)
        partial.replace(to)
        return to.stat().st_size
    except OSError as error:
        message = f"the backup {to} cannot be written: {error}"
        raise JournalUnavailable(message) from error
    finally:
        partial.unlink(missing_ok=True)


def check(url: str) -> None:
    """Read all there is and follow every reference. Raises `JournalCorrupt`, which names what is wrong."""
    if is_postgres(url):
        _check_server(url)
        return
    with _opened(url) as (path, connection):
        _check_file(connection, path)


def _check_file(connection: sqlite3.Connection, path: Path) -> None:
    faults = [str(fault) for (fault,) in connection.execute("PRAGMA integrity_check(5)") if fault != "ok"]
    faults += [
        f"a row of {table} refers to nothing in {other}" for table, _, other, _ in connection.execute("PRAGMA foreign_key_check")
    ]
    if faults:
        message = f"{path} is damaged ({'; '.join(faults[:_FAULTS_TOLD])}): {_REMEDY}"
        raise JournalCorrupt(message)


def _check_server(url: str) -> None:
    """Every row is read whole, past its indexes, which is when the server finds a damaged page."""
    faults: list[str] = []

    def work(connection: Connection) -> None:
        connection.execute(text("SET LOCAL enable_indexscan TO off"))
        connection.execute(text("SET LOCAL enable_indexonlyscan TO off"))
        for table in metadata.sorted_tables:
            # As text, so that also what is stored outside the row is read.
            connection.execute(select(func.sum(func.length(literal_column(f'"{table.name}"::text')))).select_from(table))
            faults.extend(_dangling(connection, table))

    with closing(open_database(url, seconds=_CHECK_SECONDS)) as database:
        database.run(work)
    if faults:
        message = f"{shown(url)} is damaged ({'; '.join(faults[:_FAULTS_TOLD])}): {_REMEDY}"
        raise JournalCorrupt(message)


def _dangling(connection: Connection, table: Table) -> Iterator[str]:
    for constraint in table.constraints:
        if isinstance(constraint, ForeignKeyConstraint):
            other = constraint.referred_table
            found = exists().where(and_(*[key.column == key.parent for key in constraint.elements]))
            if connection.execute(select(table).where(not_(found)).limit(1)).first() is not None:
                yield f"a row of {table.name} refers to nothing in {other.name}"
