"""The webhook: only what is proven, near, new, small and not too frequent comes in, over a real socket."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import pytest

from sources.quantconnect.insights import Signal
from sources.quantconnect.settings import WebhookParams
from sources.quantconnect.webhook import Bucket, Gate, Listener, Once, Refusal

SECRET = "s3cret-of-sixteen-or-more"
AT = 1_772_449_230_000
BODY: dict[str, Any] = {
    "v": 1, "id": "x1", "source": "sma-rsi", "symbol": "BTCUSDT", "market": "binance", "side": "buy", "confidence": 0.7,
    "price": 64000.5, "time": "2026-03-02T11:00:00Z", "ttl": 3600,
}  # fmt: skip


@dataclass
class Hook:
    """A listener and what it delivered; `at` is its clock."""

    listener: Listener = field(init=False)
    session: aiohttp.ClientSession = field(init=False)
    got: list[Signal] = field(default_factory=list)
    at: int = AT
    fails: bool = False

    async def deliver(self, signals: Sequence[Signal]) -> int:
        if self.fails:
            raise TimeoutError
        self.got += signals
        return len(signals)

    async def post(self, body: object, headers: dict[str, str] | None = None) -> int:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        url = f"http://127.0.0.1:{self.listener.port}/quantconnect"
        async with self.session.post(url, data=raw, headers={"X-Secret": SECRET} if headers is None else headers) as answer:
            return answer.status


@asynccontextmanager
async def listening(**params: Any) -> AsyncIterator[Hook]:
    hook = Hook()
    hook.listener = Listener(WebhookParams(enabled=True, port=0, **params), SECRET, lambda: hook.at, hook.deliver)
    ready = asyncio.Event()

    async def listens() -> None:
        ready.set()

    task = asyncio.create_task(hook.listener.serve(listens))
    async with aiohttp.ClientSession() as hook.session:
        await asyncio.wait_for(ready.wait(), 20)
        yield hook
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def signed(body: object, at: int = AT, nonce: str = "n1", secret: str = SECRET) -> dict[str, str]:
    stamp = str(at // 1_000)
    digest = hmac.new(secret.encode(), f"{stamp}.{nonce}.".encode() + orjson.dumps(body), hashlib.sha256).hexdigest()
    return {"X-Timestamp": stamp, "X-Nonce": nonce, "X-Signature": f"sha256={digest}"}


async def test_a_message_with_the_secret_is_delivered_once_and_its_replay_is_refused() -> None:
    async with listening() as hook:
        assert await hook.post(BODY) == 202
        assert await hook.post(BODY) == 409
        assert await hook.post({**BODY, "id": "x2"}) == 202
        assert [signal.id for signal in hook.got] == ["x1", "x2"]
        assert hook.listener.counts == {"taken": 2, "refused_replayed": 1}


async def test_a_wrong_secret_or_none_delivers_nothing() -> None:
    async with listening() as hook:
        for headers in ({}, {"X-Secret": ""}, {"X-Secret": SECRET + "x"}, {"X-Secret": "\u00fc" * 20}):
            assert await hook.post(BODY, headers) == 401
        assert hook.got == []


async def test_an_old_message_is_refused_though_its_secret_is_right() -> None:
    async with listening() as hook:
        hook.at = AT + 300_000
        assert await hook.post(BODY) == 401
        assert await hook.post({key: value for key, value in BODY.items() if key != "time"}) == 400
        assert hook.got == []


async def test_a_signature_binds_time_nonce_and_bytes() -> None:
    async with listening(auth="hmac") as hook:
        assert await hook.post(BODY, signed(BODY)) == 202
        assert await hook.post(BODY, signed(BODY)) == 409
        assert await hook.post({**BODY, "side": "sell"}, signed(BODY, nonce="n2")) == 401
        assert await hook.post(BODY, {**signed(BODY, nonce="n2"), "X-Nonce": "n3"}) == 401
        assert await hook.post(BODY, {**signed(BODY, nonce="n2"), "X-Timestamp": str(AT // 1_000 + 1)}) == 401
        assert await hook.post(BODY, signed(BODY, nonce="n2", secret="another-secret-of-some-length")) == 401
        assert await hook.post(BODY, signed(BODY, at=AT - 400_000, nonce="n4")) == 401
        assert await hook.post(BODY, {"X-Secret": SECRET}) == 401
        assert len(hook.got) == 1


async def test_a_large_message_is_refused_whether_or_not_it_says_how_large() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 1_000

    async with listening(largest=10_000) as hook:
        assert await hook.post(b" " * 20_000) == 413
        url = f"http://127.0.0.1:{hook.listener.port}/quantconnect"
        async with hook.session.post(url, data=pieces(), headers={"X-Secret": SECRET}) as answer:
            assert answer.status == 413
        assert hook.got == []


@pytest.mark.parametrize("body", [b"", b"no json", [], 7, {"id": "x"}, [BODY] * 101, {**BODY, "side": "maybe"}])
async def test_what_is_no_signal_is_refused(body: object) -> None:
    async with listening() as hook:
        assert await hook.post(body) == 400
        assert hook.got == []


async def test_more_messages_than_agreed_wait_for_their_minute() -> None:
    async with listening(per_minute=2) as hook:
        assert [await hook.post({**BODY, "id": f"x{number}"}) for number in range(3)] == [202, 202, 429]
        hook.at += 30_000
        assert await hook.post({**BODY, "id": "x2"}) == 202


async def test_guessing_the_secret_is_answered_without_a_reason_and_does_not_lock_out_the_owner() -> None:
    async with listening(failures_per_minute=2) as hook:
        assert [await hook.post(BODY, {"X-Secret": "guess"}) for _ in range(3)] == [401, 401, 429]
        assert await hook.post(BODY) == 202


async def test_what_could_not_be_delivered_may_come_again() -> None:
    async with listening() as hook:
        hook.fails = True
        assert await hook.post(BODY) == 503
        hook.fails = False
        assert await hook.post(BODY) == 202


async def test_many_signals_come_in_one_message() -> None:
    async with listening() as hook:
        assert await hook.post({"signals": [BODY, {**BODY, "id": "x2", "side": "flat"}]}) == 202
        assert [signal.heading for signal in hook.got] == ["up", "flat"]


def test_a_short_secret_is_none() -> None:
    with pytest.raises(ValueError, match="QUANTCONNECT_WEBHOOK_SECRET"):
        Gate(WebhookParams(), "short")


def test_a_full_memory_takes_nothing_rather_than_forget() -> None:
    once = Once(1_000, 2)
    once.claim("a", 0)
    once.claim("b", 500)
    with pytest.raises(Refusal, match="busy"):
        once.claim("c", 900)
    with pytest.raises(Refusal, match="replayed"):
        once.claim("a", 1_000)
    once.claim("c", 1_001)


def test_a_bucket_refills_with_time() -> None:
    bucket = Bucket(60)
    assert [bucket.take(0) for _ in range(61)].count(True) == 60
    assert bucket.take(1_000)
    assert not bucket.take(1_000)
