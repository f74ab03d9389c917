"""Access to language models: the minds of a process, opened when they are first needed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from bot.core.effects import Notify, Severity
from bot.journal.errors import JournalError
from bot.journal.upgrade import upgrade
from bot.logs import Redactor
from bot.services.use_case import Ground, UseCaseError
from bot.settings.llm import LlmSettings
from bot.store.errors import StoreUnavailable
from sources.means import Means

if TYPE_CHECKING:
    from sources.llm.budget import Alert, Budget
    from sources.llm.health import Change
    from sources.llm.minds import Minds
    from sources.llm.retention import Retention

HELD = "llm.minds"
"""Where a ground holds the minds, so that the sources and the use cases of a bot pay from one purse."""

_SIMULATED_CALLS = 120
# Of `ChangeKind`, by value: its module is not loaded before it is needed.
_WELL_AGAIN = frozenset({"enabled", "breaker_closed", "rested"})
_DAY_MS = 86_400_000


async def minds_of(ground: Ground) -> Minds:
    """The minds of this ground; they are closed with it.

    Where there is no journal yet, it is made: its database holds the ledger. `UseCaseError` if that cannot be used.
    """
    held: Minds | None = ground.held.get(HELD)
    if held is not None:
        return held
    from sources.llm.minds import open_minds  # noqa: PLC0415 - SQLAlchemy is slow to import

    settings = ground.loaded.settings
    opening = open_minds(
        ground.llm or settings.llm,
        budget_of(settings.llm, simulated=ground.simulated),
        settings.database_url,
        ground.key,
        ground.now,
        redact=Redactor(ground.secrets.values()).text,
        alert=lambda alert: ground.notify(_of_budget(alert)),
        change=lambda change: ground.notify(_of_change(change)),
        retention=_retention(settings.llm),
        run=ground.run,
        simulated=ground.simulated,
    )
    try:
        await asyncio.to_thread(upgrade, settings.database_url)
        minds = await ground.closing.enter_async_context(opening)
    except (StoreUnavailable, JournalError) as error:
        raise UseCaseError(str(error)) from error
    ground.held[HELD] = minds
    return minds


async def with_minds(means: Means, ground: Ground, config: Path | None) -> Means:
    """The means, with language models to ask; no prompt leaves with a secret in it.

    `config` is the directory of the configuration, where own prompts are kept. `UseCaseError` if they cannot be asked.
    """
    from sources.llm.leaks import Guard  # noqa: PLC0415 - only where somebody asks

    minds = await minds_of(ground)
    values = (*ground.secrets.values(), *(ground.keys or {}).values())
    prompts = None if config is None else config / "prompts"
    return replace(means, minds=minds, prompts=prompts, guard=Guard(values, Redactor(values).text))


def budget_of(settings: LlmSettings, *, simulated: bool = False) -> Budget:
    """What may be spent, as the ledger counts it; a `simulated` world, whose candles last a second, asks more often."""
    from sources.llm.budget import Budget  # noqa: PLC0415 - only where somebody asks

    said = settings.budget
    return Budget(
        per_call=said.per_call,
        per_source_day=said.per_source_day,
        per_day=said.per_day,
        per_month=said.per_month,
        calls_per_minute=max(said.calls_per_minute, _SIMULATED_CALLS) if simulated else said.calls_per_minute,
        soft=Decimal(repr(said.soft)),
    )


def _retention(settings: LlmSettings) -> Retention:
    from sources.llm.retention import Retention  # noqa: PLC0415 - brings SQLAlchemy

    return Retention() if settings.keep is None else Retention(record_days=max(1, settings.keep // _DAY_MS))


def _of_budget(alert: Alert) -> Notify:
    severity = Severity.WARNING if alert.percent < 100 else Severity.CRITICAL
    return Notify(severity, f"{alert.percent} % of an LLM budget is spent", str(alert))


def _of_change(change: Change) -> Notify:
    """That it may be asked again is an all-clear: it tells who hears of such, and makes the next failure news."""
    what = change.kind.value.replace("_", " ")
    severity = Severity.INFO if change.kind.value in _WELL_AGAIN else Severity.WARNING
    return Notify(severity, f"LLM: {change.subject} {what}", change.detail or "no more is known")
