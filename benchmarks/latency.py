"""From a tick to its paper fill in the running bot: decision, verdict, risk, intent, order and fill in between.

2,000 quotes a second of ten symbols go through the inbox; every 5 ms a candle closes, and a source buys or sells on it.
A latency is what the bot's own tally notes: from the moment the candle is put into the inbox until its fill is booked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from benchmarks.made import START, quote_rows, quotes, symbols
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, percentile, spread_of
from benchmarks.rig import Rig, redis_server, run_loop, running
from bot.core.decision import Action, Decision, SourceSpec, Tier, derive_id
from bot.core.market import Candle, MarketView
from bot.latency import LatencyHistogram

_SYMBOLS = 10
_BURST = 2
_PAUSE = 0.001
_CANDLE_EVERY = 5
_SECONDS = 10.0
_MEMORY, _DURABLE = "memory", "durable"


def tick_to_fill(effort: Effort, peers: Peers) -> list[Result]:
    """p50 and p99, without waiting for durability and with the durable intent; medians over the runs' own percentiles."""
    del peers
    goals = {(_MEMORY, 50): 0.15, (_MEMORY, 99): 1.0, (_DURABLE, 50): 1.0, (_DURABLE, 99): 6.0}
    results = []
    with redis_server() as url:
        for name in (_MEMORY, _DURABLE):
            runs = [run_loop(_measured(effort.seconds(_SECONDS), url, await_intent=name == _DURABLE)) for _ in range(effort.runs)]
            for share in (50, 99):
                figures = [percentile(run.latencies, share / 100) * 1_000 for run in runs]
                detail = {
                    "fills": len(runs[0].latencies),
                    "redis": runs[0].redis,
                    "quotes_per_second": runs[0].pace,
                    **runs[0].lost,
                }
                goal = Goal(most=goals[name, share])
                median = sorted(figures)[len(figures) // 2]
                results.append(
                    Result(f"fill-{name}-p{share}", median, "ms", (goal,), {}, len(runs), spread_of(figures), detail=detail)
                )
    return results


@dataclass(slots=True)
class Alternating:
    """A source that buys and sells in turn, one decision for each candle."""

    names: Sequence[str]
    _held: set[str] = field(default_factory=set)

    spec = SourceSpec("rules:alternating", Tier.TRADITIONAL, settle_ms=0)
    warmup = 0

    @property
    def feeds(self) -> Sequence[tuple[str, str]]:
        """One-second candles of every symbol."""
        return [(name, "1s") for name in self.names]

    def warm(self, candle: Candle, view: MarketView) -> None:
        """Needs none."""

    def on_candle(self, candle: Candle, view: MarketView) -> Decision:
        """Buy what is not held, sell what is."""
        symbol, at = candle.symbol, candle.at
        action = Action.SELL if symbol in self._held else Action.BUY
        (self._held.discard if action is Action.SELL else self._held.add)(symbol)
        identity = derive_id(self.spec.name, candle.ts, symbol)
        return Decision(identity, self.spec.name, Tier.TRADITIONAL, symbol, action, 0.7, at, at + 60_000, candle.close)

    def snapshot(self) -> object:
        """Nothing worth keeping."""
        return None

    def restore(self, state: object) -> None:
        """Nothing to restore."""


class Samples(LatencyHistogram):
    """The tally's latencies, each kept as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def add(self, seconds: float) -> None:
        """Keep one."""
        self.seconds.append(seconds)


@dataclass(frozen=True, slots=True)
class _Run:
    latencies: list[float]
    pace: int
    redis: str
    lost: dict[str, int]


async def _measured(seconds: float, redis_url: str | None, *, await_intent: bool) -> _Run:
    names = symbols(_SYMBOLS)
    source, samples = Alternating(names), Samples()
    async with running(names, (source,), redis_url=redis_url, await_intent=await_intent) as rig:
        rig.shell.tally.to_fill = samples
        sent, took = await feed(rig, source, seconds)
        await rig.settled()
        return _Run(samples.seconds, round(sent / took), rig.redis, rig.lost())


async def feed(
    rig: Rig, source: Alternating, seconds: float, candle_every: int = _CANDLE_EVERY, turn: int = 0
) -> tuple[int, float]:
    """Quotes at their pace, a few at a time, and every so often a candle; how many quotes, in how many seconds.

    A candle's time is made of `turn`, so one that feeds a rig again begins where the candles before have not come to.
    """
    stream = quotes(quote_rows(10_000), source.names)
    began, due, sent = perf_counter(), perf_counter(), 0
    while perf_counter() - began < seconds:
        now = rig.clock.now()
        for _ in range(_BURST):
            quote = stream[sent % len(stream)]
            quote.at = quote.ts = now
            rig.shell.on_quote(quote)
            sent += 1
        turn += 1
        if not turn % candle_every:
            name = source.names[turn // candle_every % len(source.names)]
            candle = Candle(name, "1s", now, START + turn * 1_000, 100.0, 101.0, 99.0, 100.0, 1.0)
            rig.shell.on_candle(candle)
        due += _PAUSE
        await asyncio.sleep(max(0.0, due - perf_counter()))
    return sent, perf_counter() - began
