"""What the bot knows of a market, in the field's own units.

Prices and sizes of market data are floats (they are statistics); steps, minimums and fees of an instrument are `Decimal` (they
decide what is owed). Times are integer milliseconds UTC: `ts` is the venue's own, `at` is when the bot learned of it. Market
data classes are not frozen because building a frozen one costs six times as much (benchmarks/core.py); nobody mutates them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from bot.core.values import value

_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def timeframe_ms(timeframe: str) -> int:
    """Length in milliseconds of a ccxt timeframe such as `1s`, `5m`, `1h`; `ValueError` if it is not one."""
    try:
        count = int(timeframe[:-1])
        length = count * _UNIT_MS[timeframe[-1:]]
    except (KeyError, ValueError):
        length = 0
    if length <= 0:
        message = f"{timeframe!r} is not a timeframe (a number followed by s, m, h, d or w)"
        raise ValueError(message)
    return length


@dataclass(slots=True)
class Quote:
    """Best bid and ask of a symbol, with the extremes they reached since the last quote that was handled."""

    symbol: str
    at: int
    ts: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    bid_low: float
    bid_high: float
    ask_low: float
    ask_high: float

    @classmethod
    def of(
        cls,
        symbol: str,
        ts: int,
        bid: float,
        ask: float,
        bid_size: float = 1e9,
        ask_size: float = 1e9,
        at: int | None = None,
    ) -> Quote:
        """A quote alone, whose extremes are itself; `at` defaults to `ts`."""
        return cls(symbol, ts if at is None else at, ts, bid, ask, bid_size, ask_size, bid, bid, ask, ask)

    @property
    def mid(self) -> float:
        """Halfway between bid and ask."""
        return (self.bid + self.ask) * 0.5

    def conflated_with(self, older: Quote) -> Quote:
        """This quote, carrying also the extremes of an older one that nobody handled."""
        return Quote(
            self.symbol,
            self.at,
            self.ts,
            self.bid,
            self.ask,
            self.bid_size,
            self.ask_size,
            min(self.bid_low, older.bid_low),
            max(self.bid_high, older.bid_high),
            min(self.ask_low, older.ask_low),
            max(self.ask_high, older.ask_high),
        )


class Side(StrEnum):
    """Side of an order, a fill or the aggressor of a trade."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


@dataclass(slots=True)
class Trade:
    """A public trade; `side` is the aggressor's."""

    symbol: str
    at: int
    ts: int
    id: str
    price: float
    amount: float
    side: Side


@dataclass(slots=True)
class Candle:
    """A closed candle: it began at `ts` and covers one timeframe. An unfinished one does not exist in Arbiter."""

    symbol: str
    timeframe: str
    at: int
    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def end(self) -> int:
        """First millisecond after the candle."""
        return self.ts + timeframe_ms(self.timeframe)

    def fault(self) -> str | None:
        """Why these numbers cannot be a candle, or None."""
        prices = (self.open, self.high, self.low, self.close)
        if not all(math.isfinite(price) and price > 0 for price in prices):
            return "a price is not a positive finite number"
        if not (math.isfinite(self.volume) and self.volume >= 0):
            return "the volume is negative or not finite"
        if self.low > min(self.open, self.close) or self.high < max(self.open, self.close):
            return "high and low do not contain open and close"
        return None


@value
class Instrument:
    """What the venue says of a symbol: steps and minimums in `Decimal`, fees as fractions of the notional."""

    symbol: str
    base: str
    quote: str
    price_step: Decimal
    amount_step: Decimal
    min_amount: Decimal
    min_cost: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    max_amount: Decimal | None = None
    max_market_amount: Decimal | None = None
    active: bool = True

    def floor_amount(self, amount: Decimal) -> Decimal:
        """The largest multiple of the amount step that is not above `amount` (towards zero)."""
        return (amount // self.amount_step) * self.amount_step

    def round_price(self, price: Decimal) -> Decimal:
        """The multiple of the price step nearest to `price`."""
        return (price / self.price_step).to_integral_value() * self.price_step


class Health(StrEnum):
    """State of a symbol's market data."""

    FRESH = "fresh"
    STALE = "stale"
    GAP = "gap"


@dataclass(slots=True)
class MarketView:
    """The newest of everything, as rules and risk may read it. Only the desk writes to it.

    `candles` keeps the last `depth` closed candles by symbol and timeframe; `prices` the newest price of every symbol
    (the mid of its quote, else its last close).
    """

    depth: int = 128
    now: int = 0
    quotes: dict[str, Quote] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    candles: dict[str, dict[str, deque[Candle]]] = field(default_factory=dict)
    instruments: dict[str, Instrument] = field(default_factory=dict)

    def price(self, symbol: str) -> float | None:
        """Newest price of the symbol, None while there is none."""
        return self.prices.get(symbol)

    def history(self, symbol: str, timeframe: str) -> Sequence[Candle]:
        """Closed candles, oldest first; empty while there are none."""
        by_timeframe = self.candles.get(symbol)
        return by_timeframe.get(timeframe, ()) if by_timeframe is not None else ()

    def remember(self, candle: Candle) -> None:
        """Keep a closed candle, forgetting the oldest beyond `depth`."""
        by_timeframe = self.candles.get(candle.symbol)
        if by_timeframe is None:
            by_timeframe = self.candles[candle.symbol] = {}
        kept = by_timeframe.get(candle.timeframe)
        if kept is None:
            kept = by_timeframe[candle.timeframe] = deque(maxlen=self.depth)
        kept.append(candle)
