"""One provider: a key, an address and a protocol. Every call has one deadline and one retry rule, and they are ours.

The SDKs would wait for each read by itself, try again unseen by any budget, and obey a server that says "come back in an hour".
Here a dripping answer is cut at the deadline, and a call is made a second time only if the first was turned away unbilled: too
many calls, and the wait fits; or no connection came about. Bodies are read by hand: what was paid for is accounted for, whether
well-formed or not.
"""

from __future__ import annotations

import asyncio
import importlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import orjson
import structlog

from sources.llm.asking import LARGEST_REPLY, Ask, LlmError, Native, Reply, Stop, Trouble, Usage
from sources.llm.models import Dialect, Model
from sources.llm.prices import cost
from sources.llm.providers.events import Event, events
from sources.llm.providers.failures import failure, in_stream, plain_id
from sources.llm.providers.http import open_client
from sources.llm.providers.reading import Answer, Failed, Unreadable, object_of, words
from sources.llm.providers.speech import Speech
from sources.llm.schemas import fault_of
from sources.llm.tokens import START, count, count_ask

_log = structlog.get_logger(__name__)

_STREAM_ROOM = 8  # a streamed answer is wrapped in events, many times its own size
_CONNECT_S = 5.0
_PAUSES: Mapping[Trouble, float] = {Trouble.RATE_LIMIT: 1.0, Trouble.TRANSPORT: 0.2}  # s, where nobody says how long
_CLOSE_S = 1.0
_MOST_MODELS = 2000


@dataclass(slots=True)
class _Try:
    """How far a call has come, in seconds of the loop's clock."""

    ask: Ask | None
    model: str
    begun: float
    end: float
    sent: bool = False
    request_id: str = ""


