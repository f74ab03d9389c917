"""What live streams cost: fifty programs, then fifty tabs, hear of twenty events a second through the real control room.

The control room is `python -m bot web` in a process of its own, over an empty journal, linked to a local feed in this process.
Its share of a core is that of its whole process: the link, the ring, the security of every request, HTTP. Clients are bare
sockets in this process. A latency runs from before an event is published until its bytes are with a client. Needs /proc.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from time import perf_counter

from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, percentile, spread_of
from benchmarks.rig import run_loop
from benchmarks.room import control_room, token
from bot.core.decision import Tier
from bot.core.facts import EquitySampled, Fact, OrderChanged, PositionChanged
from bot.core.market import Side
from bot.core.orders import Leg, OrderRequest, OrderState, OrderType
from bot.journal.upgrade import upgrade
from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import Encoder, Identity
from bot.outlets.local_feed import LocalFeed

_CLIENTS = 50
_PER_SECOND = 20
_SECONDS = 8.0
_LEAST_SECONDS = 1.5
_SETTLING = 0.5
_PATIENCE = 20.0
_CPU_PERCENT = 15.0
_LATENCY_MS = {50: 20.0, 99: 100.0}
_SEQ = re.compile(rb'"seq":(\d+)')
_DATABASE = "arbiter.db"


def stream(effort: Effort, peers: Peers) -> list[Result]:
    """Per cent of a core for programs and for tabs, and milliseconds until a program has an event."""
    del peers
    seconds = effort.seconds(_SECONDS, _LEAST_SECONDS)
    runs = [run_loop(_measured(seconds)) for _ in range(effort.runs)]
    results = [
        _share("stream-cpu", [run.programs for run in runs], runs),
        _share("stream-tabs-cpu", [run.tabs for run in runs], runs),
    ]
    for share, most in _LATENCY_MS.items():
        figures = [percentile(run.latencies, share / 100) * 1_000 for run in runs]
        name, detail = f"stream-latency-p{share}", {"heard": len(runs[0].latencies)}
        results.append(
            Result(name, statistics.median(figures), "ms", (Goal(most=most),), {}, len(runs), spread_of(figures), detail=detail)
        )
    return results


@dataclass(slots=True)
class _Run:
    """Shares of a core in per cent, for programs, for tabs and for nobody; seconds from an event to each program."""

    programs: float = 0.0
    tabs: float = 0.0
    nobody: float = 0.0
    latencies: list[float] = field(default_factory=list)


def _share(name: str, figures: Sequence[float], runs: Sequence[_Run]) -> Result:
    nobody = statistics.median(run.nobody for run in runs)
    detail = {"clients": _CLIENTS, "events_per_second": _PER_SECOND, "without_clients": round(nobody, 2)}
    goals = (Goal(most=_CPU_PERCENT),)
    return Result(name, statistics.median(figures), "% of a core", goals, {}, len(runs), spread_of(figures), detail=detail)


async def _measured(seconds: float) -> _Run:
    run = _Run()
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        upgrade(f"sqlite:///{data_dir / _DATABASE}")
        async with _feed(data_dir) as bot, control_room(data_dir) as (process, port):
            key = await token(data_dir)
            run.nobody = await _busy(bot, process, seconds)
            async with _clients(port, key, "/api/v1/stream", bot) as latencies:
                run.programs = await _busy(bot, process, seconds)
                run.latencies = [*latencies]
            async with _clients(port, key, "/ui/events", bot):
                run.tabs = await _busy(bot, process, seconds)
    if not run.latencies:
        message = "no client heard of any event"
        raise RuntimeError(message)
    return run


class _Bot:
    """Says something of a different kind each time, and remembers when."""

    def __init__(self, feed: LocalFeed, identity: Identity) -> None:
        self.said: dict[int, float] = {}
        self._feed = feed
        self._encoder = Encoder(identity)
        self._facts = itertools.cycle(_facts())

    def say(self) -> None:
        """One event. Its number is that of its channel, so only orders are timed."""
        fact = next(self._facts)
        if isinstance(fact, OrderChanged):
            self.said[self._encoder.last["orders"] + 1] = perf_counter()
        self._feed.publish(self._encoder.encode(fact))


@asynccontextmanager
async def _feed(data_dir: Path) -> AsyncIterator[_Bot]:
    identity = Identity("bench", "run-1", "paper", simulated=True)

    async def handler(command: Command) -> CommandResult:
        return CommandResult(ok=False, error=f"nobody is here to {command.name}")

    feed = LocalFeed(data_dir, identity, handler)
    await feed.start()
    try:
        yield _Bot(feed, identity)
    finally:
        await feed.close()


@asynccontextmanager
async def _clients(port: int, token: str, path: str, bot: _Bot) -> AsyncIterator[list[float]]:
    """Fifty open streams, and the seconds until they heard of events."""
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    opened = []
    try:
        for _ in range(_CLIENTS):
            transport, client = await loop.create_connection(lambda: _Client(bot.said, latencies), "127.0.0.1", port)
            opened.append(transport)
            transport.write(request)
            await asyncio.wait_for(client.begun.wait(), _PATIENCE)
        yield latencies
    finally:
        for transport in opened:
            transport.abort()


class _Client(asyncio.Protocol):
    def __init__(self, said: dict[int, float], latencies: list[float]) -> None:
        self.begun = asyncio.Event()
        self._said = said
        self._latencies = latencies

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        if not self.begun.is_set():
            if not data.startswith(b"HTTP/1.1 200"):
                message = f"the stream was refused: {data[:200]!r}"
                raise RuntimeError(message)
            self.begun.set()
        if b"orders.changed" in data:
            times = (self._said.get(int(number)) for number in _SEQ.findall(data))
            self._latencies.extend(now - began for began in times if began is not None)


async def _busy(bot: _Bot, process: int, seconds: float) -> float:
    """The control room's share of a core, in per cent, while the bot speaks at its pace."""
    await asyncio.sleep(_SETTLING)
    spent, began = _cpu_seconds(process), perf_counter()
    for number in range(round(seconds * _PER_SECOND)):
        await asyncio.sleep(max(0.0, began + number / _PER_SECOND - perf_counter()))
        bot.say()
    await asyncio.sleep(1 / _PER_SECOND)
    return (_cpu_seconds(process) - spent) / (perf_counter() - began) * 100


def _cpu_seconds(process: int) -> float:
    """User and system time of all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _facts() -> list[Fact]:
    at, price = _now(), Decimal(100)
    request = OrderRequest(
        id="arb1bench", symbol="BTC/USDT", side=Side.BUY, type=OrderType.LIMIT, amount=Decimal("0.01"), leg=Leg.ENTRY,
        cause="d1", attempt=0, source="rules:bench", tier=Tier.TRADITIONAL, confidence=0.8, reference=100.0, created=at,
        price=price, decision_id="d1",
    )  # fmt: skip
    return [
        OrderChanged(at, request, OrderState.OPEN, Decimal(0), None),
        EquitySampled(at, Decimal(9_000), 10_000.0, 1.5, Decimal(-2), Decimal("0.3"), 10_100.0, 0.01, 1_000.0),
        PositionChanged(at, "BTC/USDT", Decimal("0.01"), price, 101.0, Decimal(0), 0.01, "rules:bench"),
    ]


def _now() -> int:
    return time.time_ns() // 1_000_000
