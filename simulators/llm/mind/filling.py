"""Filling a JSON schema: by property names where something is known, else by type.

What is known is a mapping of names; names are compared without case and underscores. A list of objects is filled from rows, each
of which is knowledge of its own over what is known outside. Nothing is validated: a model does not do that either.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from simulators.llm.prompt import Json

_MOST_DEPTH = 12
_NOTHING = object()


def fill(schema: Json, known: Mapping[str, Any]) -> Any:
    """A value of that form."""
    plain = {squeeze(name): value for name, value in known.items()}
    return _fill(schema, plain, _NOTHING, schema, 0)


def squeeze(name: str) -> str:
    """A name as it is compared."""
    return "".join(sign for sign in name.lower() if sign.isalnum())


def properties_of(schema: Json | None) -> set[str]:
    """Squeezed names of all properties anywhere in a schema."""
    found: set[str] = set()
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            inner = node.get("properties")
            found |= {squeeze(name) for name in inner} if isinstance(inner, Mapping) else set()
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found


def _fill(schema: Any, known: Mapping[str, Any], value: Any, root: Json, depth: int) -> Any:
    schema = _resolved(schema, root)
    if depth > _MOST_DEPTH or not isinstance(schema, Mapping):
        return None
    if "const" in schema:
        return schema["const"]
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        return _fill(_branch(branches, value, root), known, value, root, depth + 1)
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return _of_enum(schema["enum"], value)
    kinds = schema.get("type", "object" if "properties" in schema else None)
    kind = _kind(kinds, value) if isinstance(kinds, list) else kinds
    if kind == "object":
        return _object(schema, known, value, root, depth)
    if kind == "array":
        return _array(schema, known, value, root, depth)
    return _scalar(kind, schema, value)


def _resolved(schema: Any, root: Json) -> Any:
    for _ in range(_MOST_DEPTH):
        if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
            return schema
        target: Any = root
        for part in filter(None, schema["$ref"].removeprefix("#").split("/")):
            target = target.get(part, {}) if isinstance(target, Mapping) else {}
        schema = target
    return schema


def _kind(kinds: Sequence[str], value: Any) -> str:
    """Of several types the one that the value has; null only where nothing is known."""
    if value is None or value is _NOTHING:
        return "null" if "null" in kinds else kinds[0]
    fitting = [kind for kind in kinds if _fits(kind, value)]
    return (fitting or [kind for kind in kinds if kind != "null"] or ["null"])[0]


def _fits(kind: Any, value: Any) -> bool:
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list | tuple)
        case "object":
            return isinstance(value, Mapping)
    return False


def _branch(branches: Any, value: Any, root: Json) -> Any:
    options = [_resolved(one, root) for one in branches]
    kinds = [one.get("type", "object" if "properties" in one else None) for one in options if isinstance(one, Mapping)]
    if value is None or value is _NOTHING:
        return options[kinds.index("null")] if "null" in kinds else options[0]
    fitting = [one for one, kind in zip(options, kinds, strict=False) if _fits(kind, value) and _names_fit(one, value)]
    return (fitting or [one for one, kind in zip(options, kinds, strict=False) if kind != "null"] or options)[0]


def _names_fit(schema: Json, value: Any) -> bool:
    """Whether an object's discriminating constants are those of the value."""
    if not isinstance(value, Mapping):
        return True
    plain = {squeeze(name): one for name, one in value.items()}
    for name, inner in schema.get("properties", {}).items():
        allowed = [inner["const"]] if "const" in inner else inner.get("enum", []) if isinstance(inner, Mapping) else []
        if len(allowed) == 1 and plain.get(squeeze(name), allowed[0]) != allowed[0]:
            return False
    return True


def _of_enum(options: Sequence[Any], value: Any) -> Any:
    """The option that is meant, or the nearest in spelling; hold, none and null before others where nothing is known."""
    if value in options:
        return value
    texts = {squeeze(str(one)): one for one in options}
    if isinstance(value, str):
        wanted = squeeze(value)
        inside = [one for text, one in texts.items() if text and (text in wanted or wanted in text)]
        near = difflib.get_close_matches(wanted, texts, 1, 0.75)
        if inside or near:
            return inside[0] if inside else texts[near[0]]
    return next((texts[calm] for calm in ("hold", "none", "neutral", "other") if calm in texts), options[0])


def _object(schema: Json, known: Mapping[str, Any], value: Any, root: Json, depth: int) -> dict[str, Any]:
    inner = {**known, **{squeeze(name): one for name, one in value.items()}} if isinstance(value, Mapping) else known
    found = {}
    for name, below in (schema.get("properties") or {}).items():
        given = inner.get(squeeze(name), _NOTHING)
        found[name] = _fill(below, inner, given, root, depth + 1)
    if not found and isinstance(value, Mapping):
        return dict(value)
    return found


def _array(schema: Json, known: Mapping[str, Any], value: Any, root: Json, depth: int) -> list[Any]:
    items = _resolved(schema.get("items", {}), root)
    if isinstance(value, list | tuple):
        rows = list(value)
    elif value is _NOTHING or value is None:
        of_objects = isinstance(items, Mapping) and ("properties" in items or items.get("type") == "object")
        rows = list(known.get("rows", ())) if of_objects else []
    else:
        rows = [value]
    if isinstance(items, Mapping) and isinstance(items.get("enum"), list):
        rows = [one for one in rows if one in items["enum"]]
    least = schema.get("minItems", 0)
    rows += [_NOTHING] * (int(least) - len(rows)) if isinstance(least, int) else []
    return [_fill(items, known, row, root, depth + 1) if items else row for row in rows if items or row is not _NOTHING]


def _scalar(kind: Any, schema: Json, value: Any) -> Any:
    match kind:
        case "null":
            return None
        case "boolean":
            return value if isinstance(value, bool) else False
        case "integer" | "number":
            return _number(kind, schema, value)
        case "string":
            return str(value) if value is not _NOTHING and value is not None else ""
    return None if value is _NOTHING else value


def _number(kind: str, schema: Json, value: Any) -> int | float:
    try:
        found = float(value) if value is not _NOTHING and value is not None else 0.0
    except (TypeError, ValueError):
        found = 0.0
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum", schema.get("exclusiveMaximum"))
    if isinstance(low, int | float):
        found = max(found, low)
    if isinstance(high, int | float):
        found = min(found, high)
    return round(found) if kind == "integer" else found
