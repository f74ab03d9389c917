"""What was learnt, opened as the settings say, under the names that simulated worlds keep apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.services.memory.subjects import SIMULATED
from bot.services.side_store import store_of
from bot.services.use_case import Ground, UseCaseError
from bot.settings.learning import LearningSettings
from research.calibration.policy import CalibrationPolicy
from research.memory.errors import ResearchError

if TYPE_CHECKING:
    from bot.services.learning.live import LiveCalibration
    from research.calibration.sql import SqlCalibration

HELD = "learning.live"
"""Where a ground holds the calibration of the running bot, so that what people decide is heeded at once."""

_STORE = "learning.store"
_STORE_TO_READ = "learning.store.read"


def policy_of(settings: LearningSettings) -> CalibrationPolicy:
    """How what is known is weighed."""
    return CalibrationPolicy(
        min_trades=settings.min_trades,
        many_trades=settings.many_trades,
        prior_trades=settings.prior_trades,
        max_shift=settings.max_shift,
        window=settings.window,
        feedback_weight=settings.feedback_weight,
        threshold_low=settings.threshold_low,
        threshold_high=settings.threshold_high,
    )


def named(source: str, *, simulated: bool) -> str:
    """The name under which a source's outcomes are kept: no simulated world may teach the real one anything."""
    return SIMULATED + source if simulated and not source.startswith(SIMULATED) else source


def plain(source: str) -> str:
    """The source's own name."""
    return source.removeprefix(SIMULATED)


async def calibration_of(ground: Ground) -> SqlCalibration:
    """The store of use cases that change something; the journal is made where there is none. `UseCaseError` if it fails."""
    from research.calibration.sql import SqlCalibration  # noqa: PLC0415 - SQLAlchemy is slow to import

    return _held(ground) or await store_of(ground, _STORE, SqlCalibration.open)


async def calibration_to_read(ground: Ground) -> SqlCalibration:
    """The store for look-ups: where nothing was learnt yet nothing is made, which is a `UseCaseError` that says so."""
    from research.calibration.sql import SqlCalibration  # noqa: PLC0415 - SQLAlchemy is slow to import

    held = _held(ground) or ground.held.get(_STORE) or ground.held.get(_STORE_TO_READ)
    if held is not None:
        return held
    try:
        store = await SqlCalibration.open_to_read(ground.loaded.settings.database_url)
    except ResearchError as error:
        raise UseCaseError(str(error)) from error
    ground.closing.push_async_callback(store.close)
    ground.held[_STORE_TO_READ] = store
    return store


def _held(ground: Ground) -> SqlCalibration | None:
    live: LiveCalibration | None = ground.held.get(HELD)
    return None if live is None else live.store
