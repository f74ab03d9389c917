"""Whole tables as files: CSV for spreadsheets, JSON for programs. They are written page by page, so memory stays small."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum, StrEnum
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from bot.core.decision import Fate
from bot.journal import records as r
from bot.journal.queries import Queries
from bot.journal.run import BookKey
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader

router = APIRouter(tags=["trading"])

_PAGE = 1_000
_MOST = 1_000_000
_FORMS: Mapping[str, Any] = {"text/csv": {"schema": {"type": "string"}}, "application/json": {"schema": {"type": "array"}}}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class Table(StrEnum):
    """What can be exported."""

    DECISIONS = "decisions"
    VERDICTS = "verdicts"
    ORDERS = "orders"
    FILLS = "fills"
    LOTS = "lots"
    OVERRIDES = "overrides"
    COMMANDS = "commands"


class Form(StrEnum):
    """How it is written."""

    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A table: its record, how a page of it is read, and what the cursor of a row is."""

    record: type
    read: Callable[..., Sequence[Any]]
    cursor: Callable[[Any], Any] = lambda row: row.row
    filters: tuple[str, ...] = ("run", "symbol")


_TABLES: Mapping[Table, _Kept] = {
    Table.DECISIONS: _Kept(r.JournaledDecision, Queries.decisions, filters=("run", "symbol", "source", "fate")),
    Table.VERDICTS: _Kept(r.JournaledVerdict, Queries.verdicts),
    Table.ORDERS: _Kept(r.JournaledOrder, Queries.orders, lambda row: (row.created, row.id)),
    Table.FILLS: _Kept(r.JournaledFill, Queries.fills),
    Table.LOTS: _Kept(r.ClosedLot, Queries.lots),
    Table.OVERRIDES: _Kept(r.Override, Queries.overrides, filters=("run",)),
    Table.COMMANDS: _Kept(r.Command, Queries.commands, filters=("run",)),
}


@router.get("/export/{table}.{form}", response_class=StreamingResponse, status_code=200, responses={200: {"content": _FORMS}})
async def export(
    room: Room,
    principal: Reader,
    table: Table,
    form: Form,
    run: Annotated[str, Query(max_length=64)] = "",
    symbol: Annotated[str, Query(max_length=40)] = "",
    source: Annotated[str, Query(max_length=100)] = "",
    fate: Fate | None = None,
) -> StreamingResponse:
    """A whole table of these books, the newest first, narrowed like its page; a filter that a table lacks changes nothing."""
    del principal
    kept, book = _TABLES[table], await room.book()
    given = {"run": run or None, "symbol": symbol or None, "source": source or None, "fate": fate}
    chosen = {name: given[name] for name in kept.filters}
    rows = _rows(room, kept, book, chosen)
    headers = {"content-disposition": f'attachment; filename="{table.value}-{book.bot}-{book.mode}.{form.value}"'}
    if form is Form.CSV:
        return StreamingResponse(_csv(kept.record, rows), headers=headers, media_type="text/csv; charset=utf-8")
    return StreamingResponse(_json(kept.record, rows), headers=headers, media_type="application/json")


async def _rows(room: ControlRoom, kept: _Kept, book: BookKey, chosen: Mapping[str, Any]) -> AsyncIterator[Sequence[Any]]:
    """Page after page, at most a million rows."""
    before: Any = None
    for _ in range(_MOST // _PAGE):
        found = await room.read(partial(_page, kept, book, dict(chosen), before))
        if found:
            yield found
        if len(found) < _PAGE or room.stopping.is_set():
            return
        before = kept.cursor(found[-1])


def _page(kept: _Kept, book: BookKey, chosen: dict[str, Any], before: Any, queries: Queries) -> Sequence[Any]:
    return kept.read(queries, book=book, limit=_PAGE, before=before, **chosen)


async def _csv(record: type, pages: AsyncIterator[Sequence[Any]]) -> AsyncIterator[str]:
    names = [field.name for field in fields(record)]
    yield _lines([names])
    async for page in pages:
        yield _lines([[_cell(getattr(row, name)) for name in names] for row in page])


async def _json(record: type, pages: AsyncIterator[Sequence[Any]]) -> AsyncIterator[bytes]:
    names, opening = [field.name for field in fields(record)], b"["
    async for page in pages:
        for row in page:
            yield opening + orjson.dumps({name: getattr(row, name) for name in names}, default=str)
            opening = b",\n"
    yield b"[]" if opening == b"[" else b"]\n"


def _lines(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula is marked as text: it may come from a model or from the news."""
    plain = value.value if isinstance(value, Enum) else value
    if isinstance(plain, (Mapping, tuple, list)):
        plain = orjson.dumps(plain, default=str).decode()
    if isinstance(plain, str) and plain.startswith(_FORMULA):
        return f"'{plain}"
    return plain


ROUTERS = (router,)
