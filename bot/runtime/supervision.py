"""Supervision: a task that fails is logged, counted and started again after a growing pause; it never takes the bot with it.

The supervisor owns its tasks to their end. Whoever swallows a cancellation is asked again until the time is over, and then let
go: a bot that has to stop does not wait for a source that will not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)

LONGEST_PAUSE = 60.0
_OFTEN = 2
_ASK_AGAIN = 0.1


@dataclass(frozen=True, slots=True)
class _Failed:
    """How often a task failed in a row, why the last time, and when it is started again (monotonic seconds)."""

    often: int
    error: str
    again: float


@dataclass(slots=True)
class Supervisor:
    """Keeps the bot's long-lived tasks alive.

    `restarts` counts by task; `failing` says why those that are down are; `abandoned` names those that would not end. `clock`
    gives monotonic seconds.
    """

    restarts: dict[str, int] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)
    abandoned: list[str] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _failed: dict[str, _Failed] = field(default_factory=dict)

    @property
    def troubles(self) -> dict[str, str]:
        """Why tasks are down, or why they failed last where they failed again and have not been well for a minute since.

        A task that fails anew each time is up while it tries: who looks now and then must not take that for its recovery.
        """
        now = self.clock()
        again = {
            name: failed.error
            for name, failed in self._failed.items()
            if failed.often >= _OFTEN and now - failed.again <= LONGEST_PAUSE
        }
        return again | self.failing

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Keep this running until `end` or `stop`. `ValueError` if a task of that name runs already."""
        running = self._tasks.get(name)
        if running is not None and not running.done():
            message = f"a task called {name} runs already"
            raise ValueError(message)
        self._tasks[name] = asyncio.create_task(self.keep(name, run), name=name)

    async def end(self, name: str, timeout: float) -> None:
        """End one task; nothing happens if there is none of that name."""
        task = self._tasks.pop(name, None)
        if task is not None:
            self.abandoned += await release([task], timeout)
        self.failing.pop(name, None)
        self._failed.pop(name, None)

    async def stop(self, timeout: float) -> None:
        """End every task, all at once."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        self.abandoned += await release(tasks, timeout)

    async def keep(self, name: str, run: Callable[[], Awaitable[None]], pause: float = 1.0) -> None:
        """Run until it ends by itself or is cancelled; again whenever it fails, soon if it had long been well."""
        wait = pause
        while True:
            began = self.clock()
            try:
                await run()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if self.clock() - began > LONGEST_PAUSE:
                    wait = pause
                    self._failed.pop(name, None)
                self._failed_again(name, f"{type(error).__name__}: {error}", wait)
                log.error("task_failed", task=name, error=self.failing[name], again_in=wait, exc_info=True)
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_PAUSE)
                self.failing.pop(name, None)
            else:
                self._failed.pop(name, None)
                return

    def _failed_again(self, name: str, error: str, wait: float) -> None:
        known = self._failed.get(name)
        self._failed[name] = _Failed(1 if known is None else known.often + 1, error, self.clock() + wait)
        self.restarts[name] = self.restarts.get(name, 0) + 1
        self.failing[name] = error


async def release(tasks: Iterable[asyncio.Task[None]], timeout: float) -> list[str]:
    """Cancel tasks and wait at most `timeout` seconds for them; the names of those that would not end."""
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout
    left = {task for task in tasks if not task.done()}
    while left and loop.time() < until:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=max(0.0, min(_ASK_AGAIN, until - loop.time())))
    for task in left:
        log.error("task_abandoned", task=task.get_name(), waited=timeout)
        # The runner would wait for it for ever when it closes the loop; what it does from here on is nobody's business.
        asyncio.tasks._unregister_task(task)  # noqa: SLF001 - documented under "Extending asyncio"
    return [task.get_name() for task in left]
