"""Chat completions through the real SDK, as OpenAI, Gemini and Grok speak them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.simulators.llm_clients import PARAMETERS, SCHEMA, TOOLS, Clients, asked, service, snapshot

SHAPE: Any = {"type": "json_schema", "json_schema": {"name": "decision", "strict": True, "schema": SCHEMA}}
OFFERED: Any = [
    {"type": "function", "function": {"name": name, "description": words, "parameters": PARAMETERS}}
    for name, words in TOOLS.items()
]


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    async with service() as running:
        yield running


def said(text: str) -> Any:
    return [{"role": "system", "content": "You trade."}, {"role": "user", "content": text}]


async def test_a_decision_comes_as_json_with_usage_and_a_request_id(clients: Clients) -> None:
    reply = await clients.gpt.chat.completions.create(
        model="gpt-6-luna",
        messages=said(asked(snapshot())),
        response_format=SHAPE,
        max_completion_tokens=4096,
        reasoning_effort="low",
    )
    choice = reply.choices[0]
    assert choice.finish_reason == "stop"
    assert json.loads(choice.message.content or "")["action"] == "buy"
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply._request_id is not None


@pytest.mark.parametrize("model", ["gemini-3.8-flash", "grok-4.7"])
async def test_elsewhere_thinking_is_in_the_total_only(clients: Clients, model: str) -> None:
    client = clients.gemini if model.startswith("gemini") else clients.gpt
    reply = await client.chat.completions.create(model=model, messages=said(asked(snapshot())), response_format=SHAPE)
    assert reply.usage is not None
    assert reply.usage.completion_tokens_details is not None
    thinking = reply.usage.completion_tokens_details.reasoning_tokens
    assert thinking
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens + thinking


async def test_a_stream_has_role_words_end_and_usage(clients: Clients) -> None:
    question = said('What is my cash? {"cash": 12}')
    stream = await clients.gpt.chat.completions.create(
        model="demo", messages=question, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert (deltas[0].role, deltas[0].content) == ("assistant", "")
    assert "".join(delta.content or "" for delta in deltas) == "Cash is 12."
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert not chunks[-1].choices
    assert chunks[-1].usage is not None


async def test_a_stream_without_the_option_has_no_usage(clients: Clients) -> None:
    stream = await clients.gpt.chat.completions.create(model="demo", messages=said("hello"), stream=True)
    assert [chunk.usage async for chunk in stream if chunk.usage] == []


async def test_a_tool_is_called_and_its_result_told(clients: Clients) -> None:
    conversation = said("How much cash is in my portfolio?")
    first = await clients.gpt.chat.completions.create(model="demo", messages=conversation, tools=OFFERED)
    assert first.choices[0].finish_reason == "tool_calls"
    message = first.choices[0].message
    assert message.tool_calls is not None
    call = message.tool_calls[0]
    assert call.type == "function"
    assert (message.content, call.function.name) == (None, "portfolio")
    conversation += [message.model_dump(exclude_none=True)]
    conversation += [{"role": "tool", "tool_call_id": call.id, "content": '{"cash": 77, "equity": 100}'}]
    second = await clients.gpt.chat.completions.create(model="demo", messages=conversation, tools=OFFERED)
    assert second.choices[0].message.content == "I looked it up. Cash is 77."


async def test_a_tool_call_streams_its_arguments(clients: Clients) -> None:
    question = said("Show me 5 recent decisions about BTC/USDT")
    stream = await clients.gpt.chat.completions.create(model="demo", messages=question, tools=OFFERED, stream=True)
    pieces = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
    assert pieces[0].function is not None
    assert pieces[0].function.name == "recent_decisions"
    text = "".join(piece.function.arguments or "" for piece in pieces if piece.function)
    assert json.loads(text) == {"symbol": "BTC/USDT", "limit": 5}


async def test_no_tool_is_called_where_none_fits_or_it_is_forbidden(clients: Clients) -> None:
    for question, choice in (("Tell me a story", "auto"), ("What is in my portfolio?", "none")):
        reply = await clients.gpt.chat.completions.create(
            model="demo",
            messages=said(question),
            tools=OFFERED,
            tool_choice=choice,  # type: ignore[call-overload]
        )
        assert reply.choices[0].message.tool_calls is None


async def test_json_without_a_schema_is_a_decision(clients: Clients) -> None:
    reply = await clients.gpt.chat.completions.create(
        model="demo", messages=said(asked(snapshot(-20, held=1.0))), response_format={"type": "json_object"}
    )
    assert json.loads(reply.choices[0].message.content or "")["action"] == "sell"


@pytest.mark.parametrize(
    ("model", "more", "words"),
    [
        ("gpt-6-luna", {"max_tokens": 100}, "max_completion_tokens"),
        ("gpt-5.6-sol", {"temperature": 0.2}, "temperature"),
        ("gemini-3.8-flash", {"top_p": 0.5}, "top_p"),
        ("grok-4.5", {"reasoning_effort": "none"}, "none"),
        ("demo", {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}, "name"),
        ("demo", {"extra_body": {"input": "x"}}, "input"),
        ("demo", {"messages": []}, "messages"),
    ],
)
async def test_what_the_real_services_refuse_is_a_bad_request(
    clients: Clients, model: str, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=words):
        await clients.gpt.chat.completions.create(**{"model": model, "messages": said("hello"), **more})


async def test_sampling_is_taken_where_it_is_allowed(clients: Clients) -> None:
    for model, more in (("gpt-6-luna", {"reasoning_effort": "none"}), ("grok-4.3", {}), ("gemini-4-argon", {})):
        options: Any = {"model": model, "messages": said("hello"), "temperature": 0.2, **more}
        assert (await clients.gpt.chat.completions.create(**options)).choices
