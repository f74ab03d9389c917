"""Analysis: symbols looked at from every side, and ideas on their way from a sentence to a source that is switched off."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from bot.services.ideas.answer import TIMEFRAMES, Template
from bot.web.api.ai_analysis import recorded
from bot.web.pages.asking import asked
from bot.web.pages.render import fragment, page
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Principal

router = APIRouter()

_FIRST = 4
Tab = Annotated[str, Query(pattern="^(analysis|ideas)$")]


@router.get("/analysis")
async def analysis(
    request: Request, room: Room, principal: Reader, tab: Tab = "analysis", symbol: Annotated[str, Query(max_length=40)] = ""
) -> HTMLResponse:
    """The page."""
    traded = list(room.loaded.settings.exchange.symbols)
    context: dict[str, Any] = {"tab_name": tab, "traded": traded}
    if tab == "ideas":
        context |= {"templates": list(Template), "timeframes": TIMEFRAMES, **await _shelf(room, principal)}
    else:
        context |= {"wanted": [symbol] if symbol else traded[:_FIRST], "frames": await _frames(room, principal)}
    return await page(request, f"analysis/{tab}.html", "analysis", context)


@router.get("/ui/analysis/ideas")
async def ideas(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """The shelf of ideas."""
    return fragment(request, "analysis/shelf.html", await _shelf(room, principal))


@router.get("/ui/analysis/files")
async def files(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Recorded candles to choose from, for a form."""
    del principal
    return fragment(request, "analysis/files.html", {"files": [path.name for path in await asyncio.to_thread(recorded, room)]})


async def _frames(room: ControlRoom, principal: Principal) -> list[str]:
    """The timeframes to begin with: in a simulated world only those of its bot are to be had."""
    if not (await room.world()).simulated:
        return ["1h", "4h", "1d"]
    known = await asked(room, "market.symbols", principal)
    return next((list(each["timeframes"])[:_FIRST] for each in (known or {"symbols": ()})["symbols"]), ["1s"])


async def _shelf(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    try:
        return {"shelf": await room.ask("idea.list", {}, principal), "why": ""}
    except Problem as problem:
        if problem.status not in {409, 503}:
            raise
        return {"shelf": None, "why": problem.detail}
