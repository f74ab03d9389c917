"""A circuit breaker: after failures in a row a model is left alone for a while, then asked once, as a probe.

Pure: the time is an argument (ms UTC), and a clock that is set back does not keep it open for longer than it may be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"  # one call is out, as a probe


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """After `failures` in a row it opens for `open_ms`, twice as long after each probe that fails, `longest_ms` at most."""

    failures: int = 3
    open_ms: int = 30_000
    longest_ms: int = 900_000


class Breaker:
    """Of one model at one provider."""

    def __init__(self, limits: BreakerLimits | None = None) -> None:
        self._limits = limits or BreakerLimits()
        self._in_a_row = 0
        self._openings = 0
        self._opened: int | None = None
        self._until = 0
        self._probing = False

    @property
    def failures(self) -> int:
        """How many failures there were in a row."""
        return self._in_a_row

    def state(self, at: int) -> BreakerState:
        """Where it stands; one that has been open for long enough is half open, for the next call is the probe."""
        if self._opened is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._probing or self._is_over(at) else BreakerState.OPEN

    def until(self, at: int) -> int | None:
        """When it lets the probe through; None while it is not open."""
        return self._until if self.state(at) is BreakerState.OPEN else None

    def lets(self, at: int) -> bool:
        """Whether a call may go now."""
        return self._opened is None or (self._is_over(at) and not self._probing)

    def begin(self, at: int) -> None:
        """A call goes out; end it by `succeeded`, `failed` or `gave_up`."""
        self._probing = self.state(at) is BreakerState.HALF_OPEN

    def succeeded(self) -> None:
        """An answer came."""
        self._in_a_row = self._openings = self._until = 0
        self._opened, self._probing = None, False

    def failed(self, at: int, retry_after_ms: int | None = None) -> None:
        """No answer came. `retry_after_ms`: the provider asks to be left alone for so long, which opens at once."""
        self._in_a_row += 1
        probed, self._probing = self._probing, False
        if probed or self._in_a_row >= self._limits.failures or retry_after_ms is not None:
            pause = self._limits.open_ms * 2 ** min(self._openings, 30)
            self._openings += 1
            self._opened = at
            self._until = at + min(max(pause if retry_after_ms is None else retry_after_ms, 1), self._limits.longest_ms)

    def gave_up(self) -> None:
        """The call was cancelled or not made: nothing was learnt."""
        self._probing = False

    def _is_over(self, at: int) -> bool:
        return self._opened is None or at >= self._until or at < self._opened - self._limits.longest_ms
