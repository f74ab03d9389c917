"""The monitor of a running bot: hears its errors, keeps them, and watches its parts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from bot.latency import LatencyHistogram
from bot.logs import Redactor
from bot.services.monitoring.components import Watch
from bot.services.monitoring.error_book import MOST, ErrorBook
from bot.services.monitoring.error_log import ErrorHandler
from bot.services.monitoring.error_store import ErrorStore
from bot.services.use_case import Ground
from bot.store.errors import StoreUnavailable

log = structlog.get_logger(__name__)

HELD = "monitor.live"
"""Where the ground of a running bot holds its monitor."""
_LOOK_SECONDS = 5.0
_SAVE_EVERY = 12


@dataclass(frozen=True, slots=True)
class Measured:
    """What a running bot measures: `latencies` by stage, in seconds; `pending` rows wait for the journal."""

    latencies: Callable[[], Mapping[str, LatencyHistogram]]
    pending: Callable[[], int]


class LiveMonitor:
    """Errors and parts of one run. A store that cannot be used costs only what a restart would have remembered."""

    def __init__(self, ground: Ground, watch: Watch, measured: Measured) -> None:
        self.book = ErrorBook()
        self.watch = watch
        self.measured = measured
        self.unsaved = 0
        self._now = ground.now
        self._settings = ground.loaded.settings
        self._handler = ErrorHandler(self.book, Redactor(ground.secrets.values()), ground.now)
        self._store: ErrorStore | None = None
        self._saving = asyncio.Lock()
        self._remembered = False

    @property
    def lost(self) -> int:
        """Errors that found no room, or could not be read."""
        return self.book.dropped + self._handler.failed

    async def begin(self, ground: Ground) -> None:
        """Hear from now on, and take up what was kept; the journal must be there."""
        logging.getLogger().addHandler(self._handler)
        ground.held[HELD] = self
        try:
            self._store = await ErrorStore.open(self._settings.database_url, self._settings.bot.name)
            await self._remember(self._store)
        except StoreUnavailable as error:
            log.warning("errors_not_remembered", error=str(error))
        self.watch.look(self._now())

    async def run(self) -> None:
        """Look every few seconds, save every minute."""
        while True:
            for _ in range(_SAVE_EVERY):
                await asyncio.sleep(_LOOK_SECONDS)
                self.watch.look(self._now())
            await self.save()

    async def save(self) -> None:
        """Write what changed; what cannot be written waits for the next time."""
        if self._store is None:
            return
        async with self._saving:
            try:
                await self._remember(self._store)
                await self._write(self._store)
            except StoreUnavailable as error:
                self.unsaved += 1
                log.warning("errors_not_saved", error=str(error))

    async def _remember(self, store: ErrorStore) -> None:
        """Take up what was kept, once: before that nothing is written over it."""
        if not self._remembered:
            self.book.remember(await store.load(MOST))
            self._remembered = True

    async def _write(self, store: ErrorStore) -> None:
        unsaved = self.book.unsaved()
        try:
            await store.save(unsaved)
        except BaseException:
            self.book.again(unsaved)
            raise

    async def close(self) -> None:
        """Hear no more, and write what is left."""
        logging.getLogger().removeHandler(self._handler)
        try:
            await self.save()
        finally:
            if self._store is not None:
                await self._store.close()
                self._store = None


def monitor_of(ground: Ground) -> LiveMonitor | None:
    """The monitor of the bot that this ground belongs to, None in a command that stands alone."""
    found: LiveMonitor | None = ground.held.get(HELD)
    return found
