"""The SQL the writer runs: compiled once per table, because building it per row is too slow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Double, Table, bindparam, column, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.engine.interfaces import Dialect

from bot.journal.engine import TRIM
from bot.journal.rows import Row
from bot.journal.tables import CURRENT, metadata

# What the engines keep for themselves.
_OWN = frozenset({"books", "batches"})

Argument = list[str | int | float | bool | None]


def statements(dialect: Dialect) -> dict[str, str]:
    """SQLite's one write statement of each table: an insert, or where only the newest state is kept, an upsert; and `TRIM`."""
    written = {name: _statement(table, dialect) for name, table in metadata.tables.items() if name not in _OWN}
    return written | {TRIM: _trim(dialect)}


@dataclass(frozen=True, slots=True)
class ColumnStatement:
    """A write of many rows at once, one array for each of `columns`.

    `key` are the columns of which a statement may bring each value only once; `floats` those that may not be NaN.
    """

    sql: str
    columns: tuple[str, ...]
    key: tuple[str, ...] | None
    floats: frozenset[str]

    def arguments(self, rows: Sequence[Row]) -> list[Argument]:
        """The arrays of the rows; of rows with the same key the last one's. `KeyError` if a column is missing."""
        if self.key is not None and len(rows) > 1:
            rows = list({tuple(row[name] for name in self.key): row for row in rows}.values())
        return [self._array(name, rows) for name in self.columns]

    def _array(self, name: str, rows: Sequence[Row]) -> Argument:
        if name in self.floats:
            return [None if (value := row[name]) != value else value for row in rows]
        return [row[name] for row in rows]


def column_statements() -> dict[str, ColumnStatement]:
    """The same writes for PostgreSQL, where a statement of arrays is the quickest way in; without `TRIM`."""
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]
    return {name: _columnwise(table, dialect) for name, table in metadata.tables.items() if name not in _OWN}


def _columnwise(table: Table, dialect: Dialect) -> ColumnStatement:
    columns = [each for each in table.columns if each.name != "row"]
    names = [each.name for each in columns]
    arrays = [bindparam(each.name, type_=postgresql.ARRAY(each.type)) for each in columns]
    rows = func.unnest(*arrays).table_valued(*[column(name) for name in names]).render_derived()
    statement = postgresql.insert(table).from_select(names, select(*[rows.c[name] for name in names]))
    key = None
    if table.name in CURRENT:
        key = tuple(each.name for each in table.primary_key.columns)
        statement = statement.on_conflict_do_update(
            index_elements=key, set_={name: statement.excluded[name] for name in _changing(table, names)}
        )
    floats = frozenset(each.name for each in columns if isinstance(each.type, Double))
    return ColumnStatement(str(statement.compile(dialect=dialect)), tuple(names), key, floats)


def _changing(table: Table, names: Sequence[str]) -> list[str]:
    """What a newer state replaces: an order stays with the run that made it."""
    kept = {each.name for each in table.primary_key.columns} | {"run"}
    return [name for name in names if name not in kept]


def trim_statement() -> str:
    """The `TRIM` of PostgreSQL; its arguments are the run and how many snapshots to keep."""
    return _trim(asyncpg.dialect())  # type: ignore[no-untyped-call]


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
    values: dict[str, BindParameter[Any]] = {each.name: bindparam(each.name) for each in table.columns if each.name != "row"}
    statement = sqlite.insert(table).values(values)
    if table.name in CURRENT:
        key = [each.name for each in table.primary_key.columns]
        changed = {name: statement.excluded[name] for name in _changing(table, list(values))}
        return str(statement.on_conflict_do_update(index_elements=key, set_=changed).compile(dialect=dialect))
    return str(statement.compile(dialect=dialect))
