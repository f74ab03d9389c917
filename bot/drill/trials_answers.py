"""Lost answers: whether the venue has an order is found out, never guessed, and no order is ever sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial

from bot.drill.drill import Drill
from bot.drill.rig import Ground, require, rig
from bot.drill.waiting import until
from simulators.exchange.account_faults import PartialFill, UserStall
from simulators.exchange.answer_faults import Coded, Dropped, Garbage, Garbled, Hung, When
from simulators.exchange.faults import Status
from simulators.exchange.mischief import Fault

_PATH = "/api/v3/order"
_OKX_PATH = "/api/v5/trade/batch-orders"
_QUESTIONS = ("/api/v3/order", "/api/v3/openOrders", "/api/v3/allOrders", "/api/v3/myTrades")
_BEYOND_GRACE_SECONDS = 8.0
_SHORT: Mapping[str, object] = {"desk": {"entry": "limit", "entry_ttl": "1s"}}


async def _lost_but_lives(faults: Sequence[Fault], name: str, ground: Ground, dialect: str = "binance") -> str:
    """The order is at the venue and the bot was not told: it asks, and sends nothing again."""
    async with rig(ground, name, dialect) as stage:
        await stage.start()
        for fault in (UserStall(), *faults):
            stage.venue.inject(fault)
        await stage.bot.propose("buy")
        await stage.venue.until(lambda venue: bool(venue.fills), "a trade at the venue")
        await stage.settled()
        require(stage.venue.submits == 1, f"the order was sent {stage.venue.submits} times")
        stage.venue.clear()
        await stage.finish()
        return "the answer was lost, the order was found by its client id, sent once"


async def _lost_and_never_lived(ground: Ground) -> str:
    """The order never reached the venue: only its word, after the grace period, says so; what comes next is another order."""
    async with rig(ground, "lost-answer-before-accept") as stage:
        await stage.start()
        stage.venue.inject(Dropped(When.BEFORE, _PATH, "POST"))
        await stage.bot.propose("buy")
        await until(lambda: stage.venue.submits >= 1, "an order")
        asked = stage.venue.asked("GET", _PATH)
        await until(lambda: stage.venue.asked("GET", _PATH) > asked, "a question for the order")
        await stage.settled()
        require(stage.venue.submits == 1, f"the order was sent {stage.venue.submits} times")
        await stage.buys()
        require(stage.venue.submits == 2, f"{stage.venue.submits} orders were sent instead of 2")
        await stage.finish()
        return "the venue was asked and had no such order; the next order had an id of its own"


async def _questions_fail(ground: Ground) -> str:
    """The answer is lost and the questions fail, too: a failed question is no answer."""
    async with rig(ground, "failed-query") as stage:
        await stage.start()
        stage.venue.inject(UserStall())
        stage.venue.inject(Dropped(When.AFTER, _PATH, "POST"))
        for path in _QUESTIONS:
            stage.venue.inject(Status(503, path, "GET", 100_000))
        await stage.bot.propose("buy")
        await stage.venue.until(lambda venue: venue.asked("GET", _PATH) >= 2, "questions for the order")
        # As long as nobody answers, the order is unknown, well beyond the grace period, and its symbol is frozen.
        await asyncio.sleep(_BEYOND_GRACE_SECONDS)
        status = await stage.bot.status()
        require(status["working_orders"] == 1, "an order of which nobody knows was given up because the questions failed")
        require(stage.venue.submits == 1, f"the order was sent {stage.venue.submits} times")
        stage.venue.clear()
        await stage.settled(30.0)
        require(stage.venue.submits == 1, f"the order was sent {stage.venue.submits} times")
        await stage.finish()
        return "nobody answered beyond the grace period; the order stayed unknown until the venue answered"


async def _lost_cancel(ground: Ground) -> str:
    """The answer to a cancel is lost: whether the order is over is asked, and what traded before is known."""
    async with rig(ground, "lost-answer-of-cancel", settings=_SHORT) as stage:
        await stage.start()
        stage.venue.inject(PartialFill(Decimal("0.05")))
        stage.venue.inject(Dropped(When.AFTER, _PATH, "DELETE", 2))
        await stage.bot.propose("buy", horizon="2s")
        await stage.venue.until(lambda venue: bool(venue.fills), "a part of a trade")
        stage.venue.inject(UserStall())
        await stage.venue.until(lambda venue: not venue.open, "the end of the order")
        await stage.settled()
        stage.venue.clear()
        await stage.finish()
        return "the cancel's answer was lost; the order's end was asked for"


_LOST: Mapping[str, tuple[str, tuple[Fault, ...]]] = {
    "lost-answer-after-accept": (
        "An order whose answer was lost is found at the venue, not sent again",
        (Dropped(When.AFTER, _PATH, "POST"),),
    ),
    "late-answer": (
        "An order whose answer does not come in time is found at the venue, not sent again",
        (Hung(When.AFTER, _PATH, "POST", seconds=8.0),),
    ),
    "unreadable-answer": (
        "An answer that nobody can read leaves the order unknown until the venue has been asked",
        (Garbled(Garbage.TRUNCATED, When.AFTER, _PATH, "POST"),),
    ),
    "gateway-error-after-accept": (
        "A gateway's error says nothing of the order behind it",
        (Coded(-1000, "bad gateway", 502, When.AFTER, _PATH, "POST"),),
    ),
}

DRILLS = (
    *(
        Drill(name, promise, partial(_lost_but_lives, faults, name), quick=name == "lost-answer-after-accept")
        for name, (promise, faults) in _LOST.items()
    ),
    Drill(
        "okx-lost-answer-after-accept",
        "At a venue of another dialect, too, an order whose answer was lost is found and not sent again",
        partial(
            _lost_but_lives,
            (Dropped(When.AFTER, _OKX_PATH, "POST"),),
            "okx-lost-answer-after-accept",
            dialect="okx",
        ),
    ),
    Drill(
        "lost-answer-before-accept",
        "An order that never arrived is given up only when the venue itself does not know it, after a grace period",
        _lost_and_never_lived,
    ),
    Drill("failed-query", "A failed question is never taken for an empty answer", _questions_fail),
    Drill("lost-answer-of-cancel", "A cancel whose answer was lost is asked for, and no trade before it is missed", _lost_cancel),
)
