"""The whole shell under load: events a second, and what an event costs from 10 to 500 symbols."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

from benchmarks.latency import Alternating
from benchmarks.made import START, quote_rows, quotes, symbols
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, spread_of
from benchmarks.rig import Rig, redis_server, run_loop, running
from bot.core.market import Candle, Quote, Side, Trade

_EVENTS = 200_000
_SYMBOLS = 50
_UPDATES = 5.0
_FEW, _MANY = 10, 500
_SECONDS = 8.0
_CANDLE_EVERY = 1_000
_TRADE_EVERY = 10
_WAITING = 5_000
_TICK = 0.001  # below it uvloop does not sleep


@dataclass(frozen=True, slots=True)
class _Load:
    """What one run came to: events handled, seconds by the wall, seconds of CPU of this process."""

    events: int
    wall: float
    cpu: float
    detail: dict[str, object]


def throughput(effort: Effort, peers: Peers) -> list[Result]:
    """Events a second: quotes, every tenth a trade, every thousandth a candle with a decision and its fill; all published.

    The clock stops when the inbox is empty, Redis has every message and the journal is on the disk.
    """
    del peers
    with redis_server() as url:
        runs = [run_loop(_flood(effort.size(_EVENTS, 2_000), url)) for _ in range(effort.runs)]
    rates = [run.events / run.wall for run in runs]
    cpu = statistics.median(run.events / run.cpu for run in runs)
    goal = Goal(least=25_000)
    rate, spread = statistics.median(rates), spread_of(rates)
    return [Result("shell-events", rate, "events/s", (goal,), {}, len(runs), spread, cpu, runs[0].detail)]


async def _flood(count: int, redis_url: str | None) -> _Load:
    names = symbols(_SYMBOLS)
    source = Alternating(names)
    stream = quotes(quote_rows(10_000), names)
    async with running(names, (source,), redis_url=redis_url) as rig:
        began, spent = perf_counter(), process_time()
        await _pour(rig, source, stream, count)
        await rig.settled()
        wall, cpu = perf_counter() - began, process_time() - spent
        handled = rig.shell.tally.market_events
        detail: dict[str, object] = {"fills": rig.shell.tally.fills, "redis": rig.redis, "conflated": rig.inbox.conflated}
        return _Load(handled, wall, cpu, detail | rig.lost())


async def _pour(rig: Rig, source: Alternating, stream: Sequence[Quote], count: int) -> None:
    """As fast as the bot takes it: one quote of every symbol, then its turn."""
    names, redis = source.names, rig.outlets.redis
    for number in range(count):
        quote = stream[number % len(stream)]
        quote.at = quote.ts = rig.clock.now()
        if not number % _TRADE_EVERY:
            rig.shell.on_trade(Trade(quote.symbol, quote.at, quote.ts, str(number), quote.bid, 0.1, Side.SELL))
        else:
            rig.shell.on_quote(quote)
        if not number % _CANDLE_EVERY:
            candle = Candle(
                names[number // _CANDLE_EVERY % len(names)], "1s", quote.at, START + number * 1_000, 100, 101, 99, 100, 1
            )
            rig.shell.on_candle(candle)
        if not (number + 1) % len(names):
            await asyncio.sleep(0)
            while redis.stats().buffered > _WAITING:  # noqa: ASYNC110 - the buffer has no event
                await asyncio.sleep(0.001)


def symbols_item(effort: Effort, peers: Peers) -> list[Result]:
    """CPU time of one event with 500 symbols at 5 updates a second each, and the share of a core that they take.

    Beside it 10 symbols at the same 5 updates, of whose few events each pays for a wake-up of its own, and 10 symbols at the same
    2,500 events a second: the second shows whether the number of symbols itself costs anything.
    """
    del peers
    seconds = effort.seconds(_SECONDS)
    with redis_server() as url:
        few, busy, many = (
            [run_loop(_paced(count, updates, seconds, url)) for _ in range(effort.runs)]
            for count, updates in ((_FEW, _UPDATES), (_FEW, _UPDATES * _MANY / _FEW), (_MANY, _UPDATES))
        )
    calm, same = f"{_FEW} symbols", f"{_FEW} symbols, as many events"
    reference = {calm: statistics.median(_costs(few)), same: statistics.median(_costs(busy))}
    goals = (Goal(most=1.25, of=calm), Goal(most=1.25, of=same))
    costs, shares = _costs(many), [run.cpu / run.wall for run in many]
    cost, share, detail = statistics.median(costs), statistics.median(shares), many[0].detail
    return [
        Result("symbols-cost", cost, "us CPU/event", goals, reference, len(many), spread_of(costs), detail=detail),
        Result("symbols-core", share, "cores", (Goal(most=0.6),), {}, len(many), spread_of(shares), detail=detail),
    ]


def _costs(runs: Sequence[_Load]) -> list[float]:
    """Microseconds of CPU for an event, by run."""
    return [run.cpu / run.events * 1e6 for run in runs]


async def _paced(count: int, updates: float, seconds: float, redis_url: str | None) -> _Load:
    """Every symbol updates at its own moments, spread evenly over the second; the process sleeps in between."""
    names, gap = symbols(count), 1.0 / (count * updates)
    stream = quotes(quote_rows(max(10_000, count)), names)
    async with running(names, redis_url=redis_url) as rig:
        began, spent, sent = perf_counter(), process_time(), 0
        while (elapsed := perf_counter() - began) < seconds:
            wanted, now = int(elapsed / gap), rig.clock.now()
            while sent < wanted:
                quote = stream[sent % len(stream)]
                quote.at = quote.ts = now
                rig.shell.on_quote(quote)
                sent += 1
            await asyncio.sleep(max(_TICK, (sent + 1) * gap - (perf_counter() - began)))
        await rig.settled()
        wall, cpu = perf_counter() - began, process_time() - spent
        detail: dict[str, object] = {"events": sent, "redis": rig.redis, "conflated": rig.inbox.conflated}
        return _Load(rig.shell.tally.market_events, wall, cpu, detail | rig.lost())
