"""The conversation with the assistant: sessions, messages, answers while they come, and proposals that a person confirms."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import ORJSONResponse
from pydantic import Field

from bot.services.chat.talking import LONGEST_QUESTION
from bot.services.chat.use_cases import ConfirmArgs
from bot.web.api.ai_common import Answer, ProposalId, SessionId, Wish, found, given
from bot.web.api.ai_talking import answer_stream
from bot.web.api.etags import TaggedRoute
from bot.web.api.offers import API_ROOT, JobBegun, Offer, router_of
from bot.web.room import Room
from bot.web.security.confirming import require_confirmation
from bot.web.security.gate import Reader, Trader
from bot.web.security.idempotency import nonce_of
from bot.web.security.principal import Scope
from bot.web.stream.sse import EventStream

TAG = "ai: chat"
router = APIRouter(tags=[TAG], route_class=TaggedRoute)

Rows = Annotated[int, Query(ge=1, le=200, description="rows")]
Skipped = Annotated[int, Query(ge=0, le=100_000, description="rows to pass over")]
Thread = Annotated[int | None, Query(ge=1, le=2**31, description="only this thread")]
JobId = Annotated[str, Query(min_length=1, max_length=64, pattern=r"^job-[0-9]+-[0-9]+$", description="the answer's job")]
_BEGUN: Any = {202: {"description": "A job does it; `Location` tells how far it is.", "model": JobBegun}}
_STREAM: Any = {
    200: {
        "description": "Server-sent events: `stage` (what is done now), `text` (more of the answer), then `answer` or `failed`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


class Question(Wish):
    """What is asked."""

    question: str = Field(min_length=1, max_length=LONGEST_QUESTION)


class Confirming(Wish):
    """By what it is confirmed."""

    token: str = Field(min_length=1, max_length=80, description="what came with the proposal")
    session: str | None = Field(
        None, max_length=40, pattern=r"^[0-9a-f]+$", description="its session: what is confirmed is told in words"
    )


class NoWish(Wish):
    """Nothing to say."""


@router.get("/ai/chat/sessions/{session}")
async def history(
    room: Room, principal: Reader, session: SessionId, limit: Rows = 50, skip: Skipped = 0, thread: Thread = None
) -> Answer:
    """What was said and proposed in a session; `skip` goes back in time."""
    args = {"session": session, "limit": limit, "skip": skip} | ({} if thread is None else {"thread": thread})
    return await found(room, "chat.history", args, principal)


@router.post("/ai/chat/sessions/{session}/threads")
async def new_thread(room: Room, principal: Trader, request: Request, session: SessionId, wish: NoWish | None = None) -> Answer:
    """Begin another thread: what was said before is kept, and no longer told to the model."""
    del wish
    await _there(room, principal, session)
    return dict(await room.ask("chat.new", {"session": session}, principal, nonce=nonce_of(request)))


@router.post("/ai/chat/sessions/{session}/messages", responses=_BEGUN, status_code=202)
async def ask(room: Room, principal: Trader, request: Request, session: SessionId, question: Question) -> ORJSONResponse:
    """Ask the assistant. A job answers; follow it, or read it as a stream under `/stream?job=`."""
    job = await _asked(room, principal, request, session, question)
    return ORJSONResponse({"job": job}, 202, {"Location": f"{API_ROOT}/jobs/{job}"})


@router.post("/ai/chat/sessions/{session}/messages/stream", status_code=200, response_class=EventStream, responses=_STREAM)
async def ask_and_listen(room: Room, principal: Trader, request: Request, session: SessionId, question: Question) -> EventStream:
    """Ask the assistant and read the answer while it comes. Who hangs up early finds the answer in the session."""
    job = await _asked(room, principal, request, session, question)
    return await answer_stream(room, request, principal, job)


@router.get("/ai/chat/sessions/{session}/messages/stream", status_code=200, response_class=EventStream, responses=_STREAM)
async def listen(room: Room, principal: Trader, request: Request, session: SessionId, job: JobId) -> EventStream:
    """Read an answer while it comes, from its first word on."""
    await _there(room, principal, session)
    return await answer_stream(room, request, principal, job)


@router.post("/ai/chat/proposals/{proposal}/confirm", responses=_BEGUN, status_code=202)
async def confirm(room: Room, principal: Trader, request: Request, proposal: ProposalId, wish: Confirming) -> ORJSONResponse:
    """Carry out a proposal of the assistant, in two steps. A job does it."""
    args = ConfirmArgs(proposal=proposal, token=wish.token).model_dump()
    text = await _told(room, principal, proposal, wish.session)
    await require_confirmation(request, principal, "chat.confirm", args, text)
    answer = await room.ask("chat.confirm", args, principal, nonce=nonce_of(request))
    job = str(answer["job"])
    return ORJSONResponse({"job": job}, 202, {"Location": f"{API_ROOT}/jobs/{job}"})


async def _asked(room: Room, principal: Trader, request: Request, session: str, question: Question) -> str:
    await _there(room, principal, session)
    args = {**given(question), "session": session}
    return str((await room.ask("chat.ask", args, principal, nonce=nonce_of(request)))["job"])


async def _there(room: Room, principal: Reader, session: str) -> None:
    await found(room, "chat.history", {"session": session, "limit": 1}, principal)


async def _told(room: Room, principal: Reader, proposal: str, session: str | None) -> str:
    """What confirming would do, in the words that the code made of its parameters."""
    if session is not None:
        offered = (await found(room, "chat.history", {"session": session, "limit": 200}, principal))["proposals"]
        for one in offered:
            if one["id"] == proposal:
                return f"{one['rendered']}."
    return f"Carry out the proposal {proposal} of the assistant."


OFFERS = (
    Offer("GET", "/ai/chat/sessions", "chat.sessions"),
    Offer("POST", "/ai/chat/sessions", "chat.new", Scope.TRADE, hidden=frozenset({"session"})),
    Offer("GET", "/ai/chat/search", "chat.search"),
)
ROUTERS = (router_of(OFFERS, TAG), router)
