"""Anthropic's Messages protocol, in its version 2026-10-21 and, more forbearing, older ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from simulators.llm.catalogue import Catalogue, Model
from simulators.llm.dialects import reading
from simulators.llm.dialects.writing import dumps, event, pieces
from simulators.llm.prompt import Call, Dialect, Json, Prompt, Refusal, Row, Tool, Turn
from simulators.llm.reply import Reply, Stop
from simulators.llm.tokens import rendered

_STRANGERS = (
    "response_format", "max_completion_tokens", "max_output_tokens", "reasoning_effort", "reasoning", "output_format", "input",
    "instructions",
)  # fmt: skip
_STRICT_VERSION = "2026-10-21"
_STOPS = {
    Stop.DONE: "end_turn",
    Stop.LENGTH: "max_tokens",
    Stop.TOOLS: "tool_use",
    Stop.REFUSAL: "refusal",
    Stop.FAILED: "end_turn",
}
_EMPTY: dict[str, Row] = {"text": {"text": ""}, "tool_use": {"input": {}}, "thinking": {"signature": ""}}
_KINDS = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
          404: "not_found_error", 413: "request_too_large", 422: "invalid_request_error", 429: "rate_limit_error",
          500: "api_error", 503: "api_error", 504: "timeout_error", 529: "overloaded_error"}  # fmt: skip


def read(body: Json, catalogue: Catalogue, headers: Mapping[str, str], counting: bool = False) -> tuple[Prompt, Model]:
    """The prompt and its model; `Refusal` where the real service refuses. `counting` needs no max_tokens."""
    model = catalogue.find(reading.model_name(body), Dialect.MESSAGES)
    reading.no_strangers(body, _STRANGERS, "{}: Extra inputs are not permitted")
    most = reading.limit(body, "max_tokens", model)
    if most is None and not counting:
        raise Refusal(400, "max_tokens: Field required", param="max_tokens")
    config = body.get("output_config") or {}
    wanted = reading.effort(config.get("effort"), model, "output_config.effort")
    _sampling(body, model, headers.get("anthropic-version", ""))
    form = config.get("format") or {}
    if form:
        reading.claude_schema(form.get("schema"), "output_config.format.schema")
    choice = _choice(body.get("tool_choice") or {"type": "auto"}, model)
    thinking = (body.get("thinking") or {}).get("type", "")
    head = (Turn("system", reading.text_of(body["system"])),) if body.get("system") else ()
    prompt = Prompt(
        dialect=Dialect.MESSAGES,
        model=body["model"],
        turns=(*head, *_turns(body.get("messages"), model)),
        tools=tuple(_tools(body.get("tools") or ())),
        choice=choice,
        schema=form.get("schema"),
        max_tokens=most,
        effort=wanted,
        thinks=model.thinking_always or thinking in ("enabled", "adaptive"),
        stream=bool(body.get("stream")),
    )
    return _with_cache_marks(prompt, body), model


def _sampling(body: Json, model: Model, version: str) -> None:
    """Since 2026-10-21 no model takes sampling parameters; by older versions those take them that did."""
    for name in ("temperature", "top_p", "top_k"):
        if body.get(name) is not None and model.owner != "demo" and (version >= _STRICT_VERSION or model.sampling == "never"):
            raise Refusal(400, f"{name}: sampling parameters are not supported with this model", param=name)


def _turns(given: Any, model: Model) -> Iterator[Turn]:
    if not isinstance(given, list) or not given:
        raise Refusal(400, "messages: at least one message is required", param="messages")
    if given[-1].get("role") == "assistant" and not model.prefill:
        text = "This model does not support assistant message prefill. The conversation must end with a user message."
        raise Refusal(400, text, param="messages")
    for message in given:
        if message.get("role") not in ("user", "assistant"):
            raise Refusal(
                400, "messages: Unexpected role. The system prompt belongs into the `system` parameter.", param="messages"
            )
        yield from _parts(message)


def _parts(message: Json) -> Iterator[Turn]:
    """A message's turn, and one before it for every tool result in it."""
    content = message.get("content")
    blocks = [one for one in content if isinstance(one, Mapping)] if isinstance(content, list) else []
    for block in blocks:
        if block.get("type") == "tool_result":
            yield Turn("tool", reading.text_of(block.get("content")), answers=str(block.get("tool_use_id")))
    calls = tuple(
        Call(str(block.get("id")), str(block.get("name")), reading.arguments_of(block.get("input")))
        for block in blocks
        if block.get("type") == "tool_use"
    )
    text = content if isinstance(content, str) else reading.text_of([one for one in blocks if one.get("type") == "text"])
    if text or calls or not blocks:
        yield Turn("assistant" if message["role"] == "assistant" else "user", text, calls)


def _tools(given: Any) -> Iterator[Tool]:
    for one in given:
        if not one.get("name") or not isinstance(one.get("input_schema"), Mapping):
            raise Refusal(400, "tools.0.custom.input_schema: Field required", param="tools")
        yield Tool(one["name"], one.get("description") or "", one["input_schema"])


