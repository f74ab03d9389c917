"""Notifications: telling the person, without telling the same thing all night.

A notice is queued and sent by a task of its own. The same notice within a window is told once, with the number of times it was
suppressed when it is told again; a minute has room for so many notices, but a critical one always has a place. Nothing here ever
raises into trading.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from bot.core.effects import Notify, Severity

_log = structlog.get_logger(__name__)


class Notifier(Protocol):
    """A way to reach the person."""

    @property
    def name(self) -> str:
        """What it is called in logs and counters."""
        ...

    async def send(self, notice: Notify) -> None:
        """Deliver; raise if it could not."""
        ...


class LogNotifier:
    """Tells the log."""

    name = "log"

    async def send(self, notice: Notify) -> None:
        """Write one line at the notice's severity."""
        level = {Severity.INFO: _log.info, Severity.WARNING: _log.warning, Severity.CRITICAL: _log.critical}[notice.severity]
        level("notice", title=notice.title, text=notice.text)


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Bounds. `window` is how long the same notice stays told, `per_minute` how many a minute has room for; times are seconds."""

    queue: int = 200
    window: float = 300.0
    per_minute: int = 20
    timeout: float = 10.0
    remembered: int = 1_000


@dataclass(slots=True)
class _Told:
    at: float
    suppressed: int = 0


class Notifications:
    """The queue in front of the notifiers. `clock` gives monotonic seconds."""

    def __init__(
        self,
        notifiers: Sequence[Notifier] = (),
        settings: NotifySettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notifiers = tuple(notifiers)
        self._settings = settings or NotifySettings()
        self._clock = clock
        self._queue: deque[Notify] = deque()
        self._told: dict[Notify, _Told] = {}
        self._recent: deque[float] = deque()
        self._outcomes = dict.fromkeys(("sent", "failed", "repeated", "limited", "overflowed"), 0)
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many were sent, failed, repeated an earlier one, exceeded the rate, or overflowed the queue."""
        return dict(self._outcomes)

    def put(self, notice: Notify) -> None:
        """Take a notice to be told. Returns at once."""
        admitted = self._admit(notice)
        if admitted is None:
            return
        if len(self._queue) >= self._settings.queue:
            self._make_room()
        self._queue.append(admitted)
        self._empty.clear()
        self._wake.set()

    async def start(self) -> None:
        """Begin to tell."""
        self._task = asyncio.create_task(self._run(), name="notifications")

    async def close(self, timeout: float = 2.0) -> None:
        """Tell what is left, for at most `timeout` seconds, then stop."""
        if self._task is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    def _admit(self, notice: Notify) -> Notify | None:
        """The notice, perhaps saying how often it was suppressed; None if it was told a moment ago or the minute is full."""
        now = self._clock()
        told = self._told.pop(notice, None)
        if told is not None and now - told.at < self._settings.window:
            told.suppressed += 1
            self._outcomes["repeated"] += 1
            self._told[notice] = told
            return None
        while self._recent and now - self._recent[0] >= 60.0:
            self._recent.popleft()
        if len(self._recent) >= self._settings.per_minute and notice.severity is not Severity.CRITICAL:
            self._outcomes["limited"] += 1
            return None
        self._recent.append(now)
        self._told[notice] = _Told(now)
        if len(self._told) > self._settings.remembered:
            del self._told[next(iter(self._told))]
        if told is not None and told.suppressed:
            return replace(notice, text=f"{notice.text} (and {told.suppressed} times since it was last told)")
        return notice

    def _make_room(self) -> None:
        """Drop the oldest that is not critical; if all are, the oldest."""
        place = next((i for i, waiting in enumerate(self._queue) if waiting.severity is not Severity.CRITICAL), 0)
        del self._queue[place]
        self._outcomes["overflowed"] += 1

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                notice = self._queue.popleft()
                await asyncio.gather(*(self._tell(notifier, notice) for notifier in self._notifiers))
            self._empty.set()

    async def _tell(self, notifier: Notifier, notice: Notify) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout):
                await notifier.send(notice)
        except Exception as error:  # noqa: BLE001 - an outlet's boundary: a notification that fails must not reach trading
            self._outcomes["failed"] += 1
            # Only the kind of error: a service's message may quote the address, and the address is a secret.
            _log.warning("notification_failed", notifier=notifier.name, title=notice.title, error=type(error).__name__)
        else:
            self._outcomes["sent"] += 1
