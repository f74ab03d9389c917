"""Bring a journal's schema to this version: called once, synchronously, before the event loop starts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from bot.journal.address import is_postgres, shown, sqlite_path
from bot.journal.errors import JournalCorrupt, JournalUnavailable
from bot.journal.migrations import HEAD

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

# Checking every page is quick while the file is small; above this the `db check` command does it.
_CHECK_BELOW_BYTES = 32 * 1024 * 1024
_REMEDY = "restore a backup over it, or move it away and a new one is made"
# Two bots that start at once on a new database: the second one waits, and finds the work done.
_MIGRATION_LOCK = 0x4152_4249
_MIGRATION_MS = 10_000
_MIGRATION_SECONDS = 120.0
_EXAMINE_SECONDS = 5.0


def examine(url: str) -> str | None:
    """The schema revision of a journal, None if there is nothing yet.

    Raises `JournalCorrupt` when it is damaged or is not a journal, `JournalUnavailable` when it cannot be opened at all.
    """
    return _examine_server(url) if is_postgres(url) else _examine_file(sqlite_path(url))


def _examine_server(url: str) -> str | None:
    from sqlalchemy import inspect, text  # noqa: PLC0415 - a journal in a file is examined without it

    from bot.journal.database import open_database  # noqa: PLC0415

    def revision(connection: Connection) -> str | None:
        tables = inspect(connection).get_table_names()
        if "alembic_version" in tables:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
            return None if found is None else str(found)
        if tables:
            message = f"{shown(url)} is not a journal (it holds {', '.join(sorted(tables)[:3])}): name an empty database"
            raise JournalCorrupt(message)
        return None

    with closing(open_database(url, seconds=_EXAMINE_SECONDS)) as database:
        return database.run(revision)


def _examine_file(path: Path) -> str | None:
    try:
        if not path.exists() or path.stat().st_size == 0:
            return None
        # By SQLite alone: to open and close the file oneself drops every lock that this process holds on it, and with them the
        # journal that is being written; another process that closes it then takes the log away from under the writer.
        with closing(sqlite3.connect(path, timeout=5.0)) as connection:
            return _revision(connection, path)
    except sqlite3.OperationalError as error:
        message = f"{path} cannot be opened: {error}; is another bot using it, and is its folder writable?"
        raise JournalUnavailable(message) from error
    except sqlite3.DatabaseError as error:
        foreign = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB
        message = f"{path} {'is not an SQLite database' if foreign else f'is damaged ({error})'}: {_REMEDY}"
        raise JournalCorrupt(message) from error
    except OSError as error:
        message = f"{path} cannot be read: {error}; check its permissions"
        raise JournalUnavailable(message) from error


def _revision(connection: sqlite3.Connection, path: Path) -> str | None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return None
    if "alembic_version" not in tables:
        message = f"{path} is an SQLite database but not a journal (it holds {', '.join(sorted(tables)[:3])}): {_REMEDY}"
        raise JournalCorrupt(message)
    if path.stat().st_size <= _CHECK_BELOW_BYTES:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            message = f"{path} is damaged ({verdict}): {_REMEDY}"
            raise JournalCorrupt(message)
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def upgrade(url: str) -> None:
    """Create or migrate the schema at `url` to the newest revision; does nothing, quickly, when it is there already.

    Raises `JournalCorrupt` for a damaged, foreign or newer journal, `JournalUnavailable` if it cannot be reached.
    """
    if not is_postgres(url):
        sqlite_path(url).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if examine(url) != HEAD:
        _migrate(url, HEAD)


def downgrade(url: str, revision: str) -> None:
    """Take the schema back to an older `revision`, for an older version of the bot; `base` empties the database.

    Whatever only the newer schema can hold is gone. Raises as `upgrade` does.
    """
    examine(url)
    _migrate(url, revision, down=True)


def _migrate(url: str, revision: str, *, down: bool = False) -> None:
    """Run Alembic; imported here because a journal that is up to date never needs it."""
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "bot.journal:migrations")
    move = command.downgrade if down else command.upgrade

    def work(connection: Connection) -> None:
        config.attributes["connection"] = connection
        move(config, revision)

    try:
        if is_postgres(url):
            _on_server(url, work)
        else:
            _on_file(url, work)
    except CommandError as error:
        message = f"the journal {shown(url)} was written by a newer version ({error}): run that version, or {_REMEDY}"
        raise JournalCorrupt(message) from error


def _on_server(url: str, work: Callable[[Connection], None]) -> None:
    from sqlalchemy import text  # noqa: PLC0415

    from bot.journal.database import open_database  # noqa: PLC0415

    def alone(connection: Connection) -> None:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        work(connection)

    with closing(open_database(url, write=True, busy_ms=_MIGRATION_MS, seconds=_MIGRATION_SECONDS)) as database:
        database.run(alone)


def _on_file(url: str, work: Callable[[Connection], None]) -> None:
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    engine = create_engine(url, poolclass=NullPool, connect_args={"isolation_level": None})
    try:
        with engine.begin() as connection:
            # The driver would commit every CREATE by itself: slow, and a crash half-way would leave half a schema.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            work(connection)
    except OperationalError as error:
        message = f"the journal {shown(url)} cannot be upgraded: {error.orig}"
        raise JournalUnavailable(message) from error
    finally:
        engine.dispose()
