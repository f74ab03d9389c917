"""Incremental indicators: one candle in, one number out, in constant time and without drift.

A window never subtracts what leaves it, because sums that add and subtract drift. It keeps two blocks instead: the running fold
of the block it is filling (`head`) and the folds of what is left of the block before it (`tail`); the window is one joined to the
other, and a block's folds are computed once, when it is full. That is amortised O(1), exact to the rounding of one window, and
the same for sums, extremes and variances. Recursive indicators (EMA, Wilder) forget by themselves and need no such care.

Every indicator gives None until it is warm, and its snapshot is a plain JSON list from which another of the same parameters
continues exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar, TypeAlias

Plain: TypeAlias = "float | int | str | list[Plain] | None"

TIE = 1e-12
"""Numbers closer than this, relative to the second, are equal: above the rounding of a window, below any price step."""


def at_least(name: str, number: int, least: int) -> int:
    """`number`, or `ValueError` if it is below `least`."""
    if number < least:
        message = f"{name} is {number}; give at least {least}"
        raise ValueError(message)
    return number


def _plain(state: object) -> Plain:
    """A slot's content as JSON."""
    if isinstance(state, Indicator):
        return state.snapshot()
    if isinstance(state, list):
        return [_plain(each) for each in state]
    assert state is None or isinstance(state, int | float)
    return state


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class Indicator:
    """What all indicators share: `value` (None until warm), `warmup` (updates until the first value) and the snapshot.

    A subclass names in `shape` the slots that its parameters fix and in `state` those that its updates change; a state slot
    holds a number, None, a list of numbers of fixed length, or another indicator.
    """

    __slots__ = ("value", "warmup")
    shape: ClassVar[tuple[str, ...]] = ("warmup",)
    state: ClassVar[tuple[str, ...]] = ("value",)

    def __init__(self, warmup: int) -> None:
        self.warmup = warmup
        self.value: float | None = None

    def snapshot(self) -> list[Plain]:
        """State as a plain JSON list."""
        fixed: list[Plain] = [type(self).__name__, *(_plain(getattr(self, name)) for name in self.shape)]
        return fixed + [_plain(getattr(self, name)) for name in self.state]

    def restore(self, state: object) -> None:
        """Continue from a snapshot of an indicator with the same parameters; `ValueError` if it does not fit."""
        fixed: list[Plain] = [type(self).__name__, *(_plain(getattr(self, name)) for name in self.shape)]
        count = len(fixed)
        if not isinstance(state, list) or state[:count] != fixed or len(state) != count + len(self.state):
            message = f"a snapshot of {fixed} is needed, not {str(state)[:80]}"
            raise ValueError(message)
        for name, part in zip(self.state, state[count:], strict=True):
            self._restore_slot(name, part)

    def _restore_slot(self, name: str, part: object) -> None:
        now = getattr(self, name)
        if isinstance(now, Indicator):
            now.restore(part)
            return
        if isinstance(now, list):
            fits = isinstance(part, list) and len(part) == len(now) and all(map(_is_number, part))
            part = list(part) if isinstance(part, list) else part
        else:
            fits = part is None or _is_number(part)
        if not fits:
            message = f"{type(self).__name__}.{name.lstrip('_')} cannot be {str(part)[:80]}"
            raise ValueError(message)
        setattr(self, name, part)


class Window(Indicator):
    """A window of the last `period` numbers, kept as the block being filled and the folds of the block before."""

    __slots__ = ("_at", "_block", "_head", "_last", "_tail", "period")
    state: ClassVar[tuple[str, ...]] = ("value", "_at", "_head", "_block", "_tail")

    def __init__(self, period: int) -> None:
        super().__init__(at_least("period", period, 1))
        self.period = period
        self._last = period - 1
        self._at = 0
        self._head = 0.0
        self._block = [0.0] * period
        self._tail = [0.0] * (period - 1)

    def restore(self, state: object) -> None:
        """Continue from a snapshot; `ValueError` if it does not fit."""
        super().restore(state)
        if not (isinstance(self._at, int) and 0 <= self._at < self.period):
            message = f"{self._at} is not a place in a window of {self.period}"
            raise ValueError(message)


