"""Trading: what was decided, ordered and filled, what is held, who earned what; read from the journal, for the books shown."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from bot.core.decision import Fate
from bot.journal import records as r
from bot.journal.queries import Queries
from bot.services.standings import Curve, Standings, curves, standings
from bot.web.api.etags import TaggedRoute
from bot.web.api.offers import Offer, router_of
from bot.web.paging import Cursor, Limit, Page, decoded, page_of, row_of
from bot.web.problems import Problem, not_found
from bot.web.room import Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Scope

_FRESH_SECONDS = 1.0
_PARTS = 50

router = APIRouter(tags=["trading"], route_class=TaggedRoute)

Id = Annotated[str, Path(max_length=64, description="its id")]
Symbol = Annotated[str | None, Query(min_length=1, max_length=40, description="only of this symbol, such as BTC/USDT")]
SourceName = Annotated[str | None, Query(min_length=1, max_length=100, description="only of this source, such as llm:claude")]
RunId = Annotated[
    str | None, Query(min_length=1, max_length=64, description="only of this run; none: of all runs of these books")
]
Since = Annotated[int, Query(ge=0, le=2**53, description="from this moment on (ms UTC)")]


@dataclass(frozen=True, slots=True)
class WorldShown:
    """Which bot, which run; `alive` while the bot answers. `badge` is PAPER, LIVE or SIMULATED."""

    bot: str
    run: str
    mode: str
    venue: str
    simulated: bool
    alive: bool
    started: int | None
    badge: str


@dataclass(frozen=True, slots=True)
class DecisionInFull:
    """A decision with everything that came of it: its verdict, orders and fills, and the outcome.

    The outcome is what the lots that it opened came to, what its own trade came to in the shadow ledger of its source, and what
    overruling it cost or saved.
    """

    decision: r.JournaledDecision
    verdict: r.JournaledVerdict | None
    orders: list[r.JournaledOrder]
    fills: list[r.JournaledFill]
    lots: list[r.ClosedLot]
    alone: list[r.ShadowTrade]
    overrides: list[r.Override]


@router.get("/world")
async def world(room: Room, principal: Reader) -> WorldShown:
    """Where this is: which bot, which run, real or simulated, alive or not."""
    del principal
    with suppress(Problem):  # the journal only adds the venue and the start to what the bot's greeting says
        await room.run()
    found = await room.world()
    return WorldShown(
        found.bot, found.run, found.mode, found.venue, found.simulated, found.alive, found.started, found.badge
    )  # fmt: skip


@router.get("/status")
async def status(room: Room, principal: Reader) -> dict[str, Any]:
    """How the running bot does; 503 while none runs."""
    del principal
    return dict(await room.status())


@router.get("/decisions")
async def decisions(
    room: Room,
    principal: Reader,
    limit: Limit = 100,
    after: Cursor = None,
    source: SourceName = None,
    symbol: Symbol = None,
    fate: Fate | None = None,
    run: RunId = None,
) -> Page[r.JournaledDecision]:
    """Decisions, each with its fate."""
    del principal
    book, before = await room.book(), row_of(after)
    found = await room.read(
        lambda queries: queries.decisions(
            run=run, book=book, source=source, symbol=symbol, fate=fate, limit=limit + 1, before=before
        )
    )
    return page_of(found, limit, lambda each: each.row)


@router.get("/decisions/{id}")
async def decision(room: Room, principal: Reader, id: Id) -> DecisionInFull:  # noqa: A002 - the word of the address
    """One decision, and all that came of it."""
    del principal
    return await decision_in_full(room, id)


async def decision_in_full(room: Room, name: str) -> DecisionInFull:
    """A decision and all that came of it; `Problem` 404 if there is none of this id."""
    book = await room.book()

    def read(queries: Queries) -> DecisionInFull | None:
        found = queries.decisions(book=book, id=name, limit=1)
        if not found:
            return None
        made = found[0]
        orders = queries.orders(book=book, decision_id=name, limit=_PARTS)
        return DecisionInFull(
            made,
            next(iter(queries.verdicts(book=book, id=made.verdict_id, limit=1)), None) if made.verdict_id else None,
            orders,
            [fill for order in orders for fill in queries.fills(book=book, order_id=order.id, limit=_PARTS)],
            queries.lots(book=book, symbol=made.symbol, opening_decision=name, limit=_PARTS),
            queries.shadow_trades(book=book, decision_id=name, limit=_PARTS),
            queries.overrides(book=book, decision_id=name, limit=_PARTS),
        )

    made = await room.read(read)
    if made is None:
        raise not_found(f"no decision has the id {name!r} in these books")
    return made


@router.get("/verdicts")
async def verdicts(
    room: Room, principal: Reader, limit: Limit = 100, after: Cursor = None, symbol: Symbol = None, run: RunId = None
) -> Page[r.JournaledVerdict]:
    """Who won, against whom, and why."""
    del principal
    book, before = await room.book(), row_of(after)
    found = await room.read(
        lambda queries: queries.verdicts(run=run, book=book, symbol=symbol, limit=limit + 1, before=before)
    )  # fmt: skip
    return page_of(found, limit, lambda each: each.row)


@router.get("/orders")
async def orders(
    room: Room,
    principal: Reader,
    limit: Limit = 100,
    after: Cursor = None,
    symbol: Symbol = None,
    decision_id: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    run: RunId = None,
) -> Page[r.JournaledOrder]:
    """Orders as they stand."""
    del principal
    book, before = await room.book(), order_cursor(after)
    found = await room.read(
        lambda queries: queries.orders(run=run, book=book, symbol=symbol, decision_id=decision_id, limit=limit + 1, before=before)
    )
    return page_of(found, limit, lambda each: f"{each.created}:{each.id}")


@router.get("/orders/{id}")
async def order(room: Room, principal: Reader, id: Id) -> r.JournaledOrder:  # noqa: A002 - the word of the address
    """One order as it stands."""
    del principal
    book = await room.book()
    found = await room.read(lambda queries: queries.orders(book=book, id=id, limit=1))
    if not found:
        raise not_found(f"no order has the id {id!r} in these books")
    return found[0]


@router.get("/orders/{id}/events")
async def order_events(room: Room, principal: Reader, id: Id) -> list[r.OrderEvent]:  # noqa: A002
    """Every state of one order, the newest first."""
    del principal
    book = await room.book()
    found = await room.read(lambda queries: queries.order_events(id, book=book))
    if not found:
        raise not_found(f"no order has the id {id!r} in these books")
    return found


@router.get("/fills")
async def fills(
    room: Room,
    principal: Reader,
    limit: Limit = 100,
    after: Cursor = None,
    symbol: Symbol = None,
    order_id: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    run: RunId = None,
) -> Page[r.JournaledFill]:
    """Fills, with what each realised."""
    del principal
    book, before = await room.book(), row_of(after)
    found = await room.read(
        lambda queries: queries.fills(run=run, book=book, symbol=symbol, order_id=order_id, limit=limit + 1, before=before)
    )
    return page_of(found, limit, lambda each: each.row)


@router.get("/lots")
async def lots(
    room: Room, principal: Reader, limit: Limit = 100, after: Cursor = None, symbol: Symbol = None, run: RunId = None
) -> Page[r.ClosedLot]:
    """Closed lots: who opened, who closed, what it came to."""
    del principal
    book, before = await room.book(), row_of(after)
    found = await room.read(lambda queries: queries.lots(symbol=symbol, run=run, book=book, limit=limit + 1, before=before))
    return page_of(found, limit, lambda each: each.row)


@router.get("/positions")
async def positions(
    room: Room, principal: Reader, flat: Annotated[bool, Query(description="also those that are closed")] = False
) -> list[r.JournaledPosition]:
    """The newest journaled state of every position; `/positions/live` has the running bot's."""
    del principal
    book = await room.book()
    return await room.read(lambda queries: queries.positions(book, flat=flat))


