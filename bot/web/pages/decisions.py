"""Decisions: everything that was proposed, what became of it, and beside the table one of them with all there is to know."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from bot.core.decision import Fate
from bot.journal.queries import Queries
from bot.journal.run import BookKey
from bot.web.api.trading import decision_in_full
from bot.web.pages.render import fragment, page
from bot.web.paging import encoded, row_of
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader

router = APIRouter()

_SHOWN = 50
_FRESH_SECONDS = 5.0
Id = Annotated[str, Path(max_length=64)]


@dataclass(frozen=True, slots=True)
class Filters:
    """What the table is narrowed to; empty: everything."""

    source: str = ""
    symbol: str = ""
    fate: str = ""
    run: str = ""

    @property
    def query(self) -> str:
        """As part of an address, so that a filtered table can be passed on."""
        return urlencode({name: value for name, value in asdict(self).items() if value})


@router.get("/decisions")
async def decisions(
    request: Request,
    room: Room,
    principal: Reader,
    source: Annotated[str, Query(max_length=100)] = "",
    symbol: Annotated[str, Query(max_length=40)] = "",
    fate: Annotated[str, Query(max_length=40)] = "",
    run: Annotated[str, Query(max_length=64)] = "",
    after: Annotated[str | None, Query(max_length=200)] = None,
    id: Annotated[str, Query(max_length=64)] = "",  # noqa: A002 - the word of the address
) -> HTMLResponse:
    """The page; with `id` also one decision in full."""
    del principal
    filters = Filters(source, symbol, fate, run)
    shown = {**await _rows(room, filters, after), **await _choices(room)}
    chosen = await decision_in_full(room, id) if id else None
    return await page(request, "decisions/page.html", "decisions", {**shown, "chosen": chosen, "fates": list(Fate)})


@router.get("/ui/decisions")
async def rows(
    request: Request,
    room: Room,
    principal: Reader,
    source: Annotated[str, Query(max_length=100)] = "",
    symbol: Annotated[str, Query(max_length=40)] = "",
    fate: Annotated[str, Query(max_length=40)] = "",
    run: Annotated[str, Query(max_length=64)] = "",
) -> HTMLResponse:
    """The newest of the table."""
    del principal
    return fragment(request, "decisions/rows.html", await _rows(room, Filters(source, symbol, fate, run), None))


@router.get("/ui/decisions/{id}")
async def detail(request: Request, room: Room, principal: Reader, id: Id) -> HTMLResponse:  # noqa: A002
    """One decision with all that came of it."""
    del principal
    return fragment(request, "decisions/detail.html", {"chosen": await decision_in_full(room, id)})


async def _rows(room: ControlRoom, filters: Filters, after: str | None) -> dict[str, Any]:
    if await room.run() is None:
        return {"decisions": (), "older": "", "filters": filters, "first": True}
    book, before = await room.book(), row_of(after)
    fate = next((each for each in Fate if each.value == filters.fate), None)
    found = await room.read(
        lambda queries: queries.decisions(
            book=book,
            run=filters.run or None,
            source=filters.source or None,
            symbol=filters.symbol or None,
            fate=fate,
            limit=_SHOWN + 1,
            before=before,
        )
    )
    older = f"/decisions?{filters.query}&after={encoded(found[_SHOWN - 1].row)}" if len(found) > _SHOWN else ""
    return {"decisions": found[:_SHOWN], "older": older, "filters": filters, "first": after is None}


async def _choices(room: ControlRoom) -> dict[str, Any]:
    """What the filters offer: the sources and symbols of the books."""
    run = await room.run()
    if run is None:
        return {"sources": (), "symbols": ()}
    book = BookKey(run.bot, run.mode, run.venue, run.world)

    def read(queries: Queries) -> tuple[list[str], list[str]]:
        newest = queries.shadow(book=book)
        positions = queries.positions(book, flat=True)
        return [point.source for point in newest], [position.symbol for position in positions]

    sources, held = await room.remembered(("choices", book), _FRESH_SECONDS, read)
    symbols = sorted({*held, *room.loaded.settings.exchange.symbols})
    return {"sources": sources, "symbols": symbols}
