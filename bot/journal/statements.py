"""The SQL the writer runs: compiled once per table, because building it per row is too slow."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, Table, bindparam, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect

from bot.journal.engine import TRIM
from bot.journal.tables import CURRENT, metadata


def statements(dialect: Dialect) -> dict[str, str]:
    """The one write statement of each table: an insert, or where only the newest state is kept, an upsert; and `TRIM`."""
    written = {name: _statement(table, dialect) for name, table in metadata.tables.items() if name != "books"}
    return written | {TRIM: _trim(dialect)}


def _trim(dialect: Dialect) -> str:
    """Delete a run's snapshots except the newest few."""
    table = metadata.tables["snapshots"]
    run: BindParameter[str] = bindparam("run")
    newest = (
        select(table.c.seq)
        .where(table.c.run == run)
        .order_by(table.c.seq.desc())
        .limit(literal_column("1"))
        .offset(bindparam("kept"))
    )
    return str(table.delete().where(table.c.run == run, table.c.seq <= newest.scalar_subquery()).compile(dialect=dialect))


def _statement(table: Table, dialect: Dialect) -> str:
    insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
    values: dict[str, BindParameter[Any]] = {
        column.name: bindparam(column.name) for column in table.columns if column.name != "row"
    }
    statement = insert(table).values(values)
    if table.name in CURRENT:
        key = [column.name for column in table.primary_key.columns]
        # An order stays with the run that made it.
        kept = {*key, "run"}
        changed = {name: statement.excluded[name] for name in values if name not in kept}
        return str(statement.on_conflict_do_update(index_elements=key, set_=changed).compile(dialect=dialect))
    return str(statement.compile(dialect=dialect))
