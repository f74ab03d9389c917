"""Monitoring: the parts of the bot, how long things take, what went wrong, what it told; and how the control room fares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from bot.web.api.monitoring import control_room_of
from bot.web.charts.monitoring import Buckets, errors_by_hour, feed_ages, latency_buckets
from bot.web.listener import asked
from bot.web.pages.asking import if_it_can
from bot.web.pages.drawing import ThemeWanted, drawn
from bot.web.pages.render import fragment, page
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Principal

if TYPE_CHECKING:
    from prometheus_client import Metric

router = APIRouter()

_AWAY = 503
_ERRORS = 100
_TOLD = 25
_HOUR_MS = 3_600_000
_WORST_FIRST = ("down", "degraded", "ok", "off")
_FAMILY = "bot_"
_SECONDS = "_seconds"
WORDS: Mapping[str, str] = {
    "event_handled": "the desk handles an event",
    "event_to_fill": "from the event to the fill",
    "cause_to_intent": "from its cause to the intent",
    "intent_to_disk": "intent kept on disk",
    "intent_to_venue": "intent to the venue",
    "venue_accepted": "the venue accepts",
    "venue_filled": "the venue fills",
    "journal_commit": "the journal writes",
    "database_read": "a small read of the database",
}
"""What the stages of the bot's latencies are, in words."""

Which = Annotated[str, Query(pattern="^(open|resolved|all)$")]
Hours = Annotated[int, Query(ge=1, le=48)]


@router.get("/monitoring")
async def monitoring(request: Request, room: Room, principal: Reader, state: Which = "open") -> HTMLResponse:
    """The page."""
    shown = {
        **await _components(room, principal),
        **await _latencies(room, principal),
        **await _errors(room, principal, state),
        **await _database(room, principal),
        **await _providers(room, principal),
        **await _told(room, principal),
        **await _jobs(room, principal),
        "own": control_room_of(room),
    }
    return await page(request, "monitoring/page.html", "monitoring", shown)


@router.get("/ui/monitoring/components")
async def components(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Every part, how it is and since when."""
    return fragment(request, "monitoring/components.html", await _components(room, principal))


@router.get("/ui/monitoring/latencies")
async def latencies(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Percentiles by stage."""
    return fragment(request, "monitoring/latencies.html", await _latencies(room, principal))


@router.get("/ui/monitoring/errors")
async def errors(request: Request, room: Room, principal: Reader, state: Which = "open") -> HTMLResponse:
    """What went wrong, by kind."""
    return fragment(request, "monitoring/errors.html", await _errors(room, principal, state))


@router.get("/ui/monitoring/database")
async def database(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Size and rows."""
    return fragment(request, "monitoring/database.html", await _database(room, principal))


@router.get("/ui/monitoring/providers")
async def providers(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Language models and QuantConnect."""
    return fragment(request, "monitoring/providers.html", await _providers(room, principal))


@router.get("/ui/monitoring/told")
async def told(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """The bot's alerts: what it told, and what became of it."""
    return fragment(request, "monitoring/told.html", await _told(room, principal))


@router.get("/ui/monitoring/jobs")
async def jobs(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """What it does for somebody, and did lately."""
    return fragment(request, "monitoring/jobs.html", await _jobs(room, principal))


@router.get("/ui/monitoring/own")
async def own(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """The control room's own link and streams."""
    del principal
    return fragment(request, "monitoring/own.html", {"own": control_room_of(room)})


@router.get("/ui/charts/latencies")
async def latencies_chart(room: Room, principal: Reader, theme: ThemeWanted) -> Response:
    """Histograms by stage, from the bot's metrics."""
    del principal
    _, body, _ = await asked(room, "/metrics")
    return drawn(latency_buckets(histograms(body.decode(errors="replace")), theme))


@router.get("/ui/charts/feed-ages")
async def feed_ages_chart(room: Room, principal: Reader, theme: ThemeWanted) -> Response:
    """How old the newest price of each symbol is."""
    found = await if_it_can(room, "risk.state", principal)
    ages: dict[str, object] = {}
    if found is not None:
        ages = {each["symbol"]: None if each["seen"] is None else found["now"] - each["seen"] for each in found["health"]}
    stale = room.loaded.settings.risk.stale_after
    return drawn(feed_ages(ages, theme, stale_ms=stale))


@router.get("/ui/charts/errors")
async def errors_chart(room: Room, principal: Reader, theme: ThemeWanted, hours: Hours = 24) -> Response:
    """How often it went wrong, hour by hour."""
    found = await if_it_can(room, "monitor.error-trend", principal, {"hours": hours})
    rows = [] if found is None else [(each["at"], each["count"]) for each in found["hours"]]
    now = room.now()
    since = rows[0][0] if rows else now - hours * _HOUR_MS
    return drawn(errors_by_hour({"errors": rows}, theme, since=since, until=now))


def histograms(exposition: str) -> dict[str, Buckets]:
    """Cumulative buckets (ms) of every histogram of seconds in a text of metrics; those with labels are added up."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - only for who looks at it

    found: dict[str, Buckets] = {}
    for family in text_string_to_metric_families(exposition):
        if family.type == "histogram" and family.name.startswith(_FAMILY) and family.name.endswith(_SECONDS):
            name = family.name.removeprefix(_FAMILY).removesuffix(_SECONDS).replace("_", " ")
            found[name] = _added(family)
    return found


def _added(family: Metric) -> Buckets:
    sums: dict[float, float] = {}
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            edge = float(sample.labels["le"]) * 1_000
            sums[edge] = sums.get(edge, 0.0) + sample.value
    return sorted(sums.items())


async def _components(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    """The worst first, and what nobody wants last."""
    found = await if_it_can(room, "monitor.components", principal)
    seen = [] if found is None else sorted(found["components"], key=lambda each: _WORST_FIRST.index(each["state"]))
    return {"whole": None if found is None else found["state"], "seen": seen}


async def _latencies(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    return {"latencies": await if_it_can(room, "monitor.latencies", principal), "stage_words": WORDS}


async def _errors(room: ControlRoom, principal: Principal, state: str) -> dict[str, Any]:
    found = await if_it_can(room, "monitor.errors", principal, {"state": state, "limit": _ERRORS})
    return {"errors": found, "error_state": state}


async def _database(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    return {"database": await if_it_can(room, "monitor.database", principal)}


async def _providers(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    return {"providers": await if_it_can(room, "monitor.providers", principal)}


async def _told(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    found = await if_it_can(room, "notify.log", principal, {"limit": _TOLD})
    return {"deliveries": None if found is None else found["deliveries"]}


async def _jobs(room: ControlRoom, principal: Principal) -> dict[str, Any]:
    try:
        return {"jobs": (await room.command("jobs", {}, principal))["jobs"]}
    except Problem as problem:
        if problem.status != _AWAY:
            raise
        return {"jobs": None}
