"""Errors, the history of changes and the look at the database, on PostgreSQL as on SQLite."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bot.journal.upgrade import upgrade
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.monitoring.components import Watch
from bot.services.monitoring.live import LiveMonitor, Measured
from bot.services.use_case import Ground, use_case
from bot.settings import load
from tests.journal.journal_databases import another_database, on_server
from tests.servers import postgres_url

NOW = 1_795_000_000_000


async def _do(ground: Ground, name: str, **args: object) -> Mapping[str, Any]:
    case = use_case(name)
    return await case.run(ground, case.read(args), lambda progress: None)


@pytest.fixture
def server() -> Iterator[str]:
    """A database of its own."""
    name = f"arbiter_{uuid4().hex[:12]}"
    with postgres_url() as running:
        on_server(running, f"CREATE DATABASE {name}")
        try:
            yield another_database(running, name)
        finally:
            on_server(running, f"DROP DATABASE {name} WITH (FORCE)")


async def test_what_is_kept_on_a_server_is_what_is_kept_in_a_file(tmp_path: Path, server: str) -> None:
    (tmp_path / "bot.yaml").write_text(f"bot: {{data_dir: {tmp_path / 'data'}}}\n")
    (tmp_path / "risk.yaml").write_text("")
    loaded = load(tmp_path, environ={}, overrides={"journal.url": server})
    await asyncio.to_thread(upgrade, server)
    async with own_ground(loaded, Secrets(tmp_path / "data", {}), lambda: NOW) as ground:
        for _ in range(2):
            monitor = LiveMonitor(ground, Watch({}), Measured(dict, lambda: 0))
            await monitor.begin(ground)
            logging.getLogger("library").warning("it is odd")
            found = await _do(ground, "monitor.errors")
            fingerprint = found["errors"][0]["fingerprint"]
            if found["errors"][0]["count"] == 1:
                await _do(ground, "monitor.resolve", fingerprint=fingerprint)
            await monitor.close()
        assert (found["errors"][0]["count"], found["errors"][0]["reopened"], found["open"]) == (2, 1, 1)
        await asyncio.gather(
            *(_do(ground, "config.set", changes={f"risk.{key}": 0.1}) for key in ("max_drawdown", "max_position"))
        )
        assert len((await _do(ground, "config.history"))["changes"]) == 2
        looked = await _do(ground, "monitor.database")
        assert (looked["engine"], looked["wal_bytes"], looked["files"]) == ("postgresql", None, [])
        assert looked["bytes"] > 0
        assert {"decisions", "monitor_errors", "config_changes"} <= {one["name"] for one in looked["tables"]}
        assert next(one for one in (await _do(ground, "monitor.latencies"))["stages"] if one["stage"] == "database_read")["n"] > 0
