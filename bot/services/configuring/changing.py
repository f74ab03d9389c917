"""Changes of the overlay: checked as a whole, as the next start would read it, before anything is written."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from bot.services.configuring.history import Entry, history_of
from bot.services.configuring.turns import own_turn
from bot.services.use_case import Ground, UseCaseError
from bot.settings import ConfigError, Loaded, OriginKind, effective, public, reloaded
from bot.settings.overlay import Overlay, draft_overlay, overlay_path, read_overlay, replace_overlay
from bot.store.errors import StoreUnavailable


@dataclass(frozen=True, slots=True)
class Changed:
    """What the next start finds, and what it would have found: None where its configuration could not be used."""

    before: Loaded | None
    after: Loaded
    overlay: tuple[Overlay, Overlay]


Entries = Callable[[Changed], Sequence[Entry]]


def digest(overlay: Overlay) -> str:
    """What an overlay says, in 64 hexadecimal digits: two readings of one file have the same."""
    said = sorted(overlay.settings.items(), key=itemgetter(0)), sorted(overlay.sources.items())
    return hashlib.sha256(repr(said).encode()).hexdigest()


async def change(
    ground: Ground, author: str, note: str, make: Callable[[Overlay], Overlay], entries: Entries, base: str | None = None
) -> tuple[Changed, Sequence[Entry]]:
    """Change the overlay and keep in the history what differs; `UseCaseError` says why not, and then nothing is changed.

    With `base`, the `digest` of the overlay that the change builds on, it is refused where somebody changed the overlay since.
    """
    data_dir = ground.loaded.settings.bot.data_dir
    history = await history_of(ground)
    async with own_turn(data_dir):
        try:
            changed = await asyncio.to_thread(_tried, ground.loaded, data_dir, make, base)
            kept = entries(changed)
            draft = await asyncio.to_thread(draft_overlay, data_dir, changed.overlay[1])
            await history.keep(ground.now(), ground.run, author, note, kept, lambda: replace_overlay(data_dir, draft))
        except ConfigError as error:
            raise UseCaseError(str(error.problems[0])) from error
        except StoreUnavailable as error:
            raise UseCaseError(str(error)) from error
        except OSError as error:
            message = f"{overlay_path(data_dir)} cannot be written ({error.strerror or error}); nothing was changed"
            raise UseCaseError(message) from error
    return changed, kept


def _tried(loaded: Loaded, data_dir: Path, make: Callable[[Overlay], Overlay], base: str | None) -> Changed:
    old = read_overlay(data_dir)
    if base is not None and digest(old) != base:
        message = "somebody else changed the configuration since it was read; read it again, then repeat the change"
        raise UseCaseError(message)
    new = make(old)
    return Changed(_usable(loaded, old), reloaded(loaded, new), (old, new))


def _usable(loaded: Loaded, overlay: Overlay) -> Loaded | None:
    try:
        return reloaded(loaded, overlay)
    except ConfigError:
        return None  # this change is its remedy


def value_at(loaded: Loaded | None, key: str) -> object:
    """The JSON value of a key, without passwords; None where there is none."""
    node: object = None if loaded is None else public(loaded.settings)
    for name in key.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def hidden_by(loaded: Loaded, key: str) -> str | None:
    """What is said over the overlay of this key: a variable or an option; None if nothing is."""
    above = {OriginKind.ENVIRONMENT, OriginKind.COMMAND_LINE}
    found = (one.origin for one in effective(loaded) if one.key == key or one.key.startswith(key + "."))
    return next((str(origin) for origin in found if origin.kind in above), None)
