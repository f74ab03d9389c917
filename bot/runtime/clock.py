"""The shell's clock: wall time that never runs backwards while the process lives."""

from __future__ import annotations

import time


class WallClock:
    """Milliseconds UTC: the wall's time at the start, carried on by the monotonic clock."""

    def __init__(self) -> None:
        self._start = time.time_ns() - time.monotonic_ns()

    def now(self) -> int:
        """Now, in milliseconds."""
        return (self._start + time.monotonic_ns()) // 1_000_000
