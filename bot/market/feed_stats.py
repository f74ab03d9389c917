"""What a feed counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from bot.market.ccxt_venue import ClockOffset


@dataclass(slots=True)
class FeedStatistics:
    """Counters of one feed since it started. `last_event` holds, per stream, the loop time (s) of its newest event."""

    quotes: int = 0
    trades: int = 0
    candles: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    reconnects: int = 0
    stalls: int = 0
    backfills: int = 0
    backfilled: int = 0
    backfill_failures: int = 0
    conceded: int = 0
    poison: int = 0
    probes: int = 0
    clock: ClockOffset | None = None
    last_event: dict[str, float] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """Everything that left the room."""
        return self.quotes + self.trades + self.candles

    def ages(self, now: float) -> dict[str, float]:
        """Seconds since each stream's newest event, given the loop's time."""
        return {name: now - then for name, then in self.last_event.items()}

    def as_dict(self, now: float) -> dict[str, object]:
        """Plain values, for status pages and JSON."""
        clock = None if self.clock is None else {"offset_ms": self.clock.offset, "round_trip_ms": self.clock.round_trip}
        return {
            "events": self.events,
            "quotes": self.quotes,
            "trades": self.trades,
            "candles": self.candles,
            "refused": dict(self.refused),
            "duplicates": self.duplicates,
            "reconnects": self.reconnects,
            "stalls": self.stalls,
            "backfills": self.backfills,
            "backfilled": self.backfilled,
            "backfill_failures": self.backfill_failures,
            "conceded": self.conceded,
            "poison": self.poison,
            "probes": self.probes,
            "clock": clock,
            "age_s": {name: round(age, 3) for name, age in self.ages(now).items()},
        }
