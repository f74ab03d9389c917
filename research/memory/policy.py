"""How the memory weighs what it knows."""

from __future__ import annotations

from bot.core.values import value
from research.memory.evidence import number, whole


@value
class MemoryPolicy:
    """The constants of the memory's formulas.

    `min_trades` is how many trades prove anything: fewer give no confidence above 0.5. `prior_trades` is what scepticism weighs,
    in trades. A backtested trade counts as `backtest_weight` of a real one. Of each subject the newest `window` trades and as
    many backtests are looked at. `strength` bounds what a memory does to a decision: its confidence times 1 - strength to
    1 + strength. Raises `EvidenceError` for a value out of range.
    """

    min_trades: int = 30
    prior_trades: float = 30.0
    backtest_weight: float = 0.5
    window: int = 500
    strength: float = 0.25

    def __post_init__(self) -> None:
        whole("memory.min_trades", self.min_trades)
        number("memory.prior_trades", self.prior_trades, 0.0)
        number("memory.backtest_weight", self.backtest_weight, 0.0, 1.0)
        whole("memory.window", self.window)
        number("memory.window", self.window, 1)
        number("memory.strength", self.strength, 0.0, 1.0)


DEFAULT_POLICY = MemoryPolicy()
