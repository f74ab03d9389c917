"""What a source's YAML may say, from the schema that checks it: the common keys, and the parameters of each built-in kind."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from bot.core.decision import Tier
from bot.docs import markdown as md
from sources.loading import RULES, source_schema
from sources.recorded import RECORDED, RecordedLine

_INTRO = """
One YAML file in `config/sources/` is one source. [Add a source](../how-to/add-a-source.md) walks through one;
[write a rule](../how-to/write-a-rule.md) makes a new kind. The embedded world (`--demo`, and `--paper` while the venue cannot be
reached) reads `config/demo/sources/` instead, whose candles last one second.

A source's `tier` decides before its confidence does: quantconnect (0) before llm (1) before traditional (2). Only a
`recorded` source may choose its tier; a rule is traditional.
"""
_RECORDED = """
Plays decisions of any tier from a JSONL file, one object per line, at the times that the lines give. It is a recording:
nothing is asked of QuantConnect or of a language model.
"""


def page() -> str:
    """The reference of sources."""
    schema = source_schema()
    definitions: Mapping[str, Any] = schema["$defs"]
    parts = ["## Keys of every source", _fields(schema, definitions)]
    parts += [f"### `protection`\n\n{_fields(definitions['Protection'], definitions)}"]
    parts += ["## Kinds", *(part for kind in RULES for part in _rule(kind, definitions)), *_recorded(definitions)]
    return md.page("Sources", _INTRO, *parts)


def _fields(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    needed = set(schema.get("required", ()))
    rows = [
        [md.code(name), md.shape(node, definitions), _default(name, node, needed), node.get("description", "")]
        for name, node in schema.get("properties", {}).items()
    ]
    return md.table(["key", "kind", "default", "meaning"], rows)


def _default(name: str, node: Mapping[str, Any], needed: set[str]) -> str:
    if name in needed:
        return "needed"
    value = node.get("default")
    if value is None or value == "":
        return "none"
    if name == "tier":
        return md.code(Tier(value).label)
    if isinstance(value, dict) and not any(part is not None for part in value.values()):
        return "none"
    return md.code(value if isinstance(value, str) else json.dumps(value))


def _rule(kind: str, definitions: Mapping[str, Any]) -> Iterator[str]:
    module_name, _, name = RULES[kind].partition(":")
    module = importlib.import_module(module_name)
    rule = getattr(module, name)
    yield f"### `{kind}`"
    yield f"{md.paragraph(rule.__doc__)} {md.paragraph(module.__doc__)}"
    yield from _params(f"{kind}.params", definitions)


def _params(name: str, definitions: Mapping[str, Any]) -> Iterator[str]:
    model = definitions[name]
    if model.get("properties"):
        yield f"Its `params`: {md.paragraph(model.get('description', ''))}"
        yield _fields(model, definitions)


def _recorded(definitions: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{RECORDED}`"
    yield _RECORDED
    yield from _params(f"{RECORDED}.params", definitions)
    yield "A line says:"
    line = RecordedLine.model_json_schema()
    yield _fields(line, line.get("$defs", {}))
