"""Protective stops: they survive a restart, and they act when the market crashes through them, whoever was there to see it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bot.drill.drill import Drill
from bot.drill.rig import Ground, Rig, require, rig
from simulators.exchange.faults import Shock

_AT_VENUE: Mapping[str, object] = {"live": {"stops": "venue"}}
_STOP = {"stop_loss": 0.02}
_CRASH = Shock("BTC/USDT", 0.9)
_CRASHED = 0.95


async def _protected(stage: Rig, at_venue: bool) -> None:
    """A position with a stop, which rests at the venue if it can."""
    await stage.start()
    await stage.bot.propose("buy", protection=_STOP)
    await stage.venue.until(lambda venue: bool(venue.fills), "an entry")
    if at_venue:
        await stage.venue.until(lambda venue: bool(venue.open), "a stop at the venue")
    await stage.settled()


async def _sold_out(stage: Rig) -> None:
    await stage.venue.until(lambda venue: len(venue.account.fills) >= 2 and not venue.open, "the sale of the stop", 30.0)
    await stage.settled()
    require(all(order.ticket.side.value == "sell" for order in stage.venue.orders[1:]), "something was bought after the crash")


async def _restarted(name: str, at_venue: bool, ground: Ground) -> str:
    """Kill it, start it again, then crash the market."""
    async with rig(ground, name, settings=_AT_VENUE if at_venue else {}) as stage:
        await _protected(stage, at_venue)
        await stage.bot.kill()
        await stage.start()
        await stage.settled()
        stage.venue.inject(_CRASH)
        await _sold_out(stage)
        await stage.finish(sells=False)
        return "killed, started again, sold at the crash"


async def _crashed_meanwhile(name: str, at_venue: bool, ground: Ground) -> str:
    """The market crashes while no bot runs: a stop at the venue has sold by then, the bot's own sells at its start."""
    async with rig(ground, name, settings=_AT_VENUE if at_venue else {}) as stage:
        await _protected(stage, at_venue)
        await stage.bot.kill()
        before = stage.venue.price("BTC/USDT")
        stage.venue.inject(_CRASH)
        await stage.venue.until(lambda venue: venue.price("BTC/USDT") < before * _CRASHED, "the crash")
        if at_venue:
            await stage.venue.until(lambda venue: venue.fills >= 2, "the sale of the stop at the venue")
        await stage.start()
        await _sold_out(stage)
        await stage.finish(sells=False)
        return "the market crashed while the bot was dead; the position is sold and booked"


async def _crashed(name: str, at_venue: bool, ground: Ground) -> str:
    async with rig(ground, name, settings=_AT_VENUE if at_venue else {}) as stage:
        await _protected(stage, at_venue)
        stage.venue.inject(_CRASH)
        await _sold_out(stage)
        await stage.finish(sells=False)
        return "sold in the crash, once"


DRILLS = (
    Drill("restart-with-stops", "A stop survives kill -9 and a restart", partial(_restarted, "restart-with-stops", False)),
    Drill(
        "restart-with-venue-stops",
        "A stop that rests at the venue survives kill -9 and a restart, and is not placed twice",
        partial(_restarted, "restart-with-venue-stops", True),
        quick=True,
    ),
    Drill(
        "crash-through-stop",
        "A market that crashes through a stop is left at once",
        partial(_crashed, "crash-through-stop", False),
    ),
    Drill(
        "crash-through-venue-stop",
        "A market that crashes through a stop at the venue is left once, not twice",
        partial(_crashed, "crash-through-venue-stop", True),
    ),
    Drill(
        "crash-while-dead",
        "A market that crashed through a stop while no bot ran is left at the start",
        partial(_crashed_meanwhile, "crash-while-dead", False),
    ),
    Drill(
        "venue-stop-while-dead",
        "A stop at the venue acts while no bot runs, and the next start books what it sold",
        partial(_crashed_meanwhile, "venue-stop-while-dead", True),
    ),
)
