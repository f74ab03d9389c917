"""An event loop whose time passes only when nothing else is left to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, the clock is put forward."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.idle = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            self.idle += 1
            assert self.idle < 1_000, "everything waits, and for nothing"
        elif not ready and timeout and timeout > 0:
            self.idle = 0
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs hours in milliseconds; starts at zero."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


async def timed(call: Callable[[], Awaitable[T]]) -> tuple[float, T]:
    """How long a call took by the loop's clock, in seconds, and its result."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    result = await call()
    return loop.time() - began, result
