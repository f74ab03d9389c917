"""Each dialect, through its real SDK, against a server that says what the protocol says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from sources.llm.asking import Ask, Caching, LlmError, Message, Reply, Speaker, Stop, Tool, ToolCall, Trouble, Usage
from sources.llm.models import Dialect, Effort, Model
from tests.sources.llm.llm_asks import KEY, SCHEMA, a_model, a_provider, an_ask
from tests.sources.llm.llm_service import COMPLETION, MESSAGE, RESPONSE, says, serving, streams

BODIES = {Dialect.RESPONSES: RESPONSE, Dialect.MESSAGES: MESSAGE, Dialect.CHAT: COMPLETION}
EVERY = pytest.mark.parametrize("dialect", list(Dialect))
TOOL = Tool("price", "Price of a symbol", {"type": "object", "properties": {"symbol": {"type": "string"}}})


async def answered(dialect: Dialect, body: Any, ask: Ask | None = None, model: Model | None = None) -> tuple[Reply, Any]:
    """The reply to a body, and the request."""
    async with serving(says(body, headers={"x-request-id": "req-1"})) as service, a_provider(dialect, service.root) as provider:
        reply = await provider.ask(ask or an_ask(), model or a_model(dialect), 5.0)
        return reply, service.body


async def streamed(dialect: Dialect, events: list[tuple[str, Any]], ask: Ask | None = None) -> list[str | Reply]:
    """All that a stream gives."""
    handler = streams(events, done=dialect is Dialect.CHAT)
    async with serving(handler) as service, a_provider(dialect, service.root) as provider:
        return [piece async for piece in provider.stream(ask or an_ask(), a_model(dialect), 5.0)]


@EVERY
async def test_an_answer_is_parsed_and_counted_the_same_way_in_every_dialect(dialect: Dialect) -> None:
    reply, _ = await answered(dialect, BODIES[dialect])
    assert reply.parsed == {"side": "buy", "size": 0.5}
    assert (reply.stop, reply.fault, reply.request_id) == (Stop.DONE, None, "req-1")
    assert (reply.usage.input, reply.usage.output, reply.usage.reasoning) == (1000, 200, 150)
    assert reply.raw
    assert not reply.usage_estimated


async def test_cached_and_written_tokens_have_prices_of_their_own() -> None:
    openai, _ = await answered(Dialect.RESPONSES, RESPONSE)
    claude, _ = await answered(Dialect.MESSAGES, MESSAGE)
    gemini, _ = await answered(Dialect.CHAT, COMPLETION)
    assert openai.cost == (500 * Decimal("0.1") + 400 * Decimal("0.01") + 100 * Decimal("0.125") + 200 * Decimal("0.5")) / 10**6
    assert claude.usage == Usage(1000, 400, 100, 200, 150, 100)
    assert claude.cost == (500 * Decimal("0.1") + 400 * Decimal("0.01") + 100 * Decimal("0.2") + 200 * Decimal("0.5")) / 10**6
    assert gemini.cost == (1000 * Decimal("0.3") + 200 * Decimal("2.5")) / 10**6


async def test_requests_hold_the_schema_as_each_dialect_wants_it_and_never_a_temperature() -> None:
    ask = an_ask(effort=Effort.LOW, temperature=0.0)
    _, openai = await answered(Dialect.RESPONSES, RESPONSE, ask)
    _, claude = await answered(Dialect.MESSAGES, MESSAGE, ask)
    _, gemini = await answered(Dialect.CHAT, COMPLETION, ask)
    assert openai["text"]["format"] == {"type": "json_schema", "name": "decision", "strict": True, "schema": dict(SCHEMA.body)}
    assert (openai["store"], openai["reasoning"], openai["max_output_tokens"]) == (False, {"effort": "low"}, 4096)
    assert claude["output_config"] == {"format": {"type": "json_schema", "schema": dict(SCHEMA.body)}, "effort": "low"}
    assert gemini["response_format"]["json_schema"]["schema"] == dict(SCHEMA.body)
    assert (gemini["reasoning_effort"], gemini["max_completion_tokens"]) == ("low", 4096)
    assert not any({"temperature", "top_p", "tools", "tool_choice"} & set(body) for body in (openai, claude, gemini))


@EVERY
async def test_nothing_of_the_environment_reaches_the_provider(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/elsewhere")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "Authorization: Bearer stolen\nX-Mine: yes")
    async with serving(says(BODIES[dialect])) as service, a_provider(dialect, service.root) as provider:
        await provider.ask(an_ask(), a_model(dialect), 5.0)
        headers = service.heard[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert "mine" not in str(headers)
    assert headers["accept-encoding"] == "identity"


def _cut(dialect: Dialect) -> Any:
    match dialect:
        case Dialect.RESPONSES:
            return RESPONSE | {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        case Dialect.MESSAGES:
            return MESSAGE | {"stop_reason": "max_tokens"}
        case Dialect.CHAT:
            return COMPLETION | {"choices": [COMPLETION["choices"][0] | {"finish_reason": "length"}]}


def _refused(dialect: Dialect) -> Any:
    match dialect:
        case Dialect.RESPONSES:
            return RESPONSE | {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]}
        case Dialect.MESSAGES:
            return MESSAGE | {"stop_reason": "refusal", "content": []}
        case Dialect.CHAT:
            return COMPLETION | {"choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}]}


@EVERY
async def test_a_cut_and_a_refused_answer_are_paid_for_and_of_no_use(dialect: Dialect) -> None:
    for body, stop, fault in (
        (_cut(dialect), Stop.LENGTH, Trouble.TRUNCATED),
        (_refused(dialect), Stop.REFUSAL, Trouble.REFUSAL),
    ):
        reply, _ = await answered(dialect, body)
        assert (reply.stop, reply.fault, reply.parsed) == (stop, fault, None)
        assert reply.cost > 0


@EVERY
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"side":"buy"}',
        '{"side":"buy","size":NaN}',
        '{"side":"up","size":1}',
        '{"side":"buy","size":1e999}',
        "[1]",
        '```json\n{"side":"buy","size":1}\n```',
        '{"side":"buy","size":true}',
        '{"side":"buy","size":1,"x":2}',
    ],
)
async def test_an_answer_that_breaks_the_schema_is_never_repaired(dialect: Dialect, text: str) -> None:
    match dialect:
        case Dialect.RESPONSES:
            body = RESPONSE | {"output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}]}
        case Dialect.MESSAGES:
            body = MESSAGE | {"content": [{"type": "text", "text": text}]}
        case Dialect.CHAT:
            body = COMPLETION | {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    reply, _ = await answered(dialect, body)
    assert reply.parsed is None
    assert reply.fault in ({Trouble.SCHEMA} if text else {Trouble.SCHEMA, Trouble.REFUSAL})
    assert reply.cost > 0


@EVERY
async def test_an_answer_without_usage_is_paid_for_by_our_own_count(dialect: Dialect) -> None:
    reply, _ = await answered(dialect, BODIES[dialect] | {"usage": {"input_tokens": -5, "prompt_tokens": "many"}})
    assert reply.usage_estimated
    assert reply.usage.input > 10
    assert reply.cost > 0


async def test_the_cache_is_told_how_long_to_keep_only_where_it_pays() -> None:
    long_text = "rule 17, " * 500

    def claude(every_s: float | None, text: str = long_text) -> Ask:
        return an_ask(instructions=text, caching=Caching("k", every_s))

    for ask, ttl in ((claude(60), "5m"), (claude(900), "1h"), (claude(None), "5m")):
        _, body = await answered(Dialect.MESSAGES, MESSAGE, ask)
        assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": ttl}
    for ask in (claude(7200), claude(60, "short")):
        _, body = await answered(Dialect.MESSAGES, MESSAGE, ask)
        assert "cache_control" not in str(body)
    _, often = await answered(Dialect.RESPONSES, RESPONSE, claude(900))
    _, seldom = await answered(Dialect.RESPONSES, RESPONSE, claude(7200))
    assert often["prompt_cache_key"] == "k"
    assert seldom["prompt_cache_options"] == {"mode": "explicit"}
    unknown = Model("p", "grok-x", a_model(Dialect.RESPONSES).price)
    _, other = await answered(Dialect.RESPONSES, RESPONSE, claude(900), unknown)
    assert "prompt_cache_key" not in other


HALF, REST = '{"side":"buy",', '"size":0.5}'
RESPONSES_STREAM: list[tuple[str, Any]] = [
    ("response.created", {"type": "response.created", "sequence_number": 0, "response": RESPONSE | {"status": "in_progress"}}),
    ("response.output_text.delta", {"type": "response.output_text.delta", "delta": '{"side":"buy",'}),
    ("response.output_text.delta", {"type": "response.output_text.delta", "delta": '"size":0.5}'}),
    ("response.completed", {"type": "response.completed", "response": RESPONSE}),
]
MESSAGES_STREAM: list[tuple[str, Any]] = [
    ("message_start", {"type": "message_start", "message": MESSAGE | {"content": [], "stop_reason": None}}),
    ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
    ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
    ("content_block_start", {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
    ("ping", {"type": "ping"}),
    (
        "content_block_delta",
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": '{"side":"buy",'}},
    ),
    ("content_block_delta", {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": '"size":0.5}'}}),
    ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 200}}),
    ("message_stop", {"type": "message_stop"}),
]
CHAT_STREAM: list[tuple[str, Any]] = [
    ("", {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}),
    ("", {"choices": [{"index": 0, "delta": {"content": '{"side":"buy",'}}]}),
    ("", {"choices": [{"index": 0, "delta": {"content": '"size":0.5}'}}]}),
    ("", {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    ("", {"choices": [], "usage": COMPLETION["usage"]}),
]
STREAMS = {Dialect.RESPONSES: RESPONSES_STREAM, Dialect.MESSAGES: MESSAGES_STREAM, Dialect.CHAT: CHAT_STREAM}


@EVERY
async def test_a_stream_gives_its_pieces_and_then_the_same_reply(dialect: Dialect) -> None:
    *pieces, reply = await streamed(dialect, STREAMS[dialect])
    assert pieces == ['{"side":"buy",', '"size":0.5}']
    whole, _ = await answered(dialect, BODIES[dialect])
    assert isinstance(reply, Reply)
    assert (reply.text, reply.parsed, reply.usage, reply.cost) == (whole.text, whole.parsed, whole.usage, whole.cost)
    assert reply.request_id == "req-s"


@EVERY
async def test_a_stream_that_ends_too_early_is_no_answer_and_may_be_billed(dialect: Dialect) -> None:
    end = 3 if dialect is Dialect.CHAT else -1
    with pytest.raises(LlmError) as caught:
        await streamed(dialect, STREAMS[dialect][:end])
    assert caught.value.trouble is Trouble.TRANSPORT
    assert caught.value.may_have_been_billed


@EVERY
async def test_an_error_event_inside_a_stream_is_known_for_what_it_is(dialect: Dialect) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    flat = {"type": "error", "code": "server_overloaded", "message": "Overloaded"}
    events = [STREAMS[dialect][0], ("error", flat if dialect is Dialect.RESPONSES else error)]
    with pytest.raises(LlmError) as caught:
        await streamed(dialect, events)
    assert caught.value.trouble is Trouble.OVERLOAD
    assert caught.value.may_have_been_billed


TOOL_BODIES: dict[Dialect, Any] = {
    Dialect.RESPONSES: RESPONSE
    | {
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "zzz"},
            {"type": "function_call", "id": "f", "call_id": "call_1", "name": "price", "arguments": '{"symbol":"BTC/USDT"}'},
        ]
    },
    Dialect.MESSAGES: MESSAGE
    | {
        "stop_reason": "tool_use",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "zzz"},
            {"type": "tool_use", "id": "call_1", "name": "price", "input": {"symbol": "BTC/USDT"}},
        ],
    },
    Dialect.CHAT: COMPLETION
    | {
        "choices": [
            {
                "message": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "price", "arguments": '{"symbol":"BTC/USDT"}'},
                            "extra_content": {"signature": "zzz"},
                        }
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ]
    },
}


@EVERY
async def test_a_tool_call_goes_out_and_its_turn_comes_back_whole_to_the_same_model_only(dialect: Dialect) -> None:
    ask = an_ask(schema=None, tools=(TOOL,))
    reply, first = await answered(dialect, TOOL_BODIES[dialect], ask)
    assert "price" in str(first["tools"])
    assert (reply.stop, reply.fault) == (Stop.TOOLS, None)
    [call] = reply.tool_calls
    assert (call.id, call.name, call.arguments) == ("call_1", "price", {"symbol": "BTC/USDT"})
    result = Message(Speaker.TOOL, "60000", answers="call_1")
    going_on = an_ask(schema=None, tools=(TOOL,), messages=(*ask.messages, reply.turn, result))
    _, same = await answered(dialect, BODIES[dialect], going_on)
    assert "zzz" in str(same)
    assert "60000" in str(same)
    other_model = Model("p", "another", a_model(dialect).price)
    _, other = await answered(dialect, BODIES[dialect], going_on, other_model)
    assert "zzz" not in str(other)
    assert "call_1" in str(other)


async def test_a_streamed_tool_call_is_put_together_again() -> None:
    start = {"type": "content_block_start", "index": 0}
    delta = {"type": "content_block_delta", "index": 0}
    claude: list[tuple[str, Any]] = [
        MESSAGES_STREAM[0],
        ("content_block_start", start | {"content_block": {"type": "tool_use", "id": "t", "name": "price", "input": {}}}),
        ("content_block_delta", delta | {"delta": {"type": "input_json_delta", "partial_json": '{"symbol":'}}),
        ("content_block_delta", delta | {"delta": {"type": "input_json_delta", "partial_json": '"X"}'}}),
        ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
        MESSAGES_STREAM[-1],
    ]
    pieces = [{"index": 0, "id": "t", "type": "function", "function": {"name": "price", "arguments": ""}}]
    more = [{"index": 0, "function": {"arguments": '{"symbol":"X"}'}}]
    chat: list[tuple[str, Any]] = [
        ("", {"choices": [{"delta": {"tool_calls": pieces}}]}),
        ("", {"choices": [{"delta": {"tool_calls": more}}]}),
        ("", {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
    ]
    for dialect, events in ((Dialect.MESSAGES, claude), (Dialect.CHAT, chat)):
        [reply] = await streamed(dialect, events, an_ask(schema=None, tools=(TOOL,)))
        assert isinstance(reply, Reply)
        assert reply.tool_calls[0].arguments == {"symbol": "X"}
        assert reply.stop is Stop.TOOLS


async def test_tool_arguments_that_are_no_json_object_are_kept_as_text_only() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "price", "arguments": "{oops"}
    reply, _ = await answered(Dialect.RESPONSES, RESPONSE | {"output": [call]}, an_ask(schema=None))
    assert reply.tool_calls == (ToolCall("c", "price", None, "{oops"),)


@EVERY
async def test_the_list_of_models_is_read(dialect: Dialect) -> None:
    body = {"object": "list", "data": [{"id": "models/a", "object": "model"}, {"id": "b"}, {"nothing": 1}, 7]}
    async with serving(says(body)) as service, a_provider(dialect, service.root) as provider:
        assert await provider.models(5.0) == ("a", "b")
        assert service.heard[0].path == "/v1/models"
