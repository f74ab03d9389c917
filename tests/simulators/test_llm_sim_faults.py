"""Every failure mode through the real SDKs: what raises what, and what arrives all the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from simulators.llm.faults import Fault, Mode
from tests.simulators.llm_clients import PATIENCE, Clients, asked, service, snapshot

DIALECTS = ("responses", "chat", "messages")
OVERLOADED = anthropic._exceptions.OverloadedError
UNAVAILABLE = anthropic._exceptions.ServiceUnavailableError
GATEWAY_TIMEOUT = anthropic._exceptions.GatewayTimeoutError
PAYMENT_REQUIRED = anthropic._exceptions.PaymentRequiredError
TOO_LARGE = anthropic._exceptions.ContentTooLargeError


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    async with service() as running:
        yield running


async def ask(clients: Clients, dialect: str) -> str:
    return await clients.decide(dialect, asked(snapshot()))


async def stream(clients: Clients, dialect: str) -> list[Any]:
    text: Any = [{"role": "user", "content": asked(snapshot())}]
    options: Any = {"model": "demo", "stream": True}
    if dialect == "responses":
        return [event async for event in await clients.gpt.responses.create(input=text, **options)]
    if dialect == "chat":
        return [event async for event in await clients.gpt.chat.completions.create(messages=text, **options)]
    return [event async for event in await clients.claude.messages.create(messages=text, max_tokens=4096, **options)]


@pytest.mark.parametrize(
    ("mode", "of_openai", "of_anthropic"),
    [
        (Mode.BAD_REQUEST, openai.BadRequestError, anthropic.BadRequestError),
        (Mode.UNAUTHORIZED, openai.AuthenticationError, anthropic.AuthenticationError),
        (Mode.PAYMENT, openai.APIStatusError, PAYMENT_REQUIRED),
        (Mode.FORBIDDEN, openai.PermissionDeniedError, anthropic.PermissionDeniedError),
        (Mode.NOT_FOUND, openai.NotFoundError, anthropic.NotFoundError),
        (Mode.TOO_LARGE, openai.APIStatusError, TOO_LARGE),
        (Mode.UNPROCESSABLE, openai.UnprocessableEntityError, anthropic.UnprocessableEntityError),
        (Mode.RATE_LIMIT, openai.RateLimitError, anthropic.RateLimitError),
        (Mode.QUOTA, openai.RateLimitError, PAYMENT_REQUIRED),
        (Mode.SERVER_ERROR, openai.InternalServerError, anthropic.InternalServerError),
        (Mode.UNAVAILABLE, openai.InternalServerError, UNAVAILABLE),
        (Mode.TIMED_OUT, openai.InternalServerError, GATEWAY_TIMEOUT),
        (Mode.OVERLOADED, openai.InternalServerError, OVERLOADED),
        (Mode.HTML, openai.InternalServerError, anthropic.InternalServerError),
        (Mode.DROP, openai.APIConnectionError, anthropic.APIConnectionError),
        (Mode.DROP_HEADERS, openai.APIConnectionError, anthropic.APIConnectionError),
        (Mode.DROP_BODY, openai.APIConnectionError, anthropic.APIConnectionError),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_each_raises_the_error_of_its_sdk_once(
    clients: Clients, mode: Mode, of_openai: type[Exception], of_anthropic: type[Exception], dialect: str
) -> None:
    expected = of_anthropic if dialect == "messages" else of_openai
    clients.simulator.inject(mode)
    with pytest.raises(expected) as caught:
        await ask(clients, dialect)
    assert type(caught.value) is expected
    assert json.loads(await ask(clients, dialect))["action"] == "buy"
    assert clients.simulator.counts()["faults"] == {mode.value: 1}


async def test_the_words_of_errors_are_the_providers(clients: Clients) -> None:
    clients.simulator.inject(Mode.QUOTA, Mode.RATE_LIMIT, Mode.UNAUTHORIZED)
    for code in ("insufficient_quota", "rate_limit_exceeded", "invalid_api_key"):
        with pytest.raises(openai.APIStatusError) as told:
            await ask(clients, "responses")
        assert told.value.code == code
        assert told.value.request_id is not None
    clients.simulator.inject(Mode.QUOTA, Mode.OVERLOADED)
    for kind in ("billing_error", "overloaded_error"):
        with pytest.raises(anthropic.APIStatusError) as said:
            await ask(clients, "messages")
        assert isinstance(said.value.body, dict)
        assert said.value.body["error"]["type"] == kind
        assert said.value.request_id is not None


async def test_retry_after_may_be_an_hour(clients: Clients) -> None:
    clients.simulator.inject(Fault(Mode.RATE_LIMIT, count=2, retry_after=3600))
    with pytest.raises(openai.RateLimitError) as told:
        await ask(clients, "chat")
    with pytest.raises(anthropic.RateLimitError) as said:
        await ask(clients, "messages")
    assert told.value.response.headers["retry-after"] == said.value.response.headers["retry-after"] == "3600"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_hanging_server_is_left_and_does_not_outlive_its_client(clients: Clients, dialect: str) -> None:
    clients.simulator.inject(Mode.HANG)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await ask(clients, dialect)
    async with asyncio.timeout(PATIENCE):
        while not clients.simulator.requests(1)[0].ended:
            await asyncio.sleep(0)
    record = clients.simulator.requests(1)[0]
    assert (record.ended, record.usage) == ("left", None)


async def test_a_timeout_of_the_sdk_is_its_timeout_error(clients: Clients) -> None:
    clients.simulator.inject(Mode.HANG, Mode.HANG)
    with pytest.raises(openai.APITimeoutError):
        await clients.decide("responses", "hello", timeout=0.1)
    with pytest.raises(anthropic.APITimeoutError):
        await clients.decide("messages", "hello", timeout=0.1)


async def test_a_dripping_socket_outlives_a_timeout_per_read_but_no_deadline(clients: Clients) -> None:
    clients.simulator.inject(Fault(Mode.DRIP, count=1, seconds=0.05))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.4):
            await clients.decide("responses", asked(snapshot()), timeout=0.2)


async def test_a_quick_drip_brings_the_whole_answer(clients: Clients) -> None:
    clients.simulator.inject(Fault(Mode.DRIP, count=1, seconds=0.0))
    assert json.loads(await ask(clients, "chat"))["action"] == "buy"


async def test_a_slow_first_byte_is_only_slow(clients: Clients) -> None:
    clients.simulator.inject(Fault(Mode.SLOW, count=1, seconds=0.1))
    began = asyncio.get_running_loop().time()
    assert json.loads(await ask(clients, "messages"))["action"] == "buy"
    assert asyncio.get_running_loop().time() - began >= 0.1


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_is_said_goes_wrong_but_arrives(clients: Clients, dialect: str) -> None:
    clients.simulator.inject(Mode.BAD_JSON, Mode.EMPTY, Mode.NAN, Mode.ABSURD, Mode.ECHO, Mode.TRUNCATED)
    for spoilt in ("bad_json", "empty"):
        with pytest.raises(json.JSONDecodeError):
            json.loads(await ask(clients, dialect))
        assert clients.simulator.requests(1)[0].fault == spoilt
    nan = json.loads(await ask(clients, dialect))
    assert nan["confidence"] != nan["confidence"]
    assert nan["action"] == "buy"
    assert json.loads(await ask(clients, dialect))["take_profit"] == 1e308
    assert asked(snapshot()) in await ask(clients, dialect)
    cut = await ask(clients, dialect)
    assert cut.startswith('{"symbol"')
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)
    record = clients.simulator.requests(1)[0]
    assert record.usage is not None
    assert record.usage["output"] > 0


async def test_a_huge_reply_is_as_large_as_wanted_and_still_json(clients: Clients) -> None:
    for dialect in DIALECTS:
        clients.simulator.inject(Fault(Mode.HUGE, count=1, size=1 << 20))
        text = await ask(clients, dialect)
        assert 1 << 20 <= len(text) < (1 << 20) + 200
        assert json.loads(text)["action"] == "buy"
    clients.simulator.inject(Fault(Mode.HUGE, count=1, size=1 << 20))
    assert (
        sum(len(event.delta) for event in await stream(clients, "responses") if event.type == "response.output_text.delta")
        > 1 << 20
    )


async def test_each_dialect_says_in_its_own_way_that_it_was_cut_off(clients: Clients) -> None:
    clients.simulator.inject(Fault(Mode.TRUNCATED))
    said: Any = [{"role": "user", "content": "hello"}]
    answer = await clients.gpt.responses.create(model="demo", input="hello")
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    chat = await clients.gpt.chat.completions.create(model="demo", messages=said)
    assert chat.choices[0].finish_reason == "length"
    message = await clients.claude.messages.create(model="demo", max_tokens=100, messages=said)
    assert message.stop_reason == "max_tokens"


async def test_each_dialect_refuses_in_its_own_way(clients: Clients) -> None:
    clients.simulator.inject(Fault(Mode.REFUSAL))
    said: Any = [{"role": "user", "content": "hello"}]
    answer = await clients.gpt.responses.create(model="demo", input="hello")
    part = answer.output[0]
    assert part.type == "message"
    assert part.content[0].type == "refusal"
    assert (await clients.gpt.chat.completions.create(model="demo", messages=said)).choices[0].message.refusal
    gemini = (await clients.gemini.chat.completions.create(model="gemini-4-argon", messages=said)).choices[0]
    assert (gemini.finish_reason, gemini.message.content) == ("content_filter", None)
    message = await clients.claude.messages.create(model="demo", max_tokens=100, messages=said)
    assert (message.stop_reason, message.content) == ("refusal", [])
    streamed = await stream(clients, "responses")
    assert "response.refusal.done" in [event.type for event in streamed]


async def test_an_error_inside_a_stream_comes_with_status_200(clients: Clients) -> None:
    clients.simulator.inject(Mode.ERROR_EVENT, Mode.ERROR_EVENT, Mode.ERROR_EVENT)
    for dialect in ("responses", "chat"):
        with pytest.raises(openai.APIError, match="Overloaded") as told:
            await stream(clients, dialect)
        assert type(told.value) is openai.APIError
    with pytest.raises(anthropic.APIStatusError) as said:
        await stream(clients, "messages")
    assert type(said.value) is anthropic.APIStatusError
    assert said.value.status_code == 200
    assert isinstance(said.value.body, dict)
    assert said.value.body["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("mode", [Mode.DROP, Mode.DROP_HEADERS, Mode.DROP_BODY])
async def test_a_stream_that_is_cut_is_a_connection_error(clients: Clients, dialect: str, mode: Mode) -> None:
    within = dialect == "messages" and mode is not Mode.DROP  # anthropic's SDK lets the transport's own error through there
    expected = (
        (httpx2.RemoteProtocolError, httpx2.ReadError) if within else (openai.APIConnectionError, anthropic.APIConnectionError)
    )
    clients.simulator.inject(mode)
    with pytest.raises(expected):
        await stream(clients, dialect)


async def test_a_response_can_fail_with_status_200(clients: Clients) -> None:
    clients.simulator.inject(Mode.FAILED, Mode.FAILED)
    answer = await clients.gpt.responses.create(model="demo", input="hello")
    assert answer.status == "failed"
    assert answer.error is not None
    assert answer.error.code == "server_error"
    assert (await stream(clients, "responses"))[-1].type == "response.failed"


async def test_a_page_with_status_200_is_no_answer(clients: Clients) -> None:
    clients.simulator.inject(Mode.HTML_OK)
    answer = await clients.http.post(f"{clients.simulator.url}/responses", json={})
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/html")


async def test_faults_strike_whom_they_are_meant_for(clients: Clients) -> None:
    clients.simulator.inject(Fault(Mode.SERVER_ERROR, dialect="messages"), Fault(Mode.UNAVAILABLE, model="gpt-*"))
    assert await ask(clients, "chat")
    with pytest.raises(anthropic.InternalServerError):
        await ask(clients, "messages")
    with pytest.raises(openai.InternalServerError):
        await clients.decide("chat", "hello", "gpt-6-luna")


async def test_a_script_of_faults_is_a_list_with_ok_in_it(clients: Clients) -> None:
    clients.simulator.inject(Fault(Mode.OK, count=2), Mode.OVERLOADED)
    assert await ask(clients, "messages")
    assert await ask(clients, "messages")
    with pytest.raises(OVERLOADED):
        await ask(clients, "messages")
    assert await ask(clients, "messages")


async def test_chance_is_the_same_with_the_same_seed() -> None:
    async def struck(seed: int) -> list[str]:
        async with service(seed=seed) as clients:
            clients.simulator.inject(Fault(Mode.EMPTY, probability=0.5))
            return [await clients.decide("chat", "hello") for _ in range(12)]

    first = await struck(3)
    assert 0 < first.count("") < 12
    assert first == await struck(3)


async def test_closing_does_not_wait_for_those_who_hang() -> None:
    async with service() as clients:
        clients.simulator.inject(Mode.HANG)
        hanging = asyncio.ensure_future(clients.decide("responses", "hello"))
        async with asyncio.timeout(PATIENCE):
            while not clients.simulator.requests():
                await asyncio.sleep(0)
            await clients.simulator.__aexit__(None, None, None)
        with pytest.raises(openai.APIConnectionError):
            await hanging
