"""Candles that are closed, whole and in order: built from trades, joined from smaller ones, and proved to follow each other.

Everything here is plain arithmetic on what it is given; the time is an argument.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from bot.core.market import Candle, Trade, timeframe_ms

_DAY = 86_400_000
# The epoch was a Thursday; the field's weeks begin on Monday, four days later.
_FIRST_MONDAY = 4 * _DAY


def candle_start(ts: int, timeframe: str) -> int:
    """Start (ms UTC) of the candle of this timeframe that contains `ts`; weeks begin on Monday."""
    length = timeframe_ms(timeframe)
    origin = _FIRST_MONDAY if timeframe.endswith("w") else 0
    return ts - (ts - origin) % length


@dataclass(frozen=True, slots=True)
class MissingCandles:
    """A hole in a series: `count` candles that begin at `first` ... `last` (ms UTC, both missing)."""

    symbol: str
    timeframe: str
    first: int
    last: int
    count: int


class Sequel(StrEnum):
    """How a candle relates to the one before it."""

    NEXT = "next"
    GAP = "gap"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out_of_order"
    MISALIGNED = "misaligned"


@dataclass(slots=True)
class GapProof:
    """Proof that every candle let through follows its predecessor. `last` is the start of the newest one let through."""

    symbol: str
    timeframe: str
    last: int | None = None
    verdicts: Counter[Sequel] = field(default_factory=Counter)
    conceded: int = 0

    @property
    def expected(self) -> int | None:
        """Start of the candle that must come next; None before the first."""
        return None if self.last is None else self.last + timeframe_ms(self.timeframe)

    def judge(self, ts: int) -> Sequel:
        """What a candle beginning at `ts` would be, without letting it through."""
        if ts != candle_start(ts, self.timeframe):
            return Sequel.MISALIGNED
        expected = self.expected
        if expected is None or ts == expected:
            return Sequel.NEXT
        if ts > expected:
            return Sequel.GAP
        return Sequel.DUPLICATE if ts == self.last else Sequel.OUT_OF_ORDER

    def admit(self, candle: Candle) -> Sequel:
        """Judge a candle; only `NEXT` goes through and moves the proof on."""
        sequel = self.judge(candle.ts)
        self.verdicts[sequel] += 1
        if sequel is Sequel.NEXT:
            self.last = candle.ts
        return sequel

    def missing_before(self, ts: int) -> MissingCandles | None:
        """The hole between the newest candle let through and one that begins at `ts`; None if there is none."""
        expected = self.expected
        if expected is None or ts <= expected:
            return None
        length = timeframe_ms(self.timeframe)
        return MissingCandles(self.symbol, self.timeframe, expected, ts - length, (ts - expected) // length)

    def concede(self, ts: int) -> MissingCandles | None:
        """Give up what is missing before `ts` (the venue itself has no such candles) and expect `ts` next."""
        hole = self.missing_before(ts)
        if hole is not None:
            self.conceded += hole.count
            self.last = hole.last
        return hole


@dataclass(slots=True)
class _Bar:
    """A candle that is still forming."""

    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    traded: bool = False

    def closed(self, symbol: str, timeframe: str, at: int) -> Candle:
        return Candle(symbol, timeframe, at, self.ts, self.open, self.high, self.low, self.close, self.volume)


@dataclass(slots=True)
class CandleBuilder:
    """Build closed candles of one symbol from its trades.

    A candle is closed by a trade of a later candle or by `close_until`; a quiet one repeats the last close with zero volume.
    `since` (ms UTC) is the time from which the trades are known to be complete: a candle that began earlier is not let out,
    because nobody saw all of it. Without it the first candle counts as incomplete. A trade of a candle already closed is
    counted in `late` and changes nothing. After more than `max_quiet` candles without a trade it starts over: that is no
    quiet market but a hole, or a time stamp from nowhere.
    """

    symbol: str
    timeframe: str
    since: int | None = None
    max_quiet: int = 1_440
    late: int = 0
    incomplete: int = 0
    _bar: _Bar | None = None
    _length: int = 0

    def __post_init__(self) -> None:
        """Check the timeframe."""
        self._length = timeframe_ms(self.timeframe)

    def on_trade(self, trade: Trade) -> list[Candle]:
        """Take a trade; return the candles it closed, oldest first."""
        start = candle_start(trade.ts, self.timeframe)
        bar = self._bar
        if bar is not None and start == bar.ts and bar.traded:
            bar.high = max(bar.high, trade.price)
            bar.low = min(bar.low, trade.price)
            bar.close = trade.price
            bar.volume += trade.amount
            return []
        if bar is not None and start < bar.ts:
            self.late += 1
            return []
        if self.since is None:
            self.since = start + 1
        closed = self._close_before(start, trade.at)
        price = trade.price
        self._bar = _Bar(start, price, price, price, price, trade.amount, traded=True)
        return closed

    def close_until(self, now: int, at: int) -> list[Candle]:
        """Close every candle that ended by `now` (venue time, ms UTC); each is stamped `at`."""
        return self._close_before(candle_start(now, self.timeframe), at)

    def distrust_until(self, ts: int) -> None:
        """Trades before `ts` may have been missed: candles that began earlier are not let out."""
        self.since = ts if self.since is None else max(self.since, ts)

    def _close_before(self, start: int, at: int) -> list[Candle]:
        """Close the forming candle and the quiet ones after it that began before `start`."""
        closed: list[Candle] = []
        bar = self._bar
        if bar is not None and start - bar.ts > (self.max_quiet + 1) * self._length:
            self.incomplete += 1
            self.since = start + 1
            bar = self._bar = None
        while bar is not None and bar.ts < start:
            if self.since is not None and bar.ts < self.since:
                self.incomplete += 1
            else:
                closed.append(bar.closed(self.symbol, self.timeframe, at))
            price = bar.close
            bar = self._bar = _Bar(bar.ts + self._length, price, price, price, price, 0.0)
        return closed


@dataclass(slots=True)
class CandleAggregator:
    """Join closed candles of a smaller timeframe into a larger one; a candle with a missing part is not let out."""

    symbol: str
    base: str
    timeframe: str
    incomplete: int = 0
    _bar: _Bar | None = None
    _parts: int = 0
    _count: int = 0

    def __post_init__(self) -> None:
        """Check that the larger timeframe is a whole multiple of the smaller."""
        self._count, rest = divmod(timeframe_ms(self.timeframe), timeframe_ms(self.base))
        if rest or self._count < 2:
            message = f"{self.timeframe} is not a whole multiple of {self.base}"
            raise ValueError(message)

    def on_candle(self, candle: Candle) -> Candle | None:
        """Take a closed candle of the base; return the larger one if this was its last part and none is missing."""
        start = candle_start(candle.ts, self.timeframe)
        bar = self._bar
        if bar is None or bar.ts != start:
            if bar is not None:
                self.incomplete += 1
            bar = self._bar = _Bar(start, candle.open, candle.high, candle.low, candle.close, candle.volume)
            self._parts = 1
        else:
            bar.high = max(bar.high, candle.high)
            bar.low = min(bar.low, candle.low)
            bar.close = candle.close
            bar.volume += candle.volume
            self._parts += 1
        if candle.end < start + timeframe_ms(self.timeframe):
            return None
        self._bar = None
        if self._parts < self._count:
            self.incomplete += 1
            return None
        return bar.closed(self.symbol, self.timeframe, candle.at)
