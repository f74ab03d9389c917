"""Prompt templates over the API: versions are added and never changed, and using one is confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field

from bot.web.api.ai_common import Answer, PromptName, Version, Wish, found, given
from bot.web.api.etags import TaggedRoute, etag_of, require_match
from bot.web.api.offers import Offer, router_of
from bot.web.problems import Problem, described
from bot.web.room import ControlRoom, Room
from bot.web.security.confirming import require_confirmation
from bot.web.security.gate import Reader, Trader
from bot.web.security.idempotency import nonce_of
from bot.web.security.principal import Principal

TAG = "ai: prompts"
router = APIRouter(tags=[TAG], route_class=TaggedRoute)

_LONGEST_BODY = 50_000
Number = Annotated[int, Query(ge=0, le=2**31, description="version; 0: the file")]
Versions = Annotated[int, Query(ge=1, le=200, description="versions told, the newest")]
IfMatch = Annotated[str | None, Header(max_length=400, description="the ETag that was read with the template")]
_OUTDATED = described(412)
Moment = Annotated[int | None, Query(ge=0, le=2**53, description="ms UTC")]


class Draft(Wish):
    """A text to be looked at, or a version in its place."""

    body: str | None = Field(None, max_length=_LONGEST_BODY, description="a text that is not saved; none: the version")
    version: int | None = Field(None, ge=0, le=2**31, description="0: the file; none: the one that is used, else the file")
    symbol: str = Field("BTC/USDT", min_length=1, max_length=40, description="whose market, where a bot runs; else a made-up one")
    source: str | None = Field(None, max_length=64, description="a source whose models the cost is estimated for")


class NewVersion(Wish):
    """A text to be kept."""

    body: str = Field(min_length=1, max_length=_LONGEST_BODY, description="the template")
    note: str = Field("", max_length=2_000, description="why")


class Chosen(Wish):
    """Which version."""

    version: int = Field(ge=1, le=2**31, description="a saved version")


@router.get("/ai/llm/prompts/{name}")
async def prompt(
    room: Room, principal: Reader, response: Response, name: PromptName, version: Version = None, limit: Versions = 20
) -> Answer:
    """A version of a template with its text, and the versions there are; its ETag is what saving another asks for."""
    told = await _prompt(room, principal, name, version, limit)
    response.headers["etag"] = tag_of(told)
    return told


@router.get("/ai/llm/prompts/{name}/history")
async def history(room: Room, principal: Reader, name: PromptName, limit: Versions = 50) -> Answer:
    """Versions of a template, and which of them was used from when on."""
    told = await _prompt(room, principal, name, None, limit)
    return {"name": told["name"], "versions": told["versions"], "activations": told["activations"]}


@router.get("/ai/llm/prompts/{name}/diff")
async def diff(room: Room, principal: Reader, name: PromptName, old: Number, new: Number) -> Answer:
    """What changed from one version to another, as a unified diff."""
    return await found(room, "llm.prompt-diff", {"name": name, "old": old, "new": new}, principal)


@router.get("/ai/llm/prompts/{name}/results")
async def results(
    room: Room, principal: Reader, name: PromptName, since: Moment = None, until: Moment = None, limit: Versions = 20
) -> Answer:
    """How the versions of a template have done."""
    args = {"name": name, "since": since, "until": until, "limit": limit}
    await _prompt(room, principal, name, None, 1)
    return dict(await room.ask("llm.prompt-results", {key: value for key, value in args.items() if value is not None}, principal))


@router.post("/ai/llm/prompts/{name}/preview")
async def preview(room: Room, principal: Reader, name: PromptName, draft: Draft) -> Answer:
    """A text or version as it would be sent, what is wrong with it, and what it would cost of each model. Asks nobody."""
    return await found(room, "llm.prompt-preview", {"name": name, **given(draft)}, principal)


@router.put("/ai/llm/prompts/{name}", responses=_OUTDATED)
async def save(
    room: Room, principal: Trader, request: Request, name: PromptName, wish: NewVersion, if_match: IfMatch = None
) -> Answer:
    """Keep a text as the next version, which is not used before it is activated. 422 with its faults if it has any.

    With `If-Match`, 412 if somebody has saved another version meanwhile.
    """
    del if_match  # described for who reads the document; it is looked at where all are
    require_match(request, await _tag_now(room, principal, name))
    args = {"name": name, **given(wish), "author": principal.actor[:64]}
    done = dict(await room.ask("llm.prompt-save", args, principal, nonce=nonce_of(request)))
    if not done["saved"]:
        raise Problem(422, "The template has faults", "; ".join(done["faults"])[:2_000], faults=done["faults"])
    return done


@router.post("/ai/llm/prompts/{name}/activate")
async def activate(room: Room, principal: Trader, request: Request, name: PromptName, chosen: Chosen) -> Answer:
    """Use a version from now on."""
    args = {"name": name, "version": chosen.version, "author": principal.actor[:64]}
    text = f"Use version {chosen.version} of the prompt {name} from now on: every question by {name} is asked with it."
    await require_confirmation(request, principal, "llm.prompt-activate", args, text)
    return dict(await room.ask("llm.prompt-activate", args, principal, nonce=nonce_of(request)))


def tag_of(told: Mapping[str, Any]) -> str:
    """Of a template's newest version: it changes when somebody saves another."""
    return etag_of([told["name"], told["versions"][0]["version"] if told["versions"] else 0])


async def _tag_now(room: ControlRoom, principal: Principal, name: str) -> str:
    try:
        return tag_of(await room.ask("llm.prompt", {"name": name, "limit": 1}, principal))
    except Problem as problem:
        if problem.status != 404:
            raise
        return etag_of([name, None])  # there is none of this name yet


async def _prompt(room: ControlRoom, principal: Principal, name: str, version: int | None, limit: int) -> Answer:
    args = {"name": name, "limit": limit} | ({} if version is None else {"version": version})
    return await found(room, "llm.prompt", args, principal)


OFFERS = (Offer("GET", "/ai/llm/prompts", "llm.prompts"),)
ROUTERS = (router_of(OFFERS, TAG), router)
