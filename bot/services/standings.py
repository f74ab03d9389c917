"""How the minds stand: what each proposed, what became of it, what it earned for the book, and what it would have earned alone.

Plain reading of the journal, for a book from a moment on. Money is float here: these are statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, Integer, Table, case, cast, func, select

from bot.core.decision import Tier
from bot.journal import tables as t
from bot.journal.queries import Queries
from bot.journal.run import BookKey

_Z = 1.96
"""Of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A share of `n`, and where the true one lies with 95 % (Wilson, 1927)."""

    share: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Score:
    """One source. `earned` is of closed lots that it opened, `alone` what its shadow made; None where nothing is known.

    A trade, won or lost, is all that was closed of what one decision opened, in however many fills that came and went.
    `won` verdicts, `contested` of them against another's proposal. `overruled` counts its overrides that are over,
    `cost` is their sum: positive, overruling cost that much; negative, it saved it.
    """

    source: str
    tier: Tier
    decisions: int = 0
    fates: Mapping[str, int] = field(default_factory=dict)
    won: int = 0
    contested: int = 0
    trades: int = 0
    earned: float = 0.0
    win_rate: Interval | None = None
    alone: float | None = None
    alone_trades: int = 0
    alone_win_rate: Interval | None = None
    overruled: int = 0
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Standings:
    """The arbiter against every mind, since `since` (ms; 0: since the books began)."""

    since: int
    arbiter: float | None
    trades: int
    win_rate: Interval | None
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """P&L over time: `at` in ms, `pnl` in the accounting currency, both of one length."""

    name: str
    at: tuple[int, ...]
    pnl: tuple[float, ...]


def wilson(won: int, n: int) -> Interval | None:
    """The share of `won` in `n` with its 95 % interval; None of nothing."""
    if n == 0:
        return None
    share, z2 = won / n, _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * ((share * (1 - share) / n + z2 / (4 * n * n)) ** 0.5) / (1 + z2 / n)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half), n)


def standings(queries: Queries, book: BookKey, since: int = 0) -> Standings:
    """Who stands where, the best earner first."""

    def read(connection: Connection) -> Standings:
        number = _book(connection, book)
        return Standings(since, None, 0, None, ()) if number is None else _standings(connection, number, since)

    return queries.read(read)


def curves(queries: Queries, book: BookKey, since: int = 0, points: int = 600) -> tuple[Curve, ...]:
    """P&L since `since` of the arbiter (first) and of every source's shadow, each thinned evenly to about `points`."""

    def read(connection: Connection) -> tuple[Curve, ...]:
        number = _book(connection, book)
        if number is None:
            return ()
        sources = connection.execute(
            select(t.shadow_samples.c.source)
            .where(t.shadow_samples.c.book == number)
            .distinct()
            .order_by(t.shadow_samples.c.source)
        ).scalars()
        found = [_curve(connection, t.equity, "arbiter", (t.equity.c.book == number,), since, points)]
        for source in list(sources):
            mine = (t.shadow_samples.c.book == number, t.shadow_samples.c.source == source)
            found.append(_curve(connection, t.shadow_samples, source, mine, since, points))
        return tuple(curve for curve in found if curve.at)

    return queries.read(read)


def gained(queries: Queries, book: BookKey, since: int = 0) -> float | None:
    """What the book made since `since` (ms UTC), transfers left out, by its samples; None while there is none from then on."""

    def read(connection: Connection) -> float | None:
        number = _book(connection, book)
        mine = (t.equity.c.book == number,)
        known = number is not None and connection.execute(select(t.equity.c.row).where(*mine, *_since(t.equity, since)).limit(1))
        return _gain(connection, t.equity, mine, since) if known and known.first() is not None else None

    return queries.read(read)


def _book(connection: Connection, book: BookKey) -> int | None:
    c = t.books.c
    wanted = select(c.id).where(c.bot == book.bot, c.mode == book.mode, c.venue == book.venue, c.world == book.world)
    return connection.execute(wanted).scalar_one_or_none()


def _standings(connection: Connection, book: int, since: int) -> Standings:
    fates: dict[str, dict[str, int]] = {}
    tiers: dict[str, Tier] = {}
    for row in _grouped(connection, t.fates, book, since, t.fates.c.source, t.fates.c.tier, t.fates.c.fate):
        tiers[row.source] = Tier(row.tier)
        by_fate = fates.setdefault(row.source, {})
        by_fate[row.fate] = by_fate.get(row.fate, 0) + row.count
    contested = func.sum(cast(t.verdicts.c.outranked != "[]", Integer)).label("contested")
    won = {row.source: row for row in _grouped(connection, t.verdicts, book, since, t.verdicts.c.source, more=(contested,))}
    lots = {row.opener: row for row in _money(connection, t.lots_closed, book, since, "opener", "opening_decision")}
    alone = {row.source: row for row in _money(connection, t.shadow_trades, book, since, "source", "decision_id")}
    cost = func.sum(t.overrides.c.cost).label("cost")
    overruled = {row.loser: row for row in _grouped(connection, t.overrides, book, since, t.overrides.c.loser, more=(cost,))}
    shadows = _shadow_gains(connection, book, since)
    tiers |= {name: Tier(tier) for name, (_, tier) in shadows.items()}
    scores = [
        _score(name, tiers.get(name, Tier.TRADITIONAL), fates, won, lots, alone, overruled, shadows)
        for name in sorted({*fates, *won, *lots, *alone, *overruled, *shadows})
    ]
    closed, gained = sum(row.count for row in lots.values()), sum(int(row.wins or 0) for row in lots.values())
    return Standings(
        since,
        _gain(connection, t.equity, (t.equity.c.book == book,), since),
        closed,
        wilson(gained, closed),
        tuple(sorted(scores, key=lambda score: (-score.earned, score.source))),
    )


