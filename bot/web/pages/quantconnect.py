"""QuantConnect: how it is heard, its live algorithms and signals, backtests in its cloud, and what they taught the memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from bot.core.decision import Tier
from bot.journal.queries import Queries
from bot.services.quantconnect.paper import sources_of
from bot.web.api.quantconnect import access_shown, signal_found
from bot.web.pages.quantconnect_charts import BacktestId, Id, Name, Project, Reference, References
from bot.web.pages.quantconnect_charts import router as charts
from bot.web.pages.quantconnect_reading import Tried, algorithm_of, backtest_of, comparison_of, tried
from bot.web.pages.render import fragment, page
from bot.web.problems import Problem, not_found
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Principal
from sources.loading import RULES
from sources.quantconnect.lean.strategies import TEMPLATES, UNCARRIED

router = APIRouter()

TABS: Mapping[str, str] = {
    "status": "Status",
    "algorithms": "Algorithms",
    "signals": "Signals",
    "backtest": "Backtest",
    "compare": "Compare",
    "memory": "Memory",
    "configuration": "Configuration",
}
_TIMEFRAMES = ("1m", "5m", "15m", "1h", "4h", "1d")
_DECIDED = 50
_FRESH_SECONDS = 1.0
_HELD = 25
_SHOWN_LESSONS = 10
_TESTED_DAYS = 90

SignalId = Annotated[str, Path(max_length=100, pattern=r"^[A-Za-z0-9_.:#-]+$")]
Chosen = Annotated[list[Reference] | None, Query(max_length=20)]


@router.get("/quantconnect")
async def quantconnect(
    request: Request,
    room: Room,
    principal: Reader,
    tab: Annotated[str, Query(max_length=20)] = "status",
    id: Annotated[str, Query(max_length=64, pattern=r"^[A-Za-z0-9-]*$")] = "",  # noqa: A002 - the word of the address
    symbol: Name = "",
    strategy: Name = "",
    backtest: Chosen = None,
) -> HTMLResponse:
    """The page, one tab of it: `id` names an algorithm, `backtest` one to show or several to compare."""
    chosen = tab if tab in TABS else "status"
    shown = await _TABS[chosen](room, principal, {"id": id, "symbol": symbol, "strategy": strategy, "backtest": backtest or []})
    return await page(request, "quantconnect/page.html", "quantconnect", {"tabs": TABS, "chosen": chosen, **shown})


@router.get("/ui/quantconnect/status")
async def status(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """How it is heard, now."""
    return fragment(request, "quantconnect/status.html", await _status(room, principal, {}))


@router.get("/ui/quantconnect/algorithms/{id}")
async def algorithm(request: Request, room: Room, principal: Reader, id: Id) -> HTMLResponse:  # noqa: A002
    """One live algorithm in full."""
    return fragment(request, "quantconnect/algorithm.html", {"one": await algorithm_of(room, principal, id)})


@router.get("/ui/quantconnect/signals/held")
async def held(
    request: Request, room: Room, principal: Reader, project: Annotated[int | None, Query(gt=0, le=2**53)] = None
) -> HTMLResponse:
    """The signals that the service holds, as the bot would take them."""
    args = {"journal": False, "limit": _HELD} | ({} if project is None else {"project": project})
    shown = await tried(room, principal, "qc.signals", args)
    known = {one.external_id: one.id for one in await _decided(room) if one.external_id}
    return fragment(request, "quantconnect/held.html", {"held": shown, "known": known})


@router.get("/ui/quantconnect/signals/decided")
async def decided(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """The signals that the bot decided on."""
    del principal
    return fragment(request, "quantconnect/decided.html", {"decided": await _decided(room)})


@router.get("/ui/quantconnect/signals/{id}")
async def signal(request: Request, room: Room, principal: Reader, id: SignalId) -> HTMLResponse:  # noqa: A002
    """One signal."""
    one = await signal_found(room, principal, id, None)
    if one["journaled"] is None and one["fresh"] is None and not one["known"]:
        raise not_found(f"neither the journal nor the service knows a signal {id!r}")
    return fragment(request, "quantconnect/signal.html", {"one": one, "id": id})


@router.get("/ui/quantconnect/backtests")
async def backtests(
    request: Request, room: Room, principal: Reader, view: Annotated[str, Query(pattern=r"^(saved|choose)$")] = "saved"
) -> HTMLResponse:
    """The backtests of the bot's own projects, to look at or to choose from."""
    return fragment(request, f"quantconnect/{view}.html", {"saved": await tried(room, principal, "qc.backtests")})


