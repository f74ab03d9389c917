"""Analysis of one symbol or several, and ideas: from a sentence to a source that is switched off.

No address takes a path: recorded candles are named by the files that `/ai/strategy/data` lists, all of one directory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import ORJSONResponse
from pydantic import Field

from bot.web.api.ai_common import Answer, Wish, given
from bot.web.api.etags import TaggedRoute
from bot.web.api.offers import API_ROOT, JobBegun, Offer, router_of
from bot.web.problems import Problem, not_found
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader, Trader
from bot.web.security.idempotency import nonce_of
from bot.web.security.principal import Principal, Scope

router = APIRouter(tags=["ai: analysis"], route_class=TaggedRoute)
ideas = APIRouter(tags=["ai: ideas"], route_class=TaggedRoute)

Symbol = Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$", max_length=40, description="such as BTC/USDT")]
FileName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^/\\\x00]+$")]
_BEGUN: Any = {202: {"description": "A job does it; `Location` tells how far it is.", "model": JobBegun}}
_MOST_FILES = 500
_KINDS = frozenset({".parquet", ".csv"})


class Depth(Wish):
    """Of which candles, and with what else."""

    timeframes: list[Annotated[str, Field(max_length=8)]] = Field(
        ["1h", "4h", "1d"], min_length=1, max_length=6, description="candles, such as 1h"
    )
    depth: int = Field(300, ge=30, le=2_000, description="candles of each timeframe")
    fundamentals: bool = Field(True, description="also ask the venue for supply, funding and the like")


class OneSymbol(Depth):
    """What is to be analysed."""

    symbol: Symbol


class Several(Depth):
    """What is to be analysed together: each is measured against the others."""

    symbols: list[Symbol] = Field(min_length=1, max_length=50)


class Trial(Wish):
    """What is tried, on which of the files that `/ai/strategy/data` lists."""

    specification: dict[str, Any] = Field(max_length=100, description="as the proposal gave it")
    data: list[FileName] = Field(min_length=1, max_length=50, description="names of recorded files")


class Kept(Wish):
    """What is kept as a source that is switched off."""

    specification: dict[str, Any] = Field(max_length=100, description="as the proposal gave it")
    data: list[FileName] = Field([], max_length=50, description="names of recorded files, for the backtest beside it; none: none")
    sentence: str = Field("", max_length=2_000, description="what was asked for")
    model: str = Field("", max_length=200, description="who proposed it")


@router.post("/ai/analysis", responses=_BEGUN, status_code=202)
async def analyse(room: Room, principal: Trader, request: Request, wish: OneSymbol) -> ORJSONResponse:
    """Analyse a symbol: charts, news, fundamentals, the book. A job does it."""
    told = given(wish)
    args = {"symbols": [wish.symbol], **{name: value for name, value in told.items() if name != "symbol"}}
    return await _begun(room, principal, request, "analysis.analyse", args)


@router.post("/ai/analysis/batch", responses=_BEGUN, status_code=202)
async def analyse_several(room: Room, principal: Trader, request: Request, wish: Several) -> ORJSONResponse:
    """Analyse several symbols, each also against the others. A job does it."""
    return await _begun(room, principal, request, "analysis.analyse", given(wish))


@ideas.get("/ai/strategy/data")
async def data(room: Room, principal: Reader) -> Answer:
    """Recorded candles that an idea can be tried on: files in `candles` of the data directory."""
    del principal
    return {"files": [path.name for path in await asyncio.to_thread(recorded, room)]}


@ideas.post("/ai/strategy/ideas/backtest", responses=_BEGUN, status_code=202)
async def backtest(room: Room, principal: Trader, request: Request, wish: Trial) -> ORJSONResponse:
    """Try a specification on recorded candles. A job does it."""
    args = {**given(wish), "data": await _named(room, wish.data)}
    return await _begun(room, principal, request, "idea.backtest", args)


@ideas.post("/ai/strategy/ideas", responses=_BEGUN, status_code=202)
async def keep(room: Room, principal: Trader, request: Request, wish: Kept) -> ORJSONResponse:
    """Keep a specification as a source that is switched off, with its backtest beside it. A job does it."""
    args = {**given(wish), "data": await _named(room, wish.data)}
    return await _begun(room, principal, request, "idea.save", args)


def recorded(room: ControlRoom) -> list[FilePath]:
    """Files with recorded candles, at most 500; links that lead elsewhere are none."""
    place = room.loaded.settings.bot.data_dir / "candles"
    if not place.is_dir():
        return []
    inside = place.resolve()
    found = (path for path in sorted(place.iterdir()) if path.suffix in _KINDS and path.is_file())
    return [path for path in found if path.resolve().parent == inside][:_MOST_FILES]


async def _named(room: ControlRoom, names: Sequence[str]) -> list[str]:
    """The paths of files by their names; `Problem` 404 for what is not listed."""
    known = {path.name: str(path.resolve()) for path in await asyncio.to_thread(recorded, room)}
    strange = next((name for name in names if name not in known), None)
    if strange is not None:
        raise not_found(f"no recorded file is called {strange!r}; `python -m bot data fetch` makes some")
    return [known[name] for name in names]


async def _begun(room: ControlRoom, principal: Principal, request: Request, name: str, args: Answer) -> ORJSONResponse:
    answer = await room.ask(name, args, principal, nonce=nonce_of(request))
    job = answer.get("job")
    if not isinstance(job, str):
        raise Problem(503, "No job was begun", f"the bot answered {name} with something else")
    return ORJSONResponse({"job": job}, 202, {"Location": f"{API_ROOT}/jobs/{job}"})


OFFERS = (
    Offer("GET", "/ai/strategy/ideas", "idea.list", hidden=frozenset({"directory"})),
    Offer("POST", "/ai/strategy/ideas/propose", "idea.propose", Scope.TRADE),
)
ROUTERS = (router, router_of(OFFERS, "ai: ideas"), ideas)
