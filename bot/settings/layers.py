"""Layers of configuration: each is a nested mapping and the place where each of its values came from."""

from __future__ import annotations

import copy
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic_settings import EnvSettingsSource
from pydantic_settings.exceptions import SettingsError

from bot.settings.errors import ConfigError, Problem
from bot.settings.models import Settings

PREFIX = "ARBITER_"
# Variables of ours that are not settings: secrets, where the key to them is, and what the tests look for.
_NOT_SETTINGS = ("ARBITER_SECRET_", "ARBITER_MASTER_KEY", "ARBITER_KEY_FILE", "ARBITER_TEST_", "ARBITER_DRILL_")

Key = tuple[str, ...]
Tree = dict[str, object]


class OriginKind(StrEnum):
    """What kind of place a value came from."""

    DEFAULT = "default"
    FILE = "file"
    OVERLAY = "overlay"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from; `where` is `FILE:LINE` (after `overlay`, if it is that file), the variable or the option."""

    kind: OriginKind
    where: str = ""

    def __str__(self) -> str:
        """As a person reads it."""
        return self.where or self.kind.value


DEFAULT = Origin(OriginKind.DEFAULT)


@dataclass(frozen=True, slots=True)
class Layer:
    """Values of one place; `origins` holds every key, sections too."""

    values: Tree
    origins: Mapping[Key, Origin] = field(default_factory=dict)


def flatten(values: Mapping[str, object], above: Key = ()) -> dict[Key, object]:
    """Every leaf of a nested mapping by its key; an empty mapping is a leaf."""
    leaves: dict[Key, object] = {}
    for name, value in values.items():
        key = (*above, str(name))
        if isinstance(value, Mapping) and value:
            leaves.update(flatten(value, key))
        else:
            leaves[key] = value
    return leaves


def merge(lower: Mapping[str, object], upper: Mapping[str, object]) -> Tree:
    """`upper` laid over `lower`, mapping by mapping; lists and everything else are replaced whole."""
    merged: Tree = dict(lower)
    for name, value in upper.items():
        below = merged.get(name)
        merged[name] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


class _StrictLoader(yaml.SafeLoader):
    """Plain YAML in which a key said twice is an error, not a silent loss."""


class _RefusedKeyError(Exception):
    def __init__(self, line: int, key: Key, fault: str, remedy: str) -> None:
        super().__init__(fault)
        self.line, self.key, self.fault, self.remedy = line, key, fault, remedy


def _check_keys(node: yaml.Node | None, above: Key, lines: dict[Key, int]) -> None:
    """Note the line of every key; refuse what YAML would let pass."""
    if not isinstance(node, yaml.MappingNode):
        return
    for name, value in node.value:
        key = (*above, str(name.value))
        line = name.start_mark.line + 1
        if name.tag != "tag:yaml.org,2002:str":
            raise _RefusedKeyError(line, key, "a key must be a plain word", "write `name: value`, in quotes if need be")
        if key in lines:
            raise _RefusedKeyError(line, key, f"said twice (first in line {lines[key]})", "keep one of them")
        lines[key] = line
        _check_keys(value, key, lines)


@lru_cache(maxsize=64)
def _parsed(text: str) -> tuple[object, Mapping[Key, int]]:
    """The value of a YAML text, which is the cache's own, and the line of every key. Parsing is slow, and most files stay."""
    lines: dict[Key, int] = {}
    loader = _StrictLoader(text)
    try:
        node = loader.get_single_node()
        _check_keys(node, (), lines)
        return (None if node is None else loader.construct_document(node)), lines
    finally:
        loader.dispose()


