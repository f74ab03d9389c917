"""How a feed fares: what it answered last, and when it is asked again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sources.news.settings import FeedSettings

_LONGEST_S = 3_600.0
_STALE_POLLS = 3
_LEAST_STALE_S = 900.0


@dataclass(frozen=True, slots=True)
class FeedView:
    """A feed, as a page shows it. Times are ms UTC, None for never; `trouble` empty while it answers."""

    id: str
    host: str
    fresh: bool
    last_poll: int | None
    last_good: int | None
    next_poll: int | None
    failures: int
    trouble: str
    polls: int
    unchanged: int
    items: int
    duplicates: int
    dropped: dict[str, int]


@dataclass(slots=True)
class FeedState:
    """What is known of a feed; written by its own task only."""

    settings: FeedSettings
    began: int
    etag: str = ""
    modified: str = ""
    last_poll: int | None = None
    last_good: int | None = None
    next_poll: int | None = None
    failures: int = 0
    trouble: str = ""
    counts: Counter[str] = field(default_factory=Counter)

    def fresh(self, at: int) -> bool:
        """Whether it answered within its last few polls."""
        limit = 1000 * max(_STALE_POLLS * self.settings.every_s, _LEAST_STALE_S)
        return self.last_good is not None and self.last_good <= at <= self.last_good + limit

    def answered(self, at: int, outcome: str) -> None:
        """It answered, with something new or not."""
        self.last_poll = self.last_good = at
        self.failures, self.trouble = 0, ""
        self.counts["polls"] += 1
        self.counts[outcome] += 1

    def failed(self, at: int, trouble: str) -> None:
        """It did not."""
        self.last_poll, self.trouble = at, trouble
        self.failures += 1
        self.counts["polls"] += 1
        self.counts["failures"] += 1

    def pause_s(self, draw: Callable[[], float] = random.random, asked_s: float | None = None) -> float:
        """Seconds until it is asked again: its own pace, twice as long after each failure, and up to a tenth more."""
        every = min(self.settings.every_s * float(1 << min(self.failures, 10)), max(_LONGEST_S, self.settings.every_s))
        if asked_s is not None:
            every = max(every, min(asked_s, _LONGEST_S))
        return every * (1 + 0.1 * draw())
