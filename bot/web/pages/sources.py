"""Sources: the arbiter against each mind alone: who earned, who was heard, and what each override cost or saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from bot.journal.queries import Queries
from bot.services.standings import Standings, curves, standings
from bot.web.charts.learning import calibration
from bot.web.charts.minds import minds
from bot.web.charts.sources import fates, overrides, pnl_by_source, win_share
from bot.web.pages.drawing import ThemeWanted, drawn
from bot.web.pages.overview import Span, since_of
from bot.web.pages.render import fragment, page
from bot.web.pages.words import utc
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Principal

router = APIRouter()

_VERDICTS = 1_000
_OVERRIDES = 500
_TRADES = 1_000
_FRESH_SECONDS = 1.0
_SPANS = ("run", "hour", "day", "week", "month", "all")
SourceName = Annotated[str, Query(max_length=100)]


@router.get("/sources")
async def sources(request: Request, room: Room, principal: Reader, span: Span = "run") -> HTMLResponse:
    """The page."""
    shown = {**await _board(room, span), **await _live(room, principal)}
    return await page(request, "sources/page.html", "sources", {**shown, "spans": _SPANS})


@router.get("/ui/sources/board")
async def board(request: Request, room: Room, principal: Reader, span: Span = "run") -> HTMLResponse:
    """Who stands where."""
    del principal
    return fragment(request, "sources/board.html", await _board(room, span))


@router.get("/ui/sources/live")
async def live(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Every source with its switch and its threshold."""
    return fragment(request, "sources/live.html", await _live(room, principal))


@router.get("/ui/charts/minds")
async def minds_chart(room: Room, principal: Reader, theme: ThemeWanted, span: Span = "run") -> Response:
    """P&L over time: the arbiter and what each mind would have made alone."""
    del principal
    book, since = await room.book(), await since_of(room, span)
    found = await room.remembered(("curves", book, span), _FRESH_SECONDS, lambda queries: curves(queries, book, since))
    return drawn(minds(found, theme, currency=room.loaded.settings.paper.currency))


@router.get("/ui/charts/overrides")
async def overrides_chart(room: Room, principal: Reader, theme: ThemeWanted, span: Span = "run") -> Response:
    """What each override cost or saved."""
    del principal
    book, since = await room.book(), await since_of(room, span)
    found = await room.read(lambda queries: queries.overrides(book=book, since=since, limit=_OVERRIDES))
    note = _cut(found, _OVERRIDES)
    return drawn(overrides(found[::-1], theme, currency=room.loaded.settings.paper.currency, note=note))


@router.get("/ui/charts/wins")
async def wins_chart(room: Room, principal: Reader, theme: ThemeWanted, span: Span = "run") -> Response:
    """Of the conflicts that a source was in, the share it won."""
    del principal
    book, since = await room.book(), await since_of(room, span)

    def read(queries: Queries) -> tuple[Any, dict[str, str]]:
        found = queries.conflicts(book, since, _VERDICTS)
        names = {name for each in found for name in each.outranked}
        return found, queries.sources_of(book, names)

    verdicts, source_of = await room.read(read)
    return drawn(win_share(verdicts, source_of, theme, note=_cut(verdicts, _VERDICTS)))


@router.get("/ui/charts/earned")
async def earned_chart(room: Room, principal: Reader, theme: ThemeWanted, span: Span = "run") -> Response:
    """Closed trades: each source's part of what the book realised, and what each realised alone."""
    del principal
    book, since = await room.book(), await since_of(room, span)

    def read(queries: Queries) -> tuple[Any, Any]:
        lots, alone = (ask(book=book, since=since, limit=_TRADES) for ask in (queries.lots, queries.shadow_trades))
        # What was cut off reaches back to different moments: both curves begin where both are whole.
        begin = max((rows[-1].at for rows in (lots, alone) if len(rows) == _TRADES), default=0)
        return [each for each in lots if each.at >= begin], [each for each in alone if each.at >= begin]

    lots, alone = await room.remembered(("earned", book, span), _FRESH_SECONDS, read)
    note = _cut(lots, _TRADES) or _cut(alone, _TRADES)
    return drawn(pnl_by_source(lots, alone, theme, currency=room.loaded.settings.paper.currency, note=note))


@router.get("/ui/charts/fates")
async def fates_chart(room: Room, principal: Reader, theme: ThemeWanted, span: Span = "run") -> Response:
    """What became of the proposals of each source."""
    del principal
    book, since = await room.book(), await since_of(room, span)
    found = await room.remembered(("fates", book, span), _FRESH_SECONDS, lambda queries: queries.fate_counts(book, since))
    return drawn(fates(found, theme))


@router.get("/ui/charts/calibration")
async def calibration_chart(room: Room, principal: Reader, theme: ThemeWanted, source: SourceName) -> Response:
    """How far a source's stated confidence comes true."""
    found = await room.ask("learning.calibration", {"source": source}, principal)
    rows = [row for row in found["calibration"] if not row.get("model")]
    return drawn(calibration(max(rows, key=_closed, default={"source": source}), theme))


def _cut(rows: Sequence[Any], most: int) -> str:
    """What a chart says where there is more than is drawn."""
    return f"the newest {most:,} only, since {utc(rows[-1].at)} UTC" if len(rows) == most else ""


def _closed(row: Mapping[str, Any]) -> int:
    """How many closed decisions a curve stands on."""
    record = row.get("reliability")
    return sum(int(each.get("closed") or 0) for each in record["bins"]) if isinstance(record, Mapping) else 0


async def _board(room: ControlRoom, span: str) -> dict[str, Any]:
    if await room.run() is None:
        return {"standings": Standings(0, None, 0, None, ()), "span": span, "currency": ""}
    book, since = await room.book(), await since_of(room, span)
    found = await room.remembered(("standings", book, span), _FRESH_SECONDS, lambda queries: standings(queries, book, since))
    return {"standings": found, "span": span, "currency": room.loaded.settings.paper.currency}


async def _live(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    try:
        found: Mapping[str, Any] | None = await room.ask("desk.sources", {}, principal)
    except Problem as problem:
        if problem.status != 503:
            raise
        found = None
    return {"live": found}
