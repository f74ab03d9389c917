from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from bot.journal.errors import JournalCorrupt, JournalError
from bot.journal.migrations import HEAD
from bot.journal.tables import metadata
from bot.journal.upgrade import upgrade


def test_the_migrated_schema_is_the_declared_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    upgrade(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_known_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", "bot.journal:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_every_table_compiles_for_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))


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


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
    with pytest.raises(JournalCorrupt, match=r"not a journal.*photos"):
        upgrade(f"sqlite:///{path}")


def test_a_damaged_database_is_recognised_at_open(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    upgrade(f"sqlite:///{path}")
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 8] = b"\xa5" * (4096 * 7)
    path.write_bytes(content)
    with pytest.raises(JournalCorrupt, match="damaged"):
        upgrade(f"sqlite:///{path}")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    upgrade(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(JournalCorrupt, match="newer version"):
        upgrade(f"sqlite:///{path}")


def test_an_url_that_is_not_served_is_refused_without_its_password() -> None:
    from bot.journal.upgrade import sqlite_path

    with pytest.raises(JournalError) as caught:
        sqlite_path("postgresql://bot:hunter2@db/journal")
    assert "hunter2" not in str(caught.value)


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    path = tmp_path / "journal.db"
    create_index = op.create_index

    def failing(name: str, table: str, columns: list[str]) -> None:
        if "verdicts" in name:
            message = "power cut"
            raise RuntimeError(message)
        create_index(name, table, columns)

    monkeypatch.setattr(op, "create_index", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        upgrade(f"sqlite:///{path}")
    monkeypatch.undo()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    upgrade(f"sqlite:///{path}")
