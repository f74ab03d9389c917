"""Whose turn it is to spend a venue's weight: plain arithmetic over a rolling window, with the time as an argument.

Orders go before questions, and those before market data; within a lane the first to ask is the first to go. The two lower lanes
may fill the window only up to their share of it, so that an order finds room. Times are integer milliseconds of any clock that
never runs back; weights are the venue's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

_GRAINS = 256  # spans a window is remembered in: what was taken within one leaves with its newest
_EPSILON = 1e-9  # sums of weights such as 0.2 are not exact


class Lane(StrEnum):
    """Who goes first: orders and cancels, then questions about the account, then market data."""

    ORDERS = "orders"
    READS = "reads"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class BudgetRules:
    """A venue's limit, and how it is kept.

    `weight` is what the venue allows in any `window_ms`; `margin` is the fraction of it left alone. `shares` says up to which
    fraction of the rest the window may be filled by a lane; `patience_ms` how long a lane's calls wait for their turn, `waiters`
    how many of them may. A penalty that names no time lasts `least_penalty_ms`, twice that if it follows another, and so on up to
    `longest_penalty_ms`.
    """

    weight: float = 6_000.0
    window_ms: int = 60_000
    margin: float = 0.1
    shares: Mapping[Lane, float] = field(default_factory=lambda: {Lane.ORDERS: 1.0, Lane.READS: 0.8, Lane.DATA: 0.5})
    patience_ms: Mapping[Lane, int] = field(
        default_factory=lambda: {Lane.ORDERS: 2_000, Lane.READS: 10_000, Lane.DATA: 30_000},
    )
    waiters: int = 256
    least_penalty_ms: int = 1_000
    longest_penalty_ms: int = 120_000

    def __post_init__(self) -> None:
        if self.weight <= 0 or self.window_ms <= 0 or not 0 <= self.margin < 1:
            found = f"{self.weight}, {self.window_ms}, {self.margin}"
            message = f"a budget needs weight > 0, window_ms > 0 and 0 <= margin < 1, not {found}"
            raise ValueError(message)
        if any(not 0 < self.shares[lane] <= 1 for lane in Lane):
            message = f"shares must say for each lane a fraction above 0 and up to 1, not {dict(self.shares)}"
            raise ValueError(message)

    @property
    def capacity(self) -> float:
        """What may be used in a window."""
        return self.weight * (1 - self.margin)


@dataclass(slots=True)
class _Span:
    """What was taken between two moments less than a grain apart."""

    first: int
    last: int
    weight: float


class Window:
    """What was taken in the last `window_ms`."""

    def __init__(self, window_ms: int) -> None:
        self.length = window_ms
        self._grain = max(1, window_ms // _GRAINS)
        self._spans: deque[_Span] = deque()
        self._used = 0.0

    def used(self, now: int) -> float:
        """The weight that still counts."""
        spans = self._spans
        if spans and spans[0].last + self.length <= now:
            while spans and spans[0].last + self.length <= now:
                spans.popleft()
            self._used = sum(span.weight for span in spans)  # afresh, so that rounding never piles up or goes below zero
        return self._used

    def add(self, now: int, weight: float) -> None:
        """Count a weight from now on."""
        self.used(now)
        self._used += weight
        if self._spans and now - self._spans[-1].first < self._grain:
            self._spans[-1].last = now
            self._spans[-1].weight += weight
        else:
            self._spans.append(_Span(now, now, weight))

    def fits_at(self, now: int, weight: float, limit: float) -> int | None:
        """The first moment at which `weight` more stays within `limit` if nothing else is taken; None if never."""
        over = self.used(now) + weight - limit - _EPSILON
        if over <= 0:
            return now
        for span in self._spans:
            over -= span.weight
            if over <= 0:
                return span.last + self.length
        return None

    def correct(self, now: int, used: float) -> float:
        """Count up to `used` if that is more than is counted; how much was missing."""
        missing = used - self.used(now)
        if missing <= _EPSILON:
            return 0.0
        self.add(now, missing)
        return missing


class Room(Protocol):
    """What turns are given out of."""

    def fits_at(self, now: int, weight: float, lane: Lane) -> int | None:
        """Now, if there is room; else the first moment there may be; None if never."""
        ...

    def add(self, now: int, weight: float, lane: Lane) -> None:
        """Take room that is there."""
        ...

    def used(self, now: int) -> float:
        """What is taken."""
        ...


class WindowRoom:
    """A rolling window, which the lower lanes may fill only up to their share."""

    def __init__(self, rules: BudgetRules) -> None:
        self.window = Window(rules.window_ms)
        self._limits = {lane: rules.capacity * rules.shares[lane] for lane in Lane}

    def fits_at(self, now: int, weight: float, lane: Lane) -> int | None:
        """Now, if there is room; else when there will be if nobody else takes it."""
        return self.window.fits_at(now, weight, self._limits[lane])

    def add(self, now: int, weight: float, lane: Lane) -> None:
        """Take room; which lane did makes no difference to the venue."""
        self.window.add(now, weight)

    def used(self, now: int) -> float:
        """What the window holds."""
        return self.window.used(now)


class Outcome(StrEnum):
    """What became of a turn: it was had, or it would have come too late, or there were too many in front already."""

    WAITING = "waiting"
    TAKEN = "taken"
    SPENT = "spent"
    OVERFLOW = "overflow"


@dataclass(slots=True, eq=False)
class Turn:
    """One call's place in its lane; `retry_after_ms` counts from when it was spent."""

    weight: float
    lane: Lane
    deadline: int
    outcome: Outcome = Outcome.WAITING
    retry_after_ms: int = 0