class SdkProvider:
    """A provider that is spoken to through its SDK; used by one event loop. `now` gives ms UTC, for prices that change.

    `trust_env`: whether proxies of the environment are used; None: unless the address is on this machine. It must be closed.
    `longest_s`: no call has longer, whatever its deadline; `largest`: bytes of an answer.
    """

    def __init__(
        self,
        name: str,
        speech: Speech,
        base_url: str,
        key: str,
        *,
        now: Callable[[], int],
        trust_env: bool | None = None,
        longest_s: float = math.inf,
        largest: int = LARGEST_REPLY,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable():
            reason = "its key is missing or has characters that no key has; set the secret again"
            raise LlmError(Trouble.AUTHENTICATION, reason, provider=name)
        self._name = name
        self._speech = speech
        self._base_url = base_url
        self._key = key
        self._now = now
        self._trust_env = not _is_here(base_url) if trust_env is None else trust_env
        self._longest_s = longest_s
        self._largest = largest
        self._sleep = sleep
        self._opening = asyncio.Lock()
        self._sdk_client: Any = None
        self._closed = False

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        return self._name

    @property
    def dialect(self) -> Dialect:
        """The protocol it speaks."""
        return self._speech.dialect

    async def open(self) -> None:
        """Load its SDK, which takes a second; in a thread, so that the bot goes on."""
        await self._client()

    async def close(self) -> None:
        """Let go of its connections; it cannot be asked any more."""
        self._closed = True
        async with self._opening:
            client, self._sdk_client = self._sdk_client, None
        if client is not None:
            async with asyncio.timeout(_CLOSE_S):
                await client.close()

    async def ask(self, ask: Ask, model: Model, deadline_s: float) -> Reply:
        """The answer within `deadline_s` seconds, or `LlmError`."""
        this = self._begin(ask, model, deadline_s)
        request = self._speech.request(ask, model)
        raw = await self._read_all(this, lambda client: self._create(client, request, this))
        body = object_of(raw)
        if body is None:
            raise self._error(Trouble.UNREADABLE, "the reply is no JSON object", this, billed=True)
        return self._reply(this, ask, model, body, raw)

    async def stream(self, ask: Ask, model: Model, deadline_s: float) -> AsyncIterator[str | Reply]:
        """Pieces of text as they come, and as the last item the `Reply`; `LlmError` where it breaks off."""
        this = self._begin(ask, model, deadline_s)
        request = self._speech.streamed(self._speech.request(ask, model))
        gathering, room = self._speech.gathering(), self._largest
        async with AsyncExitStack() as stack:
            response = await self._opened(stack, this, lambda client: self._create(client, request, this))
            heard = await stack.enter_async_context(aclosing(events(response.iter_bytes())))
            while (event := await self._next(heard, this)) is not None:
                text = self._taken(gathering.take, event, this)
                room -= len(text.encode("utf-8", "replace"))
                if room < 0:
                    raise self._too_large(this)
                if text:
                    yield text
        body = gathering.whole()
        if body is None:
            raise self._error(Trouble.TRANSPORT, "the stream ended before the answer did", this, billed=True)
        raw = orjson.dumps(body)
        if len(raw) > self._largest:
            raise self._too_large(this)
        yield self._reply(this, ask, model, body, raw)

    async def models(self, deadline_s: float) -> tuple[str, ...]:
        """Names of the models that the key may use; costs nothing and proves the key."""
        begun = asyncio.get_running_loop().time()
        this = _Try(None, "", begun, begun + min(deadline_s, self._longest_s))
        raw = await self._read_all(this, lambda client: client.models.with_streaming_response.list(timeout=self._timeout(this)))
        body = object_of(raw)
        listed = body.get("data") if body is not None else None
        if not isinstance(listed, list):
            raise self._error(Trouble.UNREADABLE, "the list of models is none; check the base URL", this, billed=False)
        names = (words(item, "id").removeprefix("models/") for item in listed[:_MOST_MODELS] if isinstance(item, dict))
        return tuple(name for name in names if name)

    def _begin(self, ask: Ask, model: Model, deadline_s: float) -> _Try:
        begun = asyncio.get_running_loop().time()
        this = _Try(ask, model.name, begun, begun + min(deadline_s, self._longest_s))
        if model.price is None:
            reason = "no price is known; give it a `price` in the configuration"
            raise self._error(Trouble.UNPRICED, reason, this, billed=False)
        return this

    def _create(self, client: Any, request: Mapping[str, Any], this: _Try) -> Any:
        endpoint = self._speech.endpoint(client)
        return endpoint.with_streaming_response.create(**request, timeout=self._timeout(this))

    def _timeout(self, this: _Try) -> Any:
        import httpx2  # noqa: PLC0415 - loaded with the SDK, before any request

        left = max(0.001, this.end - asyncio.get_running_loop().time())
        return httpx2.Timeout(left, connect=min(_CONNECT_S, left / 2))

    async def _client(self) -> Any:
        async with self._opening:
            if self._closed:
                raise LlmError(Trouble.TRANSPORT, "it is closed", provider=self._name)
            if self._sdk_client is None:
                self._sdk_client = await asyncio.to_thread(self._built)
            return self._sdk_client

    def _built(self) -> Any:
        sdk = importlib.import_module(self._speech.sdk)
        tls = not (self._base_url.startswith("http:") and _is_here(self._base_url))
        http = open_client(self._key, self._largest * _STREAM_ROOM, trust_env=self._trust_env, tls=tls)
        return self._speech.client(sdk, self._key, self._base_url, http)

    async def _read_all(self, this: _Try, request: Callable[[Any], Any]) -> bytes:
        """The whole body of what `request` makes of the client, once or a second time."""
        async with AsyncExitStack() as stack:
            response = await self._opened(stack, this, request)
            pieces, room = [], self._largest
            async with aclosing(response.iter_bytes()) as source:
                while (piece := await self._next(source, this)) is not None:
                    room -= len(piece)
                    if room < 0:
                        raise self._too_large(this)
                    pieces.append(piece)
            return b"".join(pieces)

    async def _opened(self, stack: AsyncExitStack, this: _Try, request: Callable[[Any], Any]) -> Any:
        """The response, opened, after a second try where the first one may be repeated; left with the stack."""
        try:
            return await self._attempt(stack, this, request)
        except LlmError as error:
            pause = self._pause(error, this)
            if pause is None:
                raise
            _log.info("llm_second_try", provider=self._name, model=this.model, trouble=error.trouble, wait_s=round(pause, 3))
        await self._sleep(pause)
        return await self._attempt(stack, this, request)

    async def _attempt(self, stack: AsyncExitStack, this: _Try, request: Callable[[Any], Any]) -> Any:
        this.sent = False
        try:
            async with asyncio.timeout_at(this.end):
                client = await self._client()
                this.sent = True
                response = await stack.enter_async_context(request(client))
        except TimeoutError:
            raise self._late(this) from None
        except LlmError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary to the SDK, which raises what its libraries do
            raise failure(error, self._name, this.model, (self._key,)) from None
        this.request_id = plain_id(response.headers.get("x-request-id") or response.headers.get("request-id"))
        return response

    def _pause(self, error: LlmError, this: _Try) -> float | None:
        """Seconds until a second try; None where there is to be none, or where the wait would eat half of what is left."""
        if error.trouble not in _PAUSES or error.may_have_been_billed:
            return None
        pause = _PAUSES[error.trouble] if error.retry_after_s is None else error.retry_after_s
        left = this.end - asyncio.get_running_loop().time()
        return pause if pause <= left / 2 else None

    async def _next(self, source: AsyncIterator[Any], this: _Try) -> Any:
        """The next piece or event, or None at the end."""
        try:
            async with asyncio.timeout_at(this.end):
                return await anext(source, None)
        except TimeoutError:
            raise self._late(this) from None
        except Exception as error:  # noqa: BLE001 - the boundary to the SDK, which raises what its libraries do
            raise failure(error, self._name, this.model, (self._key,)) from None

    def _taken(self, take: Callable[[Mapping[str, Any]], str], event: Event, this: _Try) -> str:
        if event.data == b"[DONE]":
            return ""
        body = object_of(event.data)
        if body is None:
            raise self._error(Trouble.UNREADABLE, "an event of the stream is no JSON object", this, billed=True)
        try:
            return take(body if event.kind != "error" else {"type": "error", **body})
        except Failed as failed:
            raise in_stream(failed.body, self._name, this.model, (self._key,)) from None

    def _reply(self, this: _Try, ask: Ask, model: Model, body: Mapping[str, Any], raw: bytes) -> Reply:
        try:
            answer = self._speech.read(body)
        except Failed as failed:
            raise in_stream(failed.body, self._name, this.model, (self._key,)) from None
        except Unreadable as unreadable:
            reason = f"the reply is none of this protocol: {unreadable}"
            raise self._error(Trouble.UNREADABLE, reason, this, billed=True) from None
        assert model.price is not None  # nothing unpriced is sent
        usage = answer.usage or _estimated(ask, answer)
        parsed, fault, detail = judged(ask, answer)
        latency_ms = round(1000 * (asyncio.get_running_loop().time() - this.begun))
        return Reply(
            text=answer.text,
            parsed=parsed,
            usage=usage,
            cost=cost(usage, model.price, self._now()),
            latency_ms=latency_ms,
            request_id=this.request_id,
            stop=answer.stop,
            provider=self._name,
            model=model.name,
            prompt_hash=ask.prompt_hash,
            raw=raw,
            tool_calls=answer.tool_calls,
            fault=fault,
            fault_detail=detail,
            effort=model.capabilities.effort_for(ask.effort),
            reported_cost=answer.reported_cost,
            usage_estimated=answer.usage is None,
            native=Native(self._name, model.name, answer.native) if answer.native else None,
        )

    def _late(self, this: _Try) -> LlmError:
        seconds = this.end - this.begun
        return self._error(Trouble.TIMEOUT, f"no answer within {seconds:.3g} s", this, billed=this.sent and this.ask is not None)

    def _too_large(self, this: _Try) -> LlmError:
        return self._error(Trouble.TOO_LARGE, "the reply was larger than its cap and was cut off", this, billed=True)

    def _error(self, trouble: Trouble, reason: str, this: _Try, *, billed: bool) -> LlmError:
        return LlmError(
            trouble,
            reason,
            provider=self._name,
            model=this.model,
            may_have_been_billed=billed,
            request_id=this.request_id,
        )


def judged(ask: Ask, answer: Answer) -> tuple[Mapping[str, Any] | None, Trouble | None, str]:
    """What was parsed of an answer, what is wrong with it, and in words. Nothing is repaired."""
    if answer.stop is Stop.REFUSAL:
        return None, Trouble.REFUSAL, "the model refused"
    if answer.stop is Stop.LENGTH:
        return None, Trouble.TRUNCATED, f"cut off at {ask.max_output_tokens} tokens, thoughts included"
    if answer.tool_calls:
        return None, None, ""
    if ask.schema is None:
        return (None, None, "") if answer.text else (None, Trouble.SCHEMA, "the answer is empty")
    value = object_of(answer.text)
    if value is None:
        return None, Trouble.SCHEMA, "the answer is no JSON object"
    fault = fault_of(value, ask.schema.body)
    return (None, Trouble.SCHEMA, fault) if fault else (value, None, "")


def _estimated(ask: Ask, answer: Answer) -> Usage:
    """Usage of an answer that came without: our own count, stretched."""
    output = count(answer.text) + sum(count(call.text) for call in answer.tool_calls)
    return Usage(input=int(count_ask(ask) * START) + 1, output=int(output * START) + 1)


def _is_here(base_url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
