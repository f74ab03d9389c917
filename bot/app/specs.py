"""What the desk is told of each source: its YAML, filled up from the settings."""

from __future__ import annotations

from dataclasses import replace

from bot.core.decision import SourceSpec, Tier
from bot.settings import ConfigError, Problem, Settings
from sources.loading import LoadedSource


def spec_of(source: LoadedSource, settings: Settings) -> SourceSpec:
    """The source's spec; `ConfigError` if it names a sizing that does not exist."""
    spec, desk = source.spec, settings.desk
    if spec.sizing is not None and spec.sizing not in desk.sizings:
        known = ", ".join(sorted(desk.sizings))
        problem = Problem(str(source.file), "sizing", spec.sizing, "is not one of the desk's sizings", f"use one of {known}")
        raise ConfigError(problem)
    windows = {
        Tier.QUANTCONNECT: desk.settle_ms.quantconnect,
        Tier.LLM: desk.settle_ms.llm,
        Tier.TRADITIONAL: desk.settle_ms.traditional,
    }
    settle = windows[spec.tier] if source.config.settle_ms is None else spec.settle_ms
    return replace(spec, settle_ms=settle, max_claim_ms=min(spec.max_claim_ms, desk.max_claim_ms))
