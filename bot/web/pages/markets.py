"""Markets: candles with what was decided, ordered and filled on them, and the levels that protect what is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from bot.core.market import Candle
from bot.journal.queries import Queries
from bot.journal.run import BookKey
from bot.web.charts.candles import Marks, candles
from bot.web.pages.drawing import ThemeWanted, drawn
from bot.web.pages.render import fragment, page
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Principal

router = APIRouter()

_MARKED = 300
SymbolName = Annotated[str, Query(max_length=40)]
Timeframe = Annotated[str, Query(max_length=4)]


@router.get("/markets")
async def markets(
    request: Request, room: Room, principal: Reader, symbol: SymbolName = "", timeframe: Timeframe = ""
) -> HTMLResponse:
    """The page."""
    listed = await _listed(room, principal)
    chosen = symbol or (listed[0]["symbol"] if listed else next(iter(room.loaded.settings.exchange.symbols), ""))
    known: list[str] = next((each["timeframes"] for each in listed if each["symbol"] == chosen), [])
    context = {"symbols": listed, "chosen": chosen, "timeframe": timeframe or _sensible(known), "timeframes": known}
    return await page(request, "markets/page.html", "markets", context)


@router.get("/ui/markets")
async def table(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Every symbol: price, spread, age of its data."""
    return fragment(request, "markets/table.html", {"symbols": await _listed(room, principal)})


@router.get("/ui/charts/candles")
async def candle_chart(
    room: Room, principal: Reader, theme: ThemeWanted, symbol: SymbolName, timeframe: Timeframe = ""
) -> Response:
    """Candles of a symbol and everything that was done on it in that time."""
    wanted = {"symbol": symbol, "limit": 300, **({"timeframe": timeframe} if timeframe else {})}
    found = await room.ask("market.candles", wanted, principal)
    seen = [_candle(found["symbol"], found["timeframe"], row) for row in found["candles"]]
    marks = await _marks(room, symbol, seen[0].ts if seen else 0)
    return drawn(candles(symbol, seen, marks, theme))


async def _listed(room: ControlRoom, principal: Principal) -> Sequence[Mapping[str, Any]]:
    try:
        found: Sequence[Mapping[str, Any]] = (await room.ask("market.symbols", {}, principal))["symbols"]
    except Problem as problem:
        if problem.status != 503:
            raise
        return ()
    return found


async def _marks(room: ControlRoom, symbol: str, since: int) -> Marks:
    """What the journal has of a symbol since the first candle shown, oldest first."""
    run = await room.run()
    if run is None:
        return Marks()
    book = BookKey(run.bot, run.mode, run.venue, run.world)

    def read(queries: Queries) -> Marks:
        decisions = [each for each in queries.decisions(book=book, symbol=symbol, limit=_MARKED) if each.created >= since]
        orders = [each for each in queries.orders(book=book, symbol=symbol, limit=_MARKED) if each.created >= since]
        # One that works is drawn however old it is: it rests at the venue.
        drawn_already = {each.id for each in orders}
        orders += [each for each in queries.open_orders(book) if each.symbol == symbol and each.id not in drawn_already]
        fills = [each for each in queries.fills(book=book, symbol=symbol, limit=_MARKED) if each.at >= since]
        held = next((each for each in queries.positions(book) if each.symbol == symbol), None)
        return Marks(decisions[::-1], orders[::-1], fills[::-1], held)

    return await room.read(read)


def _candle(symbol: str, timeframe: str, row: Sequence[float]) -> Candle:
    ts, opened, high, low, close, volume = row
    return Candle(symbol, timeframe, int(ts), int(ts), opened, high, low, close, volume)


def _sensible(known: Sequence[str]) -> str:
    """The finest: that is where decisions are seen."""
    return known[0] if known else ""
