"""How much may be asked of a venue: every call takes its weight from one budget per venue and account before it is sent.

An order goes before a question about the account, and that before market data. A budget makes its callers wait their turn, and
says `BudgetSpent` at once where the turn would come too late to be of use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog

from bot.core.values import value
from execution.turns import BudgetRules, Lane, Outcome, Room, Turn, Turns, WindowRoom

__all__ = ["Budget", "BudgetRules", "BudgetSpent", "BudgetStats", "Lane", "WindowBudget"]

_log = structlog.get_logger(__name__)


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
    overflowed: Mapping[Lane, int]  # those of them that found the lane full
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
        """The venue said 429 or 418: nobody has a turn until that has passed. Zero, where it did not say for how long."""
        ...

    def observe(self, used: float) -> None:
        """The venue's own count of the weight used in its window; corrects ours upward, never downward."""
        ...

    @property
    def stats(self) -> BudgetStats:
        """The budget now."""
        ...


class Queue:
    """Callers waiting for room on an event loop. It knows the loop's time and no other, so a virtual loop drives it too."""

    def __init__(self, rules: BudgetRules, room: Room) -> None:
        self.turns = Turns(rules, room)
        self._futures: dict[Turn, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, weight: float, lane: Lane) -> None:
        """Wait for a turn. Raises `BudgetSpent` or, for a weight below zero, `ValueError`."""
        now = loop_ms()
        turn = self.turns.ask(now, weight, lane)
        self.serve()
        if turn.outcome is Outcome.WAITING:
            await self._wait(turn)
        if turn.outcome is not Outcome.TAKEN:
            raise BudgetSpent(_why(turn, self.turns.penalty(loop_ms())), turn.retry_after_ms)

    async def _wait(self, turn: Turn) -> None:
        future = self._futures[turn] = asyncio.get_running_loop().create_future()
        try:
            await future  # bounded: the timer ends it at the turn's deadline
        except asyncio.CancelledError:
            self.turns.withdraw(turn)
            self.serve()  # whoever stood behind may have room now
            raise
        finally:
            self._futures.pop(turn, None)

    def serve(self) -> None:
        """Give the turns that can be had now; to be called when the room has changed."""
        now = loop_ms()
        for turn in self.turns.settle(now):
            future = self._futures.get(turn)
            if future is not None and not future.done():
                future.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.turns.next_due(now)
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(max(due, now + 1) / 1_000, self.serve)

    def penalise(self, retry_after_ms: int) -> int:
        """Give no turn for so long; how long that is, with those that came before."""
        length = self.turns.penalise(loop_ms(), retry_after_ms)
        self.serve()  # those without the patience are told at once
        return length

    def bar(self, length: int) -> None:
        """Give no turn for so many ms, for a penalty that another had."""
        self.turns.bar(loop_ms(), length)
        self.serve()

    def stats(self, capacity: float, used: float, corrections: int) -> BudgetStats:
        """What has been seen here."""
        turns = self.turns
        waiting = {lane: turns.waiting(lane) for lane in Lane}
        counts = dict(turns.taken), dict(turns.spent), dict(turns.overflowed)
        return BudgetStats(capacity, used, waiting, *counts, turns.penalties, turns.penalty(loop_ms()), corrections)


class WindowBudget:
    """A budget that this process has to itself: never more than the capacity in any window."""

    def __init__(self, rules: BudgetRules, name: str = "") -> None:
        self._name = name
        self._capacity = rules.capacity
        self._room = WindowRoom(rules)
        self._queue = Queue(rules, self._room)
        self._corrections = 0

    async def take(self, weight: float, lane: Lane) -> None:
        """Wait for a turn and take `weight`. Raises `BudgetSpent` where it would come too late."""
        await self._queue.take(weight, lane)

    def penalise(self, retry_after_ms: int) -> None:
        """The venue said 429 or 418: nobody has a turn until that has passed."""
        length = self._queue.penalise(retry_after_ms)
        _log.warning("budget_penalty", budget=self._name, wait_ms=length)

    def observe(self, used: float) -> None:
        """Count what the venue counted and we did not, as if it were taken now."""
        if self._room.window.correct(loop_ms(), used):
            self._corrections += 1

    @property
    def stats(self) -> BudgetStats:
        """The budget now."""
        return self._queue.stats(self._capacity, self._room.used(loop_ms()), self._corrections)


def loop_ms() -> int:
    """The running loop's time in ms, rounded, so that a timer set for a moment finds that moment come."""
    return round(asyncio.get_running_loop().time() * 1_000)


def _why(turn: Turn, penalty_ms: int) -> str:
    if turn.outcome is Outcome.OVERFLOW:
        return f"too many calls wait in the lane {turn.lane}"
    if penalty_ms:
        return f"the venue wants no calls for another {penalty_ms} ms"
    return f"the budget has no room of {turn.weight:g} for the lane {turn.lane} in time"
