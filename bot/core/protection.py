"""Protection: stop-loss, take-profit and trailing stop of one position, where one cancels the others.

The levels watch the extremes of conflated quotes, so that a stop touched between two of them is not missed. When one stretch of
prices touched both a stop and the target, the stop came first: nobody can prove otherwise, and the worse assumption is the
honest one. A trailing stop is judged by the peak before the stretch, for the same reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.decision import Decision
from bot.core.orders import Leg


@dataclass(slots=True)
class Protection:
    """Levels that guard a position. `direction` is +1 for a long, -1 for a short; `peak` is the best price since entry.

    `since` is when it was armed: the extremes of a quote that is no newer are older than the position.
    """

    symbol: str
    direction: int
    decision_id: str
    source: str
    stop_loss: float | None
    take_profit: float | None
    trailing: float | None
    peak: float
    attempts: int = 0
    since: int = 0

    @property
    def trailing_stop(self) -> float | None:
        """Where the trailing stop is now."""
        return None if self.trailing is None else self.peak * (1.0 - self.direction * self.trailing)

    @property
    def stop(self) -> tuple[Leg, float] | None:
        """The stop that the market would reach first and its level; of two at one level, the trailing one."""
        fixed, trailing = self.stop_loss, self.trailing_stop
        if trailing is not None and (fixed is None or (trailing - fixed) * self.direction >= 0):
            return Leg.TRAILING_STOP, trailing
        return None if fixed is None else (Leg.STOP_LOSS, fixed)

    def touched(self, low: float, high: float) -> tuple[Leg, float] | None:
        """The leg that a stretch of prices triggers and its level; moves the trailing peak when none is."""
        worst, best = (low, high) if self.direction > 0 else (high, low)
        hit = self._stopped(worst)
        if hit is not None:
            return hit
        if self.take_profit is not None and (best - self.take_profit) * self.direction >= 0:
            return Leg.TAKE_PROFIT, self.take_profit
        if (best - self.peak) * self.direction > 0:
            self.peak = best
        return None

    def _stopped(self, worst: float) -> tuple[Leg, float] | None:
        """The stop that is nearest to the market of those touched; of two at one level, the trailing one."""
        direction, fixed, trailing = self.direction, self.stop_loss, self.trailing_stop
        if trailing is not None and (worst - trailing) * direction <= 0:
            if fixed is None or (trailing - fixed) * direction >= 0 or (worst - fixed) * direction > 0:
                return Leg.TRAILING_STOP, trailing
            return Leg.STOP_LOSS, fixed
        if fixed is not None and (worst - fixed) * direction <= 0:
            return Leg.STOP_LOSS, fixed
        return None


def guard(decision: Decision, direction: int, price: float) -> Protection | None:
    """The protection a decision asks for, armed at its entry price; None when it asks for none.

    A level on the wrong side of the entry (a stop that is already hit) is kept: it fires at once, which is what was asked.
    """
    if decision.stop_loss is None and decision.take_profit is None and decision.trailing is None:
        return None
    return Protection(
        decision.symbol,
        direction,
        decision.id,
        decision.source,
        decision.stop_loss,
        decision.take_profit,
        decision.trailing,
        price,
    )
