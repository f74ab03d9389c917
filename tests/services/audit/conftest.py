from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from bot.journal.upgrade import upgrade
from tests.journal.journal_databases import another_database, on_server
from tests.servers import postgres_url


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server for the whole session."""
    with postgres_url() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty journal, on either engine."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'arbiter.db'}"
        upgrade(url)
        yield url
        return
    server: str = request.getfixturevalue("postgres")
    name = f"audit_{uuid4().hex[:12]}"
    on_server(server, f"CREATE DATABASE {name}")
    try:
        url = another_database(server, name)
        upgrade(url)
        yield url
    finally:
        on_server(server, f"DROP DATABASE {name} WITH (FORCE)")
