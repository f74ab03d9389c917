"""What teaches: facts of the desk as they happen, and the journal's rows of them, told to the same ears."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import orjson
from sqlalchemy import Connection, Table, select

from bot.core.decision import Action, Evidence, Tier
from bot.core.facts import DecisionSeen, Fact, PositionChanged, ShadowClosed
from bot.journal import tables as t
from bot.journal.queries import Queries
from bot.journal.records import ShadowTrade
from bot.journal.run import BookKey
from research.calibration.evidence import Part
from research.calibration.outcomes import Outcomes

_ROWS = 20_000
_TRADES = 5_000


@dataclass(frozen=True, slots=True)
class SeenRow:
    """The journal's row of a decision, as far as calibration reads it."""

    at: int
    id: str
    source: str
    tier: Tier
    symbol: str
    action: Action
    confidence: float | None
    raw_confidence: float | None
    created: int
    expires: int
    price: float | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class PriceRow:
    """The journal's row of a position: the price at which it was valued."""

    at: int
    symbol: str
    price: float | None


Row = SeenRow | PriceRow | ShadowTrade
# At one moment: what was proposed, then what became of it.
_ORDER = {SeenRow: 0, PriceRow: 1, ShadowTrade: 2}


def taught_by_fact(outcomes: Outcomes, fact: Fact) -> list[Part]:
    """What a fact teaches."""
    kind = fact.__class__
    if kind is DecisionSeen:
        return _seen(outcomes, fact.at, fact.decision)  # type: ignore[union-attr]
    if kind is ShadowClosed:
        return outcomes.closed(fact)  # type: ignore[arg-type]
    if kind is PositionChanged:
        return outcomes.priced(fact.at, fact.symbol, fact.price)  # type: ignore[union-attr]
    return []


def taught_by_row(outcomes: Outcomes, row: Row) -> list[Part]:
    """What a row of the journal teaches."""
    if isinstance(row, SeenRow):
        return _seen(outcomes, row.at, row)
    if isinstance(row, ShadowTrade):
        return outcomes.closed(row)
    return [] if row.price is None else outcomes.priced(row.at, row.symbol, row.price)


def journaled(url: str, book: BookKey) -> list[Row]:
    """The newest rows of a book that teach anything, in their order. Raises what the journal raises."""
    with Queries(url) as journal:
        found: list[Row] = journal.read(lambda connection: list(_rows(connection, book)))
        found += journal.shadow_trades(book=book, limit=_TRADES)[::-1]
    return sorted(found, key=lambda row: (row.at, _ORDER[type(row)]))


def _seen(outcomes: Outcomes, at: int, told: Any) -> list[Part]:
    """A decision. The prices of our own rules are the desk's; what others claim to have seen judges nobody."""
    trusted = told.tier is Tier.TRADITIONAL and told.price is not None
    found = outcomes.priced(at, told.symbol, told.price) if trusted else []
    outcomes.seen(told)
    return found


def _rows(connection: Connection, book: BookKey) -> Iterator[Row]:
    b = t.books.c
    same = b.bot == book.bot, b.mode == book.mode, b.venue == book.venue, b.world == book.world
    number = connection.execute(select(b.id).where(*same)).scalar_one_or_none()
    if number is None:
        return
    for row in _newest(connection, t.decisions, tuple(field.name for field in fields(SeenRow)), number, _ROWS):
        told = dict(row) | {"tier": Tier(row["tier"]), "action": Action(row["action"]), "evidence": orjson.loads(row["evidence"])}
        yield SeenRow(**told)
    for row in _newest(connection, t.positions, ("at", "symbol", "price"), number, _ROWS):
        yield PriceRow(**row)


def _newest(connection: Connection, table: Table, names: tuple[str, ...], book: int, limit: int) -> list[Any]:
    columns = [table.c[name] for name in names]
    asked = select(*columns).where(table.c.book == book).order_by(table.c.row.desc()).limit(limit)
    return list(connection.execute(asked).mappings().all()[::-1])
