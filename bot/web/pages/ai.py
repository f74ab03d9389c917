"""AI trading: what language models were asked and said, who answers, with which prompt, for how much, and what was learnt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from bot.web.api.ai_access import access_shown, performance
from bot.web.api.ai_common import found
from bot.web.api.ai_signals import signals
from bot.web.charts.costs import cost_against_pnl, costs_by_day, costs_by_month
from bot.web.pages import ai_prompts
from bot.web.pages.asking import asked
from bot.web.pages.drawing import ThemeWanted, drawn
from bot.web.pages.render import fragment, page
from bot.web.pages.words import cut
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Principal, Scope

router = APIRouter()

TABS: Mapping[str, str] = {
    "decisions": "Decisions",
    "test": "Test decision",
    "prompts": "Prompts",
    "providers": "Providers",
    "costs": "Costs",
    "learning": "Learning",
}
_SHOWN = 50
_DAY_MS = 86_400_000
_DAYS_OF_MONTHS = 366
_LIMITED: Mapping[str, Mapping[str, object]] = {"outcomes": {"limit": 50}}
Tab = Annotated[str, Query(pattern="^(decisions|test|prompts|providers|costs|learning)$")]
Text = Annotated[str, Query(max_length=64)]
After = Annotated[str | None, Query(max_length=200)]
Id = Annotated[str, Path(max_length=64)]
Version = Annotated[int | None, Query(ge=0, le=2**31)]


@router.get("/ai")
async def ai(
    request: Request,
    room: Room,
    principal: Reader,
    tab: Tab = "decisions",
    source: Text = "",
    after: After = None,
    id: Text = "",  # noqa: A002 - the word of the address
    name: Annotated[str, Query(max_length=64, pattern=r"^[A-Za-z0-9_.-]*$")] = "",
    version: Version = None,
    old: Version = None,
    new: Version = None,
) -> HTMLResponse:
    """The page, one tab of it."""
    context: dict[str, Any] = {"tabs": TABS, "tab_name": tab, "admin": principal.scope >= Scope.ADMIN}
    if tab == "decisions":
        context |= await _questions(room, principal, source, after)
        context["chosen"] = await _question(room, principal, id) if id else None
    elif tab == "prompts":
        context |= await ai_prompts.shown(room, principal, name or "decide", version, (old, new))
    elif tab == "providers":
        context |= {**await _access(room), **await _performance(room, principal)}
    elif tab == "costs":
        context |= await _costs(room, principal)
    elif tab == "test":
        context |= await _who(room, principal)
    else:
        context |= await _learnt(room, principal)
    return await page(request, f"ai/{tab}.html", "ai", context)


@router.get("/ui/ai/decisions")
async def questions(request: Request, room: Room, principal: Reader, source: Text = "") -> HTMLResponse:
    """The newest questions."""
    return fragment(request, "ai/questions.html", await _questions(room, principal, source, None))


@router.get("/ui/ai/decisions/{id}")
async def question(request: Request, room: Room, principal: Reader, id: Id) -> HTMLResponse:  # noqa: A002
    """One question with all that was said."""
    return fragment(request, "ai/question.html", {"chosen": await _question(room, principal, id)})


@router.get("/ui/ai/providers")
async def providers(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Who may be asked, with masked keys."""
    return fragment(request, "ai/keys.html", {**await _access(room), "admin": principal.scope >= Scope.ADMIN})