class SMA(Window):
    """Simple moving average of the last `period` numbers."""

    __slots__ = ()

    def update(self, number: float) -> float | None:
        """Take the next number and give the mean of the window."""
        at = self._at
        self._block[at] = number
        head = self._head + number
        if at == self._last:
            self._at = 0
            self._head = 0.0
            self._tail = tail = list(accumulate(self._block[:0:-1]))
            tail.reverse()
            self.value = value = head / self.period
            return value
        self._at = at + 1
        self._head = head
        if self.value is None:
            return None
        self.value = value = (head + self._tail[at]) / self.period
        return value


class Highest(Window):
    """Largest of the last `period` numbers."""

    __slots__ = ()

    def update(self, number: float) -> float | None:
        """Take the next number and give the largest of the window."""
        at = self._at
        self._block[at] = number
        head = self._head
        if number > head or at == 0:
            self._head = head = number
        if at == self._last:
            self._at = 0
            self._tail = tail = list(accumulate(self._block[:0:-1], max))
            tail.reverse()
            self.value = head
            return head
        self._at = at + 1
        if self.value is None:
            return None
        rest = self._tail[at]
        self.value = value = head if head > rest else rest
        return value


class Lowest(Window):
    """Smallest of the last `period` numbers."""

    __slots__ = ()

    def update(self, number: float) -> float | None:
        """Take the next number and give the smallest of the window."""
        at = self._at
        self._block[at] = number
        head = self._head
        if number < head or at == 0:
            self._head = head = number
        if at == self._last:
            self._at = 0
            self._tail = tail = list(accumulate(self._block[:0:-1], min))
            tail.reverse()
            self.value = head
            return head
        self._at = at + 1
        if self.value is None:
            return None
        rest = self._tail[at]
        self.value = value = head if head < rest else rest
        return value


class RateOfChange(Window):
    """Change over `period` updates as a fraction of the older number; 0 if that was 0."""

    __slots__ = ()

    def __init__(self, period: int) -> None:
        super().__init__(period)
        self.warmup = period + 1

    def update(self, number: float) -> float | None:
        """Take the next number and give its change against the one `period` updates ago."""
        at = self._at
        block = self._block
        old = block[at]
        block[at] = number
        self._at = at + 1 if at < self._last else 0
        if self._head < self.period:  # the head counts the numbers seen until there is one to compare with
            self._head += 1.0
            return None
        self.value = value = number / old - 1.0 if old else 0.0
        return value


class Smoothing(Indicator):
    """An exponential average that begins with the simple mean of its first `period` numbers."""

    __slots__ = ("_alpha", "_seen", "_sum", "period")
    shape: ClassVar[tuple[str, ...]] = ("period", "_alpha")
    state: ClassVar[tuple[str, ...]] = ("value", "_seen", "_sum")

    def __init__(self, period: int, alpha: float) -> None:
        super().__init__(at_least("period", period, 1))
        self.period = period
        self._alpha = alpha
        self._seen = 0
        self._sum = 0.0

    def update(self, number: float) -> float | None:
        """Take the next number and give the average."""
        value = self.value
        if value is None:
            self._seen += 1
            self._sum += number
            if self._seen == self.period:
                self.value = self._sum / self.period
            return self.value
        self.value = value = value + self._alpha * (number - value)
        return value


class EMA(Smoothing):
    """Exponential moving average with weight 2 / (period + 1)."""

    __slots__ = ()

    def __init__(self, period: int) -> None:
        super().__init__(period, 2.0 / (at_least("period", period, 1) + 1))


class Wilder(Smoothing):
    """Wilder's smoothing: an exponential average with weight 1 / period (New Concepts in Technical Trading Systems, 1978)."""

    __slots__ = ()

    def __init__(self, period: int) -> None:
        super().__init__(period, 1.0 / at_least("period", period, 1))


