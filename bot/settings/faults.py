"""From what pydantic found to one line a person can act on: file, key, value, what is wrong, remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bot.settings.errors import ConfigError, Problem
from bot.settings.kinds import duration_text, redact_url
from bot.settings.layers import DEFAULT, Key, Origin
from bot.settings.models import Settings

_SECRET_KEY = re.compile(r"(?i)(api_?key|secret|password|passphrase|token|private_?key|master_?key)")
_COMPARISONS = {
    "greater_than": ("gt", "must be above {}"),
    "greater_than_equal": ("ge", "must be {} or more"),
    "less_than": ("lt", "must be below {}"),
    "less_than_equal": ("le", "must be {} or less"),
}
_WANTED = {
    "float": "must be a number",
    "decimal": "must be a number",
    "int": "must be a whole number",
    "string": "must be text",
    "bool": "must be true or false",
    "tuple": "must be a list",
    "dict": "must be a mapping (indented `name: value` lines)",
    "model": "must be a mapping (indented `name: value` lines)",
    "path": "must be a path",
}


@cache
def schema() -> Mapping[str, object]:
    """JSON Schema of all settings."""
    return Settings.model_json_schema()


def _resolve(node: object) -> list[Mapping[str, object]]:
    """The alternatives behind references and unions."""
    if not isinstance(node, Mapping):
        return []
    if "$ref" in node:
        definitions = schema()["$defs"]
        assert isinstance(definitions, Mapping)
        return [
            {**found, **{k: v for k, v in node.items() if k != "$ref"}}
            for found in _resolve(definitions[str(node["$ref"]).rpartition("/")[2]])
        ]
    for union in ("anyOf", "oneOf"):
        branches = node.get(union)
        if isinstance(branches, list):
            return [found for branch in branches for found in _resolve(branch)]
    return [node]


def _at(key: Key) -> list[Mapping[str, object]]:
    """What the schema says of a key: its alternatives, none for a key it does not know."""
    nodes = _resolve(schema())
    for name in key:
        below: list[Mapping[str, object]] = []
        for node in nodes:
            properties = node.get("properties")
            listed = properties.get(name) if isinstance(properties, Mapping) else None
            below += _resolve(node.get("additionalProperties") if listed is None else listed)
        nodes = below
    return nodes


def keys_under(key: Key) -> list[str]:
    """Names that are valid below this key."""
    names: dict[str, None] = {}
    for node in _at(key):
        properties = node.get("properties")
        if isinstance(properties, Mapping):
            names.update(dict.fromkeys(properties))
    return list(names)


def _all_keys() -> list[Key]:
    return [(section, name) for section in keys_under(()) for name in keys_under((section,))]


def _nearest(key: Key) -> str:
    """Where the unknown key probably belongs."""
    valid = keys_under(key[:-1])
    near = difflib.get_close_matches(key[-1], valid, 1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    elsewhere = [candidate for candidate in _all_keys() if candidate[-1] == key[-1]]
    if elsewhere:
        return f"did you mean {'.'.join(elsewhere[0])!r}?"
    return f"valid here: {', '.join(valid)}" if valid else "remove it"


def _location(loc: tuple[int | str, ...], values: Mapping[str, object]) -> Key:
    """The key of an error; pydantic's own marks in it (union branches, list indices) are left out."""
    key: list[str] = []
    node: object = values
    for part in loc:
        if isinstance(node, Mapping) and part in node:
            key.append(str(part))
            node = node[part]
        elif not isinstance(node, Mapping):
            break
    return tuple(key)


def _show(key: Key, value: object) -> str:
    if key and _SECRET_KEY.search(key[-1]):
        return "***"
    text = redact_url(value) if isinstance(value, str) else "null" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _default_at(key: Key) -> object:
    node: object = Settings.model_construct()
    for name in key:
        node = node.get(name) if isinstance(node, Mapping) else getattr(node, name, None)
    return node


def _example(key: Key, value: object) -> str:
    """A value that would do, and how to switch the check off if it can be."""
    default, nodes = _default_at(key), _at(key)
    off = ", or null to switch it off" if key[:1] == ("risk",) and any(node.get("type") == "null" for node in nodes) else ""
    if isinstance(default, int) and any("ms" in str(node.get("pattern")) for node in nodes):
        default = duration_text(default)
    if isinstance(default, (int, float, str, Decimal)) and default != "":
        return f"write for example {default} (the default){off}"
    if isinstance(value, (int, float)) and value < 0:
        return f"write for example {abs(value):g}{off}"
    return f"`python -m bot config schema` says what fits{off}"


def _fault(key: Key, error: ErrorDetails) -> tuple[str, str]:
    """What is wrong and what to do about it."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "extra_forbidden":
        return "unknown key", _nearest(key)
    if kind in _COMPARISONS:
        limit, text = _COMPARISONS[kind]
        return text.format(f"{context[limit]:g}"), _example(key, value)
    if kind == "finite_number":
        return "must be a finite number", _example(key, value)
    if kind == "value_error":
        fault, _, remedy = str(context["error"]).partition("; ")
        return fault, remedy or _example(key, value)
    if kind in {"enum", "literal_error"}:
        expected = str(context["expected"]).replace(" or ", ", ").replace("'", "")
        near = difflib.get_close_matches(str(value), expected.split(", "), 1)
        return f"must be one of {expected}", f"did you mean {near[0]!r}?" if near else _example(key, value)
    if kind.startswith("union_tag"):
        return "names no sizing policy", "set `policy` to fixed-fraction, volatility-target, confidence-scaled or kelly"
    wanted = next((text for start, text in _WANTED.items() if kind.startswith(start)), None)
    return wanted if wanted and kind != "string_pattern_mismatch" else error["msg"].lower(), _example(key, value)


def explain(error: ValidationError, values: Mapping[str, object], origins: Mapping[Key, Origin]) -> ConfigError:
    """The same error, in words of configuration; nearest place first that is known to have set the key."""
    problems: dict[Key, Problem] = {}
    for details in error.errors(include_url=False):
        key = _location(details["loc"], values)
        place = next((origins[key[:depth]] for depth in range(len(key), 0, -1) if key[:depth] in origins), DEFAULT)
        fault, remedy = _fault(key, details)
        value = details["input"] if not isinstance(details["input"], Mapping) else "{...}"
        problem = Problem(str(place), ".".join(key) or "settings", _show(key, value), fault, remedy)
        problems.setdefault(key, problem)
    return ConfigError(*problems.values())
