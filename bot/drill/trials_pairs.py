"""A stop and a target that rest at the venue as one, while nobody is there to see which of them acts."""

from __future__ import annotations

from functools import partial

from bot.drill.drill import Drill
from bot.drill.rig import Ground, Rig, require, rig
from simulators.exchange.faults import Shock
from simulators.exchange.orders import Kind

_LEVELS = {"stop_loss": 0.02, "take_profit": 0.02}
_SETTINGS = {"live": {"protection": "oco"}}


async def _protected(stage: Rig, orders: int) -> None:
    """A position with a stop and a target, of which so many orders rest at the venue."""
    await stage.start()
    await stage.bot.propose("buy", protection=_LEVELS)
    await stage.venue.until(lambda venue: bool(venue.fills) and len(venue.open) == orders, "protection that rests at the venue")
    await stage.settled()


async def _meanwhile(name: str, factor: float, kind: Kind, ground: Ground) -> str:
    """The market moves while no bot runs: one of the two has sold by then, and the venue ended the other."""
    async with rig(ground, name, settings=_SETTINGS) as stage:
        await _protected(stage, 2)
        await stage.bot.kill()
        stage.venue.inject(Shock("BTC/USDT", factor))
        await stage.venue.until(lambda venue: venue.fills >= 2 and not venue.open, "a sale while no bot ran")
        sold = [order for order in stage.venue.orders[1:] if order.filled]
        require([order.ticket.kind for order in sold] == [kind], f"{len(sold)} orders sold")
        await stage.start()
        await stage.settled()
        require(len(stage.venue.orders) == 3, "an order was sent that nothing was left for")
        await stage.finish(sells=False)
        return f"the {kind.value} sold while the bot was dead, the other is gone, and the books know"


async def _without_pairs(ground: Ground) -> str:
    """A venue without pairs is given the stop, and the bot watches the target."""
    async with rig(ground, "oco-without-pairs", "okx", settings=_SETTINGS) as stage:
        await _protected(stage, 1)
        stage.venue.inject(Shock("BTC/USDT", 1.1))
        await stage.venue.until(lambda venue: venue.fills >= 2 and not venue.open, "the sale at the target", 30.0)
        await stage.settled()
        await stage.finish(sells=False)
        return "the stop rested and was taken back before the bot sold at the target"


DRILLS = (
    Drill(
        "venue-target-while-dead",
        "A target at the venue acts while no bot runs, and takes its stop with it",
        partial(_meanwhile, "venue-target-while-dead", 1.1, Kind.LIMIT_MAKER),
    ),
    Drill(
        "venue-oco-while-dead",
        "A stop at the venue acts while no bot runs, and takes its target with it",
        partial(_meanwhile, "venue-oco-while-dead", 0.9, Kind.STOP_LOSS),
    ),
    Drill(
        "oco-without-pairs", "Where the venue has no pairs, the stop rests there and the bot watches the target", _without_pairs
    ),
)
