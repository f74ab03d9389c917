"""What a provider does wrong becomes an `LlmError` that says what to do, within the deadline, and without a secret."""

from __future__ import annotations

import asyncio
import gzip
import time
from typing import Any

import pytest
import structlog
from aiohttp import web

from sources.llm.asking import LlmError, Trouble
from sources.llm.models import Dialect, Model
from sources.llm.providers.failures import plain, retry_after
from tests.servers import free_port
from tests.sources.llm.llm_asks import KEY, a_model, a_provider, an_ask
from tests.sources.llm.llm_service import COMPLETION, MESSAGE, RESPONSE, Handler, Service, says, serving

BODIES = {Dialect.RESPONSES: RESPONSE, Dialect.MESSAGES: MESSAGE, Dialect.CHAT: COMPLETION}
GOOGLE_KEY = [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]
EVERY = pytest.mark.parametrize("dialect", list(Dialect))


async def failed(dialect: Dialect, handler: Handler, deadline_s: float = 5.0) -> tuple[LlmError, Service]:
    """The error of a call, and the service."""
    async with serving(handler) as service, a_provider(dialect, service.root) as provider:
        with pytest.raises(LlmError) as caught:
            await provider.ask(an_ask(), a_model(dialect), deadline_s)
        return caught.value, service


def refusal(kind: str, code: str | None = None, message: str = "no") -> Any:
    """An error body that suits both SDKs."""
    return {"type": "error", "error": {"type": kind, "code": code, "message": message}}


@EVERY
@pytest.mark.parametrize(
    ("status", "body", "trouble", "billed"),
    [
        (401, refusal("authentication_error"), Trouble.AUTHENTICATION, False),
        (403, refusal("permission_error"), Trouble.AUTHENTICATION, False),
        (
            400,
            [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}],
            Trouble.AUTHENTICATION,
            False,
        ),
        (402, refusal("billing_error"), Trouble.CREDIT, False),
        (429, refusal("insufficient_quota", "insufficient_quota"), Trouble.CREDIT, False),
        (400, refusal("invalid_request_error"), Trouble.BAD_REQUEST, False),
        (404, refusal("not_found_error"), Trouble.BAD_REQUEST, False),
        (413, "<html>too large</html>", Trouble.BAD_REQUEST, False),
        (422, {}, Trouble.BAD_REQUEST, False),
        (307, "", Trouble.BAD_REQUEST, False),
        (500, "", Trouble.SERVER, False),
        (502, "<html>bad gateway</html>", Trouble.SERVER, False),
        (503, refusal("overloaded_error"), Trouble.OVERLOAD, False),
        (504, refusal("timeout_error"), Trouble.TIMEOUT, True),
        (529, refusal("overloaded_error"), Trouble.OVERLOAD, False),
    ],
)
async def test_each_refusal_has_its_own_trouble_and_is_sent_once(
    dialect: Dialect, status: int, body: Any, trouble: Trouble, billed: bool
) -> None:
    error, service = await failed(dialect, says(body, status, {"x-request-id": "req-9", "Location": "/elsewhere"}))
    assert (error.trouble, error.may_have_been_billed, error.status) == (trouble, billed, status)
    assert (error.provider, error.request_id) == ("p", "req-9")
    assert len(service.heard) == 1


@EVERY
async def test_too_many_calls_are_tried_once_more_where_the_wait_fits(dialect: Dialect) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    first = says(refusal("rate_limit_error"), 429, {"retry-after": "2"})
    async with serving(first, says(BODIES[dialect])) as service, a_provider(dialect, service.root, sleep=sleep) as provider:
        reply = await provider.ask(an_ask(), a_model(dialect), 10.0)
    assert reply.parsed is not None
    assert slept == [2.0]
    async with serving(first) as service, a_provider(dialect, service.root, sleep=sleep) as provider:
        with pytest.raises(LlmError):
            await provider.ask(an_ask(), a_model(dialect), 10.0)
        assert len(service.heard) == 2


@EVERY
async def test_an_hour_to_wait_is_not_waited(dialect: Dialect) -> None:
    begun = time.monotonic()
    error, service = await failed(dialect, says(refusal("rate_limit_error"), 429, {"retry-after": "3600"}))
    assert (error.trouble, error.retry_after_s, len(service.heard)) == (Trouble.RATE_LIMIT, 3600.0, 1)
    assert time.monotonic() - begun < 4


