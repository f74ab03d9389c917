"""Monitoring: the parts of the running bot, what went wrong, how long things take; and the audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from bot.services.monitoring.error_book import HOURS
from bot.web.api.etags import TaggedRoute
from bot.web.api.offers import Offer, router_of
from bot.web.listener import asked
from bot.web.paging import Cursor, Limit, Page, encoded, row_of
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader, Trader
from bot.web.security.idempotency import nonce_of
from bot.web.security.principal import Principal

router = APIRouter(tags=["monitoring"], route_class=TaggedRoute)
audits = APIRouter(tags=["audit"], route_class=TaggedRoute)

Answer = dict[str, Any]
_FINGERPRINT = "^[0-9a-f]{16}$"
Fingerprint = Annotated[str, Path(pattern=_FINGERPRINT, description="an error's, as /monitoring/errors tells it")]
Moment = Annotated[int | None, Query(ge=0, le=2**53, description="ms UTC")]
Word = Annotated[str | None, Query(min_length=1, max_length=64)]


class Health(BaseModel):
    """How the whole is: the state of its worst part, and down while no bot runs."""

    state: str
    alive: bool
    why: list[str] = Field(description="the parts that are not well, each with its detail")
    components: dict[str, str] = Field(description="the state of each part, by name")
    link: dict[str, Any] = Field(description="the control room's own connection to the bot")
    heartbeat_age: int | None = Field(description="ms since the bot was last heard of")


class Readiness(BaseModel):
    """Whether the bot is ready to trade, in its own words."""

    ready: bool
    reasons: list[str]


class Settled(BaseModel):
    """Why an error is settled."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field("", max_length=200, description="why, in a line")


@router.get("/monitoring/health")
async def health(room: Room, principal: Reader) -> Health:
    """How the whole is, without a bot too."""
    found = await components_of(room, principal)
    parts: Mapping[str, Any] = {} if found is None else {each["name"]: each for each in found["components"]}
    why = [f"{name}: {each['detail'] or each['state']}" for name, each in parts.items() if each["state"] in {"degraded", "down"}]
    return Health(
        state="down" if found is None else found["state"],
        alive=found is not None,
        why=why if found is not None else [room.link.state.reason or "no bot runs here"],
        components={name: each["state"] for name, each in parts.items()},
        link=asdict(room.link.state),
        heartbeat_age=room.link.heartbeat_age,
    )


@router.get("/monitoring/readiness")
async def readiness(room: Room, principal: Reader) -> Readiness:
    """Whether the bot is ready; `/readyz` says the same by its status."""
    del principal
    try:
        _, body, _ = await asked(room, "/readyz")
        told = orjson.loads(body)
        return Readiness(ready=told["status"] == "ready", reasons=list(told["reasons"]))
    except Problem as problem:
        return Readiness(ready=False, reasons=[f"{problem.title}: {problem.detail}"])


@router.post("/monitoring/errors/{fingerprint}/resolve")
async def resolve(
    room: Room, principal: Trader, request: Request, fingerprint: Fingerprint, wish: Settled | None = None
) -> Answer:
    """Settle an error; it is open again when it happens again."""
    args = {"fingerprint": fingerprint, "author": principal.actor[:60], "note": "" if wish is None else wish.note}
    return dict(await room.ask("monitor.resolve", args, principal, nonce=nonce_of(request)))


@router.get("/monitoring/errors/trend")
async def trend(
    room: Room,
    principal: Reader,
    fingerprint: Annotated[str | None, Query(pattern=_FINGERPRINT, description="an error's; absent: all together")] = None,
    hours: Annotated[int, Query(ge=1, le=HOURS, description="how many, the current one included")] = 24,
) -> Answer:
    """How often it went wrong, hour by hour."""
    return dict(await room.ask("monitor.error-trend", {"fingerprint": fingerprint, "hours": hours}, principal))


@router.get("/monitoring/control-room")
async def control_room(room: Room, principal: Reader) -> Answer:
    """The control room itself: its link to the bot, its streams, what it lost."""
    del principal
    return control_room_of(room)


@audits.get("/audit")
async def audit(
    room: Room,
    principal: Reader,
    limit: Limit = 50,
    after: Cursor = None,
    actor: Word = None,
    command: Word = None,
    since: Moment = None,
    until: Moment = None,
    simulated: Annotated[bool | None, Query(description="only simulated worlds, or only the real one; absent: all")] = None,
) -> Page[Answer]:
    """Who changed what, with how it was before and after, the newest first."""
    before = row_of(after)
    args = {"actor": actor, "command": command, "since": since, "until": until, "simulated": simulated, "limit": limit}
    found = await room.ask("audit.list", {**args, "before": before}, principal)
    return Page(items=list(found["lines"]), next=None if found["next"] is None else encoded(found["next"]))


async def components_of(room: ControlRoom, principal: Principal) -> Mapping[str, Any] | None:
    """The parts of the running bot, None while none answers."""
    try:
        return await room.ask("monitor.components", {}, principal)
    except Problem as problem:
        if problem.status != 503:
            raise
        return None


def control_room_of(room: ControlRoom) -> Answer:
    """What the control room can say of itself."""
    return {
        "link": asdict(room.link.state),
        "counters": asdict(room.link.counters),
        "ring": asdict(room.ring.stats()),
        "heartbeat_age": room.link.heartbeat_age,
        "version": room.version,
    }


OFFERS = (
    Offer("GET", "/monitoring/components", "monitor.components"),
    Offer("GET", "/monitoring/errors", "monitor.errors"),
    Offer("GET", "/monitoring/latencies", "monitor.latencies"),
    Offer("GET", "/monitoring/database", "monitor.database"),
    Offer("GET", "/monitoring/providers", "monitor.providers"),
)
ROUTERS = (router, router_of(OFFERS, "monitoring"), audits)
