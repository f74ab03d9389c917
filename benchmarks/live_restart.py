"""`kill -9` to trading again, with a hundred open orders: the real bot, in a process of its own, at the exchange simulator.

A hundred positions are bought, each with a stop that rests at the venue. Two minutes later the bot is killed and started again
at once, on the same folder, with a source that wants one position more. It trades again when that order reaches the venue.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
import psutil
import yaml

from benchmarks.made import symbols
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, spread_of
from bot.core.orders import OrderState
from bot.drill.child import Child
from bot.drill.database import SqliteDatabase
from bot.drill.rig import configure
from bot.drill.venue import DrillVenue
from bot.drill.waiting import until
from bot.journal.queries import Queries
from bot.journal.run import BookKey

_ORDERS = 100
_BETWEEN_MS = 250
"""So that the venue's limit of orders is kept: a hundred in ten seconds."""
_FEW, _QUIET = 20, 120.0
"""The trades of more than a few symbols are much of what a venue lets an account ask in a minute, and all of them have just
traded: so many seconds later the venue has forgotten what the first process asked.
"""
_MOST_RUNS = 3
_STOP = 0.5
_SIZE = 0.02
_DEPOSIT = Decimal(1_000_000)
_PATIENCE = 90.0
_BOOK = BookKey("drill", "live", "binance", "redirected")
_HOUSE: Mapping[str, object] = {
    "exchange": {"timeframes": ["1m"]},
    "desk": {"sizing_timeframe": "1m"},
    "live": {"protection": "stop", "reconcile_every": "30s", "poll_every": "5s", "grace": "6s", "call_timeout": "10s"},
    "risk": {"max_open_orders": None, "max_position": 0.25, "max_exposure": 0.95},
}  # fmt: skip


def restart(effort: Effort, peers: Peers) -> list[Result]:
    """Seconds from the kill to the next order at the venue."""
    del peers
    count = effort.size(_ORDERS, 3)
    runs = [asyncio.run(_measured(count)) for _ in range(min(effort.runs, _MOST_RUNS))]
    seconds, cpu = [run.seconds for run in runs], statistics.median(run.cpu for run in runs)
    detail = {"open_orders": count, "unknown": 0, "reconciled_after_s": statistics.median(run.reconciled for run in runs)}
    figure, goals = statistics.median(seconds), (Goal(most=5.0),)
    return [Result("live-restart", figure, "s", goals, {}, len(runs), spread_of(seconds), cpu_figure=cpu, detail=detail)]


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds from the kill to the next order, and those of CPU that the new process used; seconds until it had reconciled."""

    seconds: float
    cpu: float
    reconciled: float


async def _measured(count: int) -> Run:
    *held, more = symbols(count + 1)
    with tempfile.TemporaryDirectory(prefix="arbiter-bench-") as folder:
        place = Path(folder)
        async with DrillVenue(symbols=(*held, more), deposit=_DEPOSIT) as venue:
            bot = Child(place, {**venue.environment(), "ARBITER_KEY_FILE": str(place / "master.key")})
            configure(bot, venue, SqliteDatabase(place), _HOUSE)
            try:
                return await _killed(bot, venue, held, more)
            finally:
                await bot.kill()


async def _killed(bot: Child, venue: DrillVenue, held: Sequence[str], more: str) -> Run:
    """From the kill to the order for `more`, which nobody wanted before."""
    source = _wants(bot, "before", [_buy(symbol, number * _BETWEEN_MS) for number, symbol in enumerate(held)])
    await bot.start()
    await bot.ready()
    await venue.until(lambda now: len(now.open) == len(held), "a stop for every position", _PATIENCE)
    resting = {order.client_id for order in venue.open}
    await _books_agree(bot, len(held))
    if len(held) > _FEW:
        await asyncio.sleep(_QUIET)
    source.unlink()
    _wants(bot, "after", [{**_buy(more, 0), "price": venue.price(more)}])
    orders = len(venue.orders)
    began = perf_counter()
    await bot.kill()
    await bot.start()
    await bot.says(f"{len(held)} orders open", _PATIENCE)
    reconciled = perf_counter() - began
    await venue.until(lambda now: len(now.orders) > orders, "an order after the restart", _PATIENCE)
    took, spent = perf_counter() - began, sum(psutil.Process(bot.pid).cpu_times()[:2])
    if not resting <= {order.client_id for order in venue.open}:
        message = "an order that rested at the venue did not survive the restart"
        raise RuntimeError(message)
    await _books_agree(bot, len(held))
    return Run(took, spent, round(reconciled, 2))


async def _books_agree(bot: Child, count: int) -> None:
    """Until the journal holds that many orders as open, and none as anything else that works."""

    def agree() -> bool:
        with Queries(SqliteDatabase(bot.place).url) as journal:
            states = [order.state for order in journal.open_orders(_BOOK)]
        return states.count(OrderState.OPEN) >= count and set(states) == {OrderState.OPEN}

    await until(agree, "a journal with nothing but open orders", _PATIENCE)


def _buy(symbol: str, offset_ms: int) -> dict[str, Any]:
    """A line of a recording."""
    return {
        "offset_ms": offset_ms, "tier": "traditional", "symbol": symbol, "action": "buy", "confidence": 0.9, "horizon": "2m",
        "protection": {"stop_loss": _STOP}, "size": _SIZE,
    }  # fmt: skip


def _wants(bot: Child, name: str, lines: Sequence[Mapping[str, Any]]) -> Path:
    """Give the bot a source for its next start; the file that describes it."""
    sources = bot.config / "sources"
    said = [orjson.dumps({"source": f"rules:{name}", **line}) for line in lines]
    (bot.config / f"{name}.jsonl").write_bytes(b"\n".join(said))
    described = {"source": f"rules:{name}", "kind": "recorded", "tier": "traditional", "params": {"file": f"../{name}.jsonl"}}
    file = sources / f"{name}.yaml"
    file.write_text(yaml.safe_dump(described))
    return file