async def drip(request: web.Request) -> web.StreamResponse:
    """One byte now and then, for ever."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


async def hang(request: web.Request) -> web.StreamResponse:
    """Nothing, for long."""
    await asyncio.sleep(60)
    return web.Response(text=str(request))


@EVERY
@pytest.mark.parametrize("handler", [drip, hang])
async def test_a_dripping_or_hanging_socket_is_cut_at_the_deadline(dialect: Dialect, handler: Handler) -> None:
    begun = time.monotonic()
    error, _ = await failed(dialect, handler, 0.3)
    assert (error.trouble, error.may_have_been_billed) == (Trouble.TIMEOUT, True)
    assert time.monotonic() - begun < 2


async def test_a_dripping_stream_is_cut_at_the_deadline() -> None:
    async with serving(drip) as service, a_provider(Dialect.CHAT, service.root) as provider:
        with pytest.raises(LlmError) as caught:
            async for _ in provider.stream(an_ask(), a_model(Dialect.CHAT), 0.3):
                pass
    assert (caught.value.trouble, caught.value.may_have_been_billed) == (Trouble.TIMEOUT, True)


async def test_a_provider_has_a_longest_time_of_its_own() -> None:
    async with serving(hang) as service, a_provider(Dialect.CHAT, service.root, longest_s=0.2) as provider:
        with pytest.raises(LlmError) as caught:
            await provider.ask(an_ask(), a_model(Dialect.CHAT), 60.0)
    assert caught.value.trouble is Trouble.TIMEOUT


def large(size: int, status: int = 200, *, packed: bool = False) -> Handler:
    """Answers with so many bytes, told or packed."""

    async def handler(request: web.Request) -> web.StreamResponse:
        del request
        body = gzip.compress(b" " * size) if packed else b" " * size
        headers = {"Content-Encoding": "gzip"} if packed else {}
        return web.Response(body=body, status=status, headers=headers, content_type="application/json")

    return handler


@EVERY
@pytest.mark.parametrize("handler", [large(2 << 20), large(10 << 20, 500), large(64 << 20, packed=True)])
async def test_an_oversized_reply_is_cut_off_and_counted_as_billed(dialect: Dialect, handler: Handler) -> None:
    error, _ = await failed(dialect, handler)
    assert (error.trouble, error.may_have_been_billed) == (Trouble.TOO_LARGE, True)


@EVERY
@pytest.mark.parametrize("body", ["", "nonsense", "[]", "{}", '{"choices":[{"message":null}],"output":{},"content":"x"}', "null"])
async def test_a_reply_of_no_protocol_is_unreadable_and_may_be_billed(dialect: Dialect, body: str) -> None:
    error, _ = await failed(dialect, says(body))
    assert (error.trouble, error.may_have_been_billed) == (Trouble.UNREADABLE, True)


@EVERY
async def test_a_failure_reported_in_a_good_reply_is_a_failure(dialect: Dialect) -> None:
    inner = {"type": "overloaded_error", "code": "server_overloaded", "message": "busy"}
    body = {"object": "response", "status": "failed"} if dialect is Dialect.RESPONSES else {"type": "error"}
    error, _ = await failed(dialect, says(body | {"error": inner}))
    assert (error.trouble, error.may_have_been_billed) == (Trouble.OVERLOAD, True)


@EVERY
async def test_a_dropped_connection_may_be_billed_and_is_not_repeated(dialect: Dialect) -> None:
    async def drop(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    error, service = await failed(dialect, drop)
    assert (error.trouble, error.may_have_been_billed, len(service.heard)) == (Trouble.TRANSPORT, True, 1)


@EVERY
async def test_a_connection_that_never_came_about_is_not_billed_and_tried_twice(dialect: Dialect) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with a_provider(dialect, f"http://127.0.0.1:{free_port()}", sleep=sleep) as provider:
        with pytest.raises(LlmError) as caught:
            await provider.ask(an_ask(), a_model(dialect), 5.0)
    assert (caught.value.trouble, caught.value.may_have_been_billed) == (Trouble.TRANSPORT, False)
    assert len(slept) == 1


async def test_nothing_is_sent_to_a_model_without_a_price() -> None:
    async with serving(says(RESPONSE)) as service, a_provider(Dialect.RESPONSES, service.root) as provider:
        with pytest.raises(LlmError) as caught:
            await provider.ask(an_ask(), Model("p", "gpt-7"), 5.0)
        assert (caught.value.trouble, service.heard) == (Trouble.UNPRICED, [])


@EVERY
async def test_no_key_and_no_account_is_in_any_error_or_log(dialect: Dialect) -> None:
    said = f"Incorrect API key {KEY} of org-AbC123456789, sk-proj-**********wxyz, jane@example.com\x1b[31m\n, Bearer {KEY}"
    with structlog.testing.capture_logs() as logs:
        error, _ = await failed(dialect, says(refusal("authentication_error", message=said), 401))
    shown = f"{error} {error!r} {error.__dict__} {logs}"
    for secret in (KEY, KEY[-8:], "org-AbC", "wxyz", "jane", "\x1b"):
        assert secret not in shown
    assert "Incorrect API key" in str(error)


@pytest.mark.parametrize("key", ["", "  ", "sk-line\nbreak", "sk-ключ"])
def test_a_key_that_is_none_is_refused_without_being_shown(key: str) -> None:
    async def make() -> None:
        async with a_provider(Dialect.CHAT, "http://127.0.0.1:1", key=key):
            pass

    with pytest.raises(LlmError) as caught:
        asyncio.run(make())
    assert caught.value.trouble is Trouble.AUTHENTICATION
    assert not key.strip() or key not in str(caught.value)


async def test_a_prompt_that_cannot_be_written_is_a_bad_request() -> None:
    async with serving(says(RESPONSE)) as service, a_provider(Dialect.RESPONSES, service.root) as provider:
        with pytest.raises(LlmError) as caught:
            await provider.ask(an_ask(instructions="\ud800"), a_model(Dialect.RESPONSES), 5.0)
        assert (caught.value.trouble, caught.value.may_have_been_billed) == (Trouble.BAD_REQUEST, False)


async def test_a_cancelled_call_leaves_the_provider_usable() -> None:
    reached = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        reached.set()
        return await hang(request)

    async with serving(wait, says(RESPONSE)) as service, a_provider(Dialect.RESPONSES, service.root) as provider:
        call = asyncio.create_task(provider.ask(an_ask(), a_model(Dialect.RESPONSES), 30.0))
        await asyncio.wait_for(reached.wait(), 20)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await provider.ask(an_ask(), a_model(Dialect.RESPONSES), 5.0)).parsed


async def test_a_closed_provider_says_so() -> None:
    async with a_provider(Dialect.RESPONSES, "http://127.0.0.1:1") as provider:
        await provider.close()
        with pytest.raises(LlmError, match="closed"):
            await provider.ask(an_ask(), a_model(Dialect.RESPONSES), 5.0)


def test_the_wait_that_a_provider_asks_for_is_read_in_all_its_forms() -> None:
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "1"}) == 0.25
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after({"retry-after": "1e300"}) == 7 * 86_400
    for nothing in ({}, {"retry-after": "soon"}, {"retry-after": "-1"}, {"retry-after": "nan"}, {"retry-after": "inf"}):
        assert retry_after(nothing) is None


def test_what_others_write_is_shown_in_one_short_line() -> None:
    assert plain("a\nb\x00c\u202e" + "d " * 1000).startswith("a b c")
    assert len(plain("word " * 1000)) < 320
    assert "tail" not in plain("xyz-tail", ("xyz-tail",))


async def test_a_stream_that_grows_too_large_is_cut_off() -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        chunk = f'data: {{"choices":[{{"delta":{{"content":"{"x" * 10_000}"}}}}]}}\n\n'.encode()
        while True:
            await response.write(chunk)

    heard = 0
    async with serving(flood) as service, a_provider(Dialect.CHAT, service.root) as provider:
        stream: Any = provider.stream(an_ask(), a_model(Dialect.CHAT), 20.0)
        with pytest.raises(LlmError) as caught:  # noqa: PT012 - it comes after many pieces
            async for piece in stream:
                heard += len(piece)
    assert (caught.value.trouble, caught.value.may_have_been_billed) == (Trouble.TOO_LARGE, True)
    assert heard <= 1 << 20
