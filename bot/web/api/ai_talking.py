"""An answer while it comes: the progress of its job as server-sent events, every word once.

Progress tells how many characters there are and the last 2,000 of them, so a reader that missed a message loses nothing; should
more have come than that, the whole answer follows at the end.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from fastapi import Request

from bot.web.problems import Problem
from bot.web.room import ControlRoom
from bot.web.security.principal import Principal
from bot.web.stream.bells import event
from bot.web.stream.ending import until_unknown
from bot.web.stream.link import LINK
from bot.web.stream.ring import Crowded, Subscription
from bot.web.stream.sse import EventStream

_JOBS = "jobs"
_LOOK_SECONDS = 5.0
_RETRY_AFTER = {"Retry-After": "5"}


@dataclass(slots=True)
class Words:
    """What of an answer was sent: `stage` last told, `sent` characters."""

    stage: str = ""
    sent: int = 0

    def more(self, progress: Mapping[str, Any]) -> list[bytes]:
        """The events that a message of the job comes to; `done` counts characters, `note` holds the last of them."""
        out = []
        stage, done, tail = str(progress.get("stage") or ""), int(progress.get("done") or 0), str(progress.get("note") or "")
        if done > self.sent:
            fresh = min(done - self.sent, len(tail))
            out.append(event("text", orjson.dumps({"at": done - fresh, "text": tail[len(tail) - fresh :]})))
            self.sent = done
        if stage != self.stage:
            self.stage = stage
            out.append(event("stage", orjson.dumps({"stage": stage})))
        return out


async def answer_stream(room: ControlRoom, request: Request, principal: Principal, job: str) -> EventStream:
    """The stream of one answer; `Problem` 409 for a job that is none of the chat's."""
    first = await room.command("job", {"id": job}, principal)
    if first.get("kind") != "chat.ask":
        raise Problem(409, "Not an answer", f"{job} is no answer of the assistant")
    try:
        subscription = room.ring.subscribe({_JOBS, LINK})
    except Crowded as error:
        raise Problem(503, "Too many streams", str(error), headers=_RETRY_AFTER) from error
    chunks = _said(room, principal, subscription, job)
    return EventStream(subscription, chunks, (room.stopping.wait, partial(until_unknown, request)))


async def _said(room: ControlRoom, principal: Principal, subscription: Subscription, job: str) -> AsyncGenerator[bytes, None]:
    """From what there is already to the end of the job; looked at by itself every 5 s, should a message be missed."""
    words = Words()
    yield event("job", orjson.dumps({"job": job}))
    state = await room.command("job", {"id": job}, principal)
    while not subscription.closed:
        if out := words.more(state):
            yield b"".join(out)
        if state.get("state") != "running":
            yield await _end(room, principal, job)
            return
        state = await _next(room, principal, subscription, job)


async def _next(room: ControlRoom, principal: Principal, subscription: Subscription, job: str) -> Mapping[str, Any]:
    """The next thing that is said of the job, or how it stands after a while of silence."""
    while await subscription.wait(_LOOK_SECONDS):
        found: Mapping[str, Any] | None = None
        for entry in subscription.take():
            said = orjson.loads(entry.payload)
            data = said.get("data") if isinstance(said, dict) else None
            if isinstance(data, dict) and data.get("id") == job:
                found = data
        if found is not None:
            return found
        if subscription.closed:
            break
    return await room.command("job", {"id": job}, principal)


async def _end(room: ControlRoom, principal: Principal, job: str) -> bytes:
    found = await room.command("job", {"id": job}, principal)
    if found["state"] == "done":
        return event("answer", orjson.dumps(found["result"], default=str))
    return event("failed", orjson.dumps({"error": found["error"] or f"the answer was {found['state']}", "job": job}))