@router.get("/ui/quantconnect/backtests/{project}/{backtest}")
async def backtest_shown(request: Request, room: Room, principal: Reader, project: Project, backtest: BacktestId) -> HTMLResponse:
    """One backtest in full."""
    found = await backtest_of(room, principal, project, backtest)
    lesson = await _lesson_of(room, principal, str(found["reference"]))
    return fragment(request, "results/qc-backtest.html", {"result": {**found, "lesson": lesson}})


@router.get("/ui/quantconnect/compare")
async def compared(request: Request, room: Room, principal: Reader, backtest: References) -> HTMLResponse:
    """Several backtests side by side."""
    found = await comparison_of(room, principal, backtest)
    return fragment(request, "quantconnect/comparison.html", {"compared": found, "query": _query(backtest)})


@router.get("/ui/quantconnect/memory")
async def memory(request: Request, room: Room, principal: Reader, symbol: Name = "", strategy: Name = "") -> HTMLResponse:
    """What was learnt, and what it may do now."""
    return fragment(request, "quantconnect/memory.html", await _memory(room, principal, {"symbol": symbol, "strategy": strategy}))


Wanted = Mapping[str, Any]
Shown = dict[str, Any]


async def _status(room: ControlRoom, principal: Principal, wanted: Wanted) -> Shown:
    del wanted
    status = await tried(room, principal, "qc.status")
    if status.found is None or not status.found["configured"]:
        return {"status": status, "algorithms": Tried(), "nodes": Tried()}
    algorithms = await tried(room, principal, "qc.algorithms")
    nodes = Tried(problem=algorithms.problem) if algorithms.found is None else await tried(room, principal, "qc.nodes")
    return {"status": status, "algorithms": algorithms, "nodes": nodes}


async def _algorithms(room: ControlRoom, principal: Principal, wanted: Wanted) -> Shown:
    listed = await tried(room, principal, "qc.algorithms")
    projects = Tried(problem=listed.problem) if listed.found is None else await tried(room, principal, "qc.projects")
    one = await algorithm_of(room, principal, wanted["id"]) if wanted["id"] else None
    return {"algorithms": listed, "projects": projects, "one": one}


async def _signals(room: ControlRoom, principal: Principal, wanted: Wanted) -> Shown:
    del principal, wanted
    return {"decided": await _decided(room)}


async def _decided(room: ControlRoom) -> Any:
    if await room.run() is None:
        return ()
    book = await room.book()
    # Who ever decided is found by looking through all decisions, and is seldom somebody new.
    names = await room.remembered(("qc-sources", book), _FRESH_SECONDS, lambda queries: sources_of(queries, book))

    def read(queries: Queries) -> list[Any]:
        rows = [
            one
            for name in sorted(names)
            for one in queries.decisions(book=book, source=name, limit=_DECIDED)
            if one.tier is Tier.QUANTCONNECT
        ]
        return sorted(rows, key=lambda one: -one.row)[:_DECIDED]

    return await room.read(read)


async def _backtest(room: ControlRoom, principal: Principal, wanted: Wanted) -> Shown:
    reference = next(iter(wanted["backtest"]), "")
    return {
        "reference": reference,
        "form": _form(room),
        "running": await _running(room, principal, {"qc.backtest"}),
    }


async def _lesson_of(room: ControlRoom, principal: Principal, reference: str) -> Mapping[str, Any] | None:
    """What the memory keeps of a backtest, None where it was not learnt from or is forgotten."""
    try:
        told = await room.ask("memory.lessons", {"limit": 1_000}, principal)
    except Problem:  # the result is worth showing all the same
        return None
    wanted = f"quantconnect {reference}"
    return next((lesson for lesson in told["lessons"] if lesson["reference"] == wanted), None)


