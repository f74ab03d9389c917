"""Latencies in a bounded histogram: 1 microsecond to 2 minutes in steps of 5 %, whatever the number of samples."""

from __future__ import annotations

import math

_FIRST, _STEP, _BUCKETS = 1e-6, math.log(1.05), 384


class LatencyHistogram:
    """Counts of seconds by bucket; percentiles are upper bounds of their bucket, at most 5 % high."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0

    def add(self, seconds: float) -> None:
        """Note one latency."""
        place = int(math.log(seconds / _FIRST) / _STEP) + 1 if seconds > _FIRST else 0
        self._counts[min(place, _BUCKETS - 1)] += 1
        self.count += 1

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
