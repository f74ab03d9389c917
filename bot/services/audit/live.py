"""The audit of a run: takes a line at once, and writes it when it can.

Nothing that trades waits for it. What cannot be written is tried again, as long as the queue lasts; what is lost is counted,
logged and shown in the status.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from bot.services.audit.entry import Entry
from bot.services.audit.store import AuditStore, Scene
from bot.store.errors import StoreUnavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AuditLimits:
    """Bounds: lines that wait, lines in one write, lines kept and for how long (ms, None: for ever); pauses are in seconds."""

    waiting: int = 2_000
    batch: int = 100
    kept: int = 200_000
    keep_ms: int | None = None
    retry: float = 0.5
    retry_longest: float = 30.0
    upkeep: float = 3_600.0
    seconds: float = 5.0


class LiveAudit:
    """The audit of one run, written to the database of `url`. `now` is in ms UTC."""

    def __init__(self, url: str, scene: Scene, now: Callable[[], int], limits: AuditLimits | None = None) -> None:
        self._url = url
        self._scene = scene
        self._now = now
        self._limits = limits or AuditLimits()
        self._waiting: deque[Entry] = deque()
        self._work = asyncio.Event()
        self._writing = asyncio.Lock()
        self._store: AuditStore | None = None
        self.written = 0
        self.dropped = 0
        self.failures = 0

    def put(self, entry: Entry) -> None:
        """Take a line; returns at once. The oldest that waits is lost where too many do."""
        if len(self._waiting) >= self._limits.waiting:
            lost = self._waiting.popleft()
            self.dropped += 1
            log.error("audit_line_dropped", command=lost.command, actor=lost.actor, dropped=self.dropped)
        self._waiting.append(entry)
        self._work.set()

    def report(self) -> Mapping[str, int]:
        """How it does."""
        waiting = len(self._waiting)
        return {"written": self.written, "waiting": waiting, "dropped": self.dropped, "failures": self.failures}

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        pause, due = self._limits.retry, 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self._write()
                if loop.time() >= due:
                    await self._retire()
                    due = loop.time() + self._limits.upkeep
                pause = self._limits.retry
            except StoreUnavailable as error:
                self._failed(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._limits.retry_longest)
                continue
            self._work.clear()
            if not self._waiting:
                try:
                    async with asyncio.timeout(max(0.0, due - loop.time())):
                        await self._work.wait()
                except TimeoutError:
                    continue

    async def close(self, seconds: float) -> None:
        """Write what waits, within `seconds`, and release the database."""
        try:
            async with asyncio.timeout(seconds):
                await self._write()
        except (TimeoutError, StoreUnavailable) as error:
            log.error("audit_unwritten", lines=len(self._waiting), error=str(error) or "no time was left")
        finally:
            if self._store is not None:
                store, self._store = self._store, None
                await store.close()

    async def _opened(self) -> AuditStore:
        if self._store is None:
            self._store = await AuditStore.open(self._url, self._limits.seconds)
        return self._store

    async def _write(self) -> None:
        async with self._writing:
            while self._waiting:
                store = await self._opened()
                batch = [self._waiting[place] for place in range(min(len(self._waiting), self._limits.batch))]
                await store.keep(self._scene, batch)
                self.written += len(batch)
                for entry in batch:
                    # Lines that were pushed out meanwhile are written all the same, and not in the queue any more.
                    if self._waiting and self._waiting[0] is entry:
                        self._waiting.popleft()

    async def _retire(self) -> None:
        limits = self._limits
        if self._store is not None:
            await self._store.retire(None if limits.keep_ms is None else self._now() - limits.keep_ms, limits.kept)

    def _failed(self, error: StoreUnavailable) -> None:
        self.failures += 1
        log.error("audit_unavailable", error=str(error), failures=self.failures, waiting=len(self._waiting))
