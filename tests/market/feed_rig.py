"""What tests of the live feed are built from: a listener that can be waited for, quick settings, a running feed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

from bot.core.inputs import MarketHealth
from bot.core.market import Candle, Quote, Trade
from bot.market.ccxt_feed import CcxtFeed
from bot.market.ccxt_venue import VenueConfig
from bot.market.feed_config import FeedConfig, FeedSink
from simulators.exchange.server import ExchangeSimulator

SYMBOLS = ("BTC/USDT", "ETH/USDT")


class Listener:
    """Keeps everything a feed says. `until` waits for a condition, which is looked at after every event."""

    def __init__(self) -> None:
        self.quotes: list[Quote] = []
        self.trades: list[Trade] = []
        self.candles: list[Candle] = []
        self.health: list[MarketHealth] = []
        self.events = 0
        self._waiters: list[tuple[Callable[[], bool], asyncio.Event]] = []

    def sink(self) -> FeedSink:
        return FeedSink(self._keep(self.quotes), self._keep(self.trades), self._keep(self.candles), self._keep(self.health))

    def _keep(self, kept: list[Any]) -> Callable[[Any], None]:
        def take(event: object) -> None:
            kept.append(event)
            self.events += 1
            for condition, reached in self._waiters:
                if condition():
                    reached.set()

        return take

    async def until(self, condition: Callable[[], bool], timeout: float = 15.0) -> None:
        if condition():
            return
        reached = asyncio.Event()
        self._waiters.append((condition, reached))
        try:
            async with asyncio.timeout(timeout):
                await reached.wait()
        finally:
            self._waiters.remove((condition, reached))

    def series(self, symbol: str, timeframe: str) -> list[int]:
        return [candle.ts for candle in self.candles if (candle.symbol, candle.timeframe) == (symbol, timeframe)]


def quick(**changes: Any) -> FeedConfig:
    """A configuration whose patience is that of a test."""
    settings: dict[str, Any] = {
        "symbols": SYMBOLS,
        "timeframes": ("1s",),
        "warmup": 5,
        "stale_after": 2.0,
        "trade_silence": 5.0,
        "confirm_after": 1.0,
        "poll_interval": 0.3,
        "backoff_first": 0.05,
        "backoff_cap": 0.2,
        "tick": 0.05,
    }
    return FeedConfig(**(settings | changes))


def to(simulator: ExchangeSimulator, **changes: Any) -> VenueConfig:
    """How to reach the simulator; its limiter is off, since it answers to nobody else."""
    config = {**simulator.ccxt_config(), "enableRateLimit": False, "timeout": 3_000}
    return VenueConfig("binance", config | changes, reach_timeout=10.0, clock_samples=2)


@asynccontextmanager
async def running(feed: CcxtFeed) -> AsyncIterator[list[Candle]]:
    """Start a feed, run it, and end it without a trace."""
    warm = await feed.start()
    task = asyncio.create_task(feed.run())
    try:
        yield warm
        assert not task.done() or task.result() is None
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await feed.close()


def feed_of(venue: VenueConfig, config: FeedConfig, listener: Listener) -> CcxtFeed:
    return CcxtFeed(venue, config, listener.sink(), random=Random(1))
