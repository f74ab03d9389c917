"""OpenAI's Responses protocol through the real SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.simulators.llm_clients import PARAMETERS, SCHEMA, TOOLS, Clients, asked, service, snapshot

FORM: Any = {"format": {"type": "json_schema", "name": "decision", "strict": True, "schema": SCHEMA}}
OFFERED: Any = [
    {"type": "function", "name": name, "description": words, "parameters": PARAMETERS, "strict": False}
    for name, words in TOOLS.items()
]


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    async with service() as running:
        yield running


async def test_a_decision_comes_as_json_with_usage_and_a_request_id(clients: Clients) -> None:
    reply = await clients.gpt.responses.create(
        model="gpt-6-luna",
        instructions="You trade.",
        input=asked(snapshot()),
        text=FORM,
        max_output_tokens=4096,
        reasoning={"effort": "low"},
        store=False,
    )
    decision = json.loads(reply.output_text)
    assert set(decision) == set(SCHEMA["required"])
    assert (decision["action"], decision["symbol"]) == ("buy", "BTC/USDT")
    assert decision["stop_loss"] < snapshot()["price"] < decision["take_profit"]
    assert decision["evidence"] == ["15m.rsi", "1h.trend", "price"]
    assert reply.status == "completed"
    assert [item.type for item in reply.output] == ["reasoning", "message"]
    assert reply.usage is not None
    assert 48 <= reply.usage.output_tokens_details.reasoning_tokens <= 80
    assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens
    assert reply._request_id is not None
    assert reply._request_id.startswith("req_")


async def test_a_stream_has_the_events_in_order_and_the_same_words(clients: Clients) -> None:
    whole = await clients.gpt.responses.create(model="demo", input='What is my cash? {"cash": 12}')
    stream = await clients.gpt.responses.create(model="demo", input='What is my cash? {"cash": 12}', stream=True)
    events = [event async for event in stream]
    kinds = [event.type for event in events if event.type != "response.output_text.delta"]
    assert kinds == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(len(events)))
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == whole.output_text == "Cash is 12."
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.usage is not None


async def test_a_tool_is_called_and_its_result_told(clients: Clients) -> None:
    conversation: list[Any] = [{"role": "user", "content": "What is the equity of my portfolio?"}]
    first = await clients.gpt.responses.create(model="demo", input=conversation, tools=OFFERED)
    call = first.output[0]
    assert call.type == "function_call"
    assert call.name == "portfolio"
    conversation += [call.model_dump(exclude_none=True)]
    conversation += [{"type": "function_call_output", "call_id": call.call_id, "output": '{"equity": 1250.5, "cash": 3}'}]
    second = await clients.gpt.responses.create(model="demo", input=conversation, tools=OFFERED)
    assert second.output_text == "I looked it up. Equity is 1250.5."


async def test_a_tool_call_streams_its_arguments(clients: Clients) -> None:
    question = "Show me 5 recent decisions about BTC/USDT"
    stream = await clients.gpt.responses.create(model="demo", input=question, tools=OFFERED, stream=True)
    events = [event async for event in stream]
    said = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
    assert json.loads(said) == {"symbol": "BTC/USDT", "limit": 5}
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output[0].type == "function_call"


async def test_thinking_can_eat_the_whole_answer_and_is_billed(clients: Clients) -> None:
    reply = await clients.gpt.responses.create(
        model="gpt-6.1-sol", input=asked(snapshot()), text=FORM, max_output_tokens=64, reasoning={"effort": "high"}
    )
    assert (reply.status, reply.output_text) == ("incomplete", "")
    assert reply.incomplete_details is not None
    assert reply.incomplete_details.reason == "max_output_tokens"
    assert reply.usage is not None
    assert reply.usage.output_tokens == 64


async def test_a_beginning_that_comes_again_is_cached(clients: Clients) -> None:
    rules = "Trade with care, and tell why. " * 300
    usages = []
    for slope in (20, 30):
        reply = await clients.gpt.responses.create(model="gpt-6-luna", instructions=rules, input=asked(snapshot(slope)))
        assert reply.usage is not None
        usages.append(reply.usage)
    assert usages[0].input_tokens_details.cached_tokens == 0
    assert usages[0].input_tokens_details.cache_write_tokens > 1024
    assert 1024 <= usages[1].input_tokens_details.cached_tokens < usages[1].input_tokens


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"model": "gpt-6-luna", "temperature": 0.0}, "temperature"),
        ({"model": "gpt-6.2-sol", "reasoning": {"effort": "none"}}, "none"),
        ({"model": "demo", "extra_body": {"messages": []}}, "messages"),
        ({"model": "demo", "max_output_tokens": 3}, "max_output_tokens"),
        ({"model": "demo", "input": []}, "input"),
        ({"model": "demo", "text": {"format": {**FORM["format"], "schema": {**SCHEMA, "required": []}}}}, "required"),
        ({"model": "demo", "text": {"format": {**FORM["format"], "schema": {"type": "object"}}}}, "additionalProperties"),
        ({"model": "demo", "input": [3]}, "wrong type"),
    ],
)
async def test_what_the_real_service_refuses_is_a_bad_request(clients: Clients, more: dict[str, Any], words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as caught:
        await clients.gpt.responses.create(**{"input": "hello", **more})
    assert caught.value.request_id is not None


async def test_an_unknown_model_is_not_found_and_a_claude_is_unknown_here(clients: Clients) -> None:
    for name in ("gpt-17", "claude-opus-5-5", "gpt-6-lunatic"):
        with pytest.raises(openai.NotFoundError) as caught:
            await clients.gpt.responses.create(model=name, input="hello")
        assert caught.value.code == "model_not_found"


async def test_the_models_are_listed(clients: Clients) -> None:
    names = [model.id async for model in clients.gpt.models.list()]
    assert {"gpt-6-luna", "grok-4.7", "gemini-4-argon", "demo"} <= set(names)
    assert (await clients.gpt.models.retrieve("gpt-6-luna")).owned_by == "openai"
