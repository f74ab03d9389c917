"""Both engines under the same tests: a file, and a database of one PostgreSQL server, made from a migrated one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from bot.journal.address import database_name
from bot.journal.upgrade import upgrade
from tests.journal.journal_databases import another_database, empty_file, on_server
from tests.servers import PostgresProcess, postgres_process, postgres_url


@contextmanager
def new_database(server: str, *options: str) -> Iterator[str]:
    """The URL of a new database there, dropped in the end whoever still uses it."""
    name = f"arbiter_{uuid4().hex[:12]}"
    on_server(server, " ".join([f"CREATE DATABASE {name}", *options]))
    try:
        yield another_database(server, name)
    finally:
        on_server(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server for the whole session."""
    with postgres_url() as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgres: str) -> Iterator[str]:
    """The name of a database that holds an empty journal."""
    with new_database(postgres) as url:
        upgrade(url)
        yield database_name(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An empty journal in a file."""
    return empty_file(tmp_path)


@pytest.fixture
def server_url(postgres: str, migrated: str) -> Iterator[str]:
    """An empty journal on the server."""
    with new_database(postgres, "TEMPLATE", migrated) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty journal, on either engine."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "server_url")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def nowhere_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a journal may come to be, on either engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'deep' / 'journal.db'}"
        return
    with new_database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
def own_server() -> Iterator[PostgresProcess]:
    """A server that the test may kill."""
    with postgres_process() as server:
        yield server
