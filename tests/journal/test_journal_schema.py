from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from bot.journal.address import is_postgres, sqlite_path
from bot.journal.database import open_database
from bot.journal.errors import JournalCorrupt, JournalError
from bot.journal.journal import Journal
from bot.journal.migrations import HEAD
from bot.journal.queries import Queries
from bot.journal.tables import metadata
from bot.journal.upgrade import downgrade, examine, upgrade
from tests.journal.journal_databases import change, rows
from tests.journal.journal_facts import NOW, Watcher, every_fact, journal_of, run_of, stored


def test_the_migrated_schema_is_the_declared_one(database_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    with closing(open_database(database_url)) as database:
        assert database.run(differences) == []


def test_the_known_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", "bot.journal:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_a_journal_is_made_where_there_is_none(nowhere_url: str) -> None:
    assert examine(nowhere_url) is None
    upgrade(nowhere_url)
    assert examine(nowhere_url) == HEAD


async def test_an_upgrade_may_be_asked_for_from_a_running_loop(nowhere_url: str) -> None:
    upgrade(nowhere_url)
    assert examine(nowhere_url) == HEAD


async def test_an_older_schema_comes_back_and_goes_again_with_its_rows(tmp_path: Path, database_url: str) -> None:
    journal = journal_of(database_url, tmp_path)
    journal.begin(run_of(), Watcher().watch)
    for fact in every_fact():
        journal.append(fact)
    await journal.close(NOW)
    downgrade(database_url, "0001")
    assert examine(database_url) == "0001"
    again = journal_of(database_url, tmp_path)
    again.begin(run_of("run2"), Watcher().watch)
    assert await stored(again, 2) is None
    await again.close(NOW)
    assert examine(database_url) == HEAD
    assert rows(database_url, "SELECT amount, price FROM fills") == [("0.0050", "50000.10")]
    assert rows(database_url, "SELECT id, run FROM orders ORDER BY id") == [("arb1", "run1"), ("arb2", "run2")]


def test_every_table_goes_with_the_last_downgrade(database_url: str) -> None:
    def tables(connection: Connection) -> list[str]:
        return inspect(connection).get_table_names()

    downgrade(database_url, "base")
    with closing(open_database(database_url)) as database:
        assert database.run(tables) == ["alembic_version"]
    assert examine(database_url) is None
    upgrade(database_url)
    assert examine(database_url) == HEAD


def test_bots_may_upgrade_a_new_journal_at_once(nowhere_url: str) -> None:
    with ThreadPoolExecutor(3) as bots:
        assert list(bots.map(upgrade, [nowhere_url] * 3)) == [None] * 3
    assert examine(nowhere_url) == HEAD


def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.db"
    upgrade(f"sqlite:///{path}")
    before = path.read_bytes()
    upgrade(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"hello, this is a letter" * 100)
    with pytest.raises(JournalCorrupt, match=r"journal\.db is not an SQLite database.*backup"):
        upgrade(f"sqlite:///{path}")
    assert path.read_bytes().startswith(b"hello")


def test_another_programs_database_is_not_touched(nowhere_url: str) -> None:
    if not is_postgres(nowhere_url):
        sqlite_path(nowhere_url).parent.mkdir()
    change(nowhere_url, "CREATE TABLE photos (id INTEGER)")
    with pytest.raises(JournalCorrupt, match=r"not a journal.*photos"):
        upgrade(nowhere_url)


def test_a_damaged_database_is_recognised_at_open(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    upgrade(f"sqlite:///{path}")
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 8] = b"\xa5" * (4096 * 7)
    path.write_bytes(content)
    with pytest.raises(JournalCorrupt, match="damaged"):
        upgrade(f"sqlite:///{path}")


def test_a_newer_schema_is_refused(database_url: str) -> None:
    change(database_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(JournalCorrupt, match="newer version"):
        upgrade(database_url)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://bot:hunter2@db/journal",
        "postgresql://bot:hunter2@db",
        "postgresql://bot:hunter2@db:port/journal",
        "postgresql://db/journal?user=bot&password=hunter2",
        "sqlite:///",
        "postgresql+psycopg://bot:hunter2@db/journal",
    ],
)
def test_an_url_that_is_not_served_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    for door in (upgrade, examine, Queries, lambda url: Journal.open(url, tmp_path)):
        with pytest.raises(JournalError) as caught:
            door(url)
        assert "hunter2" not in str(caught.value)


def test_a_migration_that_fails_leaves_nothing_behind(nowhere_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    create_index = op.create_index

    def failing(name: str, table: str, columns: list[str]) -> None:
        if "verdicts" in name:
            message = "power cut"
            raise RuntimeError(message)
        create_index(name, table, columns)

    monkeypatch.setattr(op, "create_index", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        upgrade(nowhere_url)
    monkeypatch.undo()
    with closing(open_database(nowhere_url)) as database:
        assert database.run(lambda connection: inspect(connection).get_table_names()) == []
    upgrade(nowhere_url)


def test_looking_at_a_journal_that_is_written_takes_no_lock_from_its_writer(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    upgrade(url)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE IF NOT EXISTS noted (word TEXT)")
        writer.commit()
        upgrade(url)
        other = "import sqlite3; c = sqlite3.connect('journal.db'); c.execute('SELECT * FROM noted').fetchall(); c.close()"
        subprocess.run([sys.executable, "-c", other], cwd=tmp_path, check=True, timeout=30)
        assert (tmp_path / "journal.db-wal").exists(), "the other process believed that nobody wrote"
        writer.execute("INSERT INTO noted VALUES ('kept')")
        writer.commit()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as reader:
        assert reader.execute("SELECT word FROM noted").fetchall() == [("kept",)]
