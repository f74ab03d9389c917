"""The Messages protocol of Anthropic. Sampling parameters are never sent: it refuses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from sources.llm.asking import Ask, Message, Speaker, Stop, ToolCall, Usage
from sources.llm.models import Dialect, Effort, Model, Structured
from sources.llm.providers.reading import Answer, Failed, Unreadable, object_of, part, parts, tokens, told, usage_of, words
from sources.llm.tokens import count

_STOPS: Mapping[str, Stop] = {
    "end_turn": Stop.DONE,
    "stop_sequence": Stop.DONE,
    "max_tokens": Stop.LENGTH,
    "model_context_window_exceeded": Stop.LENGTH,
    "tool_use": Stop.TOOLS,
    "refusal": Stop.REFUSAL,
}
_TOO_LITTLE = frozenset({Effort.NONE, Effort.MINIMAL})  # of this protocol; its least is low
_SHORT_S = 300.0  # life of a cache entry, refreshed by each hit
_HOUR_S = 3300.0  # an hour, less what a schedule may be late
_LEAST_CACHED = 4096  # tokens below which no known model writes a cache entry, where it is not known better


class Messages:
    """Speaks `/v1/messages`."""

    dialect = Dialect.MESSAGES
    sdk = "anthropic"

    def client(self, sdk: Any, key: str, base_url: str, http: Any) -> Any:
        """The client, ready for its first call."""
        made = sdk.AsyncAnthropic(api_key=key, base_url=base_url, max_retries=0, http_client=http)
        _ = made.messages
        return made

    def endpoint(self, client: Any) -> Any:
        """Where answers are created."""
        return client.messages

    def request(self, ask: Ask, model: Model) -> dict[str, Any]:
        """The arguments of `create`."""
        takes = model.capabilities
        made: dict[str, Any] = {
            "model": model.name,
            "max_tokens": takes.output_for(ask.max_output_tokens),
            "messages": _turns(ask.messages, model),
        }
        system, output = ask.instructions, dict[str, Any]()
        if ask.schema is not None and takes.structured is Structured.SCHEMA:
            output["format"] = {"type": "json_schema", "schema": dict(ask.schema.body)}
        elif ask.schema is not None:
            system = f"{system}\n\n{told(ask.schema.body)}"
        if effort := takes.effort_for(ask.effort):
            output["effort"] = Effort.LOW.value if effort in _TOO_LITTLE else effort.value
        if output:
            made["output_config"] = output
        if system:
            made["system"] = [{"type": "text", "text": system} | _cache_control(ask, model)]
        if ask.tools and takes.tools:
            made["tools"] = [
                {"name": each.name, "description": each.description, "strict": True, "input_schema": dict(each.parameters)}
                for each in ask.tools
            ]
        return made

    def streamed(self, request: dict[str, Any]) -> dict[str, Any]:
        """The usage comes with the events anyway."""
        return request | {"stream": True}

    def read(self, body: Mapping[str, Any]) -> Answer:
        """The answer in a message object; with thoughts, the text is not its first block."""
        if body.get("type") == "error" or (body.get("error") and not body.get("content")):
            raise Failed(body)
        reason = words(body, "stop_reason")
        if not isinstance(body.get("content"), list) or not reason:
            message = "it has no content or no stop reason"
            raise Unreadable(message)
        blocks = list(parts(body, "content"))
        calls = tuple(_call(block) for block in blocks if block.get("type") == "tool_use")
        return Answer(
            text="".join(words(block, "text") for block in blocks if block.get("type") == "text"),
            stop=_STOPS.get(reason, Stop.OTHER),
            usage=_usage(part(body, "usage")),
            tool_calls=calls,
            native=orjson.dumps(blocks).decode() if calls else "",
        )

    def gathering(self) -> MessagesGathering:
        """For one streamed answer."""
        return MessagesGathering()


class MessagesGathering:
    """Blocks grow by deltas; the usage comes at the start and at the end."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[tuple[int, str], list[str]] = {}
        self._over = False

    def take(self, event: Mapping[str, Any]) -> str:
        """The new text of an event."""
        match words(event, "type"):
            case "error":
                raise Failed(event)
            case "message_start":
                self._message = dict(part(event, "message"))
                self._usage = dict(part(self._message, "usage"))
            case "content_block_start":
                self._blocks[tokens(event, "index")] = dict(part(event, "content_block"))
            case "content_block_delta":
                return self._delta(tokens(event, "index"), part(event, "delta"))
            case "message_delta":
                self._message |= part(event, "delta")
                self._usage |= {name: number for name, number in part(event, "usage").items() if number is not None}
            case "message_stop":
                self._over = True
        return ""

    def _delta(self, index: int, delta: Mapping[str, Any]) -> str:
        for field in ("text", "partial_json", "thinking", "signature"):
            if piece := words(delta, field):
                self._pieces.setdefault((index, field), []).append(piece)
        return words(delta, "text") if delta.get("type") == "text_delta" else ""

    def whole(self) -> Mapping[str, Any] | None:
        """The message object."""
        if not self._over:
            return None
        for (index, field), pieces in self._pieces.items():
            block = self._blocks.setdefault(index, {"type": "text"})
            grown = "".join(pieces)
            if field == "partial_json":
                block["input"] = object_of(grown) if object_of(grown) is not None else grown
            else:
                block[field] = words(block, field) + grown
        return self._message | {"usage": self._usage, "content": [self._blocks[index] for index in sorted(self._blocks)]}


