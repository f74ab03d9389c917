"""Reading the journal, read-only, from any process: the command line, the control room, reconciliation at start.

Every query may be narrowed to a run or to a book. Lists are newest first and come in pages: `before` takes the `row` of the last
entry of the page before. A query that cannot be answered raises `JournalUnavailable` or `JournalCorrupt`; an empty list is an
answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import fields
from decimal import Decimal
from enum import Enum
from functools import cache
from operator import attrgetter
from types import TracebackType, UnionType
from typing import Any, Self, TypeVar, get_args, get_origin, get_type_hints

import orjson
from sqlalchemy import Connection, Row, Select, Table, func, or_, select

from bot.core.decision import Evidence, Fate, Tier
from bot.core.orders import OrderState
from bot.journal import records as r
from bot.journal import selecting
from bot.journal import tables as t
from bot.journal.codec import decode_snapshot
from bot.journal.database import Database, OneConnection, SqliteDatabase, open_database
from bot.journal.run import BookKey
from bot.journal.selecting import same_book, within

R = TypeVar("R")
T = TypeVar("T")
_IDS_AT_ONCE = 500
_RARE = 500
_LIVE_STATES = [state.value for state in OrderState if not state.terminal]


@cache
def _converters(cls: type) -> dict[str, Callable[[Any], object]]:
    """What turns a column's value into the type the record declares; columns that are right already are left out."""
    hints = get_type_hints(cls)
    found: dict[str, Callable[[Any], object]] = {}
    for field in fields(cls):
        hint = hints[field.name]
        if get_origin(hint) is UnionType:
            hint = next(part for part in get_args(hint) if part is not type(None))
        if hint is Decimal or (isinstance(hint, type) and issubclass(hint, Enum)) or hint is bool:
            found[field.name] = hint
        elif hint == Evidence:
            found[field.name] = orjson.loads
        elif get_origin(hint) is tuple:
            found[field.name] = lambda text: tuple(orjson.loads(text))
    return found


