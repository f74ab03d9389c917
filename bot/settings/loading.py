"""Loading: defaults, YAML, local YAML, the overlay, environment, command line; the last one that speaks wins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

from pydantic import BaseModel, ValidationError

from bot.settings.errors import ConfigError, Problem
from bot.settings.faults import explain
from bot.settings.kinds import duration_text, is_duration, redact_url
from bot.settings.layers import (
    DEFAULT,
    Key,
    Layer,
    Origin,
    command_line_layer,
    environment_layer,
    file_layer,
    merge,
)
from bot.settings.models import Settings
from bot.settings.overlay import Overlay, read_overlay

DEFAULT_DIRECTORY = Path("config")
_FILES = (("bot", None), ("risk", "risk"))


@dataclass(frozen=True, slots=True)
class Effective:
    """One value as it is in force, with passwords in URLs starred out, and where it came from."""

    key: str
    value: object
    origin: Origin
    duration: bool = False

    @property
    def text(self) -> str:
        """The value as YAML would say it."""
        if self.duration and isinstance(self.value, int):
            return duration_text(self.value)
        return "null" if self.value is None else self.value if isinstance(self.value, str) else json.dumps(self.value)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and how they came about. `directory` is None when there were no files, only defaults.

    `above` are the layers over the overlay: what `reloaded` lays over the files as they are then.
    """

    settings: Settings
    directory: Path | None
    files: tuple[Path, ...] = ()
    origins: Mapping[Key, Origin] = field(default_factory=dict)
    overlay: Overlay = field(default_factory=Overlay)
    above: tuple[Layer, ...] = field(default=(), repr=False)

    @property
    def sources_directory(self) -> Path | None:
        """Where the YAML files of the sources are."""
        return self.directory / "sources" if self.directory else None


def load(
    directory: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
    overlay: Overlay | None = None,
) -> Loaded:
    """Settings from a directory (None: `config`, if it exists), the environment and overrides by dotted key; or `ConfigError`.

    The overlay is that of the data directory, unless one is given.
    """
    if directory is None and DEFAULT_DIRECTORY.is_dir():
        directory = DEFAULT_DIRECTORY
    if directory is not None and not directory.is_dir():
        problem = Problem(
            str(directory), "--config", "", "is not a directory", f"write one with `python -m bot config init {directory}`"
        )
        raise ConfigError(problem)
    return _loaded(directory, (environment_layer(environ), command_line_layer(overrides or {})), overlay)


def reloaded(loaded: Loaded, overlay: Overlay) -> Loaded:
    """The settings as the next start with the same options would find them, if the overlay were this one; or `ConfigError`."""
    return _loaded(loaded.directory, loaded.above, overlay)


def _loaded(directory: Path | None, above: tuple[Layer, ...], overlay: Overlay | None) -> Loaded:
    files = _file_layers(directory) if directory else []
    below = [layer for _, layer in files]
    laid = _overlay_of([*below, *above]) if overlay is None else overlay
    values, origins = _combine([*below, laid.layer, *above])
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise explain(error, values, origins) from error
    _agree(settings, origins)
    return Loaded(settings, directory, tuple(path for path, _ in files), origins, laid, above)


def _overlay_of(layers: Sequence[Layer]) -> Overlay:
    """The overlay of the data directory that the other layers name."""
    bot = _combine(layers)[0].get("bot", {})
    given = bot.get("data_dir", Settings().bot.data_dir) if isinstance(bot, Mapping) else None
    return read_overlay(Path(given)) if isinstance(given, str | Path) else Overlay()


def _file_layers(directory: Path) -> list[tuple[Path, Layer]]:
    """The layers of the files, weakest first: both YAML files must be there, their local overlays may."""
    layers: list[tuple[Path, Layer]] = []
    for suffix in (".yaml", ".local.yaml"):
        for stem, section in _FILES:
            path = directory / f"{stem}{suffix}"
            if suffix == ".yaml" or path.exists():
                layer = file_layer(path, section)
                _refuse_risk_in_bot(path, section, layer)
                layers.append((path, layer))
    return layers


