"""Where candles are completed: the venue's own, those joined from smaller ones, those built from trades; and the repair of holes.

A candle of the venue is closed because the venue says so (`x`), because a newer one has come and this one was followed to its
end, or because REST confirms it after its time. A websocket's half-seen candle is never let out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from bot.core.market import Candle, Health, Trade, timeframe_ms
from bot.market.candle_line import CandleLine, Offer
from bot.market.candles import CandleAggregator, CandleBuilder, MissingCandles, candle_start
from bot.market.ccxt_history import CandleHistory, candle_of
from bot.market.ccxt_streams import Stream, StreamKind
from bot.market.ccxt_venue import CcxtVenue
from bot.market.feed_config import FeedConfig
from bot.market.feed_stats import FeedStatistics
from bot.market.health import HealthBook
from bot.market.sanity import MarketSanity

_log = structlog.get_logger(__name__)

_START_PAUSES_S = (0.5, 1.0)
_AT_ONCE = 4
_MAX_WARMUP = 5_000
_PATIENT_ATTEMPTS = 3

Key = tuple[str, str]


@dataclass(slots=True)
class CandleDesk:
    """The candle lines of one feed. `emit` takes every closed candle of a configured pair, in order, once."""

    config: FeedConfig
    venue: CcxtVenue
    sanity: MarketSanity
    health: HealthBook
    statistics: FeedStatistics
    emit: Callable[[Candle], None]
    lines: dict[Key, CandleLine] = field(default_factory=dict)
    builders: dict[str, list[tuple[CandleBuilder, CandleLine]]] = field(default_factory=dict)
    says_closed: bool = False
    _joined: dict[Key, list[tuple[CandleAggregator, CandleLine]]] = field(default_factory=dict)
    _history: CandleHistory = field(init=False)
    _followed: dict[Key, tuple[Sequence[float], int]] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    def __post_init__(self) -> None:
        """Decide for every pair where its candles come from."""
        self._history = CandleHistory(self.venue)
        # Joined and built candles consist of values that were judged already: theirs only have to be consistent.
        believing = MarketSanity(self.config.band, 1, refused=self.statistics.refused)
        for symbol, timeframe in self.config.pairs:
            line = partial(CandleLine, symbol, timeframe, believing, partial(self._out, (symbol, timeframe)))
            base = self._base(timeframe)
            if base == timeframe:
                self._native(symbol, timeframe)
            elif base is not None:
                self._native(symbol, base)
                self._joined.setdefault((symbol, base), []).append((CandleAggregator(symbol, base, timeframe), line()))
            else:
                self.builders.setdefault(symbol, []).append((CandleBuilder(symbol, timeframe), line()))

    @property
    def native(self) -> tuple[Key, ...]:
        """The (symbol, timeframe) pairs to be had from the venue itself."""
        return tuple(self.lines)

    def _native(self, symbol: str, timeframe: str) -> None:
        key = (symbol, timeframe)
        self.lines.setdefault(key, CandleLine(symbol, timeframe, self.sanity, partial(self._out, key)))

    def _base(self, timeframe: str) -> str | None:
        """The venue's timeframe to take or to join from: itself, else the longest that divides it; None if there is none."""
        length = timeframe_ms(timeframe)
        fitting = [name for name in self.venue.timeframes if name[-1] != "w" and length % timeframe_ms(name) == 0]
        return timeframe if timeframe in self.venue.timeframes else (fitting[-1] if fitting else None)

    def _out(self, key: Key, candle: Candle) -> None:
        """A candle was proved: hand it on, and to the larger ones it is part of."""
        if key in self.config.pairs:
            self.statistics.candles += 1
            self.emit(candle)
        for aggregator, line in self._joined.get(key, ()):
            larger = aggregator.on_candle(candle)
            if larger is not None:
                self._derived(line, larger)

    def _derived(self, line: CandleLine, candle: Candle) -> None:
        """A joined or built candle: what is missing before it cannot be had anywhere."""
        hole = line.proof.missing_before(candle.ts)
        if hole is not None:
            line.proof.concede(candle.ts)
            self._conceded(hole)
        line.offer(candle)
        line.settled()

    def on_trade(self, trade: Trade) -> None:
        """Feed the builders of its symbol."""
        for builder, line in self.builders.get(trade.symbol, ()):
            for candle in builder.on_trade(trade):
                self._derived(line, candle)

    def distrust_trades(self, symbols: Sequence[str]) -> None:
        """Trades may have been missed until now."""
        for symbol in symbols:
            for builder, _ in self.builders.get(symbol, ()):
                builder.distrust_until(self.venue.now())

    def on_kline(self, symbol: str, timeframe: str, row: Sequence[float], closed: bool) -> None:
        """The venue said whether a candle is closed."""
        self.says_closed = True
        line = self.lines.get((symbol, timeframe))
        if closed and line is not None:
            self._offer(line, candle_of(symbol, timeframe, row, self.venue.clock()))

    def harvest(self, stream: Stream) -> bool:
        """After an event of a stream of candles: take those that a newer one closed. True while its events must be followed."""
        if stream.kind is not StreamKind.CANDLES or self.says_closed:
            return False
        now = asyncio.get_running_loop().time()
        stream.heard(now)
        self.statistics.last_event[stream.name] = now
        for key in stream.feeds:
            rows = (self.venue.exchange.ohlcvs.get(key[0]) or {}).get(key[1])
            if rows and key in self.lines:
                self._follow(self.lines[key], list(rows[-1]))
        return True

    def _follow(self, line: CandleLine, newest: Sequence[float]) -> None:
        """Remember the forming candle; when a newer one takes its place it is closed, if it was followed to its end."""
        key, now = (line.symbol, line.timeframe), self.venue.now()
        row, seen = self._followed.get(key, (newest, now))
        if newest[0] > row[0]:
            end = int(row[0]) + line.length
            if seen >= end - max(2_000, line.length // 20):
                self._offer(line, candle_of(line.symbol, line.timeframe, row, self.venue.clock()))
            else:
                line.want("a candle was not followed to its end")
                self._wake.set()
        if newest != row or key not in self._followed:
            self._followed[key] = (newest, now)

    def forget(self, stream: Stream) -> None:
        """A stream of candles broke off: what ccxt remembers of it is not the whole candle."""
        for key in stream.feeds:
            self._followed.pop(key, None)
            (self.venue.exchange.ohlcvs.get(key[0]) or {}).pop(key[1], None)

    def resume(self, symbols: Sequence[str], reason: str) -> None:
        """Fetch what these symbols may have missed."""
        for line in self.lines.values():
            if line.symbol in symbols:
                line.want(reason)
        self._wake.set()

    def _offer(self, line: CandleLine, candle: Candle) -> None:
        if line.offer(candle) in {Offer.GAP, Offer.DOUBTED, Offer.REFUSED}:
            self._wake.set()
            self.health.mark(candle.at, line.symbol, _cause(line), Health.GAP, f"{line.timeframe}: {line.wanted}")

    async def warm_up(self) -> list[Candle]:
        """Fetch the history of every line; the configured pairs' candles in the order of closing. Raises ccxt's errors."""
        warm: list[Candle] = []
        emit, self.emit = self.emit, warm.append
        try:
            async with asyncio.TaskGroup() as group:
                for line in self.lines.values():
                    group.create_task(self._warm(line))
        finally:
            self.emit = emit
        warm = [candle for pair in self.config.pairs for candle in _newest(warm, pair, self.config.warmup)]
        warm.sort(key=lambda candle: candle.end)
        for candle in reversed(warm):
            self.sanity.seed(candle.symbol, candle.close)
        return warm

    async def _warm(self, line: CandleLine) -> None:
        start = candle_start(self.venue.now(), line.timeframe)
        joins = [
            timeframe_ms(larger.timeframe) // line.length for _, larger in self._joined.get((line.symbol, line.timeframe), ())
        ]
        # One more of the longest joined candle, because its first is cut by where the history begins.
        count = min(_MAX_WARMUP, (self.config.warmup + 1) * max(joins)) if joins else self.config.warmup
        if self.config.warmup == 0:
            line.proof.last = start - line.length
            return
        for _ in range(self.config.confirmations + 2):
            await self._ask_again(line, start - count * line.length)
            if line.complete(self.venue.now()):
                line.settled()
                return

    async def _ask_again(self, line: CandleLine, since: int) -> None:
        """Ask, and again where the answer is lost: what fails while the bot runs is repaired, at start it would end the bot."""
        for pause in (*_START_PAUSES_S, None):
            try:
                await self._ask(line, since)
            except Exception as error:
                if pause is None:
                    raise
                self.statistics.backfill_failures += 1
                _log.warning("history_not_loaded", symbol=line.symbol, timeframe=line.timeframe, error=type(error).__name__)
                await asyncio.sleep(pause)
            else:
                return

    async def run(self) -> None:
        """Close what is due and repair what is missing, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._close_built(), name="close-built")
            while True:
                now, loop_time = self.venue.now(), asyncio.get_running_loop().time()
                grace = round(self.config.confirm_after * 1000)
                due = [
                    line
                    for line in self.lines.values()
                    if (line.wanted or line.overdue(now, grace)) and loop_time >= line.retry_at
                ]
                if due:
                    await asyncio.gather(*(self._repair(line) for line in due))
                self._wake.clear()
                try:
                    async with asyncio.timeout(self.config.tick):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _close_built(self) -> None:
        """Built candles end by the clock where no trade ends them."""
        while self.builders:
            await asyncio.sleep(self.config.tick)
            # Trades of the last moment may still be on their way.
            until, at = self.venue.now() - 250, self.venue.clock()
            for pairs in self.builders.values():
                for builder, line in pairs:
                    for candle in builder.close_until(until, at):
                        self._derived(line, candle)

    async def _repair(self, line: CandleLine) -> None:
        """Ask the venue for what a line expects; a failure is retried later, and shows as a gap if it lasts."""
        line.attempts += 1
        pause = min(self.config.backoff_cap, self.config.backoff_first * 2.0 ** min(line.attempts, 30))
        line.retry_at = asyncio.get_running_loop().time() + pause
        try:
            progress = await self._ask(line, candle_start(self.venue.now(), line.timeframe) - line.length)
        except Exception as error:  # noqa: BLE001 - the boundary of a repair: whatever the venue answered, the next attempt is due
            self.statistics.backfill_failures += 1
            _log.warning(
                "backfill_failed", symbol=line.symbol, timeframe=line.timeframe, error=f"{type(error).__name__}: {error}"[:200]
            )
            progress = 0
        at = self.venue.clock()
        if line.complete(self.venue.now()):
            line.settled()
            self.health.clear(at, line.symbol, _cause(line), f"{line.timeframe} candles are complete")
        elif progress:
            line.retry_at = 0.0
        elif line.attempts >= _PATIENT_ATTEMPTS:
            detail = f"{line.timeframe}: {line.wanted or 'the next candle is overdue'}"
            self.health.mark(at, line.symbol, _cause(line), Health.GAP, detail)

    async def _ask(self, line: CandleLine, since: int) -> int:
        """Offer the venue's answer to a line; how many candles it let out. Raises ccxt's errors."""
        async with self._slots:
            candles = await self._history.pages(line.symbol, line.timeframe, line.proof.expected or since)
        self.statistics.backfills += 1
        before = self.statistics.backfilled
        for candle in candles:
            offer = line.offer(candle)
            if offer is Offer.GAP:
                hole = line.concede_before(candle.ts)
                if hole is not None:
                    self._conceded(hole)
                    offer = line.offer(candle)
            elif offer is Offer.REFUSED:
                hole = line.give_up(candle.ts, self.config.confirmations)
                if hole is not None:
                    self._conceded(hole)
                    continue
            if offer in {Offer.GAP, Offer.DOUBTED, Offer.REFUSED}:
                break
            self.statistics.backfilled += offer is Offer.OUT
        return self.statistics.backfilled - before

    def _conceded(self, hole: MissingCandles) -> None:
        """Candles that are not to be had: said once, then the market goes on."""
        self.statistics.conceded += hole.count
        at, detail = self.venue.clock(), f"the venue has no {hole.timeframe} candles from {hole.first} to {hole.last}"
        _log.warning("candles_conceded", symbol=hole.symbol, timeframe=hole.timeframe, first=hole.first, count=hole.count)
        self.health.mark(at, hole.symbol, f"hole {hole.timeframe}", Health.GAP, detail)
        self.health.clear(at, hole.symbol, f"hole {hole.timeframe}", detail)


def _newest(candles: Sequence[Candle], pair: Key, count: int) -> list[Candle]:
    series = [candle for candle in candles if (candle.symbol, candle.timeframe) == pair]
    return series[-count:] if count else []


def _cause(line: CandleLine) -> str:
    return f"candles {line.timeframe}"