class Turns:
    """The lanes in front of a room. Whoever asks must call `settle` after, and again when `next_due` says."""

    def __init__(self, rules: BudgetRules, room: Room) -> None:
        self._rules = rules
        self._room = room
        self._lanes: dict[Lane, deque[Turn]] = {lane: deque() for lane in Lane}
        self._barred_until = 0
        self._penalty_ms = rules.least_penalty_ms
        self.taken = dict.fromkeys(Lane, 0)
        self.spent = dict.fromkeys(Lane, 0)
        self.overflowed = dict.fromkeys(Lane, 0)
        self.penalties = 0

    def waiting(self, lane: Lane) -> int:
        """How many wait in a lane."""
        return len(self._lanes[lane])

    def demand(self, lane: Lane) -> tuple[float, float]:
        """What the first of a lane weighs, and what all of it does."""
        queue = self._lanes[lane]
        return (queue[0].weight if queue else 0.0), sum(turn.weight for turn in queue)

    def penalty(self, now: int) -> int:
        """How much longer nobody has a turn, in ms."""
        return max(0, self._barred_until - now)

    def ask(self, now: int, weight: float, lane: Lane) -> Turn:
        """Take a place in a lane; the turn comes back spent if it surely comes too late. Raises `ValueError` below zero."""
        if not weight >= 0:
            message = f"a call cannot weigh {weight}"
            raise ValueError(message)
        turn = Turn(weight, lane, now + self._rules.patience_ms[lane])
        soonest = self._soonest(now, weight, lane)
        if soonest is None or soonest > turn.deadline:
            self._refuse(turn, Outcome.SPENT, self._rules.window_ms if soonest is None else soonest - now)
        elif len(self._lanes[lane]) >= self._rules.waiters:
            self._refuse(turn, Outcome.OVERFLOW, max(soonest - now, self._rules.least_penalty_ms))
        else:
            self._lanes[lane].append(turn)
        return turn

    def withdraw(self, turn: Turn) -> None:
        """Give up a place; nothing if the turn was had meanwhile."""
        if turn.outcome is Outcome.WAITING:
            self._lanes[turn.lane].remove(turn)

    def settle(self, now: int) -> list[Turn]:
        """Give every turn that can be had now, end those whose patience is over; both, in that order."""
        settled: list[Turn] = []
        if self._barred_until <= now:
            self._serve(now, settled)
        for lane, queue in self._lanes.items():
            while queue and (queue[0].deadline <= now or queue[0].deadline < self._barred_until):
                turn = queue.popleft()
                self._refuse(turn, Outcome.SPENT, (self._soonest(now, turn.weight, lane) or now) - now)
                settled.append(turn)
        return settled

    def _serve(self, now: int, settled: list[Turn]) -> None:
        for lane, queue in self._lanes.items():
            while queue:
                if self._room.fits_at(now, queue[0].weight, lane) != now:
                    return  # whoever goes later waits too, even if light enough: else the heavy would wait for ever
                turn = queue.popleft()
                self._room.add(now, turn.weight, lane)
                turn.outcome = Outcome.TAKEN
                self.taken[lane] += 1
                settled.append(turn)

    def next_due(self, now: int) -> int | None:
        """When `settle` may have something to do; None while nobody waits."""
        due = [queue[0].deadline for queue in self._lanes.values() if queue]
        head = next(((lane, queue[0]) for lane, queue in self._lanes.items() if queue), None)
        if head is not None:
            start = max(now, self._barred_until)
            fits = self._room.fits_at(start, head[1].weight, head[0])
            due += [fits] if fits is not None else []
        return min(due, default=None)

    def penalise(self, now: int, retry_after_ms: int) -> int:
        """Give no turn until that has passed; the longest of several counts. How long that is, in ms."""
        self.penalties += 1
        if now >= self._barred_until:  # answers to calls already under way do not make it worse
            follows = self._barred_until and now < self._barred_until + self._rules.window_ms
            doubled = min(2 * self._penalty_ms, self._rules.longest_penalty_ms)
            self._penalty_ms = doubled if follows else self._rules.least_penalty_ms
        return self.bar(now, retry_after_ms if retry_after_ms > 0 else self._penalty_ms)

    def bar(self, now: int, length: int) -> int:
        """Give no turn for so many ms, for a penalty that another had. How long that is, with those that came before."""
        self._barred_until = max(self._barred_until, now + length)
        return self._barred_until - now

    def _soonest(self, now: int, weight: float, lane: Lane) -> int | None:
        """The moment before which a call just asking surely has no turn; None if it never has."""
        start = max(now, self._barred_until)
        alone = self._room.fits_at(start, weight, lane)
        if alone is None:
            return None
        ahead = 0.0
        for other, queue in self._lanes.items():
            ahead += sum(turn.weight for turn in queue)
            if other is lane:
                break
        together = self._room.fits_at(start, ahead + weight, lane) if ahead else alone
        # Where all of them do not fit into one window, the last of them comes a window after the first.
        return start + self._rules.window_ms if together is None else together

    def _refuse(self, turn: Turn, outcome: Outcome, retry_after_ms: int) -> None:
        turn.outcome = outcome
        turn.retry_after_ms = max(0, retry_after_ms)
        self.spent[turn.lane] += 1
        if outcome is Outcome.OVERFLOW:
            self.overflowed[turn.lane] += 1
