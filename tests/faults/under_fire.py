"""A live bot under fire: the real process trades on a simulated exchange where a share of all requests goes wrong by chance."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import orjson
import yaml

from bot.core.market import Side
from bot.drill.auditor import Question
from bot.drill.child import Child
from bot.drill.database import SqliteDatabase
from bot.drill.rig import NAME, PREFIX, Rig, configure
from bot.drill.venue import DrillVenue
from bot.drill.waiting import until
from bot.drill.witness import Witness
from simulators.exchange.account_faults import PartialFill
from simulators.exchange.faults import Disconnect, Ending
from simulators.exchange.orders import VenueOrder
from simulators.exchange.random_faults import RandomFaults, Slip, Trouble

SYMBOLS = ("BTC/USDT", "ETH/USDT")
_ROUND_MS = 6_000
_ROUND_SECONDS = 7.0
_ROUNDS_TO_A_BREAK = 3
_STRETCH = 3.0
_FLATTEN_SECONDS = 30.0
_HALTED = 6
_WRONG = tuple(f"random_{kind.value}" for kind in (*Trouble, *Slip))


@dataclass(frozen=True, slots=True)
class Fire:
    """What a bot trades through, for how many seconds, or longer (thrice at most) until it made so many entries.

    The dialect, how it orders its entries, and what of the protection rests at the venue.
    """

    dialect: str
    entry: str
    protection: str
    seconds: float
    seed: int
    share: float = 0.05
    entries: int = 0


@dataclass(slots=True)
class Told:
    """What a run came to. `memory` are seconds and MB resident; `waits` the seconds from each fault to the next entry."""

    orders: int = 0
    fills: int = 0
    entries: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    broker: Mapping[str, int] = field(default_factory=dict)
    memory: list[tuple[float, float]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """How many requests and updates went wrong."""
        return sum(self.counts.get(name, 0) for name in _WRONG)

    @property
    def longest_wait(self) -> float:
        """Seconds from a fault to the next entry, at worst."""
        return max(self.waits, default=0.0)

    def __str__(self) -> str:
        size = [mb for _, mb in self.memory]
        asked, updates = self.counts.get("random_requests", 0), self.counts.get("random_updates", 0)
        counted = {name: count for name, count in self.broker.items() if count}
        return (
            f"{self.orders} orders, {self.entries} entries, {self.fills} trades; {self.faults} of {asked} requests and {updates} "
            f"updates went wrong; at most {self.longest_wait:.1f} s from a fault to the next entry; "
            f"{size[0] if size else 0:.0f} to {size[-1] if size else 0:.0f} MB; {counted}"
        )


def _lines() -> Iterator[dict[str, object]]:
    """Both symbols in and out, by two sources; some entries with a stop so near that the market runs through it."""
    said = (
        (200, "rules:fire", "BTC/USDT", "buy", 0.0005),
        (1_200, "rules:fire", "ETH/USDT", "buy", 0.02),
        (2_400, "rules:fire", "BTC/USDT", "sell", None),
        (3_400, "rules:fire", "ETH/USDT", "sell", None),
        (3_000, "llm:fire", "BTC/USDT", "buy", 0.0004),
        (4_300, "llm:fire", "ETH/USDT", "buy", 0.0004),
        (5_200, "llm:fire", "BTC/USDT", "sell", None),
        (5_600, "llm:fire", "ETH/USDT", "sell", None),
    )
    for offset, source, symbol, action, stop in said:
        tier = "llm" if source.startswith("llm") else "traditional"
        line = {
            "offset_ms": offset, "source": source, "tier": tier, "symbol": symbol, "action": action, "confidence": 0.9,
            "horizon": "1s",
        }  # fmt: skip
        yield line if stop is None else {**line, "protection": {"stop_loss": stop, "take_profit": 0.001}}


def _sources(config: Path) -> list[str]:
    """Write two recorded sources that begin again every few seconds, and a rule; their names."""
    (config / "said.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in _lines()))
    recorded: list[dict[str, object]] = [
        {
            "source": name, "kind": "recorded", "tier": tier, "timeframe": "1s", "capital": 0.3,
            "params": {"file": "../said.jsonl", "repeat": f"{_ROUND_MS // 1_000}s"},
        }
        for name, tier in (("rules:fire", "traditional"), ("llm:fire", "llm"))
    ]  # fmt: skip
    rule = {
        "source": "rules:donchian", "kind": "donchian", "timeframe": "1s", "capital": 0.2, "expiry": "2s",
        "protection": {"stop_loss": 0.001}, "params": {"entry": 5, "exit": 3, "atr": 3},
    }  # fmt: skip
    for source in (*recorded, rule):
        (config / "sources" / f"{str(source['source']).replace(':', '-')}.yaml").write_text(yaml.safe_dump(source))
    return [str(source["source"]) for source in (*recorded, rule)]


def _settings(fire: Fire) -> dict[str, object]:
    return {
        "desk": {"entry": fire.entry, "entry_ttl": "1500ms", "sizings": {"fixed-fraction": {"fraction": 0.05}}},
        "live": {"protection": fire.protection, "poll_every": "1s", "reconcile_every": "5s"},
        "market": {"history_depth": 64},
        "risk": {"max_open_orders": None},
    }


@asynccontextmanager
async def _staged(place: Path, fire: Fire) -> AsyncIterator[tuple[Rig, list[str]]]:
    place.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        venue = await stack.enter_async_context(DrillVenue(fire.dialect, SYMBOLS))
        database = SqliteDatabase(place)
        environment = {**venue.environment(), "ARBITER_KEY_FILE": str(place / "master.key"), "COLUMNS": "200"}
        bot = Child(place, environment)
        configure(bot, venue, database, _settings(fire))
        sources = _sources(bot.config)
        stack.push_async_callback(bot.kill)
        witness = Witness(database.audit_url, PREFIX)
        venue.arrivals.append(witness)
        question = Question(NAME, PREFIX, secrets=(venue.keys.secret, venue.keys.passphrase), folders=(place,))
        yield Rig(place, venue, database, bot, witness, question), sources


def resident_mb(pid: int) -> float:
    """Memory of a process, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def trade_under(fire: Fire, place: Path, resumed: float, *, quiet: float) -> Told:
    """Trade while things go wrong, then show that all of it was survived.

    When the faults end each symbol must be entered within `resumed` seconds; after `quiet` more without a fault the bot is
    stopped and the auditor looks.
    """
    told = Told()
    async with _staged(place, fire) as (stage, sources):
        await stage.start()
        watching = asyncio.create_task(_watch(stage, told))
        try:
            stage.venue.inject(RandomFaults(share=fire.share, updates=fire.share, seed=fire.seed))
            async with asyncio.timeout(fire.seconds + 5.0):
                await _disturb(stage.venue, fire.seconds)
            with suppress(TimeoutError):  # whoever asked for the entries says what is missing
                async with asyncio.timeout(fire.seconds * (_STRETCH - 1)):
                    await _until_entered(stage.venue, fire.entries)
            told.counts = dict(stage.venue.simulator.mischief.counts())
            stage.venue.clear()
            await _trades_on(stage.venue, resumed)
            await asyncio.sleep(quiet)
            await _settle(stage, sources, resumed)
            await _conclude(stage, told)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    return told