def _turns(messages: tuple[Message, ...], model: Model) -> list[dict[str, Any]]:
    """The turns; results of tools are the user's, and those of one turn belong together."""
    turns: list[dict[str, Any]] = []
    for turn in messages:
        if turn.speaker is not Speaker.TOOL:
            turns.append({"role": turn.speaker.value, "content": _content(turn, model)})
            continue
        result = {"type": "tool_result", "tool_use_id": turn.answers, "content": turn.text}
        if turns and turns[-1]["role"] == "user" and isinstance(turns[-1]["content"], list):
            turns[-1]["content"].append(result)
        else:
            turns.append({"role": "user", "content": [result]})
    return turns


def _content(turn: Message, model: Model) -> Any:
    if turn.native and (turn.native.provider, turn.native.model) == (model.provider, model.name):
        return orjson.loads(turn.native.content)
    if not turn.tool_calls:
        return turn.text
    said = [{"type": "text", "text": turn.text}] if turn.text else []
    calls = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments or {})} for call in turn.tool_calls
    ]
    return [*said, *calls]


def _cache_control(ask: Ask, model: Model) -> dict[str, Any]:
    """A mark for the cache where the same beginning comes again while its entry lives, and is long enough to be kept."""
    if ask.caching is None:
        return {}
    every = 0.0 if ask.caching.every_s is None else ask.caching.every_s
    least = model.capabilities.cache_min_tokens or _LEAST_CACHED
    if every > _HOUR_S or count(ask.instructions) < least:
        return {}
    return {"cache_control": {"type": "ephemeral", "ttl": "5m" if every < _SHORT_S else "1h"}}


def _call(block: Mapping[str, Any]) -> ToolCall:
    given = block.get("input")
    if isinstance(given, Mapping):
        return ToolCall(words(block, "id"), words(block, "name"), given, orjson.dumps(given).decode())
    return ToolCall(words(block, "id"), words(block, "name"), None, str(given))


def _usage(usage: Mapping[str, Any]) -> Usage | None:
    read, written = tokens(usage, "cache_read_input_tokens"), tokens(usage, "cache_creation_input_tokens")
    return usage_of(
        tokens(usage, "input_tokens") + read + written,
        tokens(usage, "output_tokens"),
        cached=read,
        written=written,
        hour=tokens(part(usage, "cache_creation"), "ephemeral_1h_input_tokens"),
        reasoning=tokens(part(usage, "output_tokens_details"), "thinking_tokens"),
    )
