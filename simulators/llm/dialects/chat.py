"""OpenAI's chat completions, which Gemini, Grok and local servers speak, each with its habits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simulators.llm.catalogue import Catalogue, Model
from simulators.llm.dialects import reading
from simulators.llm.dialects.writing import dumps, event, pieces
from simulators.llm.prompt import Call, Dialect, Json, Prompt, Refusal, Role, Row, Tool, Turn
from simulators.llm.reply import Reply, Stop

_STRANGERS = ("input", "instructions", "max_output_tokens", "reasoning", "text", "system")
_FINISH = {
    Stop.DONE: "stop",
    Stop.LENGTH: "length",
    Stop.TOOLS: "tool_calls",
    Stop.REFUSAL: "stop",
    Stop.FAILED: "content_filter",
}
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "assistant": "assistant", "tool": "tool", "user": "user"}


def read(body: Json, catalogue: Catalogue, _: Mapping[str, str]) -> tuple[Prompt, Model]:
    """The prompt and its model; `Refusal` where the real service refuses."""
    model = catalogue.find(reading.model_name(body), Dialect.CHAT)
    reading.no_strangers(body, _STRANGERS)
    if body.get("max_tokens") is not None and not model.old_max_tokens:
        text = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        raise Refusal(400, text, code="unsupported_parameter", param="max_tokens")
    wanted = reading.effort(body.get("reasoning_effort"), model, "reasoning_effort")
    reading.sampling(body, model, wanted)
    form = body.get("response_format") or {}
    named = form.get("json_schema") or {}
    if form.get("type") == "json_schema":
        if not named.get("name"):
            raise Refusal(400, "Missing required parameter: 'response_format.json_schema.name'.", param="response_format")
        if named.get("strict") and model.owner == "openai":
            reading.strict(named.get("schema"), "response_format")
    stream_options = body.get("stream_options") or {}
    prompt = Prompt(
        dialect=Dialect.CHAT,
        model=body["model"],
        turns=tuple(_turns(body.get("messages"))),
        tools=tuple(_tools(body.get("tools") or (), model)),
        choice=_choice(body.get("tool_choice", "auto")),
        schema=named.get("schema"),
        wants_json=form.get("type") == "json_object",
        max_tokens=reading.limit(body, "max_completion_tokens", model) or reading.limit(body, "max_tokens", model),
        effort=wanted,
        stream=bool(body.get("stream")),
        cache_implicit=(body.get("prompt_cache_options") or {}).get("mode") != "explicit",
        stream_usage=bool(stream_options.get("include_usage")),
    )
    return prompt, model


def _turns(given: Any) -> Iterator[Turn]:
    if not isinstance(given, list) or not given:
        raise Refusal(400, "Missing required parameter: 'messages'.", code="missing_required_parameter", param="messages")
    for message in given:
        role = _ROLES.get(message.get("role"))
        if role is None:
            raise Refusal(400, f"Invalid value: '{message.get('role')}'.", code="invalid_value", param="messages")
        calls = tuple(_call_of(one) for one in message.get("tool_calls") or ())
        yield Turn(role, reading.text_of(message.get("content")), calls, str(message.get("tool_call_id", "")))


def _call_of(given: Json) -> Call:
    function = given.get("function") or {}
    return Call(str(given.get("id")), str(function.get("name")), reading.arguments_of(function.get("arguments")))


def _tools(given: Any, model: Model) -> Iterator[Tool]:
    for one in given:
        function = one.get("function") or {}
        if not function.get("name"):
            raise Refusal(400, "Missing required parameter: 'tools[0].function'.", param="tools[0].function")
        if function.get("strict") and model.owner == "openai":
            reading.strict(function.get("parameters"), "tools[0].function.parameters")
        yield Tool(function["name"], function.get("description") or "", function.get("parameters") or {})


def _choice(given: Any) -> str:
    return given if isinstance(given, str) else str((given.get("function") or {}).get("name", "required"))


def write(reply: Reply, _: Prompt, model: Model) -> Row:
    """The whole answer."""
    thought = reply.thought
    message: Row = {"role": "assistant", "content": thought.text if thought.text or not thought.calls else None, "refusal": None}
    if thought.refusal:
        message |= {"content": None, "refusal": thought.refusal}
    if thought.calls:
        message["tool_calls"] = [_call(call, dumps(call.arguments)) for call in thought.calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish(reply, model), "logprobs": None}
    if model.owner == "google" and thought.refusal:  # no refusal field: a safety stop with nothing in it
        message.pop("refusal")
    return {**_head(reply, "chat.completion"), "choices": [choice], "usage": _usage(reply, model)}


def _finish(reply: Reply, model: Model) -> str:
    return "content_filter" if reply.stop is Stop.REFUSAL and model.owner == "google" else _FINISH[reply.stop]


def _call(call: Call, arguments: str) -> Row:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _head(reply: Reply, kind: str) -> Row:
    return {"id": f"chatcmpl-{reply.id}", "object": kind, "created": reply.created, "model": reply.model}


def _usage(reply: Reply, model: Model) -> Row:
    """Gemini's and Grok's `completion_tokens` lack the reasoning, which is in the total."""
    counted = reply.usage
    told = counted.output if model.folds_reasoning else counted.output - counted.reasoning
    return {
        "prompt_tokens": counted.input,
        "completion_tokens": told,
        "total_tokens": counted.input + counted.output,
        "prompt_tokens_details": None
        if model.owner == "google" and not counted.cached
        else {"cached_tokens": counted.cached, "cache_write_tokens": counted.written},
        "completion_tokens_details": {"reasoning_tokens": counted.reasoning},
    }


def stream(reply: Reply, prompt: Prompt, model: Model) -> Iterator[bytes]:
    """The answer as chunks."""
    head, thought = _head(reply, "chat.completion.chunk"), reply.thought

    def chunk(delta: Row, finish: str | None = None) -> bytes:
        return event({**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]})

    yield chunk({"role": "assistant", "content": ""})
    if thought.refusal and model.owner != "google":
        yield from (chunk({"refusal": piece}) for piece in pieces(thought.refusal))
    yield from (chunk({"content": piece}) for piece in pieces(thought.text))
    for index, call in enumerate(thought.calls):
        yield chunk({"tool_calls": [{"index": index, **_call(call, "")}]})
        for piece in pieces(dumps(call.arguments)):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _finish(reply, model))
    if prompt.stream_usage:
        yield event({**head, "choices": [], "usage": _usage(reply, model)})
    yield b"data: [DONE]\n\n"


def stream_error(refusal: Refusal, request_id: str) -> bytes:
    """An error inside a stream: a line of data like any other."""
    return event(error(refusal, request_id))


def error(refusal: Refusal, _: str) -> Row:
    """OpenAI's error body."""
    return {"error": {"message": refusal.message, "type": refusal.kind, "param": refusal.param, "code": refusal.code}}
