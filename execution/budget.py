"""How much may be asked of a venue: every call takes its weight from one budget per venue and account before it is sent.

An order goes before a question about the account, and that before market data. A budget makes its callers wait their turn, and says
`BudgetSpent` at once where the turn would come too late to be of use.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from bot.core.values import value


class Lane(StrEnum):
    """Who goes first: orders and cancels, then questions about the account, then market data."""

    ORDERS = "orders"
    READS = "reads"
    DATA = "data"


class BudgetSpent(Exception):  # noqa: N818 - it names what happened
    """The turn would come later than the lane has patience for; nothing was taken. Perhaps again after `retry_after_ms`."""

    def __init__(self, reason: str, retry_after_ms: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_ms = retry_after_ms


@value
class BudgetStats:
    """A budget at one moment, and what it has seen; weights are the venue's own, times are ms."""

    capacity: float  # what may be used in a window, the safety margin already taken off
    used: float  # what the window holds now
    waiting: Mapping[Lane, int]
    taken: Mapping[Lane, int]  # calls that had their turn
    spent: Mapping[Lane, int]  # calls that got `BudgetSpent`
    penalties: int
    penalty_ms: int  # how much longer the venue wants nothing; 0 is none
    corrections: int  # how often the venue had counted more than we


class Budget(Protocol):
    """The budget of one venue and account. Used by one event loop."""

    async def take(self, weight: float, lane: Lane) -> None:
        """Wait for a turn and take `weight`; a call cancelled while it waits takes nothing.

        Raises `BudgetSpent` where the turn would come later than the lane's patience.
        """
        ...

    def penalise(self, retry_after_ms: int) -> None:
        """The venue said 429 or 418: nobody has a turn until that has passed."""
        ...

    def observe(self, used: float) -> None:
        """The venue's own count of the weight used in its window; corrects ours upward, never downward."""
        ...

    @property
    def stats(self) -> BudgetStats:
        """The budget now."""
        ...
