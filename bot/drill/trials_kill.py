"""Kill -9 at every step of an order's life: whatever was under way, the next start finds out, and trades on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from functools import partial

from bot.app.crash_point import VARIABLE, CrashPoint
from bot.drill.drill import Drill
from bot.drill.rig import Ground, Rig, require, rig
from bot.outlets.errors import Disconnected
from simulators.exchange.account_faults import PartialFill
from simulators.exchange.faults import Latency

LIMITS: Mapping[str, object] = {"desk": {"entry": "limit", "entry_ttl": "30s"}}
_BRIEF: Mapping[str, object] = {"desk": {"entry": "limit", "entry_ttl": "1s"}}
_SLOW_SECONDS = 0.6
_HASTY_TRADES = 3


async def _to_the_point(stage: Rig, point: CrashPoint) -> None:
    """Bring an order to the step at which the bot dies."""
    venue = stage.venue
    await stage.start(**{VARIABLE: point.value})
    if point is CrashPoint.REQUEST_SENT:
        venue.inject(Latency(_SLOW_SECONDS, venue.order_path, "POST"))
    if point in {CrashPoint.PARTLY_FILLED, CrashPoint.CANCEL_SENT}:
        venue.inject(PartialFill(Decimal("0.05")))
    if point is CrashPoint.CANCEL_SENT:
        venue.inject(Latency(_SLOW_SECONDS, venue.order_path, "DELETE"))
    with suppress(Disconnected):  # it may die before it has answered
        await stage.bot.propose("buy", horizon="30s")
    await stage.bot.died()


async def _killed_at(point: CrashPoint, ground: Ground, dialect: str = "binance") -> str:
    settings = {CrashPoint.PARTLY_FILLED: LIMITS, CrashPoint.CANCEL_SENT: _BRIEF}.get(point, {})
    async with rig(ground, f"{dialect}-kill-{point.value}", dialect, settings) as stage:
        await _to_the_point(stage, point)
        sent = stage.venue.submits
        require(sent == (0 if point is CrashPoint.INTENT_STORED else 1), f"{sent} orders had been sent when the bot died")
        if point is CrashPoint.REQUEST_SENT:
            await stage.venue.until(lambda venue: bool(venue.fills), "the trade of an order whose sender is gone")
        stage.venue.clear()
        await stage.start()
        await stage.settled()
        if not stage.venue.fills:
            await stage.buys()
        if stage.venue.open:
            await stage.venue.until(lambda venue: not venue.open, "the end of the order", 40.0)
        await stage.finish()
        return f"died at {point.value}, came back, {stage.venue.fills} trades, all booked once"


_PROMISES: Mapping[CrashPoint, str] = {
    CrashPoint.INTENT_STORED: "An order that was written down and not sent when the bot died is not taken for one that lives",
    CrashPoint.REQUEST_SENT: "An order that was sent when the bot died is found at the venue and not sent again",
    CrashPoint.ACCEPTED: "An order that was accepted when the bot died is followed to its end by the next start",
    CrashPoint.PARTLY_FILLED: "A half-filled order survives the death of its bot: no trade is lost, none is booked twice",
    CrashPoint.FILLED: "A trade that was just booked when the bot died is booked once",
    CrashPoint.CANCEL_SENT: "A cancel that was sent when the bot died is known, and so is what had traded before it",
}


async def _hasty(ground: Ground) -> str:
    """Settings that let paper orders go before their intent is on the disk do not hold for real ones."""
    async with rig(ground, "hasty-settings", settings={"paper": {"await_intent": False}}) as stage:
        await stage.start()
        for _ in range(_HASTY_TRADES):
            await stage.buys()
            await stage.sells()
        await stage.finish(sells=False)
        return f"{stage.witness.seen} orders arrived, each of them after its intent was in the journal"


DRILLS = (
    *(
        Drill(f"kill-{point.value}", promise, partial(_killed_at, point), quick=point is CrashPoint.REQUEST_SENT)
        for point, promise in _PROMISES.items()
    ),
    Drill(
        "okx-kill-request-sent",
        "At a venue of another dialect, too, an order that was sent when the bot died is found and not sent again",
        partial(_killed_at, CrashPoint.REQUEST_SENT, dialect="okx"),
    ),
    Drill("hasty-settings", "Whatever the settings say, no real order leaves before its intent is in the journal", _hasty),
)
