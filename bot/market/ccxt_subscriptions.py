"""Which streams a venue can give for what is wanted, in the fewest subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from bot.core.market import timeframe_ms
from bot.market.ccxt_streams import Backoff, Stream, StreamKind
from bot.market.ccxt_venue import CcxtVenue
from bot.market.feed_config import FeedConfig

# The smallest limit of symbols per subscription that a venue is known to set.
_PER_SUBSCRIPTION = 200
_LONGEST_CANDLE_STEP_S = 20.0

_T = TypeVar("_T")
Feeds = tuple[tuple[str, str], ...]


def subscriptions(
    venue: CcxtVenue,
    config: FeedConfig,
    candles: Sequence[tuple[str, str]],
    trades: Sequence[str],
    backoff: Callable[[], Backoff],
) -> list[Stream]:
    """The streams for the quotes of all symbols, the trades of `trades` and the candles of `candles`.

    What the venue has no websocket for is left out.
    """
    exchange = venue.exchange
    streams: list[Stream] = []

    def add(kind: StreamKind, feeds: Feeds, watch: Callable[[], Any], silence: float) -> None:
        name = f"{kind}:{len(streams)}"
        streams.append(Stream(name, kind, feeds, watch, silence, config.silence_cap, backoff()))

    for symbols in _batches(config.symbols, _quote_batch(venue)):
        feeds = tuple((symbol, "") for symbol in symbols)
        if venue.has("watchBidsAsks"):
            add(StreamKind.QUOTES, feeds, partial(exchange.watch_bids_asks, list(symbols)), config.stale_after)
        elif venue.has("watchTickers"):
            add(StreamKind.QUOTES, feeds, partial(exchange.watch_tickers, list(symbols)), config.stale_after)
        elif venue.has("watchTicker"):
            add(StreamKind.QUOTES, feeds, partial(exchange.watch_ticker, symbols[0]), config.stale_after)
    many = venue.has("watchTradesForSymbols")
    for symbols in _batches(trades, _PER_SUBSCRIPTION if many else 1):
        feeds = tuple((symbol, "") for symbol in symbols)
        if many:
            add(StreamKind.TRADES, feeds, partial(exchange.watch_trades_for_symbols, list(symbols)), config.trade_silence)
        elif venue.has("watchTrades"):
            add(StreamKind.TRADES, feeds, partial(exchange.watch_trades, symbols[0]), config.trade_silence)
    many = venue.has("watchOHLCVForSymbols")
    for pairs in _batches(candles, _PER_SUBSCRIPTION if many else 1):
        silence = max(config.stale_after, *(_candle_silence(timeframe) for _, timeframe in pairs))
        if many:
            add(StreamKind.CANDLES, tuple(pairs), partial(exchange.watch_ohlcv_for_symbols, [list(p) for p in pairs]), silence)
        elif venue.has("watchOHLCV"):
            add(StreamKind.CANDLES, tuple(pairs), partial(exchange.watch_ohlcv, *pairs[0]), silence)
    return streams


def _quote_batch(venue: CcxtVenue) -> int:
    return _PER_SUBSCRIPTION if venue.has("watchBidsAsks") or venue.has("watchTickers") else 1


def _candle_silence(timeframe: str) -> float:
    """Seconds: venues repeat the forming candle every few seconds while there are trades."""
    return 3 * min(timeframe_ms(timeframe) / 1000, _LONGEST_CANDLE_STEP_S)


def _batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
