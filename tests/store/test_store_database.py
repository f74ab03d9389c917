"""Side tables: one schema whoever starts first, work that is whole or not at all, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from bot.store.database import open_database
from bot.store.errors import StoreUnavailable
from bot.store.schema import Schema
from tests.journal.journal_databases import rows

FIRST = {1: ("CREATE TABLE IF NOT EXISTS counted (id INTEGER NOT NULL, n INTEGER NOT NULL)", "INSERT INTO counted VALUES (1, 0)")}
SECOND = {**FIRST, 2: ("ALTER TABLE counted ADD COLUMN note TEXT",)}


def count_up(connection: Connection) -> int:
    """Read and write: two at once would lose a step."""
    seen = int(connection.execute(text("SELECT n FROM counted")).scalar_one())
    connection.execute(text("UPDATE counted SET n = :n"), {"n": seen + 1})
    return seen


async def test_a_schema_is_made_once_by_all_who_start_at_once_and_upgraded_later(database_url: str) -> None:
    databases = [open_database(database_url) for _ in range(3)]
    await asyncio.gather(*(each.prepare(Schema("counting", FIRST)) for each in databases))
    assert rows(database_url, "SELECT id, n FROM counted") == [(1, 0)]
    await databases[0].prepare(Schema("counting", SECOND))
    assert rows(database_url, "SELECT max(version) FROM counting_schema") == [(2,)]
    assert rows(database_url, "SELECT note FROM counted") == [(None,)]
    for each in databases:
        await each.close()


async def test_two_schemas_of_one_database_do_not_know_each_other(database_url: str) -> None:
    database = open_database(database_url)
    await database.prepare(Schema("counting", SECOND))
    await database.prepare(Schema("other", {1: ("CREATE TABLE IF NOT EXISTS other_one (id INTEGER)",)}))
    assert rows(database_url, "SELECT max(version) FROM other_schema") == [(1,)]
    await database.close()


async def test_the_tables_of_a_newer_bot_are_left_alone(database_url: str) -> None:
    database = open_database(database_url)
    await database.prepare(Schema("counting", SECOND))
    with pytest.raises(StoreUnavailable, match="counting are of version 2, this bot knows 1"):
        await database.prepare(Schema("counting", FIRST))
    await database.close()


async def test_work_that_is_done_alone_never_overlaps_from_any_connection(database_url: str) -> None:
    databases = [open_database(database_url) for _ in range(3)]
    await databases[0].prepare(Schema("counting", FIRST))
    seen = await asyncio.gather(*(each.alone("counting", count_up) for each in databases * 6))
    assert sorted(seen) == list(range(18))
    for each in databases:
        await each.close()


async def test_work_that_fails_leaves_nothing_behind_and_its_own_error_comes_out(database_url: str) -> None:
    def half(connection: Connection) -> None:
        connection.execute(text("UPDATE counted SET n = 7"))
        raise LookupError("half-way")

    database = open_database(database_url)
    await database.prepare(Schema("counting", FIRST))
    for failing in (database.run(half), database.alone("counting", half)):
        with pytest.raises(LookupError, match="half-way"):
            await failing
    assert await database.run(count_up) == 0
    await database.close()


async def test_a_database_that_another_holds_too_long_is_unavailable(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'a.db'}", seconds=0.05)
    await database.prepare(Schema("counting", FIRST))
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await database.alone("counting", count_up)
        other.execute("ROLLBACK")
    assert await database.alone("counting", count_up) == 0
    await database.close()


@pytest.mark.parametrize(
    "url", ["mysql://user:hunter2@host/n?password=hunter2", "sqlite:///", "postgresql://u:hunter2@127.0.0.1:1/n"]
)
async def test_a_database_that_cannot_be_reached_says_so_without_its_password(url: str) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        await open_database(url, seconds=2.0).run(count_up)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(("name", "versions"), [("Bad name", FIRST), ("gap", {1: FIRST[1], 3: FIRST[1]})])
def test_a_schema_with_a_bad_name_or_a_gap_is_refused(name: str, versions: dict[int, tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match=name):
        Schema(name, versions)
