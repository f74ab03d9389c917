"""The configuration as it is: each value with the place it came from, what the next start would change, and the sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import orjson
from sqlalchemy import text

from bot.services.look_up import database_to_read
from bot.services.running import running
from bot.services.specs import configured
from bot.services.use_case import Ground, UseCaseError
from bot.settings import ConfigError, Effective, Loaded, effective, public, reloaded
from bot.settings.overlay import overlay_path, read_overlay
from bot.store.errors import StoreUnavailable
from sources.config import SourceConfigError

_EMBEDDED = Path("demo") / "sources"


async def began_with(ground: Ground) -> Mapping[str, object] | None:
    """What the bot that runs began with, for a process beside it; None in the bot itself, and where none runs.

    It may have been given options that this process does not know, and the files may have changed since.
    """
    if not ground.run or running(ground) is not None:
        return None
    database = await database_to_read(ground)
    if database is None:
        return None
    asked, values = text("SELECT config FROM runs WHERE id = :run"), {"run": ground.run}
    try:
        found = await database.run(lambda connection: connection.execute(asked, values).scalar_one_or_none())
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error
    told = None if found is None else orjson.loads(found)
    return told if isinstance(told, dict) else None


def shown(ground: Ground, section: str | None, began: Mapping[str, object] | None = None) -> dict[str, object]:
    """Everything of a section, or of all; `began` is what is in force where that is another process. It reads files."""
    loaded = ground.loaded
    ours = public(loaded.settings)
    force = ours if began is None else began
    rows = [_row(one, ours, force) for one in effective(loaded) if section is None or one.key.partition(".")[0] == section]
    return {
        "directory": None if loaded.directory is None else str(loaded.directory),
        "files": [str(file) for file in loaded.files],
        "overlay": str(overlay_path(loaded.settings.bot.data_dir)),
        "settings": rows,
        **_next_start(loaded, force),
        **_sources(ground),
    }


def _row(one: Effective, ours: Mapping[str, object], force: Mapping[str, object]) -> dict[str, object]:
    value = _at(force, one.key)
    if value == _at(ours, one.key):
        return {"key": one.key, "value": one.value, "text": one.text, "kind": one.origin.kind.value, "origin": str(one.origin)}
    told = value if isinstance(value, str) else json.dumps(value)
    return {"key": one.key, "value": value, "text": told, "kind": "running", "origin": "what the running bot began with"}


def _next_start(loaded: Loaded, force: Mapping[str, object]) -> dict[str, object]:
    """What another start with our options would read now: `pending` is what differs, `problem` why it could not start."""
    try:
        later = reloaded(loaded, read_overlay(loaded.settings.bot.data_dir))
    except ConfigError as error:
        return {"pending": [], "problem": str(error)}
    then = public(later.settings)
    pending = [
        {"key": one.key, "now": _at(force, one.key), "next": _at(then, one.key), "origin": str(one.origin)}
        for one in effective(later)
        if _at(force, one.key) != _at(then, one.key)
    ]
    return {"pending": pending, "problem": None}


def _at(values: object, key: str) -> object:
    """What stands at a dotted key; None where nothing does."""
    for name in key.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


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
