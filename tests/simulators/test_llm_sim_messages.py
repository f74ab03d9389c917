"""Anthropic's Messages protocol through the real SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from tests.simulators.llm_clients import PARAMETERS, SCHEMA, TOOLS, Clients, asked, service, snapshot

CONFIG: Any = {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}
OFFERED: Any = [{"name": name, "description": words, "input_schema": PARAMETERS} for name, words in TOOLS.items()]


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    async with service() as running:
        yield running


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def test_a_decision_comes_after_thinking_with_usage_and_a_request_id(clients: Clients) -> None:
    reply = await clients.claude.messages.create(
        model="claude-opus-5-5", max_tokens=4096, system="You trade.", messages=said(asked(snapshot())), output_config=CONFIG
    )
    assert [block.type for block in reply.content] == ["thinking", "text"]
    text = reply.content[1]
    assert text.type == "text"
    assert json.loads(text.text)["action"] == "buy"
    assert reply.stop_reason == "end_turn"
    assert reply.usage.output_tokens_details is not None
    assert reply.usage.output_tokens > reply.usage.output_tokens_details.thinking_tokens > 0
    assert reply._request_id is not None


async def test_haiku_does_not_think_unless_told(clients: Clients) -> None:
    reply = await clients.claude.messages.create(model="claude-haiku-5-5", max_tokens=100, messages=said("hello"))
    assert [block.type for block in reply.content] == ["text"]


async def test_a_stream_has_the_events_in_order_and_the_same_words(clients: Clients) -> None:
    stream = await clients.claude.messages.create(
        model="claude-opus-5-5", max_tokens=4096, messages=said('What is my cash? {"cash": 12}'), stream=True
    )
    events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    assert "".join(delta.text for delta in deltas if delta.type == "text_delta") == "Cash is 12."
    ended = next(event for event in events if event.type == "message_delta")
    assert ended.delta.stop_reason == "end_turn"
    assert ended.usage.output_tokens > 1


async def test_a_tool_is_called_and_its_result_told(clients: Clients) -> None:
    conversation = said("How much cash is in my portfolio?")
    options: Any = {"model": "claude-haiku-5-5", "max_tokens": 1000, "tools": OFFERED}
    first = await clients.claude.messages.create(messages=conversation, **options)
    assert first.stop_reason == "tool_use"
    call = first.content[0]
    assert call.type == "tool_use"
    assert call.name == "portfolio"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": '{"cash": 77, "equity": 1}'}]}
    conversation += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = await clients.claude.messages.create(messages=conversation, **options)
    assert second.stop_reason == "end_turn"
    assert [block.text for block in second.content if block.type == "text"] == ["I looked it up. Cash is 77."]


async def test_a_tool_call_streams_its_input(clients: Clients) -> None:
    question = said("Show me 5 recent decisions about BTC/USDT")
    async with clients.claude.messages.stream(
        model="claude-haiku-5-5", max_tokens=1000, messages=question, tools=OFFERED
    ) as stream:
        final = await stream.get_final_message()
    call = final.content[0]
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("recent_decisions", {"symbol": "BTC/USDT", "limit": 5})


async def test_a_forced_tool_is_called(clients: Clients) -> None:
    reply = await clients.claude.messages.create(
        model="claude-haiku-5-5",
        max_tokens=1000,
        messages=said("hello"),
        tools=OFFERED,
        tool_choice={"type": "tool", "name": "portfolio"},
    )
    assert reply.content[0].type == "tool_use"


@pytest.mark.parametrize("ttl", ["5m", "1h"])
async def test_what_is_marked_is_written_once_and_read_then(clients: Clients, ttl: Any) -> None:
    system: Any = [{"type": "text", "text": "Trade with care. " * 400, "cache_control": {"type": "ephemeral", "ttl": ttl}}]
    usages = []
    for slope in (20, 30):
        reply = await clients.claude.messages.create(
            model="claude-opus-5-5", max_tokens=4096, system=system, messages=said(asked(snapshot(slope)))
        )
        usages.append(reply.usage)
    first, second = usages
    assert first.cache_creation_input_tokens
    assert first.cache_creation is not None
    split = first.cache_creation.ephemeral_1h_input_tokens if ttl == "1h" else first.cache_creation.ephemeral_5m_input_tokens
    assert split == first.cache_creation_input_tokens
    assert second.cache_read_input_tokens
    assert second.cache_read_input_tokens > 1000
    whole = second.input_tokens + second.cache_read_input_tokens + (second.cache_creation_input_tokens or 0)
    count = await clients.claude.messages.count_tokens(model="claude-opus-5-5", system=system, messages=said(asked(snapshot(30))))
    assert whole == count.input_tokens


@pytest.mark.parametrize(
    ("model", "more", "words"),
    [
        ("claude-opus-5-5", {"extra_body": {"temperature": 0.0}}, "temperature"),
        ("claude-haiku-4-5", {"extra_body": {"temperature": 0.0}}, "temperature"),
        ("claude-opus-5-5", {"tools": OFFERED, "tool_choice": {"type": "any"}}, "tool_choice"),
        ("claude-opus-5-5", {"messages": [*said("hi"), {"role": "assistant", "content": "{"}]}, "prefill"),
        ("claude-opus-5-5", {"output_config": {"effort": "minimal"}}, "minimal"),
        ("demo", {"extra_body": {"response_format": {}}}, "Extra inputs"),
        ("demo", {"extra_body": {"max_tokens": None}}, "max_tokens: Field required"),
        (
            "demo",
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "number", "minimum": 0}}}},
            "'minimum' is not supported",
        ),
    ],
)
async def test_what_the_real_service_refuses_is_a_bad_request(
    clients: Clients, model: str, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(anthropic.BadRequestError, match=words):
        await clients.claude.messages.create(**{"model": model, "max_tokens": 4096, "messages": said("hello"), **more})


async def test_an_older_version_is_tolerated_and_takes_sampling_where_the_model_did(clients: Clients) -> None:
    reply = await clients.claude.messages.create(
        model="claude-haiku-4-5",
        max_tokens=100,
        messages=said("hello"),
        extra_headers={"anthropic-version": "2023-06-01"},
        extra_body={"temperature": 0.2},
    )
    assert reply.content


async def test_an_unknown_model_is_not_found(clients: Clients) -> None:
    for name in ("claude-17", "gpt-6-luna"):
        with pytest.raises(anthropic.NotFoundError):
            await clients.claude.messages.create(model=name, max_tokens=10, messages=said("hello"))


async def test_the_models_are_listed(clients: Clients) -> None:
    names = [model.id async for model in clients.claude.models.list()]
    assert "claude-opus-5-5" in names
    assert "gpt-6-luna" not in names