def _score(
    name: str,
    tier: Tier,
    fates: Mapping[str, Mapping[str, int]],
    won: Mapping[str, Any],
    lots: Mapping[str, Any],
    alone: Mapping[str, Any],
    overruled: Mapping[str, Any],
    shadows: Mapping[str, tuple[float | None, int]],
) -> Score:
    verdicts, closed, traded, lost = won.get(name), lots.get(name), alone.get(name), overruled.get(name)
    return Score(
        source=name,
        tier=tier,
        decisions=sum(fates.get(name, {}).values()),
        fates=dict(fates.get(name, {})),
        won=verdicts.count if verdicts else 0,
        contested=int(verdicts.contested or 0) if verdicts else 0,
        trades=closed.count if closed else 0,
        earned=float(closed.pnl or 0.0) if closed else 0.0,
        win_rate=wilson(int(closed.wins or 0), closed.count) if closed else None,
        alone=shadows[name][0] if name in shadows else None,
        alone_trades=traded.count if traded else 0,
        alone_win_rate=wilson(int(traded.wins or 0), traded.count) if traded else None,
        overruled=lost.count if lost else 0,
        cost=float(lost.cost or 0.0) if lost else 0.0,
    )


def _grouped(connection: Connection, table: Table, book: int, since: int, *by: Any, more: Sequence[Any] = ()) -> Sequence[Any]:
    wanted = select(*by, func.count().label("count"), *more).where(table.c.book == book, *_since(table, since)).group_by(*by)
    return connection.execute(wanted).all()


def _money(connection: Connection, table: Table, book: int, since: int, by: str, decision: str) -> Sequence[Any]:
    """How many trades, how many of them with a gain, and the sum, by a column.

    An order may fill in many pieces, and each of them closes a part of each lot: what one decision opened, or where none is known
    what was opened at one time, is one trade.
    """
    opener, opened = table.c[by], table.c[decision]
    undecided = case((opened.is_(None), table.c.opened))
    pnl = func.sum(cast(table.c.pnl, Double)).label("pnl")
    pieces = select(opener, pnl).where(table.c.book == book, *_since(table, since))
    trade = pieces.group_by(opener, table.c.symbol, opened, undecided).subquery()
    won = func.sum(cast(trade.c.pnl > 0, Integer)).label("wins")
    counted = select(trade.c[by], func.count().label("count"), won, func.sum(trade.c.pnl).label("pnl")).group_by(trade.c[by])
    return connection.execute(counted).all()


def _since(table: Table, since: int) -> tuple[ColumnElement[bool], ...]:
    return (table.c.at >= since,) if since else ()


def _shadow_gains(connection: Connection, book: int, since: int) -> dict[str, tuple[float | None, int]]:
    c = t.shadow_samples.c
    sources = connection.execute(select(c.source, func.max(c.tier)).where(c.book == book).group_by(c.source)).all()
    return {
        source: (_gain(connection, t.shadow_samples, (c.book == book, c.source == source), since), tier)
        for source, tier in sources
    }


def _gain(connection: Connection, table: Table, mine: tuple[ColumnElement[bool], ...], since: int) -> float | None:
    """What was made between the last sample before `since` and the newest."""
    c = table.c
    wanted = select(c.realised, c.unrealised).where(*mine).order_by(c.row.desc()).limit(1)
    newest = connection.execute(wanted).first()
    if newest is None:
        return None
    return _worth(newest) - _worth_before(connection, table, mine, since)


def _worth_before(connection: Connection, table: Table, mine: tuple[ColumnElement[bool], ...], since: int) -> float:
    """What gains since `since` are counted from: the last sample before it; nothing where the books began later."""
    c = table.c
    oldest = connection.execute(select(c.at).where(*mine).order_by(c.row).limit(1)).scalar()
    if oldest is None or oldest >= since:
        return 0.0  # without looking through all of them for one that is older
    wanted = select(c.realised, c.unrealised).where(*mine, c.at < since).order_by(c.row.desc()).limit(1)
    before = connection.execute(wanted).first()
    return 0.0 if before is None else _worth(before)


def _worth(row: Any) -> float:
    return float(Decimal(row.realised)) + (row.unrealised or 0.0)


def _curve(
    connection: Connection, table: Table, name: str, mine: tuple[ColumnElement[bool], ...], since: int, points: int
) -> Curve:
    c = table.c
    bounds = (*mine, *_since(table, since))
    numbered = select(c.row, c.at, c.realised, c.unrealised, func.row_number().over(order_by=c.row.desc()).label("number"))
    inner = numbered.where(*bounds).subquery()
    step = (connection.execute(select(func.count()).select_from(table).where(*bounds)).scalar_one() // points) + 1
    thinned = (
        select(inner.c.at, inner.c.realised, inner.c.unrealised).where((inner.c.number - 1) % step == 0).order_by(inner.c.row)
    )
    rows = connection.execute(thinned).all()
    first = _worth_before(connection, table, mine, since)
    return Curve(name, tuple(row.at for row in rows), tuple(_worth(row) - first for row in rows))
