"""The small listener: metrics and health, whatever a stranger sends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest

from bot.outlets.envelope import Identity
from bot.outlets.errors import OutletError
from bot.outlets.listener import Listener, ListenerSettings, Readiness
from bot.outlets.metrics import Metrics


@pytest.fixture
def metrics(identity: Identity) -> Metrics:
    return Metrics(identity, "1.2.3")


@asynccontextmanager
async def listening(metrics: Metrics, ready: Readiness, **settings: float) -> AsyncIterator[str]:
    listener = Listener(ListenerSettings(port=0, **settings), metrics, ready)  # type: ignore[arg-type]
    await listener.start()
    try:
        yield f"http://127.0.0.1:{listener.port}"
    finally:
        await listener.close()


async def fetch(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_the_listener_serves_metrics_and_health(metrics: Metrics) -> None:
    reasons: list[str] = []
    async with listening(metrics, lambda: reasons) as base:
        status, text = await fetch(f"{base}/metrics")
        assert status == 200
        assert 'bot_build_info{bot="main",mode="paper"' in text
        assert await fetch(f"{base}/healthz") == (200, '{"status":"alive"}')
        assert await fetch(f"{base}/readyz") == (200, '{"status":"ready","reasons":[]}')
        reasons.append("BTC/USDT: no quote for 12 s")
        assert await fetch(f"{base}/readyz") == (503, '{"status":"not ready","reasons":["BTC/USDT: no quote for 12 s"]}')
        assert (await fetch(f"{base}/elsewhere"))[0] == 404


async def test_a_check_that_hangs_is_answered_in_time(metrics: Metrics) -> None:
    async def hang() -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with listening(metrics, hang, timeout=0.05) as base:
        assert await fetch(f"{base}/readyz") == (503, '{"status": "timeout"}')
        assert (await fetch(f"{base}/healthz"))[0] == 200


async def test_a_check_that_fails_shows_no_traceback(metrics: Metrics) -> None:
    def fail() -> Sequence[str]:
        raise RuntimeError("hunter2secret")

    async with listening(metrics, fail) as base:
        status, text = await fetch(f"{base}/readyz")
    assert status == 500
    assert "hunter2secret" not in text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.invalid", ""])
async def test_an_address_others_can_reach_is_refused_unless_allowed(metrics: Metrics, host: str) -> None:
    with pytest.raises(OutletError, match="allow_remote"):
        await Listener(ListenerSettings(host=host, port=0), metrics, tuple).start()


async def test_an_address_others_can_reach_may_be_allowed(metrics: Metrics) -> None:
    listener = Listener(ListenerSettings(host="0.0.0.0", port=0, allow_remote=True), metrics, tuple)
    await listener.start()
    assert (await fetch(f"http://127.0.0.1:{listener.port}/healthz"))[0] == 200
    await listener.close()


async def test_a_port_that_is_taken_is_said_in_one_line(metrics: Metrics) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OutletError, match=f"metrics.port {port}"):
            await Listener(ListenerSettings(port=port), metrics, tuple).start()