def _records(cls: type[R], names: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[R]:
    """The records of rows whose columns are named as their fields."""
    kind: type = cls
    names, converters = tuple(names), tuple(_converters(kind).items())
    found = []
    for row in rows:
        values = dict(zip(names, row, strict=True))
        for name, convert in converters:
            if values[name] is not None:
                values[name] = convert(values[name])
        found.append(cls(**values))
    return found


class Queries:
    """A read-only view of the journal at `url`; each query has a connection of its own, so threads may share this."""

    def __init__(self, url: str, *, busy_ms: int = 2_000) -> None:
        self._database: Database = open_database(url, busy_ms=busy_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections."""
        self._database.close()

    @property
    def path(self) -> str:
        """The database as a message may show it: its file, or where it is served."""
        return self._database.place

    def read(self, work: Callable[[Connection], T]) -> T:
        """What a question of one's own finds on a read-only connection; `work` may run in another thread."""
        return self._database.run(work)

    def together(self, work: Callable[[Queries], T]) -> T:
        """What several questions find. A file is opened once for all of them, which takes as long as most questions do."""
        if not isinstance(self._database, SqliteDatabase):
            return work(self)
        place = self._database.place

        def asked(connection: Connection) -> T:
            questions = object.__new__(Queries)
            questions._database = OneConnection(place, connection)
            return work(questions)

        return self._database.run(asked)

    def _all(self, cls: type[R], statement: Select[Any]) -> list[R]:
        def read(connection: Connection) -> tuple[Iterable[str], Iterable[Row[Any]]]:
            result = connection.execute(statement)
            return result.keys(), result.all()

        return _records(cls, *self._database.run(read))

    def _first(self, cls: type[R], statement: Select[Any]) -> R | None:
        found = self._all(cls, statement.limit(1))
        return found[0] if found else None

    def _page(
        self,
        cls: type[R],
        table: Table,
        run: str | None,
        book: BookKey | None,
        limit: int,
        before: int | None,
        since: int = 0,
        **equal: str | None,
    ) -> list[R]:
        """Newest first, of what happened at or after `since` (ms UTC); `equal` narrows by columns, those that are None do not."""
        statement = select(*[table.c[field.name] for field in fields(cls)])  # type: ignore[arg-type]
        statement = statement.where(
            *within(table, run, book), *[table.c[name] == value for name, value in equal.items() if value is not None]
        )
        if since:
            statement = statement.where(table.c.at >= since)
        if before is not None:
            statement = statement.where(table.c.row < before)
        return self._all(cls, statement.order_by(table.c.row.desc()).limit(limit))

    def runs(self, book: BookKey | None = None, limit: int = 50) -> list[r.Run]:
        """Runs, the newest first."""
        return self._all(r.Run, selecting.runs().where(*same_book(book)).limit(limit))

    def run(self, run: str) -> r.Run | None:
        """One run by id; `latest` is the newest of all."""
        statement = selecting.runs() if run == "latest" else selecting.runs().where(t.runs.c.id == run)
        return self._first(r.Run, statement)

    def latest_run(self, book: BookKey | None = None) -> r.Run | None:
        """The newest run, of a book if one is given."""
        return self._first(r.Run, selecting.runs().where(*same_book(book)))

    def newest_of(self, bot: str) -> r.Run | None:
        """The newest run of a bot, whatever its book; of any bot where this one has never run here."""
        return self._first(r.Run, selecting.runs().where(t.books.c.bot == bot)) or self.latest_run()

    def decisions(
        self,
        *,
        run: str | None = None,
        book: BookKey | None = None,
        source: str | None = None,
        symbol: str | None = None,
        fate: Fate | None = None,
        id: str | None = None,  # noqa: A002 - the column's name
        limit: int = 100,
        before: int | None = None,
    ) -> list[r.JournaledDecision]:
        """Decisions, each with its fate."""
        d, f = t.decisions, t.fates
        statement = selecting.decisions().where(*within(d, run, book))
        for column, value in ((d.c.source, source), (d.c.symbol, symbol), (d.c.id, id), (f.c.fate, fate and fate.value)):
            if value is not None:
                statement = statement.where(column == value)
        if before is not None:
            statement = statement.where(d.c.row < before)
        rare = None if fate is None else self._rare(fate, run, book, source, symbol)
        if rare is not None:
            statement = statement.where(d.c.row.in_(rare))
        return self._all(r.JournaledDecision, statement.order_by(d.c.row.desc()).limit(limit))

    def decisions_named(self, ids: Collection[str]) -> dict[str, r.JournaledDecision]:
        """The newest decision of each of these ids, by id, whatever book it is in; what is not there is left out."""
        d = t.decisions
        newest = select(func.max(d.c.row)).where(d.c.book.in_(select(t.books.c.id)), d.c.id.in_(tuple(ids))).group_by(d.c.id)
        found = self._all(r.JournaledDecision, selecting.decisions().where(d.c.row.in_(newest))) if ids else []
        return {each.id: each for each in found}

    def _rare(
        self, fate: Fate, run: str | None, book: BookKey | None, source: str | None, symbol: str | None
    ) -> list[int] | None:
        """The rows of decisions that met a fate which few meet; None of a common one, of which a page is soon full by itself."""
        d, f = t.decisions, t.fates
        narrowed = [column == value for column, value in ((f.c.source, source), (f.c.symbol, symbol)) if value is not None]
        wanted = select(f.c.book, f.c.decision_id).where(f.c.fate == fate.value, *narrowed, *within(f, run, book)).limit(_RARE)

        def rows(connection: Connection) -> list[int] | None:
            met = connection.execute(wanted).all()
            if len(met) == _RARE:
                return None
            found: list[int] = []
            for key in {row.book for row in met}:
                ids = [row.decision_id for row in met if row.book == key]
                found += connection.execute(select(d.c.row).where(d.c.book == key, d.c.id.in_(ids))).scalars()
            return found

        return self._database.run(rows)

    def orders(
        self,
        *,
        run: str | None = None,
        book: BookKey | None = None,
        symbol: str | None = None,
        decision_id: str | None = None,
        id: str | None = None,  # noqa: A002 - the column's name
        limit: int = 100,
        before: int | tuple[int, str] | None = None,
    ) -> list[r.JournaledOrder]:
        """Orders as they stand, the newest first; here `before` takes a `created` time, or it and the id of the last one seen."""
        c = t.orders.c
        statement = selecting.orders().where(*within(t.orders, run, book))
        for column, value in ((c.symbol, symbol), (c.decision_id, decision_id), (c.id, id)):
            if value is not None:
                statement = statement.where(column == value)
        if isinstance(before, tuple):
            created, seen = before
            # The first condition by itself is what an index can use.
            statement = statement.where(c.created <= created, or_(c.created < created, c.id > seen))
        elif before is not None:
            statement = statement.where(c.created < before)
        return self._all(r.JournaledOrder, statement.order_by(c.created.desc(), c.id).limit(limit))

    def open_orders(self, book: BookKey) -> list[r.JournaledOrder]:
        """Every order of the book that has not come to its end, whatever run made it, the oldest first."""
        live = selecting.orders().where(*within(t.orders, None, book), t.orders.c.state.in_(_LIVE_STATES))
        return self._all(r.JournaledOrder, live.order_by(t.orders.c.created, t.orders.c.id))

    def order_events(self, order_id: str, *, book: BookKey | None = None, limit: int = 1_000) -> list[r.OrderEvent]:
        """Every state of one order, the newest first."""
        return self._page(r.OrderEvent, t.order_events, None, book, limit, None, order_id=order_id)

    def fills(
        self,
        *,
        run: str | None = None,
        book: BookKey | None = None,
        symbol: str | None = None,
        order_id: str | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[r.JournaledFill]:
        """Fills, the newest first."""
        return self._page(r.JournaledFill, t.fills, run, book, limit, before, symbol=symbol, order_id=order_id)

    def positions(self, book: BookKey, *, flat: bool = False) -> list[r.JournaledPosition]:
        """The newest state of every symbol's position; those of no amount only with `flat`."""
        found = self._newest(r.JournaledPosition, t.positions, "symbol", None, book)
        return [position for position in found if flat or position.amount]

    def shadow(self, *, run: str | None = None, book: BookKey | None = None) -> list[r.ShadowPoint]:
        """The newest sample of every source's shadow ledger."""
        return self._newest(r.ShadowPoint, t.shadow_samples, "source", run, book)

    def _newest(self, cls: type[R], table: Table, by: str, run: str | None, book: BookKey | None) -> list[R]:
        newest = select(func.max(table.c.row)).where(*within(table, run, book)).group_by(table.c.book, table.c[by])
        columns = [table.c[field.name] for field in fields(cls)]  # type: ignore[arg-type]
        # Sorted here: databases differ in how they sort text.
        return sorted(self._all(cls, select(*columns).where(table.c.row.in_(newest))), key=attrgetter(by))

    def worth(self, *, run: str | None = None, book: BookKey | None = None) -> r.EquityPoint | None:
        """The newest sample of the book's worth."""
        c = t.equity.c
        wanted = select(*[c[field.name] for field in fields(r.EquityPoint)]).where(*within(t.equity, run, book))
        return self._first(r.EquityPoint, wanted.order_by(c.row.desc()))

    def equity(
        self,
        *,
        run: str | None = None,
        book: BookKey | None = None,
        since: int = 0,
        until: int = 2**62,
        limit: int = 2_000,
    ) -> list[r.EquityPoint]:
        """The equity curve, oldest first, thinned evenly to about `limit` points; the last and the deepest fall stay."""
        c = t.equity.c
        bounds = (*within(t.equity, run, book), c.at >= since, c.at <= until)
        columns = [c[field.name] for field in fields(r.EquityPoint)]
        ends = select(func.min(c.row), func.max(c.row), func.count(c.row)).where(*bounds)
        first, last, total = self._database.run(lambda connection: connection.execute(ends).one())
        step = total // limit + 1
        deepest = select(c.row).where(*bounds, c.drawdown > 0).order_by(c.drawdown.desc(), c.row).limit(1).scalar_subquery()
        if not total or last - first + 1 == total:  # nobody else's samples are in between, as in most journals: no need to count
            even = (0 if last is None else last) % step == c.row % step
            kept = select(*columns).where(*bounds, even if step == 1 else or_(even, c.row == deepest))
            return self._all(r.EquityPoint, kept.order_by(c.row))
        numbered = select(*columns, func.row_number().over(order_by=c.row.desc()).label("number")).where(*bounds).subquery()
        thinned = select(*[numbered.c[field.name] for field in fields(r.EquityPoint)])
        thinned = thinned.where(or_((numbered.c.number - 1) % step == 0, numbered.c.row == deepest))
        return self._all(r.EquityPoint, thinned.order_by(numbered.c.row))

    def shadow_trades(
        self,
        *,
        source: str | None = None,
        decision_id: str | None = None,
        run: str | None = None,
        book: BookKey | None = None,
        limit: int = 100,
        before: int | None = None,
        since: int = 0,
    ) -> list[r.ShadowTrade]:
        """Trades that ended in shadow ledgers at or after `since`, the newest first: what sizing and calibration read."""
        chosen = {"source": source, "decision_id": decision_id}
        return self._page(r.ShadowTrade, t.shadow_trades, run, book, limit, before, since, **chosen)

    def lots(
        self,
        *,
        symbol: str | None = None,
        opening_decision: str | None = None,
        run: str | None = None,
        book: BookKey | None = None,
        limit: int = 100,
        before: int | None = None,
        since: int = 0,
    ) -> list[r.ClosedLot]:
        """Lots that were closed at or after `since` (ms UTC), the newest first."""
        chosen = {"symbol": symbol, "opening_decision": opening_decision}
        return self._page(r.ClosedLot, t.lots_closed, run, book, limit, before, since, **chosen)

    def results(self, tier: Tier, since: int, until: int, limit: int) -> list[tuple[str, Decimal]]:
        """The opening decision and the net P&L of each lot that a tier opened and that closed from `since` to before `until`.

        The newest first, at most `limit`; only these two columns are read, so that many may be asked for.
        """
        lot = t.lots_closed.c
        wanted = select(lot.opening_decision, lot.pnl).where(
            lot.opener_tier == tier.value, lot.opening_decision.is_not(None), lot.at >= since, lot.at < until
        )
        statement = wanted.order_by(lot.row.desc()).limit(limit)
        rows = self._database.run(lambda connection: connection.execute(statement).all())
        return [(str(row.opening_decision), Decimal(str(row.pnl))) for row in rows]

    def verdicts(
        self,
        *,
        id: str | None = None,  # noqa: A002 - the column's name
        symbol: str | None = None,
        run: str | None = None,
        book: BookKey | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[r.JournaledVerdict]:
        """Verdicts, the newest first."""
        return self._page(r.JournaledVerdict, t.verdicts, run, book, limit, before, id=id, symbol=symbol)

    def conflicts(self, book: BookKey, since: int, limit: int) -> list[r.JournaledVerdict]:
        """Verdicts from `since` (ms UTC) on that outranked somebody, the newest first."""
        c = t.verdicts.c
        columns = [c[field.name] for field in fields(r.JournaledVerdict)]
        wanted = select(*columns).where(*within(t.verdicts, None, book), c.at >= since, c.outranked != "[]")
        return self._all(r.JournaledVerdict, wanted.order_by(c.row.desc()).limit(limit))

    def overrides(
        self,
        *,
        decision_id: str | None = None,
        run: str | None = None,
        book: BookKey | None = None,
        limit: int = 100,
        before: int | None = None,
        since: int = 0,
    ) -> list[r.Override]:
        """What overruling cost or saved, of what ended at or after `since` (ms UTC), the newest first."""
        return self._page(r.Override, t.overrides, run, book, limit, before, since, decision_id=decision_id)

    def risk_states(
        self, *, run: str | None = None, book: BookKey | None = None, limit: int = 100, before: int | None = None
    ) -> list[r.RiskState]:
        """Changes of the trading state, the newest first."""
        return self._page(r.RiskState, t.risk_states, run, book, limit, before)

    def reconciliations(
        self, *, run: str | None = None, book: BookKey | None = None, limit: int = 100, before: int | None = None
    ) -> list[r.Reconciliation]:
        """Comparisons of the account with the books that found something, the newest first."""
        return self._page(r.Reconciliation, t.reconciliations, run, book, limit, before)

    def health(
        self,
        *,
        symbol: str | None = None,
        run: str | None = None,
        book: BookKey | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[r.HealthEvent]:
        """Changes of market data health, gaps among them, the newest first."""
        return self._page(r.HealthEvent, t.market_health, run, book, limit, before, symbol=symbol)

    def commands(
        self, *, run: str | None = None, book: BookKey | None = None, limit: int = 100, before: int | None = None
    ) -> list[r.Command]:
        """The audit trail, the newest first."""
        return self._page(r.Command, t.commands, run, book, limit, before)

    def counts(self, *, run: str | None = None, book: BookKey | None = None) -> list[r.FateCount]:
        """How many decisions each source made, by fate; those without a fate yet come with None."""
        joined = selecting.decisions().where(*within(t.decisions, run, book)).subquery()
        statement = select(joined.c.source, joined.c.fate, func.count().label("count")).group_by(joined.c.source, joined.c.fate)
        return sorted(self._all(r.FateCount, statement), key=lambda count: (count.source, count.fate or ""))

    def fate_counts(self, book: BookKey, since: int = 0) -> list[r.FateCount]:
        """How many decisions of each source met each fate since a moment (ms UTC)."""
        c = t.fates.c
        wanted = select(c.source, c.fate, func.count().label("count")).where(*within(t.fates, None, book), c.at >= since)
        return sorted(
            self._all(r.FateCount, wanted.group_by(c.source, c.fate)), key=lambda count: (count.source, count.fate or "")
        )

    def sources_of(self, book: BookKey, ids: Iterable[str]) -> dict[str, str]:
        """Who made each of these decisions, by its id; those that are unknown are left out."""
        c, wanted = t.decisions.c, sorted(ids)
        found: dict[str, str] = {}
        for first in range(0, len(wanted), _IDS_AT_ONCE):
            some = select(c.id, c.source).where(*within(t.decisions, None, book), c.id.in_(wanted[first : first + _IDS_AT_ONCE]))
            rows = self._database.run(lambda connection, some=some: connection.execute(some).all())  # type: ignore[misc]
            found.update((row.id, row.source) for row in rows)
        return found

    def segments(self, run: str) -> list[r.Segment]:
        """The indexed segments of a run, oldest first."""
        columns = [t.segments.c[field.name] for field in fields(r.Segment)]
        return self._all(r.Segment, select(*columns).where(t.segments.c.run == run).order_by(t.segments.c.number))

    def initial_snapshot(self, run: str) -> object:
        """The desk's state as the run began, None if it began with none; what replay starts from."""
        statement = select(t.runs.c.initial_snapshot).where(t.runs.c.id == run)
        state = self._database.run(lambda connection: connection.execute(statement).scalar_one_or_none())
        return None if state is None else decode_snapshot(state)

    def last_snapshot(self, book: BookKey) -> r.Snapshot | None:
        """The newest state of a book, None for new books: of its newest run that has any, the final one, else the newest kept."""
        return self._database.run(lambda connection: _last_snapshot(connection, book))


def _last_snapshot(connection: Connection, book: BookKey) -> r.Snapshot | None:
    s, runs = t.snapshots.c, t.runs.c
    newest = selecting.runs().where(*same_book(book)).with_only_columns(runs.id, runs.started, runs.ended)
    for run, started, ended in connection.execute(newest.limit(1_000)).all():
        states = select(runs.final_snapshot, runs.initial_snapshot).where(runs.id == run)
        final, initial = connection.execute(states).one()
        kept = connection.execute(select(s.at, s.seq, s.state).where(s.run == run).order_by(s.seq.desc()).limit(1)).first()
        if final is not None:
            return r.Snapshot(run, ended, None, decode_snapshot(final))
        if kept is not None:
            return r.Snapshot(run, kept.at, kept.seq, decode_snapshot(kept.state))
        if initial is not None:
            return r.Snapshot(run, started, 0, decode_snapshot(initial))
    return None
