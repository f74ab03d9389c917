"""The Responses protocol of OpenAI, which Grok speaks too."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from sources.llm.asking import Ask, Message, Speaker, Stop, Usage
from sources.llm.models import Dialect, Model, Structured
from sources.llm.providers.reading import Answer, Failed, Unreadable, call_of, part, parts, tokens, told, usage_of, words

_TICKS = Decimal(10) ** 10  # of xAI for a dollar; unconfirmed, so only shown beside our own price
_HOURLY_S = 3600.0
_LONGEST_KEY = 64
_KEPT = frozenset({"reasoning", "function_call", "message"})


class Responses:
    """Speaks `/v1/responses`. Nothing is stored there."""

    dialect = Dialect.RESPONSES
    sdk = "openai"

    def client(self, sdk: Any, key: str, base_url: str, http: Any) -> Any:
        """The client, ready for its first call."""
        made = sdk.AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0, http_client=http)
        _ = made.responses  # its first use takes a while
        return made

    def endpoint(self, client: Any) -> Any:
        """Where answers are created."""
        return client.responses

    def request(self, ask: Ask, model: Model) -> dict[str, Any]:
        """The arguments of `create`."""
        takes = model.capabilities
        made: dict[str, Any] = {
            "model": model.name,
            "instructions": ask.instructions,
            "input": [item for turn in ask.messages for item in _items(turn, model)],
            "max_output_tokens": takes.output_for(ask.max_output_tokens),
            "store": False,
        }
        if effort := takes.effort_for(ask.effort):
            made["reasoning"] = {"effort": effort.value}
        if ask.temperature is not None and takes.sampling:
            made["temperature"] = ask.temperature
        if ask.schema is not None:
            if takes.structured is Structured.SCHEMA:
                form = {"type": "json_schema", "name": ask.schema.name, "strict": True, "schema": dict(ask.schema.body)}
                made["text"] = {"format": form}
            else:
                made["instructions"] = f"{ask.instructions}\n\n{told(ask.schema.body)}"
                made |= {"text": {"format": {"type": "json_object"}}} if takes.structured is Structured.OBJECT else {}
        if ask.tools and takes.tools:
            made["tools"] = [
                {"type": "function", "name": each.name, "description": each.description, "strict": True}
                | {"parameters": dict(each.parameters)}
                for each in ask.tools
            ]
            made["include"] = ["reasoning.encrypted_content"]  # it is not stored there, so it travels with the turn
        return made | _caching(ask, model)

    def streamed(self, request: dict[str, Any]) -> dict[str, Any]:
        """The usage comes with the last event anyway."""
        return request | {"stream": True}

    def read(self, body: Mapping[str, Any]) -> Answer:
        """The answer in a response object."""
        status, error = words(body, "status"), body.get("error")
        if status in {"failed", "cancelled"} or (error and not status):
            raise Failed(error)
        if not isinstance(body.get("output"), list) or status not in {"completed", "incomplete"}:
            message = "it has no output or no known status"
            raise Unreadable(message)
        items = list(parts(body, "output"))
        content = [each for item in items if item.get("type") == "message" for each in parts(item, "content")]
        calls = [item for item in items if item.get("type") == "function_call"]
        refusals = [words(each, "refusal") for each in content if each.get("type") == "refusal"]
        return Answer(
            text="".join(words(each, "text") for each in content if each.get("type") == "output_text") or "".join(refusals),
            stop=_stop(body, refused=bool(refusals), calls=bool(calls)),
            usage=_usage(part(body, "usage")),
            tool_calls=tuple(call_of(words(each, "call_id"), words(each, "name"), words(each, "arguments")) for each in calls),
            native=orjson.dumps([item for item in items if item.get("type") in _KEPT]).decode() if calls else "",
            reported_cost=_reported(part(body, "usage")),
        )

    def gathering(self) -> ResponsesGathering:
        """For one streamed answer."""
        return ResponsesGathering()


class ResponsesGathering:
    """The last event holds the whole answer."""

    def __init__(self) -> None:
        self._whole: Mapping[str, Any] | None = None

    def take(self, event: Mapping[str, Any]) -> str:
        """The new text of an event."""
        kind = words(event, "type")
        if kind == "error" or (not kind and event.get("error")):
            raise Failed(event)
        if kind in {"response.completed", "response.incomplete", "response.failed"}:
            self._whole = part(event, "response")
        return words(event, "delta") if kind == "response.output_text.delta" else ""

    def whole(self) -> Mapping[str, Any] | None:
        """The response object."""
        return self._whole


def _items(turn: Message, model: Model) -> list[dict[str, Any]]:
    if turn.speaker is Speaker.TOOL:
        return [{"type": "function_call_output", "call_id": turn.answers, "output": turn.text}]
    if turn.native and (turn.native.provider, turn.native.model) == (model.provider, model.name):
        own: list[dict[str, Any]] = orjson.loads(turn.native.content)
        return own
    said: list[dict[str, Any]] = [{"role": turn.speaker.value, "content": turn.text}] if turn.text else []
    return said + [
        {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.text} for call in turn.tool_calls
    ]


def _caching(ask: Ask, model: Model) -> dict[str, Any]:
    """A key for the prompt's beginning; where it comes again too late to be found, nothing is written for money either."""
    if ask.caching is None or not model.capabilities.cache_key:
        return {}
    writes = model.price is not None and model.price.rate.cache_write is not None
    if writes and ask.caching.every_s is not None and ask.caching.every_s >= _HOURLY_S:
        return {"prompt_cache_options": {"mode": "explicit"}}
    return {"prompt_cache_key": ask.caching.key[:_LONGEST_KEY]}


def _stop(body: Mapping[str, Any], *, refused: bool, calls: bool) -> Stop:
    reason = words(part(body, "incomplete_details"), "reason")
    if refused or reason == "content_filter":
        return Stop.REFUSAL
    if body.get("status") == "incomplete":
        return Stop.LENGTH
    return Stop.TOOLS if calls else Stop.DONE


def _usage(usage: Mapping[str, Any]) -> Usage | None:
    of_input, of_output = part(usage, "input_tokens_details"), part(usage, "output_tokens_details")
    return usage_of(
        tokens(usage, "input_tokens"),
        tokens(usage, "output_tokens"),
        cached=tokens(of_input, "cached_tokens"),
        written=tokens(of_input, "cache_write_tokens"),
        reasoning=tokens(of_output, "reasoning_tokens"),
    )


def _reported(usage: Mapping[str, Any]) -> Decimal | None:
    ticks = usage.get("cost_in_usd_ticks")
    return Decimal(ticks) / _TICKS if isinstance(ticks, int) and 0 <= ticks < 10**16 else None
