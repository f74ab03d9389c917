"""Kill -9 again and again over one trading run, at moments that chance draws: nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from random import Random

import yaml

from bot.drill.child import START_SECONDS, Child
from bot.drill.drill import Drill
from bot.drill.rig import Ground, Rig, rig
from bot.drill.waiting import NeverHappened, until
from simulators.exchange.account_faults import PartialFill
from simulators.exchange.orders import VenueOrder

_TRADER = "rules:drill-trader"
_BEATS = ((100, "buy"), (500, "sell"))
_SETTINGS: Mapping[str, object] = {"desk": {"entry": "limit", "entry_ttl": "2s"}}
_SLOWEST_START_SECONDS = 2.5
_LONGEST_PAUSE_SECONDS = 0.08
_MOST_ORDERS = 3
_EARLY, _AT_ONCE, _SLICED = 0.2, 0.5, 0.4


async def killed_often(stage: Rig, times: int, seed: int) -> str:
    """Kill the bot so many times while it trades; then let it come back, settle and stop. The caller looks at what is left."""
    random = Random(seed)  # noqa: S311 - the same seed, the same moments
    trader = stage.bot.config / "sources" / "trader.yaml"
    _let_trade(stage.bot)
    for _ in range(times):
        if random.random() < _SLICED:
            stage.venue.inject(PartialFill(Decimal("0.3")))
        await stage.bot.start()
        if random.random() < _EARLY:
            await asyncio.sleep(random.uniform(0.3, _SLOWEST_START_SECONDS))
        else:
            await _next_orders(stage, random.randint(1, _MOST_ORDERS))
            if random.random() >= _AT_ONCE:
                await asyncio.sleep(random.uniform(0.0, _LONGEST_PAUSE_SECONDS))
        await stage.bot.kill()
    trader.unlink()
    stage.venue.clear()
    await stage.start()
    await until(lambda: not stage.venue.open, "the end of every order", START_SECONDS)
    await stage.settled()
    return f"killed {times} times, {len(stage.venue.orders)} orders, {stage.venue.fills} trades, each of them booked once"


async def _next_orders(stage: Rig, count: int) -> None:
    """Wait until the venue has so many orders of this process; the last has not been answered yet."""
    arrived: list[str] = []
    enough = asyncio.Event()

    def note(order: VenueOrder) -> None:
        arrived.append(order.client_id)
        if len(arrived) >= count:
            enough.set()

    stage.venue.arrivals.append(note)
    try:
        await asyncio.wait_for(enough.wait(), START_SECONDS)
    except TimeoutError:
        message = f"{count} orders of a bot that was started again did not happen within {START_SECONDS:g} s"
        raise NeverHappened(message) from None
    finally:
        stage.venue.arrivals.remove(note)


def _let_trade(bot: Child) -> None:
    """A source that buys and sells in turn, every second."""
    folder = bot.config / "sources"
    lines = [
        {
            "offset_ms": offset, "source": _TRADER, "tier": "traditional", "symbol": "BTC/USDT", "action": action,
            "confidence": 0.9, "horizon": "2s",
        }
        for offset, action in _BEATS
    ]  # fmt: skip
    (folder / "trader.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    source = {"source": _TRADER, "kind": "recorded", "tier": "traditional", "params": {"file": "trader.jsonl", "repeat": "1s"}}
    (folder / "trader.yaml").write_text(yaml.safe_dump(source))


async def often(times: int, seed: int, dialect: str, ground: Ground) -> str:
    """The whole drill: a rig, the kills, the audit."""
    async with rig(ground, f"killed-often-{dialect}", dialect, _SETTINGS) as stage:
        told = await killed_often(stage, times, seed)
        await stage.finish(sells=stage.venue.held() > Decimal("0.0001"))
        return told


DRILLS = (
    Drill(
        "killed-often", "However often the bot is killed, no trade is lost and none is doubled", partial(often, 8, 1, "binance")
    ),
    Drill("okx-killed-often", "The same at a venue of another dialect, whose answers tell less", partial(often, 5, 2, "okx")),
)