def file_layer(path: Path, section: str | None = None) -> Layer:
    """The values of a YAML file, put under `section` if one is named; `ConfigError` if it cannot be read."""
    shown = str(path)
    above: Key = (section,) if section else ()
    try:
        kept, lines = _parsed(path.read_text(encoding="utf-8"))
        loaded = copy.deepcopy(kept)
    except FileNotFoundError as error:
        problem = Problem(shown, "file", "", "does not exist", "write it with `python -m bot config init`")
        raise ConfigError(problem) from error
    except OSError as error:
        raise ConfigError(
            Problem(shown, "file", "", f"cannot be read ({error})", "check its permissions and encoding")
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(_yaml_problem(shown, error)) from error
    except _RefusedKeyError as error:
        where, key = f"{shown}:{error.line}", ".".join((*above, *error.key))
        raise ConfigError(Problem(where, key, "", error.fault, error.remedy)) from error
    if loaded is None:
        loaded = {}
    if not isinstance(loaded, dict):
        raise ConfigError(Problem(shown, "file", "", "does not hold a mapping", "write lines such as `name: value`"))
    values: Tree = {section: loaded} if section else {name: {} if value is None else value for name, value in loaded.items()}
    return Layer(values, {(*above, *key): Origin(OriginKind.FILE, f"{shown}:{line}") for key, line in lines.items()})


def _yaml_problem(shown: str, error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None)
    where = f"{shown}:{mark.line + 1}" if mark is not None else shown
    fault = getattr(error, "problem", None) or (str(error) if isinstance(error, ValueError) else "it cannot be parsed")
    return Problem(where, "file", "", f"is not YAML: {fault}", "check indentation, colons and quotes near this line")


class _Environment(EnvSettingsSource):
    """pydantic-settings' own reading of variables, from a mapping that is handed in."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {
            name.lower(): None if value == "null" else value
            for name, value in self._environ.items()
            if value and name.startswith(PREFIX) and not name.startswith(_NOT_SETTINGS)
        }


def environment_layer(environ: Mapping[str, str] | None = None) -> Layer:
    """The values of `ARBITER_SECTION__KEY` variables; `ConfigError` for one whose section does not exist or cannot be parsed."""
    given = os.environ if environ is None else environ
    origins: dict[Key, Origin] = {}
    for name in sorted(given):
        if not given[name] or not name.startswith(PREFIX) or name.startswith(_NOT_SETTINGS):
            continue
        key = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if key[0] not in Settings.model_fields:
            near = difflib.get_close_matches(key[0], Settings.model_fields, 1)
            remedy = f"did you mean {PREFIX}{near[0].upper()}__...?" if near else "unset it"
            sections = ", ".join(Settings.model_fields)
            raise ConfigError(Problem("environment", name, "", f"names no section (there are {sections})", remedy))
        origins[_dashed(key)] = Origin(OriginKind.ENVIRONMENT, name)
    try:
        values = _Environment(given)()
    except SettingsError as error:
        section = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "...")
        name, fault = f"{PREFIX}{section.upper()}", "cannot be parsed: a whole section is written as JSON"
        problem = Problem("environment", name, "", fault, f"set single values, as {name}__KEY=VALUE, instead")
        raise ConfigError(problem) from error
    return Layer(_dash_sizings(values), origins)


def _dashed(key: Key) -> Key:
    """Names of sizing policies have dashes, which variables cannot have."""
    return (*key[:2], key[2].replace("_", "-"), *key[3:]) if key[:2] == ("desk", "sizings") and len(key) > 2 else key


def _dash_sizings(values: Mapping[str, object]) -> Tree:
    tree: Tree = {}
    for key, value in flatten(values).items():
        tree = merge(tree, nested(_dashed(key), value))
    return tree


def nested(key: Key, value: object) -> Tree:
    """A mapping that holds only this value."""
    tree: object = value
    for name in reversed(key):
        tree = {name: tree}
    assert isinstance(tree, dict)
    return tree


def command_line_layer(overrides: Mapping[str, object]) -> Layer:
    """Values by dotted key, as options gave them."""
    values: Tree = {}
    origins: dict[Key, Origin] = {}
    for dotted, value in overrides.items():
        key = tuple(dotted.split("."))
        values = merge(values, nested(key, value))
        origins[key] = Origin(OriginKind.COMMAND_LINE, "command line")
    return Layer(values, origins)
