"""Reading request bodies: texts out of nested content, and what all dialects refuse alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from simulators.llm.catalogue import Model
from simulators.llm.prompt import Json, Refusal

_SAMPLING = ("temperature", "top_p", "top_k")
_NOT_STRICT = ("allOf", "not", "if", "then", "else", "patternProperties", "dependentSchemas")
_NOT_CLAUDE = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems")
_MOST_UNIONS = 16


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or the texts of its parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(text for part in content if (text := _part(part)))
    return "" if content is None else orjson.dumps(content).decode()


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return ""
    return str(part.get("text") or part.get("refusal") or text_of(part.get("content", "")))


def model_name(body: Json) -> str:
    """The model asked for; `Refusal` 400 when there is none."""
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise Refusal(400, "you must provide a model parameter", param="model")
    return name


def no_strangers(body: Json, strangers: Collection[str], words: str = "Unknown parameter: '{}'.") -> None:
    """`Refusal` 400 for parameters of another protocol."""
    for name in strangers:
        if name in body:
            raise Refusal(400, words.format(name), code="unknown_parameter", param=name)


def limit(body: Json, name: str, model: Model, least: int = 1) -> int | None:
    """A number of output tokens; `Refusal` 400 when it is no number or out of bounds."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= model.max_output:
        text = f"Invalid '{name}': expected an integer from {least} to {model.max_output}, got {value!r}."
        raise Refusal(400, text, code="integer_out_of_range", param=name)
    return value


def effort(value: Any, model: Model, param: str) -> str | None:
    """The effort asked for; `Refusal` 400 when the model has none such."""
    if value is None:
        return None
    if value not in model.efforts:
        text = (
            f"Unsupported value: '{value}' is not supported with the '{model.name}' model. Use one of {', '.join(model.efforts)}."
        )
        raise Refusal(400, text, code="unsupported_value", param=param)
    return str(value)


def sampling(body: Json, model: Model, wanted: str | None) -> None:
    """`Refusal` 400 for sampling parameters where the model takes none."""
    for name in _SAMPLING:
        value = body.get(name)
        if value is None or model.sampling == "always" or (model.owner == "openai" and value == 1):
            continue
        if model.sampling == "never" or wanted != "none":
            text = f"Unsupported parameter: '{name}' is not supported with this model."
            raise Refusal(400, text, code="unsupported_parameter", param=name)


def strict(schema: Any, param: str) -> None:
    """OpenAI's strict schemas: every object closed, every property required; `Refusal` 400 otherwise."""
    _closed_objects(schema, param, every_required=True)


def claude_schema(schema: Any, param: str) -> None:
    """Claude's schemas: closed objects, no bounds, not many unions; `Refusal` 400 otherwise."""
    _closed_objects(schema, param, every_required=False)
    unions = 0
    for node in _schemas(schema):
        unions += "anyOf" in node or isinstance(node.get("type"), list)
        for word in _NOT_CLAUDE:
            if word in node:
                raise Refusal(400, f"{param}: For '{node.get('type')}' type, property '{word}' is not supported", param=param)
    if unions > _MOST_UNIONS:
        raise Refusal(400, "The compiled grammar is too large: reduce the number of union types in your schema.", param=param)


def _closed_objects(schema: Any, param: str, every_required: bool) -> None:
    if not isinstance(schema, Mapping):
        raise Refusal(400, f"Invalid schema for {param}: expected an object.", param=param)
    for node in _schemas(schema):
        if "properties" not in node and node.get("type") != "object":
            continue
        if node.get("additionalProperties") is not False:
            text = f"Invalid schema for {param}: 'additionalProperties' is required to be supplied and to be false."
            raise Refusal(400, text, code="invalid_json_schema", param=param)
        missing = set(node.get("properties", {})) - set(node.get("required", ()))
        if every_required and missing:
            text = f"Invalid schema for {param}: 'required' must include every key in properties. Missing '{min(missing)}'."
            raise Refusal(400, text, code="invalid_json_schema", param=param)
        for word in _NOT_STRICT:
            if word in node:
                raise Refusal(
                    400, f"Invalid schema for {param}: '{word}' is not permitted.", code="invalid_json_schema", param=param
                )


def _schemas(schema: Json) -> list[Json]:
    """A schema and all in it."""
    found, waiting = [], [schema]
    while waiting:
        node = waiting.pop()
        found.append(node)
        below = [*node.get("properties", {}).values(), *node.get("$defs", {}).values(), *node.get("anyOf", ()), node.get("items")]
        waiting += [one for one in below if isinstance(one, Mapping)]
    return found


def arguments_of(text: Any) -> dict[str, Any]:
    """A tool call's arguments as they stand in a conversation."""
    if isinstance(text, Mapping):
        return dict(text)
    try:
        found = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
