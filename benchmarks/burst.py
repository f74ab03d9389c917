"""Trades kept of a burst while the consumer is busy: our feed and inbox beside plain ccxt.pro, on the same simulated exchange.

The exchange runs in a process of its own. The consumer of each is a task that takes what has arrived and is then busy for 250 ms.
Of the burst, with its consecutive trade ids, what counts is what the consumer was given in the end.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from benchmarks.made import SYMBOL
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, spread_of
from benchmarks.rig import run_loop
from bot.core.market import Trade
from bot.market.ccxt_feed import CcxtFeed
from bot.market.ccxt_venue import VenueConfig
from bot.market.feed_config import FeedConfig, FeedSink
from bot.runtime.inbox import Inbox
from simulators.exchange.server import ExchangeSimulator

_TRADES = 5_000
_BUSY = 0.25
_PATIENCE = 15.0
_CCXT = "plain ccxt.pro"

Seen = dict[int, None]


def burst(effort: Effort, peers: Peers) -> list[Result]:
    """How many of 5,000 trades arrive."""
    del peers
    count = effort.size(_TRADES, 200)
    runs = max(1, effort.runs if effort.scale >= 1 else 1)
    ours = [run_loop(_kept(count, _our_consumer)) for _ in range(runs)]
    plain = [run_loop(_kept(count, _plain_consumer)) for _ in range(runs)]
    kept, reference = sorted(ours)[runs // 2], {_CCXT: float(sorted(plain)[runs // 2])}
    goal = Goal(least=count)
    return [Result("burst-trades", kept, "trades", (goal,), reference, runs, spread_of(ours), detail={"of": count})]


async def _kept(count: int, consumer: Callable[[dict[str, Any], Seen], Awaitable[None]]) -> int:
    """Run a consumer against a fresh exchange, print the burst, and count what the consumer saw of it."""
    async with exchange(SYMBOL) as url:
        seen: Seen = {}
        task = asyncio.ensure_future(consumer(ccxt_config(url), seen))
        try:
            await _until(lambda: len(seen) > 0)
            before = max(seen)
            await _inject(url, {"fault": "burst", "symbol": SYMBOL, "trades": count})
            await _until(lambda: len(seen) > 0 and max(seen) >= before + count)
            await asyncio.sleep(3 * _BUSY)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        # Trades of the ordinary market lie before and after the burst; those after are not counted.
        return min(count, sum(before < number for number in seen))


async def _our_consumer(config: dict[str, Any], seen: Seen) -> None:
    inbox = Inbox()
    sink = FeedSink(inbox.put_quote, inbox.put_trade, inbox.put_market, inbox.put_market)
    feed = CcxtFeed(VenueConfig("binance", config), FeedConfig((SYMBOL,), ("1s",), warmup=5), sink)
    await feed.start()
    task = asyncio.ensure_future(feed.run())
    try:
        while True:
            while (arrival := inbox.take()) is not None:
                if isinstance(arrival[0], Trade):
                    seen[int(arrival[0].id)] = None
            await asyncio.sleep(_BUSY)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await feed.close()


async def _plain_consumer(config: dict[str, Any], seen: Seen) -> None:
    import ccxt.pro

    venue = ccxt.pro.binance(config)
    try:
        while True:
            for trade in await venue.watch_trades(SYMBOL):
                seen[int(trade["id"])] = None
            await asyncio.sleep(_BUSY)
    finally:
        await venue.close()


@asynccontextmanager
async def exchange(*names: str) -> AsyncIterator[str]:
    """A simulated exchange in a process of its own; its address."""
    command = [sys.executable, "-m", "simulators.exchange", "--port", "0", "--seed", "7", "--symbols", ",".join(names)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            yield (await process.stdout.readline()).decode().strip()
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(10):
            await process.wait()


def ccxt_config(url: str) -> dict[str, Any]:
    """What an unmodified ccxt needs to speak to the exchange at `url`."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    return dict(ExchangeSimulator(host=host, port=int(port), symbols=(SYMBOL,), history=1).ccxt_config())


async def _inject(url: str, fault: dict[str, object]) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{url}/admin/faults", json=fault) as answer:
        answer.raise_for_status()


async def _until(done: Callable[[], bool]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            while not done():  # noqa: ASYNC110 - what it waits for has no event
                await asyncio.sleep(0.05)