def _choice(given: Json, model: Model) -> str:
    kind = given.get("type", "auto")
    if kind in ("any", "tool") and not model.forced_tool:
        raise Refusal(400, "Thinking may not be enabled when tool_choice forces tool use.", param="tool_choice")
    if kind == "tool":
        return str(given.get("name", "required"))
    return "required" if kind == "any" else str(kind)


def _with_cache_marks(prompt: Prompt, body: Json) -> Prompt:
    """The prompt with the length of the beginning that is to be cached: all when marked on top, else up to the last mark."""
    in_messages = [mark for message in body["messages"] for mark in _marks(message.get("content"))]
    in_system = _marks(body.get("system"))
    on_top = [body["cache_control"]] if body.get("cache_control") else []
    marks = [*in_system, *in_messages, *on_top]
    if not marks:
        return prompt
    head = prompt if in_messages or on_top else replace(prompt, turns=tuple(one for one in prompt.turns if one.role == "system"))
    return replace(prompt, cache_marked=len(rendered(head)), cache_hour=any(mark.get("ttl") == "1h" for mark in marks))


def _marks(content: Any) -> list[Json]:
    blocks = content if isinstance(content, list) else []
    return [one["cache_control"] for one in blocks if isinstance(one, Mapping) and one.get("cache_control")]


def write(reply: Reply, _: Prompt, __: Model) -> Row:
    """The whole answer."""
    refused = reply.stop is Stop.REFUSAL
    details = {"type": "refusal", "category": "other", "explanation": reply.thought.refusal} if refused else None
    return {**_message(reply, _blocks(reply)), "stop_reason": _STOPS[reply.stop], "stop_details": details}


def _message(reply: Reply, content: list[Row]) -> Row:
    return {
        "id": f"msg_{reply.id}", "type": "message", "role": "assistant", "model": reply.model, "content": content,
        "stop_reason": None, "stop_sequence": None, "stop_details": None, "usage": _usage(reply),
    }  # fmt: skip


def _usage(reply: Reply) -> Row:
    counted, hour = reply.usage, reply.cache_hour
    return {
        "input_tokens": counted.input - counted.cached - counted.written,
        "cache_creation_input_tokens": counted.written,
        "cache_read_input_tokens": counted.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 0 if hour else counted.written,
            "ephemeral_1h_input_tokens": counted.written if hour else 0,
        },
        "output_tokens": counted.output,
        "output_tokens_details": {"thinking_tokens": counted.reasoning},
        "service_tier": "standard",
    }


def _blocks(reply: Reply) -> list[Row]:
    thought, found = reply.thought, []
    if reply.thinks:
        found.append({"type": "thinking", "thinking": "", "signature": f"sig_{reply.id}"})
    if thought.text:
        found.append({"type": "text", "text": thought.text})
    return found + [
        {"type": "tool_use", "id": _tool_id(call), "name": call.name, "input": call.arguments} for call in thought.calls
    ]


def _tool_id(call: Call) -> str:
    return f"toolu_{call.id.removeprefix('call_')}"


def stream(reply: Reply, prompt: Prompt, model: Model) -> Iterator[bytes]:
    """The answer as events."""
    started = _message(reply, [])
    started["usage"] = {**started["usage"], "output_tokens": 1}
    yield _event("message_start", message=started)
    for index, block in enumerate(_blocks(reply)):
        yield from _block_events(index, block)
        if index == 0:
            yield _event("ping")
    whole = write(reply, prompt, model)
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None, "stop_details": whole["stop_details"]}
    usage = {name: whole["usage"][name] for name in ("output_tokens", "output_tokens_details")}
    yield _event("message_delta", delta=delta, usage=usage)
    yield _event("message_stop")


def _block_events(index: int, block: Row) -> Iterator[bytes]:
    yield _event("content_block_start", index=index, content_block={**block, **_EMPTY[block["type"]]})
    if block["type"] == "thinking":
        yield _event("content_block_delta", index=index, delta={"type": "thinking_delta", "thinking": block["thinking"]})
        yield _event("content_block_delta", index=index, delta={"type": "signature_delta", "signature": block["signature"]})
    for piece in pieces(block["text"]) if block["type"] == "text" else ():
        yield _event("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
    for piece in pieces(dumps(block["input"])) if block["type"] == "tool_use" else ():
        yield _event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": piece})
    yield _event("content_block_stop", index=index)


def _event(kind: str, **body: Any) -> bytes:
    return event({"type": kind, **body}, kind)


def stream_error(refusal: Refusal, request_id: str) -> bytes:
    """An error inside a stream."""
    return event(error(refusal, request_id), "error")


def error(refusal: Refusal, request_id: str) -> Row:
    """Anthropic's error body."""
    kind = _KINDS.get(refusal.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": refusal.message}, "request_id": request_id}
