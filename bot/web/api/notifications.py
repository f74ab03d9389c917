"""Notifications: where they go, whether one arrives, and what became of those that were told."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from bot.outlets.notifying.log import LARGEST_PAGE
from bot.web.api.etags import TaggedRoute
from bot.web.api.offers import Offer, router_of
from bot.web.paging import Cursor, Page, encoded, row_of
from bot.web.problems import not_found
from bot.web.room import Room
from bot.web.security.gate import Reader, Trader
from bot.web.security.idempotency import nonce_of

router = APIRouter(tags=["notifications"], route_class=TaggedRoute)

Answer = dict[str, Any]
Channel = Annotated[
    str, Path(max_length=32, pattern="^[a-z0-9][a-z0-9_-]{0,31}$", description="a name of notifications.channels")
]


@router.post("/notifications/channels/{channel}/test")
async def test(room: Room, principal: Trader, request: Request, channel: Channel) -> Answer:
    """Send a real message to a channel now, and say whether it arrived."""
    known = room.loaded.settings.notifications.channels
    if channel not in known:
        raise not_found(f"no channel is called {channel!r}; there are {', '.join(known) or 'none'}")
    return dict(await room.ask("notify.test", {"channel": channel}, principal, nonce=nonce_of(request)))


@router.get("/notifications/log")
async def deliveries(
    room: Room,
    principal: Reader,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="entries on a page")] = 50,
    after: Cursor = None,
    channel: Annotated[str | None, Query(min_length=1, max_length=32, description="absent: all channels")] = None,
) -> Page[Answer]:
    """What was told, the newest first, and what became of it."""
    args = {"limit": limit, "before": row_of(after) or None, "channel": channel}
    found = await room.ask("notify.log", args, principal)
    return Page(items=list(found["deliveries"]), next=None if found["next"] is None else encoded(found["next"]))


OFFERS = (Offer("GET", "/notifications/channels", "notify.channels"),)
ROUTERS = (router, router_of(OFFERS, "notifications"))
