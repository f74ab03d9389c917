"""An error budget: which share of its calls a dependency may fail over a window before it counts as degraded.

Degraded is a word for people and for status pages, not a switch: it comes when the budget is spent and goes when far less than
the budget is failing, with enough calls to say so. Silence proves nothing, so a dependency that nobody asks stays as it was.
Times are integer milliseconds of any clock that never runs back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from bot.core.values import value

_GRAINS = 60  # slices that a window moves on by


class Condition(StrEnum):
    """Whether a dependency keeps to its error budget."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"


@value
class ErrorRules:
    """Of the calls in `window_ms` the fraction `share` may fail; fewer than `least_calls` say nothing.

    Degraded ends when at most `recovered_share` of at least `recovered_calls` fail.
    """

    window_ms: int = 300_000
    share: float = 0.1
    least_calls: int = 20
    recovered_share: float = 0.05
    recovered_calls: int = 5


@value
class Health:
    """One dependency at one moment: plain values for status, metrics and notifications."""

    name: str
    condition: Condition
    since: int  # ms of the budget's clock
    calls: int  # in the window
    failures: int  # of them
    left: float  # the fraction of the error budget that is left, 0..1

    @property
    def share(self) -> float:
        """Which fraction of the calls failed."""
        return self.failures / self.calls if self.calls else 0.0


@dataclass(slots=True)
class _Slice:
    begins: int
    calls: int = 0
    failures: int = 0


class ErrorBudget:
    """The error budget of one dependency."""

    def __init__(self, name: str, rules: ErrorRules, now: int = 0) -> None:
        if not 0 <= rules.recovered_share <= rules.share < 1:
            message = f"an error budget needs 0 <= recovered_share <= share < 1, not {rules.recovered_share} and {rules.share}"
            raise ValueError(message)
        self.name = name
        self._rules = rules
        self._grain = max(1, rules.window_ms // _GRAINS)
        self._slices: deque[_Slice] = deque()
        self._calls = 0
        self._failures = 0
        self._condition = Condition.HEALTHY
        self._since = now

    def record(self, now: int, *, failed: bool) -> Health | None:
        """Count a call; the new health if that changed the condition, else None."""
        self._forget(now)
        begins = now - now % self._grain
        if not self._slices or self._slices[-1].begins != begins:
            self._slices.append(_Slice(begins))
        self._slices[-1].calls += 1
        self._slices[-1].failures += failed
        self._calls += 1
        self._failures += failed
        return self._judge(now)

    def health(self, now: int) -> Health:
        """The dependency now; its condition is that of the last call."""
        self._forget(now)
        allowed = self._rules.share * max(self._calls, self._rules.least_calls)
        left = max(0.0, 1 - self._failures / allowed) if allowed else float(not self._failures)
        return Health(self.name, self._condition, self._since, self._calls, self._failures, left)

    def _forget(self, now: int) -> None:
        while self._slices and self._slices[0].begins + self._grain + self._rules.window_ms <= now:
            old = self._slices.popleft()
            self._calls -= old.calls
            self._failures -= old.failures

    def _judge(self, now: int) -> Health | None:
        before = self._condition
        rules = self._rules
        if before is Condition.HEALTHY and self._calls >= rules.least_calls and self._failures > rules.share * self._calls:
            self._condition = Condition.DEGRADED
        elif (
            before is Condition.DEGRADED
            and self._calls >= rules.recovered_calls
            and self._failures <= rules.recovered_share * self._calls
        ):
            self._condition = Condition.HEALTHY
        if self._condition is before:
            return None
        self._since = now
        return self.health(now)
