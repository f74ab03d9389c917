"""The chat completions protocol: Gemini, and whatever else is compatible, such as a server on one's own machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from sources.llm.asking import Ask, Message, Speaker, Stop, Usage
from sources.llm.models import Dialect, Model, Structured
from sources.llm.providers.reading import Answer, Failed, Unreadable, call_of, part, parts, tokens, told, usage_of, words

_STOPS: Mapping[str, Stop] = {
    "stop": Stop.DONE,
    "length": Stop.LENGTH,
    "content_filter": Stop.REFUSAL,
    "tool_calls": Stop.TOOLS,
    "function_call": Stop.TOOLS,
}


class Chat:
    """Speaks `/chat/completions`."""

    dialect = Dialect.CHAT
    sdk = "openai"

    def client(self, sdk: Any, key: str, base_url: str, http: Any) -> Any:
        """The client, ready for its first call."""
        made = sdk.AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0, http_client=http)
        _ = made.chat.completions
        return made

    def endpoint(self, client: Any) -> Any:
        """Where answers are created."""
        return client.chat.completions

    def request(self, ask: Ask, model: Model) -> dict[str, Any]:
        """The arguments of `create`."""
        takes = model.capabilities
        made: dict[str, Any] = {"model": model.name, "max_completion_tokens": takes.output_for(ask.max_output_tokens)}
        system = ask.instructions
        if ask.schema is not None:
            if takes.structured is Structured.SCHEMA:
                form = {"name": ask.schema.name, "strict": True, "schema": dict(ask.schema.body)}
                made["response_format"] = {"type": "json_schema", "json_schema": form}
            else:
                system = f"{system}\n\n{told(ask.schema.body)}"
                made |= {"response_format": {"type": "json_object"}} if takes.structured is Structured.OBJECT else {}
        if effort := takes.effort_for(ask.effort):
            made["reasoning_effort"] = effort.value
        if ask.temperature is not None and takes.sampling:
            made["temperature"] = ask.temperature
        if ask.tools and takes.tools:
            strict = {"strict": True} if takes.structured is Structured.SCHEMA else {}
            made["tools"] = [
                {"type": "function", "function": {"name": each.name, "description": each.description, **strict}}
                for each in ask.tools
            ]
            for each, tool in zip(ask.tools, made["tools"], strict=True):
                tool["function"]["parameters"] = dict(each.parameters)
        if ask.caching is not None and takes.cache_key:
            made["prompt_cache_key"] = ask.caching.key[:64]
        first = [{"role": "system", "content": system}] if system else []
        return made | {"messages": [*first, *(_turn(turn, model) for turn in ask.messages)]}

    def streamed(self, request: dict[str, Any]) -> dict[str, Any]:
        """Without being asked it would not tell its usage."""
        return request | {"stream": True, "stream_options": {"include_usage": True}}

    def read(self, body: Mapping[str, Any]) -> Answer:
        """The answer in a completion object. An empty one that says it is whole was filtered: Gemini has no other word for it."""
        if body.get("error") and not body.get("choices"):
            raise Failed(body)
        choice = next(parts(body, "choices"), None)
        if choice is None or not isinstance(choice.get("message"), Mapping):
            message = "it has no choice with a message"
            raise Unreadable(message)
        said = part(choice, "message")
        calls = tuple(
            call_of(words(each, "id"), words(part(each, "function"), "name"), words(part(each, "function"), "arguments"))
            for each in parts(said, "tool_calls")
        )
        text, refusal = words(said, "content"), words(said, "refusal")
        stop = _STOPS.get(words(choice, "finish_reason"), Stop.OTHER)
        if refusal or (stop is Stop.DONE and not text and not calls):
            stop = Stop.REFUSAL
        elif stop is Stop.DONE and calls:
            stop = Stop.TOOLS
        native = orjson.dumps(said).decode() if calls else ""
        return Answer(text or refusal, stop, _usage(part(body, "usage")), calls, native)

    def gathering(self) -> ChatGathering:
        """For one streamed answer."""
        return ChatGathering()


class ChatGathering:
    """Chunks with a piece of the message each; the last one may hold only the usage."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {"content": [], "refusal": []}
        self._calls: dict[int, dict[str, Any]] = {}
        self._usage: Mapping[str, Any] = {}
        self._finish = ""

    def take(self, chunk: Mapping[str, Any]) -> str:
        """The new text of a chunk."""
        if chunk.get("error"):
            raise Failed(chunk)
        self._usage = part(chunk, "usage") or self._usage
        choice = next(parts(chunk, "choices"), {})
        self._finish = words(choice, "finish_reason") or self._finish
        delta = part(choice, "delta")
        for name, pieces in self._texts.items():
            pieces.append(words(delta, name))
        for at, call in enumerate(parts(delta, "tool_calls")):
            self._grow(tokens(call, "index") if "index" in call else at, call)
        return words(delta, "content")

    def _grow(self, index: int, piece: Mapping[str, Any]) -> None:
        call = self._calls.setdefault(index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        function = part(piece, "function")
        call["id"] = words(piece, "id") or call["id"]
        call["function"]["name"] = words(function, "name") or call["function"]["name"]
        call["function"]["arguments"] += words(function, "arguments")
        call |= {name: value for name, value in piece.items() if name not in {"index", "id", "type", "function"}}

    def whole(self) -> Mapping[str, Any] | None:
        """The completion object."""
        if not self._finish:
            return None
        message: dict[str, Any] = {"role": "assistant"} | {name: "".join(all_) for name, all_ in self._texts.items()}
        if self._calls:
            message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        return {"choices": [{"message": message, "finish_reason": self._finish}], "usage": self._usage}


def _turn(turn: Message, model: Model) -> dict[str, Any]:
    if turn.speaker is Speaker.TOOL:
        return {"role": "tool", "tool_call_id": turn.answers, "content": turn.text}
    if turn.native and (turn.native.provider, turn.native.model) == (model.provider, model.name):
        own: dict[str, Any] = orjson.loads(turn.native.content)
        return own
    made: dict[str, Any] = {"role": turn.speaker.value, "content": turn.text}
    if turn.tool_calls:
        made["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.text}}
            for call in turn.tool_calls
        ]
    return made


def _usage(usage: Mapping[str, Any]) -> Usage | None:
    """Gemini and Grok leave what they thought out of the completion's tokens, but not out of the total."""
    prompt, completion = tokens(usage, "prompt_tokens"), tokens(usage, "completion_tokens")
    of_prompt = part(usage, "prompt_tokens_details")
    output = max(completion, tokens(usage, "total_tokens") - prompt)
    return usage_of(
        prompt,
        output,
        cached=tokens(of_prompt, "cached_tokens"),
        written=tokens(of_prompt, "cache_write_tokens"),
        reasoning=max(tokens(part(usage, "completion_tokens_details"), "reasoning_tokens"), output - completion),
    )
