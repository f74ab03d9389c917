"""The journal cannot be written: nothing is sent that is not written down, and trading goes on when it can be again."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import partial

from bot.drill.drill import Drill
from bot.drill.rig import Ground, Rig, require, rig

_PATIENCE_SECONDS = 3.0


async def _unwritten(name: str, full: bool, ground: Ground) -> str:
    async with rig(ground, name) as stage:
        await stage.start()
        await stage.buys()
        sent = stage.venue.submits
        async with _trouble(stage, full):
            await stage.bot.propose("sell")
            await asyncio.sleep(_PATIENCE_SECONDS)
            require(stage.venue.submits == sent, "an order was sent that could not be written down")
        await stage.venue.until(lambda venue: venue.fills >= 2, "a trade once the journal can be written", 40.0)
        await stage.settled()
        await stage.buys()
        await stage.finish()
        return "nothing was sent while the journal could not be written; it traded on afterwards"


def _trouble(stage: Rig, full: bool) -> AbstractAsyncContextManager[None]:
    return stage.database.unwritable(stage.bot.pid) if full else stage.database.locked()


async def _killed_unwritten(ground: Ground) -> str:
    """The bot dies while its journal is locked, with a trade that it could not write down."""
    async with rig(ground, "journal-locked-and-killed") as stage:
        await stage.start()
        await stage.buys()
        async with stage.database.locked():
            await stage.bot.propose("sell")
            await asyncio.sleep(_PATIENCE_SECONDS / 2)
            await stage.bot.kill()
        await stage.start()
        await stage.settled()
        await stage.finish()
        return "it died with a locked journal and came back with the venue's books"


DRILLS = (
    Drill(
        "journal-locked",
        "While the database is locked nothing is sent, because nothing can be written down",
        partial(_unwritten, "journal-locked", False),
        quick=True,
    ),
    Drill(
        "journal-unwritable",
        "While the disk is full (or the database server gone) nothing is sent, and nothing is lost",
        partial(_unwritten, "journal-unwritable", True),
    ),
    Drill(
        "journal-locked-and-killed", "A bot that dies while its database is locked comes back with whole books", _killed_unwritten
    ),
)
