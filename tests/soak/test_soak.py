"""Minutes of 2,000 market events a second through the whole shell: memory stays flat, and nothing that matters is dropped.

`ARBITER_SOAK_SECONDS` sets the length (600 by default).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import orjson
import pytest
import redis

from bot.core.decision import Action, Fate
from bot.core.market import Candle, Side, Trade
from bot.core.matching import FillModel
from bot.core.sizing import FixedFraction
from bot.journal.queries import Queries
from bot.journal.reading import SegmentReader, segment_paths
from bot.outlets.envelope import Identity
from bot.outlets.listener import ListenerSettings
from bot.outlets.outlets import Outlets, OutletSettings
from bot.outlets.redis_feed import FeedState, RedisSettings
from bot.runtime.clock import WallClock
from tests.factories import LLM, QC, RULE, a_config, a_source
from tests.runtime.shell_rig import QUICK, Rig, running
from tests.servers import redis_process

SECONDS = float(os.environ.get("ARBITER_SOAK_SECONDS", "600"))
RATE = 2_000
SYMBOLS = tuple(f"C{number:02d}/USDT" for number in range(20))
SOURCES = (QC, LLM, RULE)
_TICK = 0.01
_DECISIONS_PER_SECOND = 25
_PAGE = Path("/proc/self/statm")


@dataclass
class Consumer:
    """A plain Redis client that counts what it hears, and where a number is missing."""

    url: str
    heard: Counter[str] = field(default_factory=Counter)
    last: dict[str, int] = field(default_factory=dict)
    gaps: Counter[str] = field(default_factory=Counter)

    def listen(self, done: threading.Event) -> None:
        client = redis.Redis.from_url(self.url)
        channels = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        channels.psubscribe("arbiter.v1.*")
        while True:
            message = channels.get_message(timeout=0.2)
            if message is not None:
                channel = message["channel"].decode().rpartition(".")[2]
                seq = orjson.loads(message["data"])["seq"]
                self.gaps[channel] += seq - self.last.get(channel, seq - 1) - 1
                self.last[channel] = seq
                self.heard[channel] += 1
            elif done.is_set():
                break
        channels.close()
        client.close()


@contextmanager
def consuming(url: str) -> Iterator[Consumer]:
    """Count in a thread until the block ends and nothing comes any more."""
    consumer, done = Consumer(url), threading.Event()
    thread = threading.Thread(target=consumer.listen, args=(done,), daemon=True)
    thread.start()
    try:
        yield consumer
    finally:
        done.set()
        thread.join(10)


def resident_mb() -> float:
    """Memory of this process, in MB."""
    return int(_PAGE.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass
class Market:
    """A market that says so many things a second, and sources that speak now and then."""

    rig: Rig
    sent: Counter[str] = field(default_factory=Counter)
    proposed: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        random = np.random.default_rng(1)
        prices = dict.fromkeys(SYMBOLS, 100.0)
        told = spoken = 0
        sampled = began
        while (now := loop.time()) - began < seconds:
            due = int((now - began) * RATE)
            for number in range(told, due):
                symbol = SYMBOLS[number % len(SYMBOLS)]
                prices[symbol] *= 1 + 0.0002 * float(random.standard_normal())
                self.tell(number, symbol, prices[symbol])
            told = due
            speak = int((now - began) * _DECISIONS_PER_SECOND)
            for number in range(spoken, speak):
                await self.speak(number)
            spoken = speak
            if now - sampled >= 0.5:
                sampled = now
                self.memory.append((now - began, resident_mb()))
            await asyncio.sleep(_TICK)

    def tell(self, number: int, symbol: str, price: float) -> None:
        """Mostly quotes, one in seven a trade, one in two hundred a candle: each symbol has its share of all."""
        shell, at = self.rig.shell, self.rig.now
        if number % 201 == 200:
            self.sent["candles"] += 1
            shell.on_candle(Candle(symbol, "1s", at, at - 1000, price, price * 1.001, price * 0.999, price, 1.0))
        elif number % 7 == 6:
            self.sent["trades"] += 1
            shell.on_trade(Trade(symbol, at, at, str(number), price, 1.0, Side.BUY))
        else:
            self.sent["quotes"] += 1
            self.rig.quote(price, symbol, spread=price * 0.0002)

    async def speak(self, number: int) -> None:
        """Two sources at a time speak about a symbol: they agree or not, and what was bought is sold the next time round."""
        symbol, source = SYMBOLS[number // 2 % len(SYMBOLS)], SOURCES[number % len(SOURCES)]
        action = (Action.BUY, Action.SELL)[(number // (2 * len(SYMBOLS)) + number % 13 // 12) % 2]
        self.proposed += 1
        await self.rig.propose(action, source, symbol=symbol, name=f"soak-{number}", lasts=400, confidence=0.6 + number % 3 / 10)


def soak_config() -> object:
    return a_config(
        sizing=FixedFraction(0.02),
        trading=QUICK,
        fills=FillModel(maker_fee=Decimal("0.001"), taker_fee=Decimal("0.001"), latency_ms=5),
        sample_ms=1_000,
    )


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 180)
async def test_a_soak_drops_no_decision_no_order_and_no_fill_and_its_memory_stays_flat(tmp_path: Path) -> None:
    with redis_process(tmp_path / "redis") as server, consuming(server.url) as consumer:
        clock = WallClock()
        settings = OutletSettings(None, RedisSettings(server.url), listener=ListenerSettings(enabled=False))
        outlets = Outlets(Identity("main", "run-1", "paper", simulated=True), settings, now=clock.now)
        sources = tuple(a_source(name, settle_ms=20 if name == RULE else 0) for name in SOURCES)
        async with running(tmp_path, sources, SYMBOLS, config=soak_config(), outlets=outlets) as rig:
            rig.facts.seen, rig.broker.watching = _Forgetful(), False  # the test itself must not gather memory
            await outlets.redis.wait_for(FeedState.UP, timeout=10)
            market = Market(rig)
            await market.run(SECONDS)
            await rig.settled()
            shell = rig.shell
            tally, journal = shell.tally, shell.journal
            await asyncio.sleep(1.0)  # the last orders fill, the last decisions lapse
            await rig.settled()
            open_decisions = len(shell.desk.state.open)
            redis_stats = outlets.redis.stats()
            published = dict(outlets.stats().last)
        # Every event was handled or, for quotes alone, absorbed by a newer one.
        assert rig.inbox.trades_dropped == 0
        assert tally.market_events + rig.inbox.conflated == sum(market.sent.values())
        # Every decision was seen and met its fate.
        assert sum(tally.decisions.values()) == market.proposed
        assert sum(tally.fates.values()) + open_decisions == market.proposed
        assert tally.fates[Fate.EXECUTED.value] > SECONDS
        assert tally.fates[Fate.OUTRANKED.value] > 0
        # The journal took all of it.
        counts = journal.counts
        assert (counts.dropped, counts.lost, counts.refused, counts.faults, counts.rescued) == (0, 0, 0, 0, 0)
        assert journal.inputs_dropped == 0
        assert journaled(rig) == (market.proposed, tally.orders, tally.fills)
        recorded = SegmentReader(segment_paths(tmp_path, "run-1"))
        assert sum(1 for _ in recorded) == shell.cycle.turns
        assert sum(redis_stats.dropped.values()) == 0
    # And so did a plain consumer of Redis.
    assert sum(consumer.gaps.values()) == 0
    for channel in ("decisions", "orders", "fills", "verdicts", "positions"):
        assert consumer.last[channel] == published[channel], channel
    assert_flat(market.memory)


class _Forgetful(list):  # type: ignore[type-arg]
    """A list that keeps nothing."""

    def append(self, item: object) -> None:
        del item


def journaled(rig: Rig) -> tuple[int, int, int]:
    """Decisions, orders sent and fills in the database."""
    asked = (
        "SELECT count(*) FROM decisions",
        "SELECT count(DISTINCT order_id) FROM order_events WHERE state = 'sent'",
        "SELECT count(*) FROM fills",
    )
    with Queries(f"sqlite:///{rig.database}") as queries:
        decisions, sent, fills = queries.read(lambda connection: [connection.exec_driver_sql(sql).scalar_one() for sql in asked])
    return decisions, sent, fills


def assert_flat(memory: list[tuple[float, float]]) -> None:
    """After the first third, in which buffers, caches and books fill, the trend is flat: under 5 % over the whole soak."""
    at, size = np.array(memory).T
    late = at > at[-1] / 3
    slope = float(np.polyfit(at[late], size[late], 1)[0])
    grown = slope * float(at[-1])
    start, end = float(np.median(size[late][:5])), float(np.median(size[-5:]))
    print(f"memory {size[0]:.1f} -> {start:.1f} -> {end:.1f} MB, trend {slope * 60:+.3f} MB/min")  # noqa: T201
    assert grown < 0.05 * start, f"memory grows by {slope * 60:.2f} MB a minute (from {start:.0f} to {end:.0f} MB)"
