"""An account that others use too: sister bots, people, and money that comes and goes; known, shown and never touched."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

from bot.core.market import Side
from bot.drill.auditor import audit
from bot.drill.child import Child
from bot.drill.drill import Drill
from bot.drill.rig import PREFIX, Broken, Ground, a_database, configure, require, rig
from bot.drill.waiting import until
from bot.drill.witness import Witness

_SHARE = Decimal(4_000)
_SISTER = "ds"


async def _two_bots(ground: Ground) -> str:
    """Two bots with an allocation each trade on one account at the same time; one of them is killed and comes back."""
    ours = {"live": {"allocation": str(_SHARE), "sisters": [_SISTER]}}
    theirs = {"live": {"allocation": str(_SHARE), "sisters": [PREFIX]}}
    async with rig(ground, "two-bots", settings=ours) as stage:
        place = stage.place / "sister"
        place.mkdir()
        database = await a_database(ground, place)
        stage.journals.append(database)
        sister = Child(place, {**stage.bot.environment, "ARBITER_KEY_FILE": str(place / "master.key")}, ground.entry)
        configure(sister, stage.venue, database, theirs, "sister", _SISTER)
        witness = Witness(database.audit_url, _SISTER)
        stage.venue.arrivals.append(witness)
        try:
            await asyncio.gather(stage.start(), _begin(sister))
            await asyncio.gather(stage.bot.propose("buy"), sister.propose("buy"))
            await stage.venue.until(lambda venue: venue.fills >= 2, "a trade of each bot")
            await sister.kill()
            await stage.bot.propose("sell")
            await stage.venue.until(lambda venue: venue.fills >= 3, "a sale of the one")
            await _begin(sister)
            await sister.propose("sell")
            await stage.venue.until(lambda venue: venue.fills >= 4, "a sale of the other")
            await _booked(sister, 1)
            await _explained(stage.bot)
            await sister.stop()
        finally:
            await sister.kill()
        opening = {"USDT": _SHARE}
        stage.question = replace(stage.question, sole=False, opening=opening)
        other = replace(stage.question, bot="sister", prefix=_SISTER, folders=(place,))
        await stage.finish(sells=False)
        found = await asyncio.to_thread(audit, stage.venue.url, stage.venue.keys.key, database.audit_url, other)
        if found or witness.findings:
            raise Broken("; ".join([*witness.findings, *found]))
        return "each booked its own trades and none of the other's"


async def _begin(bot: Child) -> None:
    await bot.start()
    await bot.ready()


async def _booked(bot: Child, fills: int) -> None:
    async def there() -> bool:
        return bool((await bot.status())["fills"] >= fills)

    await until(there, f"{fills} booked trades")


async def _explained(bot: Child) -> None:
    """Entries are not held back: the account is explained."""
    status = await bot.status()
    require(status["state"] == "active", f"the bot is {status['state']} though everything is explained")


async def _strangers(ground: Ground) -> str:
    """A person trades by hand on the account, and pays in: both are seen, neither is touched, and the bot trades on."""
    async with rig(ground, "strangers") as stage:
        await stage.start()
        await stage.buys()
        stage.venue.by_hand("BTC/USDT", Side.BUY, Decimal("0.001"))
        stage.venue.deposit("USDT", Decimal(500))
        await asyncio.sleep(5.0)  # two passes of reconciliation
        await stage.bot.propose("sell")
        await stage.venue.until(lambda venue: venue.fills >= 3, "a sale after the strangers")
        require(stage.venue.held() >= Decimal("0.000999"), "what a person had bought was sold")
        await stage.bot.propose("buy")
        await stage.venue.until(lambda venue: venue.fills >= 4, "an entry after the strangers")
        await stage.bot.propose("sell")
        await stage.venue.until(lambda venue: venue.fills >= 5, "a sale")
        await _booked(stage.bot, 4)
        stage.question = replace(stage.question, sole=False)
        await stage.finish(sells=False)
        return "a foreign order and a deposit were known and left alone"


async def _unexplained(ground: Ground) -> str:
    """Money goes without a word: no entry leaves any more; an exit does."""
    async with rig(ground, "unexplained-difference") as stage:
        await stage.start()
        await stage.buys()
        stage.venue.account.balance("USDT").free -= 5
        stage.venue.simulator.engine.accounts.trade("USDT", Decimal(5))
        await stage.bot.says("The account and the books differ", 30.0)
        await stage.bot.propose("sell")
        await stage.venue.until(lambda venue: venue.fills >= 2, "an exit in spite of the difference")
        sent = stage.venue.submits
        await stage.bot.propose("buy")
        await asyncio.sleep(2.0)
        require(stage.venue.submits == sent, "an entry was sent while a difference was unexplained")
        await _booked(stage.bot, 2)
        stage.question = replace(stage.question, sole=False)
        await stage.finish(sells=False)
        return "5 USDT went: entries were held back, the exit left, the person was told"


DRILLS = (
    Drill("two-bots", "Two bots on one account book their own trades and never each other's", _two_bots),
    Drill("strangers", "Orders of others and deposits are recognised, shown and not touched", _strangers),
    Drill("unexplained-difference", "A difference that nothing explains holds entries back and tells the person", _unexplained),
)
