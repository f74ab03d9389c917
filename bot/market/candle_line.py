"""One series of closed candles on its way out: judged, proved to follow its predecessor, let out exactly once.

A line does not fetch. It knows which candle it expects, notices when that one is overdue or was skipped, and says so; whoever
owns it asks the venue and offers the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from bot.core.market import Candle, timeframe_ms
from bot.market.candles import GapProof, MissingCandles, Sequel
from bot.market.sanity import MarketSanity, Refusal


class Offer(StrEnum):
    """What became of an offered candle."""

    OUT = "out"
    OLD = "old"
    GAP = "gap"
    DOUBTED = "doubted"
    REFUSED = "refused"


@dataclass(slots=True)
class CandleLine:
    """The closed candles of one (symbol, timeframe). `emit` takes each of them, in order."""

    symbol: str
    timeframe: str
    sanity: MarketSanity
    emit: Callable[[Candle], None]
    proof: GapProof = field(init=False)
    wanted: str = ""
    attempts: int = 0
    retry_at: float = 0.0
    _hole_seen: tuple[int, int] | None = None
    _bad: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        """Start with nothing proved."""
        self.proof = GapProof(self.symbol, self.timeframe)

    @property
    def length(self) -> int:
        """Milliseconds of one candle."""
        return timeframe_ms(self.timeframe)

    def offer(self, candle: Candle) -> Offer:
        """Let a candle out if it comes next and is believable; otherwise note what is wanted from the venue."""
        sequel = self.proof.judge(candle.ts)
        if sequel is Sequel.GAP:
            self.want("a candle is missing")
            return Offer.GAP
        if sequel is not Sequel.NEXT:
            self.proof.admit(candle)
            return Offer.REFUSED if sequel is Sequel.MISALIGNED else Offer.OLD
        refusal = self.sanity.candle(candle)
        if refusal is not None:
            # The venue's own record is the second opinion, for a bad number as for a jump.
            self.want(f"a candle was refused: {refusal}")
            return Offer.DOUBTED if refusal is Refusal.JUMP else Offer.REFUSED
        self.proof.admit(candle)
        self._hole_seen = None
        self.emit(candle)
        return Offer.OUT

    def want(self, reason: str) -> None:
        """Ask for candles from the venue; the first reason is kept until they came."""
        self.wanted = self.wanted or reason

    def overdue(self, venue_now: int, grace: int) -> bool:
        """Whether the expected candle ended more than `grace` ms ago."""
        expected = self.proof.expected
        return expected is not None and venue_now >= expected + self.length + grace

    def complete(self, venue_now: int) -> bool:
        """Whether every candle that has ended is out."""
        expected = self.proof.expected
        return expected is not None and venue_now < expected + self.length

    def concede_before(self, ts: int) -> MissingCandles | None:
        """The venue answered without the candles before `ts`. The second time in a row it is believed that it has none."""
        expected = self.proof.expected
        if expected is None or ts <= expected:
            return None
        seen, self._hole_seen = self._hole_seen, (expected, ts)
        return self.proof.concede(ts) if seen == (expected, ts) else None

    def give_up(self, ts: int, after: int) -> MissingCandles | None:
        """The venue's own candle at `ts` cannot be one. After it said so `after` times in a row it is treated as missing."""
        seen, count = self._bad
        self._bad = (ts, count + 1 if seen == ts else 1)
        return self.proof.concede(ts + self.length) if self._bad[1] >= after else None

    def settled(self) -> None:
        """What was wanted has come."""
        self.wanted, self.attempts, self.retry_at = "", 0, 0.0
