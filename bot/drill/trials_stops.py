"""Protective stops: they survive a restart, and they act when the market crashes through them, whoever was there to see it.

Each is tried where the bot watches the levels itself (`desk`), where its stop also rests at the venue (`stop`), and where stop
and target rest there as one (`oco`).
"""

from __future__ import annotations

from functools import partial

from bot.drill.drill import Drill
from bot.drill.rig import Ground, Rig, require, rig
from simulators.exchange.faults import Shock

_LEVELS = {"stop_loss": 0.02, "take_profit": 0.05}
_CRASH, _RISE = Shock("BTC/USDT", 0.9), Shock("BTC/USDT", 1.1)
_CRASHED = 0.95
_RESTING = {"desk": 0, "stop": 1, "oco": 2}
"""Orders at the venue while a position stands."""


def _settings(where: str) -> dict[str, object]:
    return {"live": {"protection": where}}


async def _protected(stage: Rig, where: str) -> None:
    """A position with a stop and a target, as many of which rest at the venue as shall."""
    await stage.start()
    await stage.bot.propose("buy", protection=_LEVELS)
    await stage.venue.until(lambda venue: bool(venue.fills), "an entry")
    await stage.venue.until(lambda venue: len(venue.open) == _RESTING[where], "the protection at the venue")
    await stage.settled()


async def _sold_out(stage: Rig) -> None:
    await stage.venue.until(lambda venue: venue.fills >= 2 and not venue.open, "the sale of the position", 30.0)
    await stage.settled()
    sold = [order for order in stage.venue.orders[1:] if order.filled]
    require(all(order.ticket.side.value == "sell" for order in sold), "something was bought after the crash")
    require(len(sold) == 1, f"the position was sold by {len(sold)} orders")


async def _restarted(name: str, where: str, ground: Ground) -> str:
    """Kill it, start it again, then crash the market."""
    async with rig(ground, name, settings=_settings(where)) as stage:
        await _protected(stage, where)
        await stage.bot.kill()
        await stage.start()
        await stage.settled()
        resting = len(stage.venue.open)
        require(resting == _RESTING[where], f"{resting} orders rest at the venue after the restart")
        stage.venue.inject(_CRASH)
        await _sold_out(stage)
        await stage.finish(sells=False)
        return "killed, started again, sold at the crash"


async def _crashed_meanwhile(name: str, where: str, ground: Ground) -> str:
    """The market crashes while no bot runs: a stop at the venue has sold by then, the bot's own sells at its start."""
    async with rig(ground, name, settings=_settings(where)) as stage:
        await _protected(stage, where)
        await stage.bot.kill()
        before = stage.venue.price("BTC/USDT")
        stage.venue.inject(_CRASH)
        await stage.venue.until(lambda venue: venue.price("BTC/USDT") < before * _CRASHED, "the crash")
        if _RESTING[where]:
            await stage.venue.until(lambda venue: venue.fills >= 2, "the sale of the stop at the venue")
        await stage.start()
        await _sold_out(stage)
        await stage.finish(sells=False)
        return "the market crashed while the bot was dead; the position is sold and booked"


async def _moved(name: str, where: str, move: Shock, ground: Ground) -> str:
    async with rig(ground, name, settings=_settings(where)) as stage:
        await _protected(stage, where)
        stage.venue.inject(move)
        await _sold_out(stage)
        await stage.finish(sells=False)
        return "sold at the move of the market, once"


def _restart(name: str, where: str, promise: str) -> Drill:
    return Drill(name, promise, partial(_restarted, name, where), quick=where == "stop")


def _meanwhile(name: str, where: str, promise: str) -> Drill:
    return Drill(name, promise, partial(_crashed_meanwhile, name, where))


def _move(name: str, where: str, move: Shock, promise: str) -> Drill:
    return Drill(name, promise, partial(_moved, name, where, move))


DRILLS = (
    _restart("restart-with-stops", "desk", "A stop survives kill -9 and a restart"),
    _restart(
        "restart-with-venue-stops",
        "stop",
        "A stop that rests at the venue survives kill -9 and a restart, and is not placed twice",
    ),
    _restart("restart-with-oco", "oco", "Stop and target that rest at the venue as one survive kill -9 and a restart"),
    _move("crash-through-stop", "desk", _CRASH, "A market that crashes through a stop is left at once"),
    _move(
        "crash-through-venue-stop", "stop", _CRASH, "A market that crashes through a stop at the venue is left once, not twice"
    ),
    _move("crash-through-oco", "oco", _CRASH, "A stop that the market crashes through takes its target at the venue with it"),
    _move("rise-to-venue-target", "oco", _RISE, "A target that the market reaches at the venue takes its stop with it"),
    _meanwhile("crash-while-dead", "desk", "A market that crashed through a stop while no bot ran is left at the start"),
    _meanwhile(
        "venue-stop-while-dead", "stop", "A stop at the venue acts while no bot runs, and the next start books what it sold"
    ),
)
