"""The configuration as it is: each value with the place it came from, what the next start would change, and the sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bot.services.specs import configured
from bot.services.use_case import Ground
from bot.settings import ConfigError, Loaded, effective, reloaded
from bot.settings.overlay import overlay_path, read_overlay
from sources.config import SourceConfigError

_EMBEDDED = Path("demo") / "sources"


def shown(ground: Ground, section: str | None) -> dict[str, object]:
    """Everything of a section, or of all; reads files, so call it in a thread."""
    loaded = ground.loaded
    rows = [
        {"key": one.key, "value": one.value, "text": one.text, "kind": one.origin.kind.value, "origin": str(one.origin)}
        for one in effective(loaded)
        if section is None or one.key.partition(".")[0] == section
    ]
    return {
        "directory": None if loaded.directory is None else str(loaded.directory),
        "files": [str(file) for file in loaded.files],
        "overlay": str(overlay_path(loaded.settings.bot.data_dir)),
        "settings": rows,
        **_next_start(loaded),
        **_sources(ground),
    }


def _next_start(loaded: Loaded) -> dict[str, object]:
    """What another start would read now: `pending` is what differs, `problem` why it could not start."""
    try:
        later = reloaded(loaded, read_overlay(loaded.settings.bot.data_dir))
    except ConfigError as error:
        return {"pending": [], "problem": str(error)}
    now = {one.key: one for one in effective(loaded)}
    then = {one.key: one for one in effective(later)}
    differing = sorted(key for key in now.keys() | then.keys() if _value(now, key) != _value(then, key))
    pending = [
        {"key": key, "now": _value(now, key), "next": _value(then, key), "origin": str(then[key].origin) if key in then else None}
        for key in differing
    ]
    return {"pending": pending, "problem": None}


def _value(values: Mapping[str, object], key: str) -> object:
    return getattr(values.get(key), "value", None)


def directory_of(ground: Ground) -> Path | None:
    """Where the sources of this world are described."""
    loaded = ground.loaded
    if ground.simulated and loaded.directory is not None:
        return loaded.directory / _EMBEDDED
    return loaded.sources_directory


def _sources(ground: Ground) -> dict[str, object]:
    directory = directory_of(ground)
    if directory is None or not directory.is_dir():
        return {"sources": [], "sources_problem": None}
    try:
        switched = read_overlay(ground.loaded.settings.bot.data_dir).sources
        found = configured(directory, switched)
    except (SourceConfigError, ConfigError) as error:
        return {"sources": [], "sources_problem": str(error)}
    rows = [
        {
            "name": source.config.source,
            "path": str(source.file),
            "tier": source.spec.tier.label,
            "kind": source.config.kind,
            "about": source.about,
            "enabled": source.config.enabled,
            "overlay": source.config.source in switched,
        }
        for source in found
    ]
    return {"sources": rows, "sources_problem": None}
