"""The same run tells the same in either database."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from bot.services.reporting import report
from bot.settings import load
from tests.journal.journal_databases import another_database, on_server
from tests.servers import postgres_url
from tests.services.tear_sheets import a_run, start_of


async def test_a_run_in_postgresql_is_reported_as_one_in_sqlite(tmp_path: Path) -> None:
    name = f"arbiter_{uuid4().hex[:12]}"
    with postgres_url() as server:
        on_server(server, f"CREATE DATABASE {name}")
        try:
            told = []
            for place, url in (("served", another_database(server, name)), ("file", None)):
                await a_run(tmp_path / place, start_of("live"), url=url)
                given = {"bot.data_dir": tmp_path / place, "journal.url": url}
                settings = load(overrides={key: value for key, value in given.items() if value is not None}).settings
                told.append(report(settings, "latest", lambda done, total: None).as_json())
        finally:
            on_server(server, f"DROP DATABASE {name} WITH (FORCE)")
    assert told[0] == told[1]
    assert told[0]["trades"] == 1
