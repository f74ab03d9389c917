"""The names of streams: `btcusdt@kline_1m` and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bot.core.market import timeframe_ms

INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
_PARTIAL_LEVELS = (5, 10, 20)


class Kind(StrEnum):
    """What a stream carries."""

    TRADE = "trade"
    AGG_TRADE = "aggTrade"
    BOOK_TICKER = "bookTicker"
    KLINE = "kline"
    MINI_TICKER = "miniTicker"
    TICKER = "ticker"
    DEPTH = "depth"
    DEPTH_SLOW = "depth@1000ms"
    PARTIAL_DEPTH = "partialDepth"


class UnknownTopic(ValueError):  # noqa: N818 - it names what is wrong
    """No stream has this name."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One stream. `symbol` is None for one of all symbols; `interval` and `length` (ms) belong to klines, `levels` to books."""

    name: str
    kind: Kind
    symbol: str | None
    interval: str = ""
    length: int = 0
    levels: int = 0


_OF_ALL = {"!miniTicker@arr": Kind.MINI_TICKER, "!ticker@arr": Kind.TICKER, "!bookTicker": Kind.BOOK_TICKER}
_PLAIN = {kind.value: kind for kind in (Kind.TRADE, Kind.AGG_TRADE, Kind.BOOK_TICKER, Kind.MINI_TICKER, Kind.TICKER)}


def parse_topic(name: str, symbols: Mapping[str, str]) -> Topic:
    """Read a stream's name; `symbols` gives the symbol of a venue id. `UnknownTopic` when there is no such stream."""
    if name in _OF_ALL:
        return Topic(name, _OF_ALL[name], None)
    lowered, _, rest = name.partition("@")
    symbol = symbols.get(lowered.upper())
    if symbol is None or lowered != lowered.lower():
        message = f"{name!r} names no listed symbol"
        raise UnknownTopic(message)
    if rest in _PLAIN:
        return Topic(name, _PLAIN[rest], symbol)
    if rest.startswith("kline_") and rest[6:] in INTERVALS:
        return Topic(name, Kind.KLINE, symbol, interval=rest[6:], length=timeframe_ms(rest[6:]))
    if rest == "depth@100ms":
        return Topic(name, Kind.DEPTH, symbol)
    if rest in ("depth", "depth@1000ms"):
        return Topic(name, Kind.DEPTH_SLOW, symbol)
    for levels in _PARTIAL_LEVELS:
        if rest in (f"depth{levels}", f"depth{levels}@100ms", f"depth{levels}@1000ms"):
            return Topic(name, Kind.PARTIAL_DEPTH, symbol, levels=levels)
    message = f"{name!r} is not a stream of this exchange"
    raise UnknownTopic(message)