@router.get("/ui/ai/performance")
async def standing(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """How those that are asked do."""
    return fragment(request, "ai/performance.html", await _performance(room, principal))


@router.get("/ui/ai/costs")
async def costs(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """What was spent, and of what."""
    return fragment(request, "ai/spent.html", await _spent(room, principal))


@router.get("/ui/ai/costs/tables")
async def cost_tables(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Costs by model, provider, source and role."""
    return fragment(request, "ai/tables.html", await _costs(room, principal))


@router.get("/ui/ai/learning")
async def learning(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """What calibration found."""
    return fragment(request, "ai/learnt.html", {**await _learnt(room, principal), "admin": principal.scope >= Scope.ADMIN})


@router.get("/ui/charts/ai/costs-by-day")
async def by_day(room: Room, principal: Reader, theme: ThemeWanted) -> Response:
    """Costs of each day against the daily budget."""
    told = await room.ask("llm.costs", {"by": "day"}, principal)
    return drawn(costs_by_day(told["lines"], theme, now=room.now(), budget=float(room.loaded.settings.llm.budget.per_day)))


@router.get("/ui/charts/ai/costs-by-month")
async def by_month(room: Room, principal: Reader, theme: ThemeWanted) -> Response:
    """Costs of each month against the monthly budget."""
    since = max(0, room.now() - _DAYS_OF_MONTHS * _DAY_MS)
    told = await room.ask("llm.costs", {"by": "month", "since": since}, principal)
    return drawn(costs_by_month(told["lines"], theme, now=room.now(), budget=float(room.loaded.settings.llm.budget.per_month)))


@router.get("/ui/charts/ai/cost-pnl")
async def worth(room: Room, principal: Reader, theme: ThemeWanted) -> Response:
    """What models cost against what their decisions brought."""
    told = await room.ask("llm.costs", {"by": "source"}, principal)
    return drawn(cost_against_pnl(told["earned"], theme, currency=told["currency"]))


async def _questions(room: ControlRoom, principal: Principal, source: str, after: str | None) -> dict[str, Any]:
    told = await signals(room, principal, _SHOWN, after, source or None)
    older = f"/ai?{urlencode({'tab': 'decisions', 'source': source, 'after': told.next})}" if told.next else ""
    return {"questions": told.items, "older": older, "source": source, "first": after is None, **await _who(room, principal)}


async def _question(room: ControlRoom, principal: Principal, name: str) -> dict[str, Any]:
    """A question with what the checks made of the answer, read from what is kept of them."""
    told = await found(room, "llm.decisions", {"id": name}, principal)
    return {**told, "questions": [{**one, **_checks(one["validation"])} for one in told["questions"]]}


def _checks(validation: object) -> dict[str, Any]:
    """The answer as it was understood, and what was wrong with it; what is kept otherwise is told as it is."""
    kept: Any = validation
    if isinstance(validation, str):
        try:
            kept = orjson.loads(validation)
        except orjson.JSONDecodeError:
            return {"answer": None, "problems": [cut(validation, 400)] if validation else []}
    if not isinstance(kept, dict):
        return {"answer": None, "problems": [cut(kept, 400)] if kept else []}
    answer, problems = kept.get("answer"), kept.get("problems")
    listed = problems if isinstance(problems, list) else []
    return {"answer": answer if isinstance(answer, dict) else None, "problems": [cut(one, 400) for one in listed]}


async def _who(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    """Sources that ask language models, and the symbols that are traded."""
    live = await asked(room, "desk.sources", principal)
    names = [one["name"] for one in (live or {"sources": ()})["sources"] if one["name"].startswith("llm:")]
    return {"minds": names, "symbols": list(room.loaded.settings.exchange.symbols), "running": live is not None}


async def _access(room: ControlRoom) -> dict[str, Any]:
    return {"access": await access_shown(room)}


async def _performance(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    if await asked(room, "llm.status", principal) is None:
        return {"providers": None, "status": None}
    return {"providers": await performance(room, principal), "status": await room.ask("llm.status", {}, principal)}


async def _costs(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    names = ("provider", "source", "role")
    try:
        async with asyncio.TaskGroup() as group:
            spent = group.create_task(_spent(room, principal))
            told = {name: group.create_task(room.ask("llm.costs", {"by": name}, principal)) for name in names}
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None
    total = spent.result()
    return {**total, "tables": {"model": total["total"], **{name: one.result() for name, one in told.items()}}}


async def _spent(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    total = await room.ask("llm.costs", {"by": "model"}, principal)
    return {"total": total, "status": await asked(room, "llm.status", principal)}


async def _learnt(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    names = ("insights", "thresholds", "outcomes", "calibration")
    try:
        told = {
            name: await room.ask(f"learning.{name}", {"limit": 50} if name == "outcomes" else {}, principal) for name in names
        }
    except Problem as problem:
        if problem.status != 409:
            raise
        return {"learnt": None, "states": {}, "why": problem.detail}  # its tables are made by the first bot that learns
    states = {one["source"]: one for one in told["calibration"]["states"]}
    return {"learnt": told, "states": states, "why": ""}
