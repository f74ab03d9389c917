"""Virtual time: an asyncio event loop that never waits.

When nothing is ready, time jumps to the next timer. Nothing outside can wake the loop, so there are no sockets and no threads,
and the same program gives the same run: callbacks in the order in which they were asked for, timers by their time and then in
the order in which they were set.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
_Ts = TypeVarTuple("_Ts")

EPOCH_MS = 1_800_000_000_000
"""When virtual time begins, in milliseconds UTC: a whole day, so that drills do not begin within one."""

_GRACE = 60.0


class Deadlock(RuntimeError):  # noqa: N818 - it names what happened
    """Nothing is ready and no timer is set: the program waits for something that can never come."""


class _Timer(asyncio.TimerHandle):
    """A timer that gives way to those set before it for the same moment: a heap alone would not say which comes first."""

    rank = (0.0, 0)
    _scheduled: bool

    def __lt__(self, other: object) -> bool:
        return self.rank < other.rank if other.__class__ is _Timer else NotImplemented


class _NoSelector:
    """What the loop asks instead of the system: it lets time pass, and never finds anything to read."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            message = f"nothing is ready and no timer is set at {self._loop.time():.3f} s"
            raise Deadlock(message)
        if timeout > 0:
            self._loop.jump()
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose `time()` begins at 0 s and passes only when it has nothing to do. It belongs to one thread."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._now_ns = EPOCH_MS * 1_000_000
        self._numbers = itertools.count(1)
        self._owner = threading.get_ident()
        self._selector = _NoSelector(self)
        self._scheduled: list[_Timer]

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def now_ns(self) -> int:
        """Nanoseconds UTC."""
        return self._now_ns

    def now(self) -> int:
        """Milliseconds UTC."""
        return self._now_ns // 1_000_000

    def jump(self) -> None:
        """Pass on to the next timer."""
        self._now = max(self._now, self._scheduled[0].when())
        self._now_ns = EPOCH_MS * 1_000_000 + round(self._now * 1_000_000_000)

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's; what was set first for a moment is called first."""
        if self.is_closed():
            message = "the loop is closed"
            raise RuntimeError(message)
        timer = _Timer(when, callback, args, self, context)
        timer.rank = (when, next(self._numbers))
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # noqa: SLF001 - so the loop learns of its cancelling, as from its own `call_at`
        return timer

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """As `call_soon`; from another thread it would not be the same run twice, so that is an error."""
        if threading.get_ident() != self._owner:
            message = "a thread called into virtual time, which belongs to one thread only"
            raise RuntimeError(message)
        return self.call_soon(callback, *args, context=context)

    def _process_events(self, event_list: list[object]) -> None:
        """There never are any."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""


def run_virtual(program: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run an asyncio program in virtual time from its beginning to its end; what it leaves running is cancelled.

    Raises `Deadlock` when it can never end, `RuntimeError` inside a running loop.
    """
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(program(loop))
    finally:
        _cancel_rest(loop)
        loop.close()


def _cancel_rest(loop: VirtualLoop) -> None:
    rest = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    for task in rest:
        task.cancel()
    if rest:
        loop.run_until_complete(asyncio.wait(rest, timeout=_GRACE))
    loop.run_until_complete(loop.shutdown_asyncgens())
