"""The sources that ask language models, from the configuration: for whoever wants to ask as they would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.services.use_case import Ground, Missing, UseCaseError
from sources.config import SourceConfig, SourceConfigError

if TYPE_CHECKING:
    from sources.llm.params import LlmParams

ON_DEMAND = "llm:on-demand"
"""Who asks where no source is named and the configuration has none."""


def source_of(ground: Ground, name: str | None) -> tuple[SourceConfig, LlmParams]:
    """A source of the configuration; without a name the first one that is switched on, else one with the usual parameters.

    `Missing` if there is no such source, or it asks no language model; `UseCaseError` if their files cannot be read.
    """
    from sources.llm.params import KIND, LlmParams  # noqa: PLC0415
    from sources.loading import load_sources  # noqa: PLC0415

    directory = ground.loaded.sources_directory
    try:
        loaded = load_sources(directory) if directory is not None and directory.is_dir() else []
    except SourceConfigError as error:
        raise UseCaseError(str(error)) from error
    ours = {one.config.source: one for one in loaded if one.config.kind == KIND}
    if name is None:
        named = next((one for one in ours.values() if one.config.enabled), None) or next(iter(ours.values()), None)
        if named is None:
            return SourceConfig(source=ON_DEMAND, kind=KIND, timeframe="1h", expiry="4h"), LlmParams(
                timeframes=("1h", "4h", "1d")
            )
    elif name not in ours:
        known = ", ".join(ours) or "none"
        message = f"no source {name!r} asks language models; there are: {known}"
        raise Missing(message)
    else:
        named = ours[name]
    assert isinstance(named.params, LlmParams)
    return named.config, named.params