@router.get("/equity")
async def equity(
    room: Room,
    principal: Reader,
    since: Since = 0,
    until: Since = 2**53,
    points: Annotated[int, Query(ge=2, le=5_000, description="about so many, thinned evenly")] = 1_000,
    run: RunId = None,
) -> list[r.EquityPoint]:
    """The equity curve, oldest first."""
    del principal
    book = await room.book()
    return await room.read(lambda queries: queries.equity(run=run, book=book, since=since, until=until, limit=points))


@router.get("/performance")
async def performance(room: Room, principal: Reader, since: Since = 0) -> Standings:
    """The arbiter against every mind: P&L by source with its shadow, fates, wins, what overruling cost or saved."""
    del principal
    book = await room.book()
    return await room.remembered(("standings", book, since), _FRESH_SECONDS, lambda queries: standings(queries, book, since))


@router.get("/performance/curves")
async def performance_curves(
    room: Room, principal: Reader, since: Since = 0, points: Annotated[int, Query(ge=2, le=2_000)] = 400
) -> list[Curve]:
    """P&L over time of the arbiter, then of every source's shadow."""
    del principal
    book = await room.book()
    key = ("curves", book, since, points)
    return list(await room.remembered(key, _FRESH_SECONDS, lambda queries: curves(queries, book, since, points)))


