"""The feed's documents, generated from the types that are sent, so that they cannot disagree with them.

One JSON Schema (2020-12) per message type, one AsyncAPI 3.0 document for all, one page of tables. Every field is always present.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from bot.core.decision import Tier
from bot.outlets.envelope import KINDS, SCHEMA, Channel, Kind

JsonSchema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
_DECIMAL = r"^-?\d+(\.\d+)?$"
_CARRIES = {
    Channel.QUOTES: "best bid and ask of every symbol, conflated",
    Channel.CANDLES: "closed candles",
    Channel.DECISIONS: "what the sources proposed, claimed or declined, and what became of it",
    Channel.VERDICTS: "who won a symbol, who was outranked, and why",
    Channel.ORDERS: "every change of every order",
    Channel.FILLS: "fills as they were booked",
    Channel.POSITIONS: "net positions, and lots as they were closed",
    Channel.EQUITY: "the book's worth, the shadow ledgers, and what overrides cost or saved",
    Channel.RISK: "the trading state and the operator's commands",
    Channel.HEALTH: "health of the market data, and a heartbeat",
    Channel.JOBS: "jobs that the bot runs for somebody, as they go",
}


class _AsSent(GenerateJsonSchema):
    """Every field is required, because every field is sent; decimals are plain digits."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return True

    def decimal_schema(self, schema: Any) -> JsonSchema:
        return {"type": "string", "pattern": _DECIMAL}


def message_schemas() -> dict[str, JsonSchema]:
    """One self-contained JSON Schema per message type, by the type's name."""
    schemas = {}
    for event, kind in KINDS.items():
        data = _on_one_line(TypeAdapter(event).json_schema(mode="serialization", schema_generator=_AsSent))
        definitions = data.pop("$defs", {})
        _name_tiers(definitions)
        head = {"$schema": _DIALECT, "$id": f"urn:{SCHEMA.replace('.', ':')}:{kind.name}"}
        schemas[kind.name] = {**head, **_envelope(kind, data), "$defs": definitions}
    return schemas


def asyncapi() -> JsonSchema:
    """The AsyncAPI 3.0 document of all channels and messages."""
    template = "#/components/schemas/{model}"
    inputs = [(kind.name, "serialization", TypeAdapter(event)) for event, kind in KINDS.items()]
    parts, shared = TypeAdapter.json_schemas(inputs, ref_template=template, schema_generator=_AsSent)  # type: ignore[arg-type]
    definitions = _on_one_line(shared.get("$defs", {}))
    _name_tiers(definitions)
    messages = {}
    for kind in KINDS.values():
        data = _on_one_line(dict(parts[kind.name, "serialization"]))
        messages[kind.name] = {"name": kind.name, "title": kind.name, "payload": _envelope(kind, data)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Arbiter feed",
            "version": SCHEMA.rpartition("v")[2] + ".0.0",
            "description": "What the bot sees, decides and does. The same envelopes travel on Redis and on the local feed.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"redis": {"host": "localhost:6379", "protocol": "redis", "description": "The Redis of `redis.url`."}},
        "channels": {channel.value: _channel(channel) for channel in Channel},
        "operations": {f"publish-{channel}": _operation(channel) for channel in Channel},
        "components": {"messages": messages, "schemas": definitions},
    }


def write_feed_docs(directory: Path) -> list[Path]:
    """Write the schemas, `asyncapi.json` and `messages.md` into `directory`, and remove schemas of types that are gone."""
    directory.mkdir(parents=True, exist_ok=True)
    documents = feed_docs()
    for stale in directory.glob("*.schema.json"):
        if stale.name not in documents:
            stale.unlink()
    for name, text in documents.items():
        (directory / name).write_text(text, encoding="utf-8")
    return [directory / name for name in documents]


def feed_docs() -> dict[str, str]:
    """Every generated document of the feed, by file name."""
    schemas = message_schemas()
    documents = {f"{name}.schema.json": _json(schema) for name, schema in schemas.items()}
    documents["asyncapi.json"] = _json(asyncapi())
    documents["messages.md"] = _tables(schemas)
    return documents


def _envelope(kind: Kind, data: JsonSchema) -> JsonSchema:
    properties: JsonSchema = {
        "schema": {"const": SCHEMA},
        "bot": {"type": "string"},
        "run": {"type": "string", "description": "Id of this start of the bot."},
        "mode": {"type": "string"},
        "simulated": {"type": "boolean", "description": "True if the market is not a real one."},
        "seq": {"type": "integer", "minimum": 1, "description": "Counts without a gap per run and channel."},
        "ts": {"type": "string", "pattern": _TIME, "description": "When it happened, UTC."},
        "type": {"const": kind.name},
        "corr": {"type": ["string", "null"], "description": "Id of the decision or order that this belongs to."},
        "data": data,
    }
    return {"title": kind.name, "type": "object", "properties": properties, "required": list(properties)}


def _channel(channel: Channel) -> JsonSchema:
    messages = {kind.name: {"$ref": f"#/components/messages/{kind.name}"} for kind in _of(channel)}
    return {"address": f"{SCHEMA}.{channel}", "description": f"Carries {_CARRIES[channel]}.", "messages": messages}


def _operation(channel: Channel) -> JsonSchema:
    messages = [{"$ref": f"#/channels/{channel}/messages/{kind.name}"} for kind in _of(channel)]
    return {"action": "send", "channel": {"$ref": f"#/channels/{channel}"}, "messages": messages}


def _of(channel: Channel) -> list[Kind]:
    return [kind for kind in KINDS.values() if kind.channel is channel]


def _on_one_line(schema: JsonSchema) -> JsonSchema:
    """The same schema with descriptions unwrapped, so that wrapping a docstring anew changes no document."""

    def walk(part: Any) -> Any:
        if isinstance(part, list):
            return [walk(item) for item in part]
        return _on_one_line(part) if isinstance(part, dict) else part

    unwrapped = {key: walk(value) for key, value in schema.items()}
    if isinstance(schema.get("description"), str):
        unwrapped["description"] = " ".join(schema["description"].split())
    return unwrapped


def _name_tiers(definitions: JsonSchema) -> None:
    """Tiers travel as numbers; say what the numbers mean."""
    if "Tier" in definitions:
        definitions["Tier"]["x-enum-varnames"] = [tier.label for tier in Tier]


def _tables(schemas: Mapping[str, JsonSchema]) -> str:
    lines = ["# Messages of the feed", "", "Generated from the types; `make docs` writes it again.", ""]
    for channel in Channel:
        lines += [f"## {channel}", "", f"Carries {_CARRIES[channel]}.", ""]
        for kind in _of(channel):
            data = schemas[kind.name]["properties"]["data"]
            lines += [f"### `{kind.name}`", "", data.get("description", ""), ""]
            lines += [f"[JSON Schema]({kind.name}.schema.json)", "", "| field | type |", "|---|---|"]
            lines += [f"| `{name}` | {_type(field)} |" for name, field in data["properties"].items()] + [""]
    return "\n".join(lines).rstrip() + "\n"


def _type(field: JsonSchema) -> str:
    """A field's type in words."""
    if "$ref" in field:
        return "`" + str(field["$ref"]).rpartition("/")[2] + "`"
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    if field.get("pattern") == _DECIMAL:
        return "decimal string"
    if field.get("type") == "array":
        return "list of " + _type(field["items"])
    if field.get("type") == "object" and isinstance(field.get("additionalProperties"), dict):
        return "map of text to " + _type(field["additionalProperties"])
    return str(field.get("type", "any"))


def _json(document: JsonSchema) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
