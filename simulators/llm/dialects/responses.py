"""OpenAI's Responses protocol, which Grok speaks, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simulators.llm.catalogue import Catalogue, Model
from simulators.llm.dialects import reading
from simulators.llm.dialects.writing import dumps, event, pieces
from simulators.llm.prompt import Call, Dialect, Json, Prompt, Refusal, Role, Row, Tool, Turn
from simulators.llm.reply import Reply, Stop

_STRANGERS = ("messages", "response_format", "max_tokens", "max_completion_tokens", "reasoning_effort", "n", "stop")
_FAILED = {"code": "server_error", "message": "The model had an error while processing your request. Sorry about that!"}
_STATUS = {Stop.LENGTH: "incomplete", Stop.FAILED: "failed"}
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "assistant": "assistant", "user": "user"}
Event = tuple[str, Row]


def read(body: Json, catalogue: Catalogue, _: Mapping[str, str]) -> tuple[Prompt, Model]:
    """The prompt and its model; `Refusal` where the real service refuses."""
    model = catalogue.find(reading.model_name(body), Dialect.RESPONSES)
    reading.no_strangers(body, _STRANGERS)
    wanted = reading.effort((body.get("reasoning") or {}).get("effort"), model, "reasoning.effort")
    reading.sampling(body, model, wanted)
    form = (body.get("text") or {}).get("format") or {}
    schema = form.get("schema") if form.get("type") == "json_schema" else None
    if form.get("type") == "json_schema":
        if not form.get("name"):
            raise Refusal(400, "Missing required parameter: 'text.format.name'.", param="text.format.name")
        if form.get("strict", True):
            reading.strict(schema, "text.format.schema")
    instructions = body.get("instructions")
    head = (Turn("system", instructions),) if isinstance(instructions, str) and instructions else ()
    prompt = Prompt(
        dialect=Dialect.RESPONSES,
        model=body["model"],
        turns=(*head, *_turns(body.get("input"))),
        tools=tuple(_tools(body.get("tools") or ())),
        choice=_choice(body.get("tool_choice", "auto")),
        schema=schema,
        wants_json=form.get("type") == "json_object",
        max_tokens=reading.limit(body, "max_output_tokens", model, 16),
        effort=wanted,
        stream=bool(body.get("stream")),
        cache_implicit=(body.get("prompt_cache_options") or {}).get("mode") != "explicit",
    )
    return prompt, model


def _turns(given: Any) -> Iterator[Turn]:
    if isinstance(given, str):
        yield Turn("user", given)
        return
    if not isinstance(given, list) or not given:
        raise Refusal(400, "Missing required parameter: 'input'.", code="missing_required_parameter", param="input")
    for item in given:
        kind = item.get("type", "message")
        if kind == "function_call":
            call = Call(str(item.get("call_id")), str(item.get("name")), reading.arguments_of(item.get("arguments")))
            yield Turn("assistant", "", (call,))
        elif kind == "function_call_output":
            yield Turn("tool", reading.text_of(item.get("output")), answers=str(item.get("call_id")))
        elif kind == "message":
            yield Turn(_ROLES.get(item.get("role"), "user"), reading.text_of(item.get("content")))


def _tools(given: Any) -> Iterator[Tool]:
    for one in given:
        if one.get("type") == "function":
            if not one.get("name"):
                raise Refusal(400, "Missing required parameter: 'tools[0].name'.", param="tools[0].name")
            if one.get("strict"):
                reading.strict(one.get("parameters"), "tools[0].parameters")
            yield Tool(one["name"], one.get("description") or "", one.get("parameters") or {})


def _choice(given: Any) -> str:
    return given if isinstance(given, str) else str(given.get("name", "required"))


def write(reply: Reply, prompt: Prompt, _: Model) -> Row:
    """The whole answer."""
    return _response(reply, prompt, _STATUS.get(reply.stop, "completed"), _output(reply), usage=True)


def _output(reply: Reply) -> list[Row]:
    thought, found = reply.thought, []
    if reply.thinks:
        found.append({"type": "reasoning", "id": f"rs_{reply.id}", "summary": []})
    if reply.stop is Stop.FAILED:
        return found
    if thought.refusal:
        return [*found, _message(reply, [{"type": "refusal", "refusal": thought.refusal}])]
    if thought.text or not thought.calls:
        starved = reply.stop is Stop.LENGTH and not thought.text  # all of it went into thinking
        part = {"type": "output_text", "text": thought.text, "annotations": [], "logprobs": []}
        found += [] if starved else [_message(reply, [part])]
    return found + [_call(call, "completed", dumps(call.arguments)) for call in thought.calls]


def _message(reply: Reply, content: list[Row], status: str = "completed") -> Row:
    ended = "incomplete" if reply.stop is Stop.LENGTH and status == "completed" else status
    return {"type": "message", "id": f"msg_{reply.id}", "status": ended, "role": "assistant", "content": content}


def _call(call: Call, status: str, arguments: str) -> Row:
    id_ = f"fc_{call.id.removeprefix('call_')}"
    return {"type": "function_call", "id": id_, "call_id": call.id, "name": call.name, "arguments": arguments, "status": status}


def _response(reply: Reply, prompt: Prompt, status: str, output: list[Row], usage: bool = False) -> Row:
    counted, reason = reply.usage, {"reason": "max_output_tokens"}
    return {
        "id": f"resp_{reply.id}",
        "object": "response",
        "created_at": reply.created,
        "status": status,
        "error": _FAILED if status == "failed" else None,
        "incomplete_details": reason if status == "incomplete" else None,
        "model": reply.model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": prompt.choice if prompt.choice in ("auto", "none", "required") else "required",
        "tools": [],
        "usage": {
            "input_tokens": counted.input,
            "input_tokens_details": {"cached_tokens": counted.cached, "cache_write_tokens": counted.written},
            "output_tokens": counted.output,
            "output_tokens_details": {"reasoning_tokens": counted.reasoning},
            "total_tokens": counted.input + counted.output,
        }
        if usage
        else None,
    }


def stream(reply: Reply, prompt: Prompt, model: Model) -> Iterator[bytes]:
    """The answer as events, numbered."""
    for number, (kind, body) in enumerate(_events(reply, prompt, model)):
        yield event({"type": kind, "sequence_number": number, **body}, kind)


def _events(reply: Reply, prompt: Prompt, model: Model) -> Iterator[Event]:
    begun = _response(reply, prompt, "in_progress", [])
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    output = _output(reply)
    for index, item in enumerate(output):
        if item["type"] == "message":
            yield from _message_events(reply, index, item)
        elif item["type"] == "function_call":
            yield from _call_events(index, item)
        else:
            yield "response.output_item.added", {"output_index": index, "item": item}
            yield "response.output_item.done", {"output_index": index, "item": item}
    whole = write(reply, prompt, model)
    yield f"response.{whole['status']}", {"response": whole}


def _message_events(reply: Reply, index: int, item: Row) -> Iterator[Event]:
    part = item["content"][0]
    word = "text" if part["type"] == "output_text" else "refusal"
    stem, where = f"response.{part['type']}", {"item_id": item["id"], "output_index": index, "content_index": 0}
    more: Row = {"logprobs": []} if word == "text" else {}
    yield "response.output_item.added", {"output_index": index, "item": _message(reply, [], "in_progress")}
    yield "response.content_part.added", {**where, "part": {**part, word: ""}}
    for piece in pieces(part[word]):
        yield f"{stem}.delta", {**where, "delta": piece, **more}
    yield f"{stem}.done", {**where, word: part[word], **more}
    yield "response.content_part.done", {**where, "part": part}
    yield "response.output_item.done", {"output_index": index, "item": item}


def _call_events(index: int, item: Row) -> Iterator[Event]:
    where = {"item_id": item["id"], "output_index": index}
    yield "response.output_item.added", {"output_index": index, "item": {**item, "arguments": "", "status": "in_progress"}}
    for piece in pieces(item["arguments"]):
        yield "response.function_call_arguments.delta", {**where, "delta": piece}
    yield "response.function_call_arguments.done", {**where, "name": item["name"], "arguments": item["arguments"]}
    yield "response.output_item.done", {"output_index": index, "item": item}


def stream_error(refusal: Refusal, request_id: str) -> bytes:
    """An error inside a stream."""
    return event({"type": "error", "sequence_number": 99, **error(refusal, request_id)}, "error")


def error(refusal: Refusal, _: str) -> Row:
    """OpenAI's error body."""
    return {"error": {"message": refusal.message, "type": refusal.kind, "param": refusal.param, "code": refusal.code}}
