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


async def said(base: str, sent: bytes, timeout: float = 20.0) -> bytes:
    """What is answered to bytes on a connection of their own, until it is closed."""
    host, port = base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        async with asyncio.timeout(timeout):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def pour(writer: asyncio.StreamWriter, what: bytes) -> None:
    """Send it again and again, until the connection is lost."""
    while True:
        writer.write(what)
        await writer.drain()
        await asyncio.sleep(0)


HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00 this is TLS\r\n\r\n", b"400"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /metrics/../metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", b"405"),
        (b"DELETE /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"405"),
    ],
    ids=["long address", "long header", "no HTTP", "path upward", "path around", "nul", "post", "delete"],
)
async def test_bad_requests_are_refused_and_the_next_is_answered(metrics: Metrics, sent: bytes, status: bytes) -> None:
    async with listening(metrics, tuple) as base:
        answer = await said(base, sent)
        assert answer.split(b" ", 2)[1] == status, answer[:200]
        assert b"Traceback" not in answer
        assert (await fetch(f"{base}/healthz"))[0] == 200


async def test_a_body_of_many_megabytes_is_not_read(metrics: Metrics) -> None:
    """It is refused for its method; what is still sent is not kept."""
    async with listening(metrics, tuple, life=0.6) as base:
        host, port = base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert b" 405 " in await asyncio.wait_for(reader.readline(), 20)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(pour(writer, b"x" * 1_000_000), 10)
        writer.close()
        assert (await fetch(f"{base}/healthz"))[0] == 200


async def test_a_question_may_carry_what_it_likes(metrics: Metrics) -> None:
    async with listening(metrics, tuple) as base:
        assert (await fetch(f"{base}/metrics?name[]=x&{'a' * 2_000}"))[0] == 200
        assert (await fetch(f"{base}/healthz?%00%ff"))[0] == 200


async def test_who_connects_and_says_nothing_loses_the_connection(metrics: Metrics) -> None:
    async with listening(metrics, tuple, life=0.3) as base:
        assert await said(base, b"") == b""
        assert await said(base, HEAD) == b""


async def test_who_does_not_read_the_answers_loses_the_connection(metrics: Metrics) -> None:
    async with listening(metrics, tuple, life=0.6) as base:
        host, port = base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1_024)
        sent = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 2_000
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(pour(writer, sent), 10)
        writer.close()
        assert (await fetch(f"{base}/healthz"))[0] == 200
        del reader


async def test_so_many_connections_and_no_more(metrics: Metrics) -> None:
    listener = Listener(ListenerSettings(port=0, connections=3), metrics, tuple)
    await listener.start()
    silent = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(3)]
    for reader, writer in silent:
        writer.write(HEAD + b"\r\n")
        assert b"200" in await asyncio.wait_for(reader.readline(), 20)
    base = f"http://127.0.0.1:{listener.port}"
    assert await said(base, HEAD + b"\r\n") == b""
    assert listener.refused == 1
    for _, writer in silent:
        writer.close()
        await writer.wait_closed()
    async with asyncio.timeout(20):
        while b"200" not in await said(base, HEAD + b"Connection: close\r\n\r\n"):
            await asyncio.sleep(0.01)
    await listener.close()


async def test_hundreds_of_questions_at_once_are_answered_or_turned_away_and_then_all_is_well(metrics: Metrics) -> None:
    async with listening(metrics, tuple) as base:
        answers = await asyncio.gather(*(said(base, HEAD + b"Connection: close\r\n\r\n") for _ in range(300)))
        assert {answer[:15] for answer in answers} <= {b"HTTP/1.1 200 OK", b""}
        assert b"HTTP/1.1 200 OK" in {answer[:15] for answer in answers}
        assert (await fetch(f"{base}/metrics"))[0] == 200
