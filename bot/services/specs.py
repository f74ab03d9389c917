"""What the desk is told of each source: its YAML, filled up from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bot.core.decision import Tier
from bot.settings import ConfigError, Problem, Settings
from bot.settings.models import Selection
from sources.loading import LoadedSource, load_sources
from sources.means import Means


def configured(directory: Path, switched: Mapping[str, bool]) -> list[LoadedSource]:
    """The sources of a directory; those named in `switched` are on or off whatever their files say. `SourceConfigError`."""
    return [_switched(source, switched.get(source.config.source)) for source in load_sources(directory)]


def _switched(source: LoadedSource, enabled: bool | None) -> LoadedSource:
    return source if enabled is None else replace(source, config=source.config.model_copy(update={"enabled": enabled}))


def with_settings(source: LoadedSource, settings: Settings) -> LoadedSource:
    """The source with what its file leaves to the settings; `ConfigError` if it names a sizing that does not exist."""
    config, desk = source.config, settings.desk
    if config.sizing is not None and config.sizing not in desk.sizings:
        known = ", ".join(sorted(desk.sizings))
        problem = Problem(str(source.file), "sizing", config.sizing, "is not one of the desk's sizings", f"use one of {known}")
        raise ConfigError(problem)
    windows = {
        Tier.QUANTCONNECT: desk.settle_ms.quantconnect,
        Tier.LLM: desk.settle_ms.llm,
        Tier.TRADITIONAL: desk.settle_ms.traditional,
    }
    given = {
        "settle_ms": windows[config.tier] if config.settle_ms is None else config.settle_ms,
        "max_claim_ms": min(config.max_claim_ms, desk.max_claim_ms),
    }
    return replace(source, config=config.model_copy(update=given))


def unheard(source: LoadedSource, settings: Settings, means: Means) -> str | None:
    """Why the source is off, None when it is on."""
    if not source.config.enabled:
        return f"switched off (enabled: false in {source.file.name} or in the overlay)"
    selection = settings.desk.selection
    if selection is not Selection.HYBRID and selection.value != source.spec.tier.label:
        return f"desk.selection is {selection.value}"
    return source.lacks(means)
