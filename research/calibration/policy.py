"""How calibration weighs what it knows."""

from __future__ import annotations

from bot.core.values import value
from research.memory.evidence import number, whole


@value
class CalibrationPolicy:
    """The constants of the formulas.

    Fewer than `min_trades` closed decisions move nothing; from `many_trades` on the map is isotonic, below it is a Beta map.
    `prior_trades` is what the stated confidence weighs against the map, in decisions. `max_shift` bounds what a map does to a
    confidence. The newest `window` closed decisions are looked at. `feedback_weight` is what people's word adds to or takes from
    the weight of a closed decision. `threshold_low` and `threshold_high` bound the advice on a source's threshold. Raises
    `EvidenceError` for a value out of range.
    """

    min_trades: int = 30
    many_trades: int = 200
    prior_trades: float = 50.0
    max_shift: float = 0.2
    window: int = 2_000
    feedback_weight: float = 0.5
    threshold_low: float = 0.3
    threshold_high: float = 0.9

    def __post_init__(self) -> None:
        whole("learning.min_trades", self.min_trades)
        whole("learning.many_trades", self.many_trades)
        number("learning.prior_trades", self.prior_trades, 0.0)
        number("learning.max_shift", self.max_shift, 0.0, 1.0)
        whole("learning.window", self.window)
        number("learning.window", self.window, 1)
        number("learning.feedback_weight", self.feedback_weight, 0.0, 0.9)
        number("learning.threshold_low", self.threshold_low, 0.0, 1.0)
        number("learning.threshold_high", self.threshold_high, self.threshold_low, 1.0)


DEFAULT_POLICY = CalibrationPolicy()
