"""What the bot's own books say of QuantConnect's opinions: earned in the book, and alone in the shadow. Read-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, select

from bot.core.decision import Fate, Tier
from bot.journal import tables as t
from bot.journal.queries import Queries
from bot.journal.records import ShadowPoint
from bot.journal.run import BookKey

_LOOKED_AT = 200
"""Newest decisions of a source by which its projects are known."""


@dataclass(slots=True)
class OfSource:
    """One source. `pnl` is that of the closed lots it opened, net of fees; decimals are of the book's currency.

    `projects` are those that its newest decisions came from; `shadow` is what it would have earned alone.
    """

    source: str
    fates: dict[str, int] = field(default_factory=dict)
    trades: int = 0
    wins: int = 0
    pnl: Decimal = Decimal(0)
    projects: tuple[int, ...] = ()
    shadow: ShadowPoint | None = None

    def as_json(self) -> dict[str, object]:
        """Plain values; money is text."""
        shadow = self.shadow
        return {
            "source": self.source,
            "projects": list(self.projects),
            "decisions": sum(self.fates.values()),
            "fates": dict(self.fates),
            "trades": self.trades,
            "wins": self.wins,
            "pnl": str(self.pnl),
            "shadow": None
            if shadow is None
            else {
                "at": shadow.at,
                "equity": shadow.equity,
                "realised": str(shadow.realised),
                "unrealised": shadow.unrealised,
                "fees": str(shadow.fees),
                "trades": shadow.trades,
                "wins": shadow.wins,
            },
        }


@dataclass(frozen=True, slots=True)
class PaperResult:
    """The newest book of the journal, and what each QuantConnect source did in it."""

    run: str
    mode: str
    simulated: bool
    currency: str
    sources: Sequence[OfSource]

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "run": self.run,
            "mode": self.mode,
            "simulated": self.simulated,
            "currency": self.currency,
            "sources": [source.as_json() for source in self.sources],
        }


def paper_result(url: str, bot: str, currency: str, project: int | None = None) -> PaperResult | None:
    """Of the newest book of this bot; None where nothing has run yet. With a project, only of the sources that heard it.

    `JournalError` where the journal cannot be read.
    """
    with Queries(url) as queries:
        run = queries.newest_of(bot)
        if run is None:
            return None
        book = BookKey(run.bot, run.mode, run.venue, run.world)
        shadows = {point.source: point for point in queries.shadow(book=book) if point.tier is Tier.QUANTCONNECT}
        found = {name: OfSource(name, shadow=shadows.get(name)) for name in sources_of(queries, book) | shadows.keys()}
        for counted in queries.counts(book=book):
            if counted.source in found:
                found[counted.source].fates[_word(counted.fate)] = counted.count
        for opener, pnl in queries.read(lambda connection: _lots(connection, book)):
            one = found.setdefault(opener, OfSource(opener))
            one.trades, one.wins, one.pnl = one.trades + 1, one.wins + (pnl > 0), one.pnl + pnl
        for one in found.values():
            one.projects = _projects(queries, book, one.source)
    chosen = [found[name] for name in sorted(found) if project is None or project in found[name].projects]
    return PaperResult(run.id, run.mode, run.simulated, currency, chosen)


def sources_of(queries: Queries, book: BookKey | None = None) -> set[str]:
    """Names of the QuantConnect sources that ever decided, in a book if one is given."""
    d = t.decisions.c
    statement = select(d.source).distinct().where(d.tier == int(Tier.QUANTCONNECT), *_of_book(d.book, book))
    return set(queries.read(lambda connection: connection.execute(statement).scalars().all()))


def _lots(connection: Connection, book: BookKey) -> list[tuple[str, Decimal]]:
    c = t.lots_closed.c
    statement = select(c.opener, c.pnl).where(c.opener_tier == int(Tier.QUANTCONNECT), *_of_book(c.book, book))
    return [(opener, Decimal(pnl)) for opener, pnl in connection.execute(statement)]


def _of_book(column: Column[Any], book: BookKey | None) -> list[ColumnElement[bool]]:
    if book is None:
        return []
    c = t.books.c
    same = (c.bot == book.bot, c.mode == book.mode, c.venue == book.venue, c.world == book.world)
    return [column == select(c.id).where(*same).scalar_subquery()]


def _projects(queries: Queries, book: BookKey, source: str) -> tuple[int, ...]:
    seen = (one.evidence.get("project") for one in queries.decisions(book=book, source=source, limit=_LOOKED_AT))
    return tuple(sorted({found for found in seen if isinstance(found, int)}))


def _word(fate: Fate | None) -> str:
    return "standing" if fate is None else fate.value
