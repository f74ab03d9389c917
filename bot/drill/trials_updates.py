"""Updates that come twice, out of order or never: the books are the same, because a trade counts once and by its own id."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

from bot.drill.drill import Drill
from bot.drill.rig import Ground, require, rig
from bot.drill.trials_kill import LIMITS
from simulators.exchange.account_faults import ListenKeyExpiry, PartialFill, UserLoss, UserReorder, UserRepeat, UserStall
from simulators.exchange.faults import Disconnect, Ending, Shock
from simulators.exchange.mischief import Fault

_SLICE = Decimal("0.2")
_FEWEST_TRADES = 4


async def _in_slices(name: str, fault: Fault, dialect: str, ground: Ground) -> str:
    """An order fills in five parts while its updates go wrong."""
    async with rig(ground, name, dialect, LIMITS) as stage:
        await stage.start()
        stage.venue.inject(PartialFill(_SLICE))
        stage.venue.inject(fault)
        await stage.bot.propose("buy", horizon="30s")
        await stage.venue.until(lambda venue: bool(venue.fills), "a part of a trade")
        stage.venue.inject(Shock("BTC/USDT", 0.995))
        await stage.venue.until(lambda venue: venue.fills >= _FEWEST_TRADES and not venue.open, "all parts of a trade")
        await stage.settled()
        parts = stage.venue.fills
        stage.venue.clear()
        await stage.finish()
        require(stage.venue.submits == 2, f"{stage.venue.submits} orders were sent instead of 2")
        return f"{parts} parts of one order, each booked once"


_WRONGS: tuple[tuple[str, str, Fault], ...] = (
    ("duplicate-fills", "A trade that is told twice is booked once", UserRepeat(1_000)),
    ("out-of-order-fills", "Trades that are told in the wrong order leave the same books", UserReorder(4, 1.0)),
    ("lost-updates", "Trades of which nothing was told are found by asking", UserLoss(1_000)),
    ("stalled-account-stream", "A silent account stream hides no trade: what it does not tell is asked for", UserStall()),
    (
        "expired-account-stream",
        "An account stream that the venue ends is begun again, and what it missed is asked for",
        ListenKeyExpiry(),
    ),
    ("broken-connections", "Connections that break in the middle of a trade lose none of it", Disconnect(Ending.ABORT)),
)

DRILLS = (
    *(
        Drill(name, promise, partial(_in_slices, name, fault, "binance"), quick=name == "duplicate-fills")
        for name, promise, fault in _WRONGS
    ),
    Drill(
        "okx-duplicate-fills",
        "At a venue of another dialect a trade that is told twice is booked once, too",
        partial(_in_slices, "okx-duplicate-fills", UserRepeat(1_000), "okx"),
    ),
)
