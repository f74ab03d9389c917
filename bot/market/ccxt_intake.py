"""From what ccxt parsed to what leaves the room: converted, judged, counted, handed on. Synchronous, inside the receive loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.core.market import Health, Quote, Side, Trade
from bot.market.ccxt_candles import CandleDesk
from bot.market.ccxt_streams import Stream, StreamKind
from bot.market.ccxt_venue import CcxtVenue
from bot.market.feed_config import FeedConfig, FeedSink
from bot.market.feed_stats import FeedStatistics
from bot.market.health import HealthBook
from bot.market.sanity import MarketSanity

_UNSAID_SIZE = 1e9
_REMEMBERED_IDS = 4_096


@dataclass(slots=True)
class _RecentIds:
    """The newest ids of a symbol's trades: venues repeat trades when one subscribes again or polls."""

    seen: dict[str, None] = field(default_factory=dict)

    def is_new(self, trade_id: str) -> bool:
        if trade_id in self.seen:
            return False
        self.seen[trade_id] = None
        if len(self.seen) > _REMEMBERED_IDS:
            del self.seen[next(iter(self.seen))]
        return True


@dataclass(slots=True)
class Intake:
    """The `Tap` of a feed; also takes what was asked for by REST."""

    config: FeedConfig
    sink: FeedSink
    sanity: MarketSanity
    health: HealthBook
    statistics: FeedStatistics
    venue: CcxtVenue
    candles: CandleDesk
    streams: dict[tuple[StreamKind, str, str], Stream] = field(default_factory=dict)
    quotes: dict[str, Quote] = field(default_factory=dict)
    differed: Counter[str] = field(default_factory=Counter)
    _heard: dict[str, float] = field(default_factory=dict)
    _streamed: dict[str, float] = field(default_factory=dict)
    _stalled: set[str] = field(default_factory=set)
    _ids: dict[str, _RecentIds] = field(default_factory=dict)
    _time: Callable[[], float] = field(init=False)

    def __post_init__(self) -> None:
        """Begin to count the silence of every symbol."""
        self._time = asyncio.get_running_loop().time
        self.begin()

    def begin(self) -> None:
        """No symbol has been silent yet."""
        self._heard = dict.fromkeys(self.config.symbols, self._time())
        self._streamed = dict(self._heard)
        self._ids = {symbol: _RecentIds() for symbol in self.config.symbols}

    def unstreamed_for(self, symbol: str, now: float) -> float:
        """Seconds since the symbol's last quote on its stream; REST may have stood in since."""
        return now - self._streamed[symbol]

    def stalled(self, symbol: str, detail: str) -> None:
        """The symbol's stream has stalled: stale until it speaks again, even while REST stands in."""
        self._stalled.add(symbol)
        self.health.mark(self.venue.clock(), symbol, "stream", Health.STALE, detail)

    def silent_for(self, symbol: str, now: float) -> float:
        """Seconds since the symbol's last believable quote."""
        return now - self._heard[symbol]

    def on_ticker(self, ticker: Mapping[str, Any]) -> None:
        """See `Tap`: a quote."""
        symbol = ticker["symbol"]
        if symbol in self._heard:
            self._hear(StreamKind.QUOTES, symbol, "")
            self._streamed[symbol] = self._time()
            self.differed.pop(symbol, None)
            self.take_quote(symbol, ticker)
            if symbol in self._stalled:
                self._stalled.discard(symbol)
                self.health.clear(self.venue.clock(), symbol, "stream", "the stream speaks again")

    def take_quote(self, symbol: str, ticker: Mapping[str, Any]) -> None:
        """Judge and hand on the best bid and ask of a unified ticker, whoever asked for it."""
        if ticker["bid"] is None or ticker["ask"] is None:
            self.statistics.refused["no_bid_or_ask"] += 1
            return
        at = self.venue.clock()
        bid, ask = float(ticker["bid"]), float(ticker["ask"])
        bid_size, ask_size = _size(ticker.get("bidVolume")), _size(ticker.get("askVolume"))
        ts = ticker.get("timestamp") or self.venue.now()
        quote = Quote(symbol, at, ts, bid, ask, bid_size, ask_size, bid, bid, ask, ask)
        if self.sanity.quote(quote) is not None:
            return
        self._heard[symbol] = self._time()
        self.quotes[symbol] = quote
        self.statistics.quotes += 1
        self.sink.on_quote(quote)
        self.health.clear(at, symbol, "quotes", "quotes flow")

    def on_public_trade(self, trade: Mapping[str, Any]) -> None:
        """See `Tap`: a trade."""
        symbol = trade["symbol"]
        if symbol in self._ids:
            self._hear(StreamKind.TRADES, symbol, "")
            self.take_trade(symbol, trade)

    def take_trade(self, symbol: str, raw: Mapping[str, Any]) -> None:
        """Judge and hand on a unified trade, whoever asked for it."""
        trade_id = raw.get("id") or ""
        if trade_id and not self._ids[symbol].is_new(trade_id):
            self.statistics.duplicates += 1
            return
        at = self.venue.clock()
        side = Side.SELL if raw.get("side") == "sell" else Side.BUY
        trade = Trade(
            symbol, at, raw.get("timestamp") or self.venue.now(), trade_id, float(raw["price"]), float(raw["amount"]), side
        )
        if self.sanity.trade(trade) is not None:
            return
        self.statistics.trades += 1
        if self.config.trades:
            self.sink.on_trade(trade)
        self.candles.on_trade(trade)

    def on_kline(self, symbol: str, timeframe: str, row: Sequence[float], closed: bool) -> None:
        """See `Tap`: a candle of a venue that says whether it is closed."""
        self._hear(StreamKind.CANDLES, symbol, timeframe)
        self.candles.on_kline(symbol, timeframe, row, closed)

    def interrupted(self, stream: Stream) -> None:
        """What was half seen on a stream that broke off cannot be completed from what comes next."""
        match stream.kind:
            case StreamKind.TRADES:
                self.candles.distrust_trades(stream.symbols)
            case StreamKind.CANDLES:
                self.candles.forget(stream)
            case StreamKind.QUOTES:
                pass

    def _hear(self, kind: StreamKind, symbol: str, timeframe: str) -> None:
        stream = self.streams.get((kind, symbol, timeframe))
        if stream is not None:
            now = self._time()
            stream.heard(now)
            self.statistics.last_event[stream.name] = now


def _size(value: float | str | None) -> float:
    """The displayed amount; venues that do not say it are taken to show enough."""
    return _UNSAID_SIZE if value is None else float(value)