async def _disturb(venue: DrillVenue, seconds: float) -> None:
    """Let a few orders at a time fill in parts, and the account's stream break now and then, until the time is over."""
    over = time.monotonic() + seconds
    for number in itertools.count(1):
        if (left := over - time.monotonic()) <= 0:
            return
        venue.inject(PartialFill(Decimal("0.4"), count=2))
        if number % _ROUNDS_TO_A_BREAK == 0:
            venue.inject(Disconnect(Ending.ABORT, "user"))
        await asyncio.sleep(min(left, _ROUND_SECONDS))


async def _until_entered(venue: DrillVenue, entries: int) -> None:
    """Go on, a round at a time, until there were so many entries: a busy machine makes them slower, not fewer."""
    while _entries(venue) < entries:
        await _disturb(venue, _ROUND_SECONDS)


async def _watch(stage: Rig, told: Told) -> None:
    """Note the bot's memory, and how long after each fault the next entry came."""
    began = time.monotonic()
    sampled, wrong, entries = began, 0, 0
    since: float | None = None
    while True:
        now = time.monotonic()
        if now - sampled >= 0.5 and stage.bot.alive:
            sampled = now
            if (size := resident_mb(stage.bot.pid)) > 0:  # one that has just ended has none
                told.memory.append((now - began, size))
        counts = stage.venue.simulator.mischief.counts()
        struck, bought = sum(counts.get(name, 0) for name in _WRONG), _entries(stage.venue)
        if bought > entries and since is not None:
            told.waits.append(now - since)
            since = None
        if struck > wrong and since is None:
            since = now
        wrong, entries = struck, bought
        await asyncio.sleep(0.1)


def _entered(order: VenueOrder) -> bool:
    return order.ticket.side is Side.BUY and bool(order.filled)


def _entries(venue: DrillVenue) -> int:
    """Entries that traded at the venue."""
    return sum(map(_entered, venue.orders))


async def _trades_on(venue: DrillVenue, seconds: float) -> None:
    """Until each symbol has been entered again, now that nothing goes wrong any more."""
    known = len(venue.orders)

    def entered() -> set[str]:
        return {order.symbol for order in venue.orders[known:] if _entered(order)}

    await until(lambda: entered() == set(SYMBOLS), "an entry on each symbol after the last fault", seconds)


async def _settle(stage: Rig, sources: Iterable[str], seconds: float) -> None:
    """Let nobody speak any more and leave every position, so that no stop at the venue trades while the auditor looks."""
    for name in sources:
        answer = await stage.bot.command("pause", source=name)
        assert answer.ok, answer.error
    left = await stage.bot.command("reduce", _FLATTEN_SECONDS, flatten=True)
    assert left.ok, left.error
    await stage.settled(seconds)
    assert not stage.venue.open


async def _conclude(stage: Rig, told: Told) -> None:
    status = await stage.bot.status()
    told.broker = status["live"]["broker"]
    await stage.bot.stop((_HALTED,))
    told.orders, told.fills, told.entries = len(stage.venue.orders), stage.venue.fills, _entries(stage.venue)
    told.findings = await stage.findings()
