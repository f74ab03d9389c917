"""Bring a journal's schema to this version: called once, synchronously, before the event loop starts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bot.journal.errors import JournalCorrupt, JournalError, JournalUnavailable
from bot.journal.migrations import HEAD

SQLITE_PREFIX = "sqlite:///"
_MAGIC = b"SQLite format 3\0"
# Checking every page is quick while the file is small; above this the `db check` command does it.
_CHECK_BELOW_BYTES = 32 * 1024 * 1024
_REMEDY = "restore a backup over it, or move it away and a new one is made"


def _shown(url: str) -> str:
    """The URL as a message may show it: without user and password."""
    return url.rpartition("@")[2]


def sqlite_path(url: str) -> Path:
    """The file of a `sqlite:///` URL; `JournalError` for any other URL."""
    if not url.startswith(SQLITE_PREFIX) or url == SQLITE_PREFIX:
        message = f"journal url {_shown(url)!r} is not served: use sqlite:///PATH"
        raise JournalError(message)
    return Path(url.removeprefix(SQLITE_PREFIX))


def examine(path: Path) -> str | None:
    """The schema revision of a journal file, None if there is nothing yet.

    Raises `JournalCorrupt` when the file is damaged or is not a journal, `JournalUnavailable` when it cannot be opened at all.
    """
    try:
        if not path.exists() or path.stat().st_size == 0:
            return None
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                message = f"{path} is not an SQLite database: {_REMEDY}"
                raise JournalCorrupt(message)
        with closing(sqlite3.connect(path, timeout=5.0)) as connection:
            return _revision(connection, path)
    except sqlite3.OperationalError as error:
        message = f"{path} cannot be opened: {error}; is another bot using it, and is its folder writable?"
        raise JournalUnavailable(message) from error
    except sqlite3.DatabaseError as error:
        message = f"{path} is damaged ({error}): {_REMEDY}"
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

    Raises `JournalCorrupt` for a damaged, foreign or newer file.
    """
    if url.startswith(SQLITE_PREFIX):
        path = sqlite_path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        if examine(path) == HEAD:
            return
    _migrate(url)


def _migrate(url: str) -> None:
    """Run Alembic; imported here because a journal that is up to date never needs it."""
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "bot.journal:migrations")
    sqlite = url.startswith(SQLITE_PREFIX)
    engine = create_engine(url, poolclass=NullPool, connect_args={"isolation_level": None} if sqlite else {})
    try:
        with engine.begin() as connection:
            if sqlite:
                # The driver would commit every CREATE by itself: slow, and a crash half-way would leave half a schema.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        message = f"the journal {_shown(url)} was written by a newer version ({error}): run that version, or {_REMEDY}"
        raise JournalCorrupt(message) from error
    except OperationalError as error:
        message = f"the journal {_shown(url)} cannot be upgraded: {error.orig}"
        raise JournalUnavailable(message) from error
    finally:
        engine.dispose()
