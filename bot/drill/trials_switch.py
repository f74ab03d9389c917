"""The kill switch: it works while the venue is down, outlives the process, and a closing bot never buys again."""

from __future__ import annotations

import asyncio

from bot.drill.drill import Drill
from bot.drill.rig import Ground, require, rig
from bot.outlets.errors import Disconnected
from simulators.exchange.answer_faults import Maintenance

_HALTED_EXIT = 6
_QUIET_SECONDS = 2.0
_ANSWER_SECONDS = 8.0


async def _killed_while_down(ground: Ground) -> str:
    async with rig(ground, "kill-switch-while-venue-down") as stage:
        await stage.start()
        await stage.buys()
        stage.venue.inject(Maintenance(None, 1))
        answer = await stage.bot.command("kill", reason="drill")
        require(answer.ok, f"the kill switch did not work while the venue was down: {answer.error}")
        await stage.bot.kill()
        stage.venue.clear()
        status = await stage.start()
        require(status["state"] == "halted", f"after a restart the bot is {status['state']}, not halted")
        sent = stage.venue.submits
        await stage.bot.propose("buy")
        await stage.bot.propose("sell")
        await asyncio.sleep(_QUIET_SECONDS)
        require(stage.venue.submits == sent, "a halted bot sent an order")
        await stage.finish(sells=False, codes=(0, _HALTED_EXIT))
        return "halted while the venue was down, still halted after kill -9 and a restart"


async def _killed_unwritten(ground: Ground) -> str:
    """The journal is locked when the switch is thrown, and the bot dies at its answer: a yes must have been written down."""
    async with rig(ground, "kill-switch-while-journal-locked") as stage:
        await stage.start()
        await stage.buys()
        async with stage.database.locked():
            try:
                said_yes = (await stage.bot.command("kill", _ANSWER_SECONDS, reason="drill")).ok
            except (TimeoutError, Disconnected):
                said_yes = False
            await stage.bot.kill()
        status = await stage.start()
        halted = status["state"] == "halted"
        require(halted or not said_yes, "the bot said that it was halted, and a restart had forgotten it")
        await stage.settled()
        await stage.finish(sells=not halted, codes=(0, _HALTED_EXIT))
        return f"it {'said yes' if said_yes else 'did not say yes'}, and came back {status['state']}"


async def _flattened_later(ground: Ground) -> str:
    """Flatten while the venue is down: it is sold when the venue is back, and never bought again."""
    async with rig(ground, "flatten-while-venue-down") as stage:
        await stage.start()
        await stage.buys()
        stage.venue.inject(Maintenance(None, 1))
        asking = asyncio.create_task(stage.bot.command("kill", 40.0, flatten=True, reason="drill"))
        await asyncio.sleep(_QUIET_SECONDS)
        stage.venue.clear()
        answer = await asking
        await stage.venue.until(lambda venue: venue.fills >= 2 and not venue.open, "the sale once the venue is back", 40.0)
        await stage.settled()
        sent = stage.venue.submits
        await stage.bot.propose("buy")
        await asyncio.sleep(_QUIET_SECONDS)
        require(stage.venue.submits == sent, "a closed bot bought again")
        await stage.finish(sells=False, codes=(0, _HALTED_EXIT))
        return f"sold when the venue was back ({'answered in time' if answer.ok else 'said that it would take longer'})"


DRILLS = (
    Drill(
        "kill-switch-while-venue-down",
        "The kill switch works while the venue is down, and outlives the process",
        _killed_while_down,
    ),
    Drill(
        "kill-switch-while-journal-locked",
        "A kill switch that was confirmed is written down, whatever the journal went through",
        _killed_unwritten,
    ),
    Drill(
        "flatten-while-venue-down", "A bot told to flatten sells when the venue is back, and never buys again", _flattened_later
    ),
)
