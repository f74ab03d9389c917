"""Supervision: a task that fails is logged, counted and started again after a growing pause; it never takes the bot with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)

LONGEST_PAUSE = 60.0


@dataclass(slots=True)
class Supervisor:
    """Keeps the bot's long-lived tasks alive. `restarts` counts by task; `failing` says why those that are down are."""

    restarts: dict[str, int] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)

    async def keep(self, name: str, run: Callable[[], Awaitable[None]], pause: float = 1.0) -> None:
        """Run until it ends by itself or is cancelled; start it again whenever it fails."""
        wait = pause
        while True:
            try:
                await run()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self.restarts[name] = self.restarts.get(name, 0) + 1
                self.failing[name] = f"{type(error).__name__}: {error}"
                log.error("task_failed", task=name, error=self.failing[name], again_in=wait, exc_info=True)
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_PAUSE)
                self.failing.pop(name, None)
            else:
                return
