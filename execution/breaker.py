"""A circuit breaker: whatever fails again and again is left alone for a while, then tried with one call.

Closed, it lets every call through and watches how they end. After too many failures it opens: no call goes through until the
cool-down is over. Then one probe may go, and what becomes of it decides: closed again, or open for twice as long. Times are
integer milliseconds of any clock that never runs back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from bot.core.values import value


class BreakerState(StrEnum):
    """Closed lets calls through, open does not, half-open waits for its probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Ending(StrEnum):
    """How a call ended: answered, failed, or in a way that says nothing of the other side (never sent, cancelled by us)."""

    ANSWERED = "answered"
    FAILED = "failed"
    UNTOLD = "untold"


@value
class BreakerRules:
    """Opens after `failures` in a row, or when of the last `calls` the fraction `share` failed. Cool-downs are ms."""

    failures: int = 5
    calls: int = 20
    share: float = 0.5
    cool_down_ms: int = 1_000
    longest_ms: int = 60_000


@dataclass(slots=True, eq=False)
class Pass:
    """Leave to make one call. It must be handed back with `settle`, however the call ends."""

    generation: int


class Breaker:
    """The breaker of one dependency. It asks nobody the time and draws nothing."""

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._state = BreakerState.CLOSED
        self._generation = 0  # counts openings and closings
        self._in_a_row = 0
        self._recent: deque[bool] = deque(maxlen=rules.calls)
        self._cool_down_ms = rules.cool_down_ms
        self._until = 0
        self._probe: Pass | None = None
        self.opened = 0
        self.turned_away = 0

    @property
    def state(self) -> BreakerState:
        """Which of the three it is in."""
        return self._state

    def retry_after(self, now: int) -> int:
        """How long until a probe may go, in ms; 0 where calls go through or the probe is under way."""
        return max(0, self._until - now) if self._state is BreakerState.OPEN else 0

    def enter(self, now: int) -> Pass | None:
        """Leave to make a call; None while there is none to be had."""
        if self._state is BreakerState.CLOSED:
            return Pass(self._generation)
        probing = self._begin_probe(now)
        if probing is None:
            self.turned_away += 1
        return probing

    def force(self, now: int) -> Pass:
        """Leave to make a call that must go out whatever the state, such as a cancel: the probe, where one is due.

        Where none is, its answer closes the breaker as a probe's does, and its failure changes nothing.
        """
        if self._state is BreakerState.CLOSED:
            return Pass(self._generation)
        return self._begin_probe(now) or Pass(self._generation)

    def settle(self, leave: Pass, ending: Ending, now: int) -> None:
        """Hand back a leave and say how its call ended. What was begun before the breaker opened, or closed, is no news."""
        if leave.generation != self._generation:
            return
        if leave is self._probe:
            self._probe = None
            self._judge(ending, now)
        elif self._state is BreakerState.CLOSED:
            self._watch(ending, now)
        elif ending is Ending.ANSWERED:
            self._close()

    def _begin_probe(self, now: int) -> Pass | None:
        if self._probe is not None or now < self._until:
            return None
        self._state = BreakerState.HALF_OPEN
        self._probe = Pass(self._generation)
        return self._probe

    def _judge(self, probe: Ending, now: int) -> None:
        """A probe came back: an answer closes, a failure doubles the cool-down, what says nothing lets another go at once."""
        if probe is Ending.ANSWERED:
            self._close()
            return
        self._state = BreakerState.OPEN
        if probe is Ending.FAILED:
            self._cool_down_ms = min(2 * self._cool_down_ms, self._rules.longest_ms)
            self._until = now + self._cool_down_ms

    def _watch(self, ending: Ending, now: int) -> None:
        if ending is Ending.UNTOLD:
            return
        failed = ending is Ending.FAILED
        self._in_a_row = self._in_a_row + 1 if failed else 0
        self._recent.append(failed)
        many = len(self._recent) == self._rules.calls and sum(self._recent) >= self._rules.share * self._rules.calls
        if failed and (many or self._in_a_row >= self._rules.failures):
            self._open(now)

    def _open(self, now: int) -> None:
        self._state = BreakerState.OPEN
        self._generation += 1
        self.opened += 1
        self._cool_down_ms = self._rules.cool_down_ms
        self._until = now + self._cool_down_ms

    def _close(self) -> None:
        self._state = BreakerState.CLOSED
        self._generation += 1
        self._probe = None
        self._in_a_row = 0
        self._recent.clear()
