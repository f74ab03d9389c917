"""A database for the LLM desk, on either engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.journal.journal_databases import another_database, on_server
from tests.servers import postgres_url


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server for the whole session."""
    with postgres_url() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, on either engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'journal.db'}"
        return
    server: str = request.getfixturevalue("postgres")
    name = f"arbiter_{uuid4().hex[:12]}"
    on_server(server, f"CREATE DATABASE {name}")
    try:
        yield another_database(server, name)
    finally:
        on_server(server, f"DROP DATABASE {name} WITH (FORCE)")
