"""Chat: conversations with the assistant, what it looked up, and what it proposes, which nobody but a person carries out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from bot.web.api.ai_common import found
from bot.web.pages.render import fragment, page
from bot.web.problems import Problem
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Principal, Scope

router = APIRouter()

_SESSIONS = 40
_MESSAGES = 40
_MOST_JOBS = 10
Session = Annotated[str, Query(max_length=40, pattern=r"^[0-9a-f]*$")]
SessionPart = Annotated[str, Path(max_length=40, pattern=r"^[0-9a-f]+$")]
Words = Annotated[str, Query(max_length=200)]
Skipped = Annotated[int, Query(ge=0, le=100_000)]


@router.get("/chat")
async def chat(
    request: Request, room: Room, principal: Reader, session: Session = "", words: Words = "", skip: Skipped = 0
) -> HTMLResponse:
    """The page: the session that is asked for, else the one that was last spoken in."""
    listed = (await room.ask("chat.sessions", {"limit": _SESSIONS}, principal))["sessions"]
    chosen = session or (listed[0]["id"] if listed else "")
    context: dict[str, Any] = {
        "sessions": listed,
        "words": words,
        "hits": None,
        "talk": None,
        "may": principal.scope >= Scope.TRADE,
    }
    if words.strip():
        context["hits"] = (await room.ask("chat.search", {"words": words, "limit": 50}, principal))["messages"]
    if chosen:
        context |= await _talk(room, principal, chosen, skip)
    return await page(request, "chat/page.html", "chat", {**context, "skip": skip, "chosen": chosen})


@router.get("/ui/chat/sessions")
async def sessions(request: Request, room: Room, principal: Reader, session: Session = "") -> HTMLResponse:
    """The conversations, those that were last spoken in first."""
    listed = (await room.ask("chat.sessions", {"limit": _SESSIONS}, principal))["sessions"]
    return fragment(request, "chat/sessions.html", {"sessions": listed, "chosen": session})


@router.get("/ui/chat/{session}")
async def talk(request: Request, room: Room, principal: Reader, session: SessionPart) -> HTMLResponse:
    """What was said last in a session, and what waits to be confirmed."""
    may = principal.scope >= Scope.TRADE
    context = await _talk(room, principal, session, 0)
    return fragment(request, "chat/talk.html", {**context, "skip": 0, "may": may, "chosen": session})


async def _talk(room: ControlRoom, principal: Principal, session: str, skip: int) -> dict[str, Any]:
    told = await found(room, "chat.history", {"session": session, "limit": _MESSAGES, "skip": skip}, principal)
    now, offered = room.now(), told["proposals"]
    waiting = [one for one in offered if one["state"] == "pending" and one["expires"] > now]
    tokens = await _tokens(room, principal, session) if waiting and principal.scope >= Scope.TRADE else {}
    older = skip + _MESSAGES if len(told["messages"]) == _MESSAGES else None
    return {"talk": told, "said": _in_turn(told["messages"], offered, skip), "tokens": tokens, "older": older}


def _in_turn(messages: Sequence[Mapping[str, Any]], offered: Sequence[Mapping[str, Any]], skip: int) -> list[dict[str, Any]]:
    """Messages in their sequence, each with the proposals that came with it."""
    rows: list[dict[str, Any]] = []
    left = sorted(offered, key=lambda one: int(one["ts"]))
    for message in messages:
        mine = [one for one in left if one["ts"] <= message["ts"]] if message["role"] == "assistant" else []
        left = [one for one in left if one not in mine]
        rows.append({"message": message, "proposals": mine if rows or not skip else []})
    if rows and left and not skip:
        rows[-1]["proposals"] += left
    return rows


async def _tokens(room: ControlRoom, principal: Principal, session: str) -> dict[str, str]:
    """What confirms the proposals of a session: told with the answers, which the bot remembers for a while."""
    try:
        jobs = (await room.command("jobs", {}, principal))["jobs"]
        answers = [one["id"] for one in jobs if one["kind"] == "chat.ask" and one["state"] == "done"][:_MOST_JOBS]
        results = [(await room.command("job", {"id": name}, principal))["result"] for name in answers]
    except Problem:
        return {}  # no bot, or a job that it has forgotten meanwhile: nothing can be confirmed here
    mine = [one for one in results if one and one["session"]["id"] == session]
    return {offer["id"]: offer["token"] for one in mine for offer in one["proposals"]}
