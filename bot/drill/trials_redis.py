"""Redis goes and comes back: a feed to the outside holds up no order."""

from __future__ import annotations

from bot.drill.drill import Drill
from bot.drill.redis import StandIn
from bot.drill.rig import Ground, rig
from bot.drill.waiting import until


async def _gone_and_back(ground: Ground) -> str:
    server = StandIn()
    await server.up()
    try:
        async with rig(ground, "redis-gone", settings={"redis": {"url": server.url}}) as stage:
            await stage.start()
            await until(lambda: server.commands["PUBLISH"] > 0, "a message to Redis")
            await stage.buys()
            await server.down()
            await stage.sells()
            await stage.buys()
            await server.up()
            before = server.commands["PUBLISH"]
            await until(lambda: server.commands["PUBLISH"] > before, "a message to Redis after it came back", 30.0)
            await stage.finish()
            return "traded while Redis was gone, told it everything new when it was back"
    finally:
        await server.down()


DRILLS = (Drill("redis-gone", "Redis may go and come back: no order waits for it", _gone_and_back),)
