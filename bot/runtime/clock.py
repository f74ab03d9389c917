"""The shell's clock: wall time that never runs backwards while the process lives."""

from __future__ import annotations

import time
from collections.abc import Callable


def steady_ns() -> int:
    """Nanoseconds that only grow and, where the system can tell, go on while the machine sleeps."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if boot is None else time.clock_gettime_ns(boot)


class WallClock:
    """Milliseconds UTC: the wall's time at the start, carried on by a clock that nobody sets."""

    def __init__(self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = steady_ns) -> None:
        """Both in nanoseconds; the wall is read once."""
        self._steady = steady
        self._start = wall() - steady()

    def now(self) -> int:
        """Now, in milliseconds."""
        return (self._start + self._steady()) // 1_000_000
