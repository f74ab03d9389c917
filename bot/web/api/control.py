"""Control: what the desk may do, who is heard, how much is too much; and the jobs that the bot runs for somebody.

What changes trading is confirmed in two steps: the first answer is 428 with a confirmation that is good for this request alone.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from bot.web.api.etags import TaggedRoute
from bot.web.api.offers import Offer, confirmed_where_live, router_of, with_stakes
from bot.web.room import ControlRoom, Room
from bot.web.security.confirming import require_confirmation
from bot.web.security.gate import Reader, Trader
from bot.web.security.idempotency import makes_safer, nonce_of
from bot.web.security.principal import Principal

router = APIRouter(tags=["risk"], route_class=TaggedRoute)
sources = APIRouter(tags=["trading"], route_class=TaggedRoute)
jobs = APIRouter(tags=["jobs"], route_class=TaggedRoute)

SourceName = Annotated[str, Path(max_length=100, description="a source's name, such as llm:claude")]
JobId = Annotated[str, Path(max_length=64, description="a job's id")]
Answer = dict[str, Any]

_HALT = (
    "Halt trading at once: no order is sent any more, not even an exit, and orders that work are cancelled, until somebody "
    "resumes. What is held stays held; stops that rest at the venue stay there."
)
_SELL_AND_HALT = "Sell everything that is held at the market, then halt trading: no order is sent until somebody resumes."
_REDUCE = "From now on only orders that lower a position are sent; entries that work are cancelled."
_SELL_AND_REDUCE = "Sell everything that is held at the market; from now on only orders that lower a position are sent."


class Said(BaseModel):
    """Why; kept in the audit."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("from the control room", min_length=1, max_length=200, description="why; kept in the audit")


class Halt(Said):
    """How to stop."""

    flatten: bool = Field(False, description="also sell everything that is held")


class Account(BaseModel):
    """What to do with differences between the account and the books."""

    model_config = ConfigDict(extra="forbid")

    accept: bool = Field(False, description="take the account's word for what nothing explains")


@router.post("/risk/kill")
@makes_safer
async def kill(room: Room, principal: Trader, request: Request, wish: Halt | None = None) -> Answer:
    """Halt trading at once: no order is sent until somebody resumes; with `flatten` everything is sold first."""
    given = wish or Halt(reason="kill switch")
    text = _SELL_AND_HALT if given.flatten else _HALT
    return await _halted(room, principal, request, "kill", given, text)


@router.post("/risk/reduce")
@makes_safer
async def reduce(room: Room, principal: Trader, request: Request, wish: Halt | None = None) -> Answer:
    """Only lower positions from now on; entries that work are cancelled."""
    given = wish or Halt(reason="reduce only")
    text = _SELL_AND_REDUCE if given.flatten else _REDUCE
    return await _halted(room, principal, request, "reduce", given, text)


@router.post("/risk/resume")
async def resume(room: Room, principal: Trader, request: Request, wish: Said | None = None) -> Answer:
    """Trade again."""
    args = (wish or Said(reason="resume")).model_dump()
    mode = (await room.world()).badge
    await require_confirmation(request, principal, "resume", args, f"Trade again ({mode}): orders will be sent.")
    return dict(await room.command("resume", args, principal, nonce=nonce_of(request)))


@router.post("/risk/reconcile")
async def reconcile(room: Room, principal: Trader, request: Request, wish: Account | None = None) -> Answer:
    """Compare the account at the venue with the books now."""
    args = (wish or Account(accept=False)).model_dump()
    if args["accept"]:
        text = "Take the account's word for every difference that nothing explains; the books are changed."
        await require_confirmation(request, principal, "reconcile", args, text)
    return dict(await room.command("reconcile", args, principal, nonce=nonce_of(request)))


async def _halted(room: ControlRoom, principal: Principal, request: Request, name: str, wish: Halt, text: str) -> Answer:
    args = wish.model_dump()
    await require_confirmation(request, principal, name, args, await with_stakes(room, text))
    return dict(await room.command(name, args, principal, nonce=nonce_of(request)))


@sources.post("/sources/{source:path}/pause")
async def pause(room: Room, principal: Trader, request: Request, source: SourceName) -> Answer:
    """Hear no new proposal of a source; what stands goes on."""
    return dict(await room.command("pause", {"source": source}, principal, nonce=nonce_of(request)))


@sources.post("/sources/{source:path}/resume")
async def unpause(room: Room, principal: Trader, request: Request, source: SourceName) -> Answer:
    """Hear a source again; where real orders are sent, in two steps."""
    args = {"source": source}
    await confirmed_where_live(room, request, principal, "unpause", args, f"Hear {source} again: what it proposes may be traded.")
    return dict(await room.command("unpause", args, principal, nonce=nonce_of(request)))


@jobs.get("/jobs")
async def all_jobs(room: Room, principal: Reader) -> list[Answer]:
    """The jobs that the bot runs, or ran lately, the newest first, without their results."""
    return list((await room.command("jobs", {}, principal))["jobs"])


@jobs.get("/jobs/{id}")
async def job(room: Room, principal: Reader, id: JobId) -> Answer:  # noqa: A002 - the word of the address
    """One job: how far it is, and once it is done, its result."""
    return dict(await room.command("job", {"id": id}, principal))


@jobs.delete("/jobs/{id}")
async def cancel_job(room: Room, principal: Trader, request: Request, id: JobId) -> Answer:  # noqa: A002
    """End a job early."""
    return dict(await room.command("cancel-job", {"id": id}, principal, nonce=nonce_of(request)))


OFFERS = (
    Offer("GET", "/risk/state", "risk.state"),
    Offer("GET", "/risk/assessment", "risk.assess"),
    Offer("POST", "/risk/validate", "risk.validate"),
    Offer("POST", "/risk/size", "risk.size"),
)
ROUTERS = (router, router_of(OFFERS, "risk"), sources, jobs)
