"""The market's data and the venue's clock go wrong: no entry on what is stale, and no order lost to a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from bot.drill.drill import Drill
from bot.drill.rig import Ground, require, rig
from bot.drill.waiting import until
from simulators.exchange.faults import ClockSkew, Gap, Stall

_SKEW_MS = 30_000
_QUIET_SECONDS = 2.0
_ALERT: Mapping[str, object] = {"market": {"stall_multiple": 1.01}, "risk": {"stale_after": "3s"}}


async def _stalled(ground: Ground) -> str:
    """The sockets stay open and say nothing, and nothing can be asked: entries wait until prices are fresh again."""
    async with rig(ground, "market-stall", settings=_ALERT) as stage:
        await stage.start()
        stage.venue.inject(Stall())
        stage.venue.inject(Gap("*"))

        async def stale() -> bool:
            return bool((await stage.bot.status())["health"].get("BTC/USDT") == "stale")

        await until(stale, "stale data")
        await stage.bot.propose("buy", horizon="1m")
        await asyncio.sleep(_QUIET_SECONDS)
        require(stage.venue.submits == 0, "an entry was sent on stale prices")
        stage.venue.clear()
        await stage.venue.until(lambda venue: bool(venue.fills), "a trade on fresh prices", 30.0)
        await stage.settled()
        await stage.finish()
        return "no entry while the data was stale; the decision traded once it was fresh"


async def _skewed(name: str, milliseconds: int, ground: Ground) -> str:
    """The venue's clock is wrong from the start, then right, then wrong again while the bot runs."""
    async with rig(ground, name) as stage:
        stage.question = replace(stage.question, clock_off_ms=abs(milliseconds))
        stage.venue.inject(ClockSkew(milliseconds))
        await stage.start()
        await stage.buys()
        stage.venue.inject(ClockSkew(0))
        await stage.sells()
        stage.venue.inject(ClockSkew(milliseconds))
        await stage.buys()
        await stage.finish()
        return f"traded with the venue's clock {milliseconds / 1000:+g} s off, and through its jumps"


DRILLS = (
    Drill("market-stall", "Stale prices hold entries back; they go on when prices do", _stalled),
    Drill("clock-ahead", "A venue's clock that is ahead loses no order", partial(_skewed, "clock-ahead", _SKEW_MS)),
    Drill("clock-behind", "A venue's clock that is behind loses no order", partial(_skewed, "clock-behind", -_SKEW_MS)),
)