@router.get("/overrides")
async def overrides(
    room: Room, principal: Reader, limit: Limit = 100, after: Cursor = None, run: RunId = None
) -> Page[r.Override]:
    """What overruling a source cost (positive) or saved (negative), once its own trade was over."""
    del principal
    book, before = await room.book(), row_of(after)
    found = await room.read(lambda queries: queries.overrides(run=run, book=book, limit=limit + 1, before=before))
    return page_of(found, limit, lambda each: each.row)


@router.get("/runs")
async def runs(
    room: Room, principal: Reader, limit: Annotated[int, Query(ge=1, le=200, description="entries")] = 50
) -> list[Mapping[str, Any]]:
    """Runs of these books, the newest first; without their configuration, which `/runs/{id}` has."""
    del principal
    book = await room.book()
    found = await room.read(lambda queries: queries.runs(book, limit))
    return [_run(each) for each in found]


@router.get("/runs/{id}")
async def run_by_id(room: Room, principal: Reader, id: Id) -> r.Run:  # noqa: A002 - the word of the address
    """One run with the configuration that it had; `latest` is the newest of this bot."""
    del principal
    found = await room.run_named(id)
    if found is None:
        raise not_found(f"no run has the id {id!r}")
    return found


def _run(run: r.Run) -> Mapping[str, Any]:
    names = ("id", "bot", "mode", "venue", "world", "started", "ended", "simulated", "code_version", "closed_cleanly")
    return {name: getattr(run, name) for name in names}


def order_cursor(after: str | None) -> tuple[int, str] | None:
    """Orders have no row number: their cursor is when the last was made, and its id."""
    key = decoded(after)
    if key is None:
        return None
    created, _, name = key.partition(":")
    if not created.isdigit() or len(created) > 18 or not name:
        raise Problem(400, "Not a cursor", "`after` must be the `next` of a page before, unchanged")
    return int(created), name


_THRESHOLD = "Hear {source} from the confidence {threshold} on: what it proposes above that may be traded."

OFFERS = (
    Offer("GET", "/queue", "desk.queue"),
    Offer("GET", "/positions/live", "desk.positions"),
    Offer("GET", "/markets", "market.symbols"),
    Offer("GET", "/markets/candles", "market.candles"),
    Offer("GET", "/sources", "desk.sources"),
    Offer("PUT", "/sources/{source:path}/threshold", "desk.set-threshold", Scope.TRADE, live=_THRESHOLD),
)

ROUTERS = (router, router_of(OFFERS, "trading"))
__all__ = ["OFFERS", "ROUTERS", "DecisionInFull", "decision_in_full"]