class RSI(Indicator):
    """Wilder's relative strength index, 0..100: the share of rises in the smoothed movement; 50 where nothing has moved."""

    __slots__ = ("_alpha", "_gain", "_loss", "_previous", "_seen", "period")
    shape: ClassVar[tuple[str, ...]] = ("period",)
    state: ClassVar[tuple[str, ...]] = ("value", "_previous", "_gain", "_loss", "_seen")

    def __init__(self, period: int = 14) -> None:
        super().__init__(at_least("period", period, 1) + 1)
        self.period = period
        self._alpha = 1.0 / period
        self._previous: float | None = None
        self._gain = 0.0
        self._loss = 0.0
        self._seen = 0

    def update(self, number: float) -> float | None:
        """Take the next price and give the index."""
        previous = self._previous
        self._previous = number
        if self.value is None:
            return self._seed(number, previous)
        change = number - previous  # type: ignore[operator]  # warm, so there was one before
        gain = self._gain
        loss = self._loss
        if change > 0.0:
            self._gain = gain = gain + self._alpha * (change - gain)
            self._loss = loss = loss - self._alpha * loss
        else:
            self._gain = gain = gain - self._alpha * gain
            self._loss = loss = loss - self._alpha * (change + loss)
        moved = gain + loss
        self.value = value = 100.0 * (gain / moved) if moved else 50.0
        return value

    def _seed(self, number: float, previous: float | None) -> float | None:
        if previous is None:
            return None
        change = number - previous
        self._gain += max(change, 0.0) / self.period
        self._loss += max(-change, 0.0) / self.period
        self._seen += 1
        if self._seen == self.period:
            moved = self._gain + self._loss
            self.value = 100.0 * (self._gain / moved) if moved else 50.0
        return self.value


class MACD(Indicator):
    """Moving average convergence divergence; `value` is the histogram, `line` minus `signal`."""

    __slots__ = ("_fast", "_signal", "_slow", "line", "signal")
    shape: ClassVar[tuple[str, ...]] = ()
    state: ClassVar[tuple[str, ...]] = ("value", "line", "signal", "_fast", "_slow", "_signal")

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        super().__init__(at_least("slow", slow, fast + 1) + at_least("signal", signal, 1) - 1)
        self._fast = EMA(fast)
        self._slow = EMA(slow)
        self._signal = EMA(signal)
        self.line: float | None = None
        self.signal: float | None = None

    def update(self, number: float) -> float | None:
        """Take the next price and give the histogram."""
        fast = self._fast.update(number)
        slow = self._slow.update(number)
        if fast is None or slow is None:
            return None
        self.line = line = fast - slow
        self.signal = signal = self._signal.update(line)
        if signal is not None:
            self.value = line - signal
        return self.value


class Previous(Indicator):
    """One remembered number: an update gives the number before it."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(1)

    def update(self, number: float | None) -> float | None:
        """Remember this number and give the one remembered so far."""
        before = self.value
        self.value = number
        return before


class Cross(Indicator):
    """When one number crosses another: +1 as it comes to be above (it was below or equal), -1 as it comes to be below, else 0."""

    __slots__ = ("_side",)
    state: ClassVar[tuple[str, ...]] = ("value", "_side")

    def __init__(self) -> None:
        super().__init__(1)
        self._side: int | None = None

    def update(self, number: float, other: float = 0.0) -> int:
        """Take the next pair and say whether `number` has just crossed `other`."""
        gap = number - other
        slack = TIE * other if other >= 0.0 else -TIE * other
        side = 1 if gap > slack else -1 if gap < -slack else 0
        before = self._side
        if side == before:
            return 0
        self._side = side
        return 0 if before is None else side


class Excursion(Indicator):
    """A number that leaves the range `low`..`high` and comes back.

    An update gives how far it had gone, positive as it returns from below, negative as it returns from above, else 0.
    """

    __slots__ = ("_depth", "high", "low")
    shape: ClassVar[tuple[str, ...]] = ("low", "high")
    state: ClassVar[tuple[str, ...]] = ("value", "_depth")

    def __init__(self, low: float, high: float) -> None:
        super().__init__(1)
        self.low = low
        self.high = high
        self._depth = 0.0

    def update(self, number: float) -> float:
        """Take the next number and give the depth of the excursion that has just ended."""
        depth = self._depth
        if number < self.low:
            self._depth = max(depth, self.low - number)
            return min(depth, 0.0)
        if number > self.high:
            self._depth = min(depth, self.high - number)
            return max(depth, 0.0)
        self._depth = 0.0
        return depth


def warmup_of(indicators: Sequence[Indicator]) -> int:
    """Updates until all of them are warm."""
    return max((each.warmup for each in indicators), default=0)
