"""What people ask and change of the configuration. Nothing that is changed here acts before the bot starts again: all say so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import Field, JsonValue

from bot.runtime.jobs import Report, Result
from bot.services.configuring.changing import Changed, change, hidden_by, value_at
from bot.services.configuring.history import Entry, newest
from bot.services.configuring.listing import began_with, directory_of, shown
from bot.services.configuring.secret_cases import CASES as SECRET_CASES
from bot.services.look_up import database_to_read
from bot.services.specs import configured
from bot.services.use_case import Arguments, Ground, UseCase, UseCaseError
from bot.settings import Settings
from bot.settings.overlay import overlay_path, refused
from bot.store.errors import StoreUnavailable
from sources.config import SourceConfigError

_MOST_BYTES = 65_536
_RESTART = "the running bot goes on with what it began with; start it again for this to act"

Key = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}(\.[A-Za-z0-9_:/-]{1,64}){1,6}$", description="such as risk.max_position")
]
Author = Annotated[str, Field(min_length=1, max_length=60, description="who decides")]
Note = Annotated[str, Field(max_length=200, description="why, in a line")]
Base = Annotated[
    str | None,
    Field(pattern=r"^[0-9a-f]{64}$", description="digest of the overlay that this builds on; absent: whatever it says by now"),
]


class ShowArgs(Arguments):
    """Which part."""

    section: str | None = Field(None, max_length=32, description="such as risk; absent: everything")


class SetArgs(Arguments):
    """What is changed, by dotted key."""

    changes: dict[Key, JsonValue] = Field(min_length=1, max_length=50, description="values as YAML says them, by dotted key")
    author: Author = "operator"
    note: Note = ""
    base: Base = None


class UnsetArgs(Arguments):
    """What is left to the files again."""

    keys: tuple[Key, ...] = Field(min_length=1, max_length=50, description="dotted keys")
    author: Author = "operator"
    note: Note = ""
    base: Base = None


class SourceArgs(Arguments):
    """Which source."""

    source: str = Field(min_length=1, max_length=64, description="its name, such as rules:sma-cross")
    enabled: bool = Field(description="whether the next start lets it in")
    author: Author = "operator"
    note: Note = ""
    base: Base = None


class HistoryArgs(Arguments):
    """Which page."""

    limit: int = Field(50, ge=1, le=500, description="changes, the newest first")
    before: str | None = Field(None, pattern=r"^[0-9]{1,32}$", description="id of the last one of the page before")


async def show(ground: Ground, args: ShowArgs, report: Report) -> Result:
    """Settings with their origin, what the next start would change, and the sources."""
    del report
    if args.section is not None and args.section not in Settings.model_fields:
        message = f"config.show: section: {args.section!r} is none; there are {', '.join(Settings.model_fields)}"
        raise UseCaseError(message)
    return await asyncio.to_thread(shown, ground, args.section, await began_with(ground))


async def set_(ground: Ground, args: SetArgs, report: Report) -> Result:
    """Say settings in the overlay."""
    del report
    _refuse_large(args.changes)
    for key, value in args.changes.items():
        reason = refused(key, value)
        if reason is not None:
            raise UseCaseError(reason)
    keys = tuple(args.changes)
    changed, entries = await change(
        ground,
        args.author,
        args.note,
        lambda overlay: overlay.with_settings(args.changes),
        lambda made: _entries("set", keys, made),
        args.base,
    )
    return _answer(ground, changed, entries)


def _refuse_large(changes: Mapping[str, object]) -> None:
    try:
        long = len(orjson.dumps(changes)) > _MOST_BYTES
    except TypeError as error:  # nested too deep, numbers beyond 64 bits, text that is none
        message = f"config.set: changes: {error}; such values are written in the YAML files"
        raise UseCaseError(message) from error
    if long:
        message = f"config.set: changes: they are longer than {_MOST_BYTES} bytes; write such values in the YAML files"
        raise UseCaseError(message)


async def unset(ground: Ground, args: UnsetArgs, report: Report) -> Result:
    """Leave settings to the files again."""
    del report

    def entries(made: Changed) -> list[Entry]:
        old, new = (set(overlay.settings) for overlay in made.overlay)
        absent = [key for key in args.keys if not any(gone == key or gone.startswith(key + ".") for gone in old - new)]
        if absent:
            listed = ", ".join(sorted(old)) or "nothing"
            message = f"config.unset: {absent[0]} is not set in the overlay, which has {listed}"
            raise UseCaseError(message)
        return _entries("unset", args.keys, made)

    changed, kept = await change(ground, args.author, args.note, lambda overlay: overlay.without(args.keys), entries, args.base)
    return _answer(ground, changed, kept)


def _entries(action: str, keys: tuple[str, ...], made: Changed) -> list[Entry]:
    """A key that could not be validated before has the value that the overlay had."""
    return [Entry(action, key, _before(key, made), value_at(made.after, key)) for key in keys]


def _before(key: str, made: Changed) -> object:
    return made.overlay[0].settings.get(key) if made.before is None else value_at(made.before, key)


def _answer(ground: Ground, changed: Changed, entries: Any) -> dict[str, object]:
    rows = [
        {
            "key": entry.subject,
            "before": entry.before,
            "after": entry.after,
            "hidden_by": hidden_by(changed.after, entry.subject),
            "acts": "after a restart",
        }
        for entry in entries
    ]
    return {
        "overlay": str(overlay_path(ground.loaded.settings.bot.data_dir)),
        "changes": rows,
        "at_once": [],
        "after_restart": [entry.subject for entry in entries if entry.before != entry.after],
        "told": _RESTART,
    }


async def source(ground: Ground, args: SourceArgs, report: Report) -> Result:
    """Switch a source on or off for the next start."""
    del report
    before = (await asyncio.to_thread(_switches, ground)).get(args.source)
    if before is None:
        known = ", ".join(await asyncio.to_thread(_switches, ground)) or "none"
        message = f"config.source: source: no YAML file describes {args.source!r}; there are {known}"
        raise UseCaseError(message)

    def entries(made: Changed) -> list[Entry]:
        was = made.overlay[0].sources.get(args.source, before)
        return [Entry("source", args.source, was, args.enabled)]

    # What the file says already needs no word over it.
    said = None if args.enabled is before else args.enabled
    _, kept = await change(
        ground, args.author, args.note, lambda overlay: overlay.with_source(args.source, said), entries, args.base
    )
    return {
        "source": args.source,
        "before": kept[0].before,
        "enabled": args.enabled,
        "acts": "after a restart",
        "told": "for the running bot use the command pause or unpause",
    }


def _switches(ground: Ground) -> Mapping[str, bool]:
    """Whether each source is on, as the files alone say it; those of the other world are known too."""
    loaded = ground.loaded
    directories = {directory_of(ground), loaded.sources_directory}
    try:
        found = [one for place in directories if place is not None and place.is_dir() for one in configured(place, {})]
    except SourceConfigError as error:
        raise UseCaseError(str(error)) from error
    return {one.config.source: one.config.enabled for one in found}


async def history(ground: Ground, args: HistoryArgs, report: Report) -> Result:
    """Changes of settings, secrets and sources."""
    del report
    database = await database_to_read(ground)
    try:
        rows = [] if database is None else await newest(database, args.limit, args.before)
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error
    return {"changes": rows, "next": rows[-1]["id"] if len(rows) == args.limit else None}


USE_CASES: tuple[UseCase[Any], ...] = (
    UseCase(
        "config.show", "Settings in force, with the origin of each value; the sources.", ShowArgs, show, quick=True, reads=True
    ),
    UseCase("config.set", "Say settings over the YAML files.", SetArgs, set_, quick=True),
    UseCase("config.unset", "Leave settings to the YAML files again.", UnsetArgs, unset, quick=True),
    UseCase("config.source", "Switch a source on or off for the next start.", SourceArgs, source, quick=True),
    UseCase("config.history", "Who changed what, and when.", HistoryArgs, history, quick=True, reads=True),
    *SECRET_CASES,
)
