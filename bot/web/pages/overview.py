"""Overview: what it is worth, what is held, who is heard and who won, and whether the market is fresh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from bot.journal.queries import Queries
from bot.journal.run import BookKey
from bot.services.standings import gained
from bot.web.charts.equity import equity
from bot.web.pages.drawing import ThemeWanted, drawn
from bot.web.pages.render import fragment, page
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Principal

router = APIRouter()

SPANS: Mapping[str, int] = {"hour": 3_600_000, "day": 86_400_000, "week": 604_800_000, "month": 2_592_000_000}
Span = Annotated[str, Query(pattern="^(run|hour|day|week|month|all)$")]
_POINTS = 1_200
_VERDICTS = 12


@router.get("/")
async def overview(request: Request, room: Room, principal: Reader, span: Span = "run") -> HTMLResponse:
    """The page."""
    context = {"span": span, "spans": ("run", "hour", "day", "week", "month", "all")}
    return await page(
        request,
        "overview/page.html",
        "overview",
        {**context, **await _tiles(room), **await _queue(room, principal), **await _held(room, principal), **await _won(room)},
    )


@router.get("/ui/overview/tiles")
async def tiles(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Worth, day, drawdown, positions, decisions."""
    del principal
    return fragment(request, "overview/tiles.html", await _tiles(room))


@router.get("/ui/overview/queue")
async def queue(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Who waits, who stands, who thinks."""
    return fragment(request, "overview/queue.html", await _queue(room, principal))


@router.get("/ui/overview/positions")
async def positions(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """What is held."""
    return fragment(request, "overview/positions.html", await _held(room, principal))


@router.get("/ui/overview/verdicts")
async def verdicts(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Who won, and why."""
    del principal
    return fragment(request, "overview/verdicts.html", await _won(room))


@router.get("/ui/charts/equity")
async def equity_chart(room: Room, principal: Reader, theme: ThemeWanted, span: Span = "run") -> Response:
    """Equity with drawdown, over a span."""
    del principal
    book, since = await room.book(), await since_of(room, span)
    points = await room.read(lambda queries: queries.equity(book=book, since=since, limit=_POINTS))
    return drawn(equity(points, theme, currency=room.loaded.settings.paper.currency))


async def since_of(room: ControlRoom, span: str) -> int:
    """When a span began (ms UTC): that of the run, of all there is, or so long before now."""
    run = await room.run()
    return {"run": 0 if run is None else run.started, "all": 0}.get(span, room.now() - SPANS.get(span, 0))


async def _tiles(room: ControlRoom) -> dict[str, Any]:
    run = await room.run()
    if run is None:
        return {"worth": None, "status": None, "currency": "", "made": None, "today": None}
    book = BookKey(run.bot, run.mode, run.venue, run.world)
    midnight, status = room.now() - room.now() % 86_400_000, await _status(room)

    def read(queries: Queries) -> tuple[Any, Any, Any]:
        worth = queries.worth(book=book)
        if status is not None:  # the bot knows better: what was paid in, and how the desk's daily loss is judged
            return worth, status["pnl"], status["day_pnl"]
        return worth, gained(queries, book, run.started), gained(queries, book, midnight)

    worth, made, today = await room.read(read)
    return {
        "worth": worth,
        "made": made,
        "today": today,
        "status": status,
        "currency": room.loaded.settings.paper.currency,
    }


async def _status(room: ControlRoom) -> Mapping[str, Any] | None:
    try:
        return await room.status()
    except Problem:
        return None


async def _queue(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    return {"queue": await _asked(room, "desk.queue", principal)}


async def _held(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    """The running bot's positions, else what the journal last said of them."""
    live = await _asked(room, "desk.positions", principal)
    if live is not None or await room.run() is None:
        return {"held": live, "journaled": ()}
    book = await room.book()
    return {"held": None, "journaled": await room.read(lambda queries: queries.positions(book))}


async def _asked(room: ControlRoom, name: str, principal: Principal) -> Mapping[str, Any] | None:
    """What the running bot says, None while there is none."""
    try:
        return await room.ask(name, {}, principal)
    except Problem as problem:
        if problem.status != 503:
            raise
        return None


async def _won(room: ControlRoom) -> dict[str, Any]:
    if await room.run() is None:
        return {"verdicts": ()}
    book = await room.book()
    return {"verdicts": await room.read(lambda queries: queries.verdicts(book=book, limit=_VERDICTS))}
