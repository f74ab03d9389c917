"""Errands: the tasks a broker owns. They are named, so that nothing runs twice; bounded; and at the end all are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator

import structlog

logger = structlog.get_logger(__name__)
Key = tuple[str, str]
Work = Callable[[], Coroutine[object, object, None]]


def waits(first_ms: int, longest_ms: int, jitter: Callable[[], float]) -> Iterator[float]:
    """Seconds to wait before each try, doubling from `first_ms` to `longest_ms`, each times `jitter()`; for ever."""
    wait = first_ms
    while True:
        yield min(wait, longest_ms) / 1_000 * jitter()
        wait = min(wait * 2, longest_ms)


class Errands:
    """At most `limit` tasks by (kind, subject). `failed` counts those that raised, `overflowed` those that found no room."""

    def __init__(self, limit: int) -> None:
        self.failed = 0
        self.overflowed = 0
        self._limit = limit
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def runs(self, kind: str, subject: str) -> bool:
        """Whether such an errand is under way."""
        return (kind, subject) in self._tasks

    def start(self, kind: str, subject: str, work: Work) -> bool:
        """Run `work` unless the same errand runs already; False if there is no room for it, or everything is closing."""
        key = (kind, subject)
        if key in self._tasks:
            return True
        if self._closed or len(self._tasks) >= self._limit:
            self.overflowed += 1
            return False
        self._tasks[key] = asyncio.create_task(self._run(key, work), name=f"{kind} {subject}")
        return True

    async def wait_for(self, kind: str, subject: str) -> None:
        """Wait until such an errand is over, if one runs. It ends in time because what it awaits does."""
        task = self._tasks.get((kind, subject))
        if task is not None:
            await asyncio.wait({task})

    async def close(self, seconds: float, patient: Collection[str]) -> None:
        """Begin nothing more; let errands of the `patient` kinds end for so many seconds, then stop every one of them."""
        self._closed = True
        begun = [task for (kind, _), task in self._tasks.items() if kind in patient]
        if begun:
            await asyncio.wait(begun, timeout=seconds)
        rest = list(self._tasks.values())
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        self._tasks.clear()

    async def _run(self, key: Key, work: Work) -> None:
        try:
            await work()
        except Exception as error:
            self.failed += 1
            logger.error("errand_failed", kind=key[0], subject=key[1], error=type(error).__name__, exc_info=True)
        finally:
            # Here and not in a callback: what an errand said last may ask for the same errand again at once.
            self._tasks.pop(key, None)
