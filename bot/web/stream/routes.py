"""Where streams are opened: `/api/v1/stream` and `/api/v1/ws` for programs, `/ui/events` for a tab."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from bot.web.problems import Problem
from bot.web.room import Room, room_of
from bot.web.security.gate import Reader, principal_of_websocket
from bot.web.security.principal import Principal
from bot.web.stream.conversation import Conversation, channels_of
from bot.web.stream.ending import until_unknown
from bot.web.stream.link import ALWAYS, LINK
from bot.web.stream.ring import Crowded
from bot.web.stream.sse import EventStream, envelopes, rings

router = APIRouter()

_RETRY_AFTER = {"Retry-After": "5"}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Envelopes as server-sent events, one line of JSON each; the id is `run:number`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}

Names = Annotated[str, Query(max_length=200, description="Channels, separated by commas; without any, all but quotes.")]
After = Annotated[str | None, Query(max_length=200, description="The id after which to go on, if Last-Event-ID is not sent.")]
LastEventId = Annotated[str | None, Header(max_length=200, description="What a browser sends when it comes back.")]


@router.get("/api/v1/stream", status_code=200, tags=["stream"], response_class=EventStream, responses=_STREAM)
async def stream(
    room: Room, request: Request, reader: Reader, channels: Names = "", after: After = None, last_event_id: LastEventId = None
) -> Response:
    """What the bot says, as it says it: the envelopes of the feed, beginning now or just after an id.

    A message of the type `resync`, `link.resync` or `link.up` says that something was missed: read afresh what you show.
    """
    del reader
    try:
        wanted = channels_of([name for name in channels.split(",") if name])
    except ValueError as error:
        raise Problem(422, "No such channel", str(error)) from error
    try:
        subscription = room.ring.subscribe(wanted | {LINK}, last_event_id or after)
    except Crowded as error:
        raise _crowded(error) from error
    chunks = envelopes(subscription, room.link, wanted - ALWAYS)
    return EventStream(subscription, chunks, (room.stopping.wait, partial(until_unknown, request)))


@router.get("/ui/events", include_in_schema=False)
async def events(room: Room, request: Request, reader: Reader) -> Response:
    """The doorbell of one tab."""
    del reader

    async def hello() -> object:
        world = await room.world()
        return {"at": room.now(), "world": world, "badge": world.badge, "link": room.link.state}

    await hello()  # so that what is wrong is told by a problem document
    try:
        subscription = room.ring.subscribe(ALWAYS | {LINK})
    except Crowded as error:
        raise _crowded(error) from error
    return EventStream(subscription, rings(subscription, hello), (room.stopping.wait, partial(until_unknown, request)))


@router.websocket("/api/v1/ws")
async def socket(websocket: WebSocket, reader: Annotated[Principal, Depends(principal_of_websocket)]) -> None:
    """The same by WebSocket."""
    del reader
    room = room_of(websocket)
    try:
        subscription = room.ring.subscribe(ALWAYS | {LINK})
    except Crowded as error:
        await websocket.send_denial_response(_crowded(error).response())
        return
    async with subscription:
        await websocket.accept()
        await Conversation(websocket, subscription, room.link).hold(room.stopping)


def _crowded(error: Crowded) -> Problem:
    return Problem(503, "Too many streams", str(error), headers=_RETRY_AFTER)
