"""Risk: what the desk may do now and the switch for it, how full each limit is, the portfolio assessed, and what would be if."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from bot.web.charts.gauges import Gauge, limits
from bot.web.pages.asking import asked
from bot.web.pages.drawing import ThemeWanted, drawn
from bot.web.pages.render import fragment, page
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Principal

router = APIRouter()

_CHANGES = 12
_ANSWERED_BY_HAND = frozenset({404, 409, 422, 503})

Symbol = Annotated[str, Query(max_length=60)]
Figure = Annotated[str, Query(max_length=40)]
Side = Annotated[str, Query(max_length=10)]
SourceName = Annotated[str, Query(max_length=200)]


@router.get("/risk")
async def risk(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """The page."""
    known = await _state(room, principal)
    shown = {
        **known,
        **await _assessed(room, principal),
        **await _changes(room),
        **await _choices(room, principal, known["risk"]),
    }
    return await page(request, "risk/page.html", "risk", {**shown, "answer": None, "fault": None, "idea": None})


@router.get("/ui/risk/state")
async def state(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """What the desk may do now, since when, and why."""
    return fragment(request, "risk/state.html", await _state(room, principal))


@router.get("/ui/risk/account")
async def account(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Frozen symbols, and what nothing explains."""
    return fragment(request, "risk/account.html", await _state(room, principal))


@router.get("/ui/risk/limits")
async def limits_full(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """How full each limit is."""
    return fragment(request, "risk/limits.html", await _state(room, principal))


@router.get("/ui/risk/assessment")
async def assessment(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """The portfolio assessed."""
    return fragment(request, "risk/assessment.html", await _assessed(room, principal))


@router.get("/ui/risk/changes")
async def changes(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Who changed the trading state, when, and why."""
    del principal
    return fragment(request, "risk/changes.html", await _changes(room))


@router.get("/ui/risk/what-if")
async def what_if(
    request: Request,
    room: Room,
    principal: Reader,
    symbol: Symbol = "",
    side: Side = "buy",
    unit: Annotated[str, Query(pattern="^(amount|notional)$")] = "notional",
    size: Figure = "",
    price: Figure = "",
    source: SourceName = "",
) -> HTMLResponse:
    """What risk would say of an order, check by check."""
    args = {"symbol": symbol, "side": side, unit: size, "price": price, "source": source}
    return fragment(request, "risk/what_if.html", await _answered(room, "risk.validate", args, principal))


@router.get("/ui/risk/size")
async def size(
    request: Request,
    room: Room,
    principal: Reader,
    symbol: Symbol = "",
    confidence: Figure = "0.5",
    stop_loss: Figure = "",
    source: SourceName = "",
) -> HTMLResponse:
    """How much each sizing policy would hold."""
    args = {"symbol": symbol, "confidence": confidence, "stop_loss": stop_loss, "source": source}
    return fragment(request, "risk/size.html", await _answered(room, "risk.size", args, principal))


@router.get("/ui/charts/limits")
async def limits_chart(room: Room, principal: Reader, theme: ThemeWanted) -> Response:
    """How full each limit is, as bars."""
    known = (await _state(room, principal))["risk"]
    gauges = [] if known is None else [_gauge(each) for each in known["limits"]]
    return drawn(limits(gauges, theme))


def _gauge(limit: Mapping[str, Any]) -> Gauge:
    name = limit["name"].replace("_", " ") + (f" {limit['subject']}" if limit["subject"] else "")
    used, most, unit = limit["used"], limit["limit"], limit["unit"]
    if unit == "ms":
        return Gauge(name, used / 1_000, most / 1_000, "s")
    if unit.startswith("fraction"):
        return Gauge(name, used * 100, most * 100, unit.replace("fraction", "%"))
    return Gauge(name, used, most, unit)


async def _state(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    return {"risk": await asked(room, "risk.state", principal), "live": (await room.world()).mode == "live"}


async def _assessed(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    return {"assessed": await asked(room, "risk.assess", principal)}


async def _changes(room: ControlRoom) -> dict[str, Any]:
    if await room.run() is None:
        return {"changes": ()}
    book = await room.book()
    return {"changes": await room.read(lambda queries: queries.risk_states(book=book, limit=_CHANGES))}


async def _choices(room: ControlRoom, principal: Principal, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the forms offer: symbols, and the sources that are heard."""
    sources = await asked(room, "desk.sources", principal)
    return {
        "symbols": [] if known is None else [each["symbol"] for each in known["health"]],
        "sources": [] if sources is None else [each["name"] for each in sources["sources"] if each["state"] != "off"],
    }


async def _answered(room: ControlRoom, name: str, args: Mapping[str, str], principal: Principal) -> dict[str, Any]:
    """The answer to a form, or what is wrong with it, in words."""
    given = {key: value for key, value in args.items() if value}
    try:
        return {"answer": await room.ask(name, given, principal), "fault": None}
    except Problem as problem:
        if problem.status not in _ANSWERED_BY_HAND:
            raise
        return {"answer": None, "fault": problem}
