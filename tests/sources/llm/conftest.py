"""A database for the LLM desk, on either engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.journal.journal_databases import another_database, on_server
from tests.servers import postgres_url


@pytest.fixture(scope="session")
def llm_postgres() -> Iterator[str]:
    """A database on a server for the whole session: to make one for each test takes longer than most tests."""
    with postgres_url() as server:
        name = f"arbiter_{uuid4().hex[:12]}"
        on_server(server, f"CREATE DATABASE {name}")
        try:
            yield another_database(server, name)
        finally:
            on_server(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An empty file, for what no engine changes."""
    return f"sqlite:///{tmp_path / 'journal.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[str]:
    """An empty database, on either engine."""
    if request.param == "sqlite":
        yield sqlite_url
        return
    url: str = request.getfixturevalue("llm_postgres")
    yield url
    on_server(url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
