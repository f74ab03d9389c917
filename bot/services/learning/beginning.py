"""Calibration of a run at its beginning: opened, filled with what is known, and caught up with the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bot.journal.run import BookKey
from bot.services.learning.live import Heed, LiveCalibration, LiveLimits
from bot.services.learning.opening import policy_of
from bot.services.learning.telling import journaled
from bot.settings import Settings
from research.calibration.sql import SqlCalibration

_STORE_SECONDS = 2.0  # a stop waits for no longer than this


async def begin_learning(
    settings: Settings, book: BookKey, now: Callable[[], int], heed: Heed | None = None
) -> LiveCalibration | None:
    """Calibration for a run of this book, None where `learning.enabled` is false. The journal must be open, its facts all told.

    `heed` is told thresholds where `learning.adjust_threshold` is true. Raises `CalibrationUnavailable` if the store cannot be
    used, and whatever the journal raises.
    """
    learning = settings.learning
    if not learning.enabled:
        return None
    store = await SqlCalibration.open(settings.database_url, seconds=_STORE_SECONDS)
    try:
        live = LiveCalibration(
            store,
            policy_of(learning),
            now,
            calibrate=learning.calibrate,
            book=f"{book.bot}/{book.mode}/{book.venue}/{book.world}",
            simulated=book.world.startswith("simulated"),  # its seed and start follow
            heed=heed if learning.adjust_threshold else None,
            limits=LiveLimits(refit=learning.refit_every / 1_000),
        )
        await live.recall()
        await live.catch_up(await asyncio.to_thread(journaled, settings.database_url, book))
    except BaseException:
        await store.close()
        raise
    return live
