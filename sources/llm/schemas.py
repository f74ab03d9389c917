"""JSON schemas that every provider takes, and our own check that an answer keeps to one.

Providers differ in what they take of JSON schema, so a schema for them is made plain: all properties required and none besides,
references written out, bounds moved into the descriptions, where a model reads them. The bounds themselves are the caller's to
check: here only the form is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_KEYS = frozenset({"type", "description", "properties", "required", "additionalProperties", "items", "enum", "anyOf"})
_DROPPED = frozenset({"title", "default", "examples", "format", "$schema", "$defs", "definitions", "discriminator"})
_BOUNDS: Mapping[str, str] = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "uniqueItems": "no item twice",
    "pattern": "matching {}",
    "minProperties": "at least {} properties",
    "maxProperties": "at most {} properties",
}
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
    "object": dict,
    "array": list,
}
_DEEPEST = 10
_MOST_PROPERTIES = 200
_MOST_UNIONS = 10
_LONGEST = 120


class SchemaError(ValueError):
    """A schema is not portable and cannot be made so; the message says where."""


def portable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as every provider takes it, say one that pydantic made; `SchemaError` where that cannot be."""
    definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    made = _plain(schema, definitions, "$", ())
    check_portable(made)
    return made


def _plain(node: Mapping[str, Any], definitions: Mapping[str, Any], where: str, within: tuple[str, ...]) -> dict[str, Any]:
    if "$ref" in node:
        return _followed(node, definitions, where, within)
    if len(node.get("allOf", ())) == 1:
        node = {**node["allOf"][0], **{key: value for key, value in node.items() if key != "allOf"}}
        return _plain(node, definitions, where, within)
    bounds = [text.format(node[key]) for key, text in _BOUNDS.items() if key in node and node[key] is not False]
    made = {key: value for key, value in node.items() if key not in _DROPPED and key not in _BOUNDS}
    if "const" in made:
        made["enum"] = [made.pop("const")]
    if "oneOf" in made:
        made["anyOf"] = made.pop("oneOf")
    if bounds:
        made["description"] = "; ".join([*([made["description"]] if made.get("description") else []), *bounds])
    if "anyOf" in made:
        made["anyOf"] = [_plain(one, definitions, f"{where}|{at}", within) for at, one in enumerate(made["anyOf"])]
    if "items" in made:
        made["items"] = _plain(made["items"], definitions, f"{where}[]", within)
    if made.get("type") == "object" or "properties" in made:
        parts = made.get("properties", {})
        made["properties"] = {name: _plain(part, definitions, f"{where}.{name}", within) for name, part in parts.items()}
        made |= {"type": "object", "required": list(parts), "additionalProperties": False}
    return made


def _followed(node: Mapping[str, Any], definitions: Mapping[str, Any], where: str, within: tuple[str, ...]) -> dict[str, Any]:
    name = str(node["$ref"]).rpartition("/")[2]
    if name in within:
        message = f"{where}: {name} contains itself; providers take no recursion"
        raise SchemaError(message)
    if name not in definitions:
        message = f"{where}: {node['$ref']} is not defined in this schema"
        raise SchemaError(message)
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return _plain({**definitions[name], **beside}, definitions, where, (*within, name))


def check_portable(schema: Mapping[str, Any]) -> None:
    """`SchemaError` that names the first thing of a schema that some provider would refuse."""
    if schema.get("type") != "object":
        message = "$: the outermost type must be object"
        raise SchemaError(message)
    properties = unions = 0
    for where, depth, node in _nodes(schema, "$", 1):
        fault = _fault(node, depth)
        if fault:
            message = f"{where}: {fault}"
            raise SchemaError(message)
        properties += len(node.get("properties", {}))
        unions += "anyOf" in node or not isinstance(node.get("type", ""), str)
    if properties > _MOST_PROPERTIES or unions > _MOST_UNIONS:
        message = f"$: {properties} properties and {unions} nullable or mixed ones; at most {_MOST_PROPERTIES} and {_MOST_UNIONS}"
        raise SchemaError(message)


def _fault(node: Mapping[str, Any], depth: int) -> str:
    """What is wrong with one node, or nothing."""
    strange = sorted(set(node) - _KEYS)
    if strange:
        return f"{', '.join(strange)}: not every provider takes it; use portable()"
    if depth > _DEEPEST:
        return f"deeper than {_DEEPEST}"
    if "properties" in node and (sorted(node.get("required", ())) != sorted(node["properties"])):
        return "every property must be required; make optional ones nullable"
    if node.get("type") == "object" and (node.get("additionalProperties") is not False or not node.get("properties")):
        return "an object names its properties and sets additionalProperties: false"
    if node.get("type") == "array" and "items" not in node:
        return "an array says what its items are"
    if not ({"type", "anyOf", "enum"} & set(node)):
        return "no type"
    return ""


def _nodes(node: Mapping[str, Any], where: str, depth: int) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    yield where, depth, node
    for name, part in node.get("properties", {}).items():
        yield from _nodes(part, f"{where}.{name}", depth + 1)
    for at, part in enumerate(node.get("anyOf", ())):
        yield from _nodes(part, f"{where}|{at}", depth)
    if "items" in node:
        yield from _nodes(node["items"], f"{where}[]", depth + 1)


def fault_of(value: object, schema: Mapping[str, Any], where: str = "$") -> str:
    """How a value breaks a portable schema, in one line, or nothing. A number must be finite; 1.0 counts as an integer."""
    if "anyOf" in schema:
        faults = [fault_of(value, one, where) for one in schema["anyOf"]]
        return "" if "" in faults else faults[0]
    if "enum" in schema and not any(value == one and type(value) is type(one) for one in schema["enum"]):
        return f"{where} is {_shown(value)}, not one of {_shown(schema['enum'])}"
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if kinds and not any(_is_a(value, kind) for kind in kinds):
        return f"{where} is {_shown(value)}, not {' or '.join(kinds)}"
    if isinstance(value, dict) and "properties" in schema:
        return _object_fault(value, schema, where)
    if isinstance(value, list) and "items" in schema:
        return next(filter(None, (fault_of(item, schema["items"], f"{where}[{at}]") for at, item in enumerate(value))), "")
    return ""


def _object_fault(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> str:
    properties: Mapping[str, Mapping[str, Any]] = schema["properties"]
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        return f"{where} lacks {', '.join(missing)}"
    strange = [name for name in value if name not in properties]
    if strange and schema.get("additionalProperties") is False:
        return f"{where} has {_shown(strange)} besides"
    parts = (fault_of(value[name], part, f"{where}.{name}") for name, part in properties.items() if name in value)
    return next(filter(None, parts), "")


def _is_a(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _shown(value: object) -> str:
    """A value as an error may show it: short, of one line, plain."""
    text = str(list(value)) if isinstance(value, Sequence) and not isinstance(value, str) else repr(value)
    plain = ascii(text)[1:-1] if not text.isascii() else text
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}..."
