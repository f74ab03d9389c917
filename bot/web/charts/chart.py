"""A chart as a page takes it: the figure, its words, and the table that says the same to those who do not see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

Figure = dict[str, Any]
"""`{"data": [...], "layout": {...}}` after plotly's schema, of plain JSON values only: no NaN, no Decimal, nothing foreign."""

MOST_ROWS = 60
"""Rows that the table of a curve may have."""

_CLOSING = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers of a chart. Cells are plain text, not HTML: the page escapes them.

    `numeric` are the places of the columns that are aligned to the right; `note` says what was left out, if anything was.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = ()
    numeric: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with its text alternative. `title` and `summary` are plain text, not HTML; `empty` if nothing was to be drawn."""

    figure: Figure
    title: str
    summary: str
    table: Table
    empty: bool = False

    def json(self) -> bytes:
        """The figure as JSON; the same chart gives the same bytes."""
        import orjson  # noqa: PLC0415 - whoever only builds charts does not need it

        return orjson.dumps(self.figure)

    def script(self) -> str:
        """The figure as JSON that may stand inside an element `<script type="application/json">`: nothing in it can close it."""
        return self.json().decode().translate(_CLOSING)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1, note: str = "") -> Table:
    """A table whose first `words` columns are words and whose others are numbers."""
    return Table(tuple(columns), tuple(tuple(row) for row in rows), frozenset(range(words, len(columns))), note)


def excerpt(columns: Sequence[str], rows: Sequence[T], cells: Callable[[T], Sequence[str]], *, words: int = 1) -> Table:
    """A table of many rows, cut to `MOST_ROWS` in equal steps, with both ends; only those are written out by `cells`."""
    last, note = len(rows) - 1, ""
    kept: Sequence[T] = rows
    if len(rows) > MOST_ROWS:
        kept = [rows[step * last // (MOST_ROWS - 1)] for step in range(MOST_ROWS)]
        note = f"{MOST_ROWS} of {len(rows):,} rows, in equal steps"
    return table(columns, map(cells, kept), words=words, note=note)
