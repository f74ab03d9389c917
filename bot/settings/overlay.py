"""The overlay: what was changed from the control room or by `config set`, in a file of its own beside the journal.

It lies above the YAML files, which belong to whoever wrote them, and below environment and command line. What decides whose money
it is, where it is kept and who can reach the bot is not read from it: that takes somebody with access to the machine.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bot.settings.errors import ConfigError, Problem
from bot.settings.kinds import redact_url
from bot.settings.layers import Key, Layer, Origin, OriginKind, Tree, file_layer, flatten, merge, nested

OVERLAY_FILE = "overlay.yaml"
_HEAD = (
    "# Written by the bot: what was changed from the control room or by `python -m bot config set`. `config history` tells who.\n"
)
_MONEY = "real orders are decided upon in the YAML files"
_BOOKS = "it says which books and orders are the bot's own"
_KEYS = "keys are sent there"
_REACH = "it says who can reach the bot"
_REFUSED: tuple[tuple[str, str], ...] = (
    (r"live(\..*)?", _MONEY),
    (r"bot\.(name|account|order_prefix)", _BOOKS),
    (r"bot\.(data_dir|log_file)", "it says where the bot writes"),
    (r"journal\.url", "it says where the books are"),
    (r"paper\.(starting_balance|currency)", "a book keeps the balance and the currency that it began with"),
    (r"exchange\.id", _BOOKS),
    (r"exchange\.(urls|options|sandbox)(\..*)?", _KEYS),
    (r"llm\.providers\.[^.]+\.(base_url|key)", _KEYS),
    (r"quantconnect\.base_url", _KEYS),
    (r"redis\.url", _REACH),
    (r"metrics\.(host|allow_remote)", _REACH),
    (r"web(\..*)?", _REACH),
    (r"memory\.store", "it says whose code is loaded"),
)


@dataclass(frozen=True, slots=True)
class Overlay:
    """`settings` by dotted key, and which `sources`, by name, are switched on or off over what their files say.

    `places` is where a key stands, for messages.
    """

    settings: Mapping[str, object] = field(default_factory=dict)
    sources: Mapping[str, bool] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def layer(self) -> Layer:
        """As a layer of settings; a key inside another one is laid over it."""
        values: Tree = {}
        origins: dict[Key, Origin] = {}
        for dotted in sorted(self.settings):
            alone = nested(tuple(dotted.split(".")), self.settings[dotted])
            values = merge(values, alone)
            origin = Origin(OriginKind.OVERLAY, self.places.get(dotted, ""))
            origins.update(dict.fromkeys(flatten(alone), origin))
        return Layer(values, origins)

    def with_settings(self, changes: Mapping[str, object]) -> Overlay:
        """With these said as well; what was said of anything inside a key that is set now is forgotten."""
        kept = {key: value for key, value in self.settings.items() if not any(_within(key, new) for new in changes)}
        return Overlay({**kept, **changes}, self.sources, {key: self.places[key] for key in kept if key in self.places})

    def without(self, keys: tuple[str, ...]) -> Overlay:
        """Without what is said of these keys and of anything inside them."""
        kept = {key: value for key, value in self.settings.items() if not any(_within(key, gone) for gone in keys)}
        return Overlay(kept, self.sources, self.places)

    def with_source(self, name: str, enabled: bool | None) -> Overlay:
        """With a source switched on or off; None: as its file says."""
        kept = {other: on for other, on in self.sources.items() if other != name}
        return Overlay(self.settings, kept if enabled is None else {**kept, name: enabled}, self.places)


def _within(key: str, other: str) -> bool:
    return key == other or key.startswith(other + ".")


def refused(dotted: str, value: object) -> str | None:
    """Why a setting cannot be in the overlay, None if it can."""
    for key, leaf in flatten(nested(tuple(dotted.split(".")), value)).items():
        name = ".".join(key)
        reason = next((reason for pattern, reason in _REFUSED if re.fullmatch(pattern, name)), None)
        if reason is not None:
            return f"{name} is not changed here: {reason}; write it in bot.yaml"
        if any("://" in text and redact_url(text) != text for text in _texts(leaf)):
            return f"{name} holds a password, which is not kept here; write it in bot.local.yaml"
    return None


def _texts(leaf: object) -> Iterator[str]:
    """Every text in a value, lists and what is in them too."""
    if isinstance(leaf, str):
        yield leaf
    elif isinstance(leaf, Mapping):
        yield from (text for inner in leaf.values() for text in _texts(inner))
    elif isinstance(leaf, list | tuple):
        yield from (text for inner in leaf for text in _texts(inner))


def overlay_path(data_dir: Path) -> Path:
    """Where the overlay is, or would be."""
    return data_dir / OVERLAY_FILE


def read_overlay(data_dir: Path) -> Overlay:
    """The overlay of a data directory, empty if there is none; `ConfigError` if it cannot be read or says what it may not."""
    path = overlay_path(data_dir)
    if not path.exists():
        return Overlay()
    layer = file_layer(path)
    places = {".".join(key[1:]): f"overlay {origin.where}" for key, origin in layer.origins.items()}
    unknown = next((name for name in layer.values if name not in {"settings", "sources"}), None)
    if unknown is not None:
        raise _refusal(path, unknown, "unknown key", "valid here: settings, sources")
    settings = _mapping(path, layer, "settings")
    for key, value in settings.items():
        reason = refused(key, value) or ("" if "." in key else f"{key} is a section; name one setting, such as {key}.KEY")
        if reason:
            raise _refusal(places.get(key, path), key, *_halves(reason))
    return Overlay(settings, {name: _switch(path, name, said) for name, said in _mapping(path, layer, "sources").items()}, places)


def _mapping(path: Path, layer: Layer, name: str) -> Mapping[str, object]:
    found = layer.values.get(name) or {}
    if not isinstance(found, Mapping):
        raise _refusal(path, name, "must be a mapping", "write `name: value` lines")
    return found


def _switch(path: Path, name: str, said: object) -> bool:
    enabled = said.get("enabled") if isinstance(said, Mapping) and len(said) == 1 else None
    if not isinstance(enabled, bool):
        raise _refusal(path, f"sources.{name}", "must be {enabled: true} or {enabled: false}", "correct or remove the line")
    return enabled


def _halves(reason: str) -> tuple[str, str]:
    fault, _, remedy = reason.partition("; ")
    return fault, remedy


def _refusal(where: Path | str, key: str, fault: str, remedy: str) -> ConfigError:
    return ConfigError(Problem(str(where), key, "", fault, remedy))


def draft_overlay(data_dir: Path, overlay: Overlay) -> Path:
    """Write the overlay beside its file, readable by its owner alone and on the disk; `replace_overlay` puts it in place."""
    path = overlay_path(data_dir)
    said = {"settings": dict(overlay.settings), "sources": {name: {"enabled": on} for name, on in overlay.sources.items()}}
    text = _HEAD + yaml.safe_dump(said, sort_keys=True, width=10_000)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def replace_overlay(data_dir: Path, draft: Path) -> None:
    """Put a draft in place, all at once."""
    draft.replace(overlay_path(data_dir))
    with contextlib.suppress(OSError):  # not every file system lets a directory be synchronised
        handle = os.open(data_dir, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