def _form(room: ControlRoom) -> Shown:
    """What the forms offer: sensible defaults, and nothing that cannot be chosen."""
    until = datetime.fromtimestamp(room.now() / 1_000, UTC).date() - timedelta(days=1)
    rules = [name for name in RULES if name not in UNCARRIED and name not in TEMPLATES]
    return {
        "symbols": room.loaded.settings.exchange.symbols,
        "templates": list(TEMPLATES),
        "rules": rules,
        "timeframes": _TIMEFRAMES,
        "start": until - timedelta(days=_TESTED_DAYS),
        "end": until,
    }


async def _running(room: ControlRoom, principal: Principal, kinds: set[str]) -> str:
    """The newest job of these kinds that still runs, so that a page that was left finds it again."""
    try:
        jobs = (await room.command("jobs", {}, principal))["jobs"]
    except Problem:
        return ""
    return next((str(job["id"]) for job in jobs if job["kind"] in kinds and job["state"] == "running"), "")


async def _compare(room: ControlRoom, principal: Principal, wanted: Wanted) -> Shown:
    references = wanted["backtest"]
    return {
        "references": references,
        "query": _query(references),
        "form": _form(room),
        "running": await _running(room, principal, {"qc.sweep"}),
    }


def _query(references: list[str]) -> str:
    return urlencode([("backtest", reference) for reference in references])


async def _memory(room: ControlRoom, principal: Principal, wanted: Wanted) -> Shown:
    about = {name: wanted[name] for name in ("symbol", "strategy") if wanted[name]}
    try:
        everything = (await room.ask("memory.subjects", {}, principal))["subjects"]
    except Problem as problem:
        if problem.status != 409:
            raise
        # Nothing was ever remembered: the page is whole, and says why there is nothing on it.
        empty: Shown = dict.fromkeys(("symbols", "strategies", "confidence", "lessons", "recommendations", "parameters"), ())
        return empty | _memory_frame(room, wanted) | {"without": problem.detail}
    believed = await room.ask("memory.confidence", about, principal)
    told = await room.ask("memory.lessons", {**about, "limit": _SHOWN_LESSONS}, principal)
    advised = await room.ask("memory.recommendations", about, principal)
    best = await room.ask("memory.parameters", about, principal)
    return _memory_frame(room, wanted) | {
        "symbols": sorted({row["symbol"] for row in everything}),
        "strategies": sorted({row["strategy"] for row in everything}),
        "confidence": sorted(believed["confidence"], key=lambda row: -(row["confidence"] or 0.0)),
        "lessons": told["lessons"][:_SHOWN_LESSONS],
        "recommendations": advised["recommendations"],
        "parameters": [row for row in best["parameters"] if row["recommended"]],
    }


def _memory_frame(room: ControlRoom, wanted: Wanted) -> Shown:
    chosen = {name: wanted[name] for name in ("symbol", "strategy")}
    about = urlencode({name: value for name, value in chosen.items() if value})
    return {"memory": room.loaded.settings.memory, "wanted": chosen, "about": about, "without": ""}


async def _configuration(room: ControlRoom, principal: Principal, wanted: Wanted) -> Shown:
    del wanted
    shown = await access_shown(room, principal)
    values = {row["key"].partition(".")[2]: row for row in shown["settings"]}
    values |= {
        row["key"].partition(".")[2]: {**values.get(row["key"].partition(".")[2], {}), "text": str(row["next"])}
        for row in shown["pending"]
        if row["key"].partition(".")[2] in {"base_url", "organization", "calls"}
    }
    return {"access": shown, "values": values}


_TABS: Mapping[str, Callable[[ControlRoom, Principal, Wanted], Awaitable[Shown]]] = {
    "status": _status,
    "algorithms": _algorithms,
    "signals": _signals,
    "backtest": _backtest,
    "compare": _compare,
    "memory": _memory,
    "configuration": _configuration,
}

ROUTERS = (router, charts)
