"""The pump: sends the market's events at their own milliseconds.

It goes through the market second by second. Within a second quotes and trades leave when their time has come; at its end the
closed candles leave first, then the tickers. A pump that falls behind catches up without leaving anything out, except after a
pause of the whole process, which it counts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import groupby
from typing import Protocol

import structlog

from bot.core.market import Quote, Trade
from bot.market.simulated import Bar, Book
from simulators.exchange import dialect
from simulators.exchange.faults import Switchboard
from simulators.exchange.hub import Hub
from simulators.exchange.matching import Engine
from simulators.exchange.topics import Kind, Topic
from simulators.exchange.venue import BOOK_LEVELS, Venue, merged

log = structlog.get_logger(__name__)

_MAX_LAG_STEPS = 30


class Follower(Protocol):
    """Somebody else who is told the market as it happens: another dialect's sockets."""

    def on_quote(self, quote: Quote, index: int, slot: int) -> None:
        """A quote, and where it is in the market."""
        ...

    def on_trade(self, trade: Trade) -> None:
        """A public trade."""
        ...

    def on_end(self, index: int) -> None:
        """A step is over."""
        ...


class Pump:
    """Moves events from the venue to the hub, and to the matching engine, until cancelled."""

    def __init__(self, venue: Venue, hub: Hub, faults: Switchboard, engine: Engine) -> None:
        self._engine = engine
        self.followers: list[Follower] = []
        self._venue = venue
        self._market = venue.market
        self._hub = hub
        self._faults = faults
        self._books: dict[str, Book] = {}  # the book each depth stream has told so far
        self._candles: dict[str, Bar] = {}  # the unfinished bar of each kline stream longer than a step
        self.index = -1  # the step that is being told
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Pump until cancelled."""
        index = self._market.index_at(self._venue.now())
        while True:
            behind = self._market.index_at(self._venue.now()) - index
            if behind > _MAX_LAG_STEPS:
                self.counts["skipped_steps"] += behind
                log.warning("pump_skipped", steps=behind)
                index += behind
                self._candles.clear()
            self.index = index
            await self._step(index)
            self._market.prefetch(index)
            index += 1

    async def _step(self, index: int) -> None:
        for ts, events in groupby(self._timeline(index), key=lambda event: event[0]):
            await self._until(ts)
            for _, slot, event in events:
                if isinstance(event, Quote):
                    self._on_quote(event, index, slot)
                    for follower in self.followers:
                        follower.on_quote(event, index, slot)
                    self._engine.on_quote(event.symbol, event.ts)
                elif isinstance(event, Trade):
                    self._on_trade(event)
                    for follower in self.followers:
                        follower.on_trade(event)
                    self._engine.on_trade(event)
                else:
                    self._on_half_step(index)
        await self._until(self._market.time_of(index + 1))
        self._on_end(index)
        for follower in self.followers:
            follower.on_end(index)
        self._hub.flush()

    def _timeline(self, index: int) -> list[tuple[int, int, Quote | Trade | None]]:
        """Time, slot of a quote, and event; None stands for the middle of the step."""
        events: list[tuple[int, int, Quote | Trade | None]] = [(self._market.time_of(index) + self._market.step_ms // 2, 0, None)]
        for symbol in self._venue.ids:
            events += [(quote.ts, slot, quote) for slot, quote in enumerate(self._market.quotes(symbol, index))]
            events += [(trade.ts, 0, trade) for trade in self._market.trades(symbol, index)]
        events.sort(key=lambda event: event[0])
        return events

    async def _until(self, ts: int) -> None:
        """Wait until a time has come; what was published before leaves first."""
        while (wait := ts - self._venue.now()) > 0:
            self._hub.flush()
            await asyncio.sleep(wait / 1_000)

    def _now(self) -> int:
        return self._venue.now() + self._faults.skew_ms

    def _on_quote(self, quote: Quote, index: int, slot: int) -> None:
        name, sequence = self._venue.ids[quote.symbol], index * self._market.slots + slot + 1
        for topic in (*self._hub.topics(quote.symbol).values(), *self._hub.topics(None).values()):
            if topic.kind is Kind.BOOK_TICKER:
                self._hub.publish(topic, dialect.book_ticker_event(name, quote, sequence))
            elif topic.kind is Kind.DEPTH:
                self._tell_depth(topic, index, slot)
            elif topic.kind is Kind.PARTIAL_DEPTH:
                self._hub.publish(topic, dialect.book_snapshot(self._market.book(quote.symbol, index, slot, topic.levels)))

    def _tell_depth(self, topic: Topic, index: int, slot: int) -> None:
        """The changes since the last event of this stream, gapless; the first one follows a quote older than the subscription."""
        assert topic.symbol is not None
        before = self._books.get(topic.name)
        if before is None:
            fast = topic.kind is Kind.DEPTH and slot
            place = (index, slot - 1) if fast else (index - 1, self._market.slots - 1)
            before = self._market.book(topic.symbol, *place, BOOK_LEVELS)
        after = self._market.book(topic.symbol, index, slot, BOOK_LEVELS)
        if after.sequence > before.sequence:
            self._books[topic.name] = after
            self._hub.publish(topic, dialect.depth_event(self._venue.ids[topic.symbol], before, after, self._now()))

    def _on_trade(self, trade: Trade) -> None:
        name = self._venue.ids[trade.symbol]
        for topic in self._hub.topics(trade.symbol).values():
            if topic.kind is Kind.TRADE:
                self._hub.publish(topic, dialect.trade_event(name, trade, self._now()))
            elif topic.kind is Kind.AGG_TRADE:
                self._hub.publish(topic, dialect.agg_trade_event(name, trade, self._now()))

    def _on_half_step(self, index: int) -> None:
        """Tell the unfinished one-step candles that have traded, so that clients learn to tell them from closed ones."""
        if index != self._market.index_at(self._venue.now()):
            return
        for symbol in self._venue.ids:
            for topic in self._hub.topics(symbol).values():
                if topic.kind is Kind.KLINE and topic.length == self._market.step_ms:
                    bar = self._venue.live_bar(symbol)
                    if bar.trades:
                        self._tell_candle(topic, bar, closed=False)

    def _on_end(self, index: int) -> None:
        for symbol in self._venue.ids:
            topics = self._hub.topics(symbol)
            if topics:
                self._end_of_symbol(symbol, list(topics.values()), index)
        for topic in self._hub.topics(None).values():
            if topic.kind in (Kind.MINI_TICKER, Kind.TICKER):
                self._hub.publish(topic, [self._ticker(topic.kind, symbol) for symbol in self._venue.ids])
        for memory in (self._books, self._candles):
            for name in [name for name in memory if not self._hub.listens(name)]:
                del memory[name]

    def _end_of_symbol(self, symbol: str, topics: list[Topic], index: int) -> None:
        bar = self._market.bar(symbol, index)
        end = self._market.time_of(index + 1)
        for topic in topics:
            if topic.kind is Kind.KLINE:
                self._tell_candle(topic, self._candle_so_far(topic, bar, index), closed=end % topic.length == 0)
        for topic in topics:
            if topic.kind is Kind.DEPTH_SLOW:
                self._tell_depth(topic, index, self._market.slots - 1)
            elif topic.kind in (Kind.MINI_TICKER, Kind.TICKER):
                self._hub.publish(topic, self._ticker(topic.kind, symbol))

    def _candle_so_far(self, topic: Topic, bar: Bar, index: int) -> Bar:
        """The bar of a kline stream up to the end of this step."""
        assert topic.symbol is not None
        if topic.length == self._market.step_ms:
            return bar
        bucket = bar.ts // topic.length * topic.length
        known = self._candles.get(topic.name)
        if bar.ts == bucket:
            found = replace(bar, ts=bucket)
        elif known is not None and known.ts == bucket:
            found = merged(known, bar)
        else:
            first = max(0, self._market.index_at(bucket))
            found = self._market.bars(topic.symbol, topic.length, first, index + 1)[-1]
        self._candles[topic.name] = found
        return found

    def _tell_candle(self, topic: Topic, bar: Bar, closed: bool) -> None:
        assert topic.symbol is not None
        event = dialect.kline_event(self._venue.ids[topic.symbol], topic.interval, bar, topic.length, closed, self._now())
        self._hub.publish(topic, event, counts=closed)

    def _ticker(self, kind: Kind, symbol: str) -> dialect.Wire:
        ticker, name = self._venue.ticker(symbol), self._venue.ids[symbol]
        if kind is Kind.TICKER:
            return dialect.ticker_event(name, ticker, self._now())
        return dialect.mini_ticker_event(name, ticker, self._now())