def _refuse_risk_in_bot(path: Path, section: str | None, layer: Layer) -> None:
    if section is None and "risk" in layer.values:
        where = layer.origins.get(("risk",), DEFAULT)
        raise ConfigError(Problem(str(where), "risk", "", "is not read here", f"move it to {path.with_name('risk.yaml')}"))


def _combine(layers: Sequence[Layer]) -> tuple[dict[str, object], dict[Key, Origin]]:
    origins: dict[Key, Origin] = {}
    for layer in layers:
        origins.update(layer.origins)
    start: dict[str, object] = {}
    return reduce(lambda below, layer: merge(below, layer.values), layers, start), origins


def _agree(settings: Settings, origins: Mapping[Key, Origin]) -> None:
    """What no single value can show: values that contradict each other."""
    if settings.desk.sizing not in settings.desk.sizings:
        where = str(origins.get(("desk", "sizing"), DEFAULT))
        fault = "names no sizing policy"
        remedy = f"write one of {', '.join(settings.desk.sizings)}"
        raise ConfigError(Problem(where, "desk.sizing", settings.desk.sizing, fault, remedy))
    unknown = [symbol for symbol in settings.risk.allowed_symbols if symbol not in settings.exchange.symbols]
    if unknown:
        where = str(origins.get(("risk", "allowed_symbols"), DEFAULT))
        listed = ", ".join(settings.exchange.symbols)
        fault = f"is not traded (exchange.symbols is {listed})"
        raise ConfigError(
            Problem(where, "risk.allowed_symbols", unknown[0], fault, "add it to exchange.symbols or remove it here")
        )


def public(settings: Settings) -> dict[str, object]:
    """Everything as plain JSON values, with passwords in URLs starred out: what may be shown, journaled and hashed."""
    shown = _redact(settings.model_dump(mode="json"))
    assert isinstance(shown, dict)
    return shown


def _redact(value: object) -> object:
    if isinstance(value, dict):
        return {name: _redact(below) for name, below in value.items()}
    if isinstance(value, list):
        return [_redact(below) for below in value]
    return redact_url(value) if isinstance(value, str) and "://" in value else value


def config_hash(settings: Settings) -> str:
    """SHA-256 of the effective configuration without secrets, in hexadecimal; equal settings give equal hashes."""
    text = json.dumps(public(settings), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def effective(loaded: Loaded) -> list[Effective]:
    """Every value in force, in the order of the settings, with its origin."""
    return [
        Effective(".".join(leaf.key), _redact(leaf.value), _origin(leaf.key, loaded.origins), leaf.duration)
        for leaf in _leaves(loaded.settings, ())
    ]


def _origin(key: Key, origins: Mapping[Key, Origin]) -> Origin:
    """Where exactly this value was set; a value replaced with its whole section keeps the section's place."""
    for depth in range(len(key), 1, -1):
        if key[:depth] in origins:
            exact = depth == len(key)
            if exact or not any(other[:depth] == key[:depth] and len(other) > depth for other in origins):
                return origins[key[:depth]]
    return DEFAULT


def _plain(listed: object) -> object:
    """One of a list as JSON has it: of a model, what differs from its defaults."""
    return listed.model_dump(mode="json", exclude_defaults=True) if isinstance(listed, BaseModel) else listed


@dataclass(frozen=True, slots=True)
class _Leaf:
    key: Key
    value: object
    duration: bool


def _leaves(model: object, above: Key, duration: bool = False) -> list[_Leaf]:
    if isinstance(model, BaseModel):
        fields = type(model).model_fields
        return [leaf for name in fields for leaf in _leaves(getattr(model, name), (*above, name), is_duration(fields[name]))]
    if isinstance(model, Mapping) and model:
        return [leaf for name, child in model.items() for leaf in _leaves(child, (*above, name))]
    shown = [_plain(each) for each in model] if isinstance(model, tuple) else model
    plain = isinstance(shown, (bool, int, float, list, dict, type(None)))
    return [_Leaf(above, shown if plain else str(shown), duration)]
