"""The market as of now: the simulated market seen through a clock, so that nothing of the future is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.core.market import Quote, Trade
from bot.market.simulated import Bar, Book, SimulatedMarket
from bot.market.simulated_path import BLOCK

Clock = Callable[[], int]
BOOK_LEVELS = 20
_DAY_BLOCKS = 86_400 // BLOCK


def merged(older: Bar, newer: Bar) -> Bar:
    """One bar out of two neighbours; it begins where the older one does."""
    return Bar(
        older.ts,
        older.open,
        max(older.high, newer.high),
        min(older.low, newer.low),
        newer.close,
        older.volume + newer.volume,
        older.turnover + newer.turnover,
        older.trades + newer.trades,
        older.first_trade,
    )


@dataclass(frozen=True, slots=True)
class DayTicker:
    """Statistics of the last 24 hours (their beginning is rounded to a block of steps), and the quote of now."""

    bar: Bar
    quote: Quote
    ts: int


@dataclass(slots=True)
class _Day:
    """The bars of the whole blocks within 24 hours, and their sum."""

    next_block: int
    blocks: deque[Bar]
    total: Bar | None = None


class Venue:
    """Answers for any moment up to `clock()`; symbols are ccxt's (`BTC/USDT`), ids are the venue's (`BTCUSDT`)."""

    def __init__(self, market: SimulatedMarket, clock: Clock) -> None:
        self.market = market
        self.now = clock
        self.ids = {symbol: symbol.replace("/", "") for symbol in market.symbols}
        self.symbols = {name: symbol for symbol, name in self.ids.items()}
        self._days = {symbol: _Day(0, deque(maxlen=_DAY_BLOCKS)) for symbol in market.symbols}

    def quote(self, symbol: str) -> Quote:
        """The newest quote."""
        index, slot = self.place(symbol)
        return self.market.quotes(symbol, index)[slot]

    def place(self, symbol: str) -> tuple[int, int]:
        """Step and slot of the newest quote."""
        now = self.now()
        index = self.market.index_at(now)
        shown = sum(quote.ts <= now for quote in self.market.quotes(symbol, index))
        return (index, shown - 1) if shown else (index - 1, self.market.slots - 1)

    def book(self, symbol: str, levels: int) -> Book:
        """Depth around the newest quote."""
        return self.market.book(symbol, *self.place(symbol), levels)

    def shown(self, symbol: str) -> Book:
        """All of the book that can be traded against."""
        return self.book(symbol, BOOK_LEVELS)

    def last(self, symbol: str) -> float:
        """The price of the newest trade."""
        return self.live_bar(symbol).close

    def live_bar(self, symbol: str) -> Bar:
        """The unfinished bar of the current step: flat at the last close while nothing has traded."""
        now = self.now()
        index = self.market.index_at(now)
        before = self.market.bar(symbol, index - 1)
        ts, first = self.market.time_of(index), before.first_trade + before.trades
        trades = [trade for trade in self.market.trades(symbol, index) if trade.ts <= now]
        if not trades:
            return Bar(ts, before.close, before.close, before.close, before.close, 0.0, 0.0, 0, first)
        prices = [trade.price for trade in trades]
        volume = sum(trade.amount for trade in trades)
        turnover = sum(trade.amount * trade.price for trade in trades)
        return Bar(ts, prices[0], max(prices), min(prices), prices[-1], volume, turnover, len(trades), first)

    def bars(self, symbol: str, length: int, limit: int, start: int | None = None, end: int | None = None) -> list[Bar]:
        """Bars of `length` ms, oldest first, the unfinished one included; `start` and `end` bound their opening times.

        From `start`, the first `limit` of them; without it, the last.
        """
        market, newest = self.market, self.now() // length * length
        first = market.genesis // length * length
        first = first if start is None else max(first, -(-start // length) * length)
        last = newest if end is None else min(newest, end // length * length)
        if start is not None:
            last = min(last, first + (limit - 1) * length)
        else:
            first = max(first, last - (limit - 1) * length)
        if last < first:
            return []
        current = market.index_at(self.now())
        found = market.bars(symbol, length, max(0, market.index_at(first)), min(current, market.index_at(last + length)))
        if last == newest:
            live = replace(self.live_bar(symbol), ts=newest)
            if found and found[-1].ts == newest:
                found[-1] = merged(found[-1], live)
            else:
                found.append(live)
        return found

    def trade_count(self, symbol: str) -> int:
        """How many trades there have been."""
        live = self.live_bar(symbol)
        return live.first_trade - 1 + live.trades

    def newest_trades(self, symbol: str, limit: int) -> list[Trade]:
        """The last trades, oldest first."""
        total = self.trade_count(symbol)
        return self.trades_from(symbol, max(1, total - limit + 1), limit)

    def trades_from(self, symbol: str, number: int, limit: int) -> list[Trade]:
        """Trades from number `number` (from 1) on."""
        if number > self.trade_count(symbol):
            return []
        index = self.market.index_of_trade(symbol, max(1, number))
        return self._collect(symbol, index, limit, lambda trade: int(trade.id) >= number, self.now())

    def trades_between(self, symbol: str, start: int, end: int, limit: int) -> list[Trade]:
        """The first trades with `start <= ts <= end`."""
        index = max(0, self.market.index_at(start))
        return self._collect(symbol, index, limit, lambda trade: trade.ts >= start, min(end, self.now()))

    def _collect(self, symbol: str, index: int, limit: int, wanted: Callable[[Trade], bool], until: int) -> list[Trade]:
        found: list[Trade] = []
        while len(found) < limit and self.market.time_of(index) <= until:
            found += [trade for trade in self.market.trades(symbol, index) if trade.ts <= until and wanted(trade)]
            index += 1
        return found[:limit]

    def ticker(self, symbol: str) -> DayTicker:
        """The last 24 hours, as far as the market goes back."""
        now = self.now()
        index = self.market.index_at(now)
        block = index // BLOCK
        day = self._days[symbol]
        while day.next_block < block:
            begin = day.next_block * BLOCK
            parts = self.market.bars(symbol, self.market.step_ms * BLOCK, begin, begin + BLOCK)
            day.blocks.append(_sum(parts))
            day.next_block += 1
            day.total = None
        if day.total is None and day.blocks:
            day.total = _sum(list(day.blocks))
        recent = self.market.bars(symbol, self.market.step_ms * BLOCK, block * BLOCK, index)
        parts = [*([day.total] if day.total else []), *recent, self.live_bar(symbol)]
        return DayTicker(_sum(parts), self.quote(symbol), now)


def _sum(bars: list[Bar]) -> Bar:
    """Neighbouring bars as one."""
    first, last = bars[0], bars[-1]
    return Bar(
        first.ts,
        first.open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        last.close,
        sum(bar.volume for bar in bars),
        sum(bar.turnover for bar in bars),
        sum(bar.trades for bar in bars),
        first.first_trade,
    )
