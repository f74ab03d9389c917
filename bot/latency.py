"""Latencies in a bounded histogram: 1 microsecond to 2 minutes in steps of 5 %, whatever the number of samples.

Cheap enough for the desk's own path: one logarithm and three additions, no lock. Each is written by one thread only; a reader in
another may see a count without its seconds, never a torn number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

_FIRST, _STEP, _BUCKETS = 1e-6, math.log(1.05), 384


class LatencyHistogram:
    """Counts of seconds by bucket; percentiles are upper bounds of their bucket, at most 5 % high. `total` is in seconds."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Note one latency."""
        place = int(math.log(seconds / _FIRST) / _STEP) + 1 if seconds > _FIRST else 0
        self._counts[min(place, _BUCKETS - 1)] += 1
        self.count += 1
        self.total += seconds

    def percentile(self, share: float) -> float:
        """Seconds below which `share` (0..1) of the samples lie; 0 without samples."""
        if not self.count:
            return 0.0
        rank, seen = math.ceil(share * self.count), 0
        for place, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                return _FIRST * math.exp(place * _STEP)
        return _FIRST * math.exp(_BUCKETS * _STEP)

    def milliseconds(self) -> dict[str, float]:
        """p50, p90 and p99 in milliseconds."""
        return {f"p{share}": round(self.percentile(share / 100) * 1_000, 4) for share in (50, 90, 99)}

    def cumulative(self, bounds: Sequence[float]) -> list[int]:
        """How many samples were at most each bound (ascending seconds); those up to 5 % below a bound may count for the next."""
        running = list(accumulate(self._counts))
        return [running[min(_last_within(bound), _BUCKETS - 1)] for bound in bounds]


def _last_within(bound: float) -> int:
    """The last bucket that lies wholly at or below a bound; the first, which has no lower end, for any bound below it."""
    return max(0, math.floor(math.log(bound / _FIRST) / _STEP + 1e-9)) if bound > _FIRST else 0
