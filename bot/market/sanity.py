"""Nothing absurd leaves the room: every market value passes here, and what does not is counted by reason.

A value is judged against the last one accepted for its symbol. Outside the jump band it waits until enough consecutive values
agree with it: one bad print is refused, a real move of the market is believed a few values later.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from bot.core.market import Candle, Quote, Trade


class Refusal(StrEnum):
    """Why a market value was refused."""

    NOT_FINITE = "not_finite"
    NOT_POSITIVE = "not_positive"
    CROSSED = "crossed"
    INCONSISTENT = "inconsistent"
    JUMP = "jump"
    TIME = "time"


@dataclass(slots=True)
class _Level:
    """Last accepted prices of a symbol; 0.0 while there is none."""

    bid: float = 0.0
    ask: float = 0.0
    last: float = 0.0


@dataclass(slots=True)
class _Candidate:
    """A value outside the band, and how many consecutive values agreed on it."""

    low: float
    high: float
    count: int = 1


@dataclass(slots=True)
class MarketSanity:
    """Judge quotes, trades and closed candles; each method returns the reason of a refusal, or None and remembers the value.

    `band` is the largest believable jump as a fraction of the last accepted price; `confirmations` how many consecutive values
    must agree on a price beyond it (1 believes the first). The first price of a symbol has nothing to be compared with and is
    believed, unless `seed` gave it one. A time stamp more than `ahead` ms past the bot's own clock, or not positive, is refused.
    """

    band: float = 0.2
    confirmations: int = 3
    ahead: int = 3_600_000
    refused: Counter[str] = field(default_factory=Counter)
    _levels: dict[str, _Level] = field(default_factory=dict)
    _closes: dict[tuple[str, str], float] = field(default_factory=dict)
    _candidates: dict[tuple[str, str], _Candidate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a band or a count that would let everything, or nothing, pass."""
        if not 0 < self.band < 1:
            message = f"band is {self.band}: it must be a fraction between 0 and 1, such as 0.2"
            raise ValueError(message)
        if self.confirmations < 1:
            message = f"confirmations is {self.confirmations}: it must be at least 1"
            raise ValueError(message)

    def seed(self, symbol: str, price: float) -> None:
        """Take a trusted price, such as the last close of the history, as the first to compare with."""
        self._levels.setdefault(symbol, _Level(price, price, price))

    def quote(self, quote: Quote) -> Refusal | None:
        """Judge a quote: finite, positive, not crossed, sizes finite and not negative, both prices inside the band."""
        bid, ask = quote.bid, quote.ask
        # One chain of comparisons is false for every NaN and for an infinite ask: the good quote pays for one test.
        if not (0.0 < bid <= ask < math.inf):
            return self._refuse(_price_fault(bid, ask))
        if not (0.0 <= quote.bid_size < math.inf and 0.0 <= quote.ask_size < math.inf):
            return self._refuse(Refusal.NOT_FINITE)
        if not 0 < quote.ts <= quote.at + self.ahead:
            return self._refuse(Refusal.TIME)
        level = self._levels.get(quote.symbol)
        if level is None:
            self._levels[quote.symbol] = _Level(bid, ask)
            return None
        band, last = self.band, level.last
        if not (_near(bid, level.bid, band) or _near(bid, last, band)) or not (
            _near(ask, level.ask, band) or _near(ask, last, band)
        ):
            if not self._confirmed(quote.symbol, "quote", bid, ask):
                return self._refuse(Refusal.JUMP)
        elif self._candidates:
            self._candidates.pop((quote.symbol, "quote"), None)
        level.bid, level.ask = bid, ask
        return None

    def trade(self, trade: Trade) -> Refusal | None:
        """Judge a trade: finite, positive, near the last trade or between bid and ask widened by the band."""
        price = trade.price
        if not (0.0 < price < math.inf and 0.0 < trade.amount < math.inf):
            return self._refuse(_price_fault(price, trade.amount))
        if not 0 < trade.ts <= trade.at + self.ahead:
            return self._refuse(Refusal.TIME)
        level = self._levels.get(trade.symbol)
        if level is None:
            self._levels[trade.symbol] = _Level(last=price)
            return None
        if not self._within(level, price, price):
            if not self._confirmed(trade.symbol, "trade", price, price):
                return self._refuse(Refusal.JUMP)
        elif self._candidates:
            self._candidates.pop((trade.symbol, "trade"), None)
        level.last = price
        return None

    def candle(self, candle: Candle) -> Refusal | None:
        """Judge a closed candle: consistent, and high and low inside the band around the close before it or the live market.

        The same candle offered again (a REST answer that repeats a websocket frame) counts as a value that agrees.
        """
        fault = _candle_fault(candle)
        if fault is not None:
            return self._refuse(fault)
        if not 0 <= candle.ts <= candle.at + self.ahead:
            return self._refuse(Refusal.TIME)
        key = (candle.symbol, candle.timeframe)
        close = self._closes.get(key)
        if close is not None and not self._candle_within(candle, close):
            if not self._confirmed(candle.symbol, candle.timeframe, candle.low, candle.high):
                return self._refuse(Refusal.JUMP)
        elif self._candidates:
            self._candidates.pop(key, None)
        self._closes[key] = candle.close
        return None

    def _candle_within(self, candle: Candle, close: float) -> bool:
        if _near(candle.low, close, self.band) and _near(candle.high, close, self.band):
            return True
        level = self._levels.get(candle.symbol)
        return level is not None and self._within(level, candle.low, candle.high)

    def _within(self, level: _Level, low: float, high: float) -> bool:
        """Whether both prices are inside the band around what is known of the symbol; true while nothing is."""
        floor = min(level.bid or level.last, level.last or level.bid)
        ceiling = max(level.ask, level.last)
        return ceiling == 0.0 or (low >= floor * (1 - self.band) and high <= ceiling * (1 + self.band))

    def _confirmed(self, symbol: str, kind: str, low: float, high: float) -> bool:
        key = (symbol, kind)
        candidate = self._candidates.get(key)
        if candidate is not None and _near(low, candidate.low, self.band) and _near(high, candidate.high, self.band):
            candidate.low, candidate.high, candidate.count = low, high, candidate.count + 1
        else:
            candidate = self._candidates[key] = _Candidate(low, high)
        if candidate.count < self.confirmations:
            return False
        del self._candidates[key]
        return True

    def _refuse(self, reason: Refusal) -> Refusal:
        self.refused[reason] += 1
        return reason


def _near(price: float, reference: float, band: float) -> bool:
    return abs(price - reference) <= band * reference


def _price_fault(first: float, second: float) -> Refusal:
    if not (math.isfinite(first) and math.isfinite(second)):
        return Refusal.NOT_FINITE
    return Refusal.NOT_POSITIVE if first <= 0 or second <= 0 else Refusal.CROSSED


def _candle_fault(candle: Candle) -> Refusal | None:
    if candle.fault() is None:
        return None
    prices = (candle.open, candle.high, candle.low, candle.close)
    if not all(map(math.isfinite, (*prices, candle.volume))):
        return Refusal.NOT_FINITE
    return Refusal.NOT_POSITIVE if min(prices) <= 0 or candle.volume < 0 else Refusal.INCONSISTENT
