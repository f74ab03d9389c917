"""What queries of the journal select, and how they are narrowed to a run or a book."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, func, select

from bot.journal import records as r
from bot.journal import tables as t
from bot.journal.run import BookKey


def same_book(book: BookKey | None) -> list[ColumnElement[bool]]:
    """Conditions on the table `books`; none for no book."""
    if book is None:
        return []
    c = t.books.c
    return [c.bot == book.bot, c.mode == book.mode, c.venue == book.venue, c.world == book.world]


def within(table: Table, run: str | None, book: BookKey | None) -> list[ColumnElement[bool]]:
    """Conditions that keep rows of a run and of a book."""
    conditions: list[ColumnElement[bool]] = [] if run is None else [table.c.run == run]
    if book is not None:
        conditions.append(table.c.book == select(t.books.c.id).where(*same_book(book)).scalar_subquery())
    return conditions


def runs() -> Select[Any]:
    """Runs with the names of their books, the newest first."""
    columns = {"bot", "mode", "venue", "world"}
    chosen = [(t.books if f.name in columns else t.runs).c[f.name] for f in fields(r.Run)]
    joined = select(*chosen).select_from(t.runs.join(t.books, t.runs.c.book == t.books.c.id))
    return joined.order_by(t.runs.c.started.desc(), t.runs.c.id.desc())


def orders() -> Select[Any]:
    """Orders as they stand."""
    return select(*[t.orders.c[field.name] for field in fields(r.JournaledOrder)])


def decisions() -> Select[Any]:
    """Decisions, each with the first fate that it met after it was seen (an id may come again in a later run)."""
    d, f, filled = t.decisions, t.fates, t.decision_fills
    any_fate = t.fates.alias()
    first = (
        select(func.min(any_fate.c.row))
        .where(any_fate.c.book == d.c.book, any_fate.c.decision_id == d.c.id, any_fate.c.at >= d.c.at)
        .correlate(d)
        .scalar_subquery()
    )
    part = (
        select(filled.c.filled_fraction)
        .where(filled.c.book == d.c.book, filled.c.decision_id == d.c.id, filled.c.at >= d.c.at)
        .order_by(filled.c.row.desc())
        .limit(1)
        .scalar_subquery()
    )
    fate = [f.c.fate, f.c.denial, f.c.verdict_id, f.c.winner, f.c.reason.label("fate_reason"), f.c.at.label("fate_at")]
    known = {column.name for column in fate} | {"filled_fraction"}
    own = [d.c[field.name] for field in fields(r.JournaledDecision) if field.name not in known]
    return select(*own, *fate, part.label("filled_fraction")).select_from(d.outerjoin(f, f.c.row == first))
