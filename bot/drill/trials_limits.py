"""The venue says wait: rate limits, a ban and maintenance are waited out, never hammered, and trading goes on after them."""

from __future__ import annotations

import asyncio
from functools import partial

from bot.drill.drill import Drill
from bot.drill.rig import Ground, Rig, require, rig
from simulators.exchange.answer_faults import Maintenance
from simulators.exchange.faults import Status
from simulators.exchange.mischief import Fault

_MOST_TRIES = 3
_MOST_REQUESTS = 40
_PAUSE_SECONDS = 0.4
_MOST_SECONDS = 40.0
_PRIVATE = ("/api/v3/order", "POST /api/v3/order", "/api/v3/openOrders", "/api/v3/account", "/api/v3/myTrades")


async def _waited_out(name: str, fault: Fault, ground: Ground) -> str:
    """A source that insists meets a venue that says wait: what it wants is held back, and leaves when the wait is over."""
    async with rig(ground, name) as stage:
        await stage.start()
        await stage.buys()
        hits = stage.venue.simulator.gate.hits
        before, sent = sum(hits[path] for path in _PRIVATE), stage.venue.submits
        stage.venue.inject(fault)
        insisting = asyncio.create_task(_insist(stage))
        try:
            await stage.venue.until(lambda venue: venue.fills >= 2 and not venue.open, "a sale after the wait", _MOST_SECONDS)
        finally:
            insisting.cancel()
            await asyncio.gather(insisting, return_exceptions=True)
        tried, asked = stage.venue.submits - sent, sum(hits[path] for path in _PRIVATE) - before
        require(tried <= _MOST_TRIES, f"the venue was sent {tried} orders while it had said wait")
        require(asked <= _MOST_REQUESTS, f"the venue was asked {asked} times while it had said wait")
        stage.venue.clear()
        await stage.settled()
        await stage.finish(sells=False)
        return f"{tried} orders and {asked} private requests in all until it traded again"


async def _insist(stage: Rig) -> None:
    while True:
        await stage.bot.propose("sell")
        await asyncio.sleep(_PAUSE_SECONDS)


DRILLS = (
    Drill(
        "too-many-requests",
        "A 429 is waited out as long as the venue says",
        partial(_waited_out, "too-many-requests", Status(429, "/api/v3/order", "POST", 1, 2)),
    ),
    Drill(
        "banned",
        "A 418 is waited out; nothing is asked meanwhile",
        partial(_waited_out, "banned", Status(418, "/api/v3/*", "*", 1, 3)),
    ),
    Drill(
        "maintenance",
        "Maintenance loses no order: what was sent into it is asked for when it is over",
        partial(_waited_out, "maintenance", Maintenance(4.0, 1)),
    ),
)
