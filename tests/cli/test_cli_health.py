"""`healthcheck` against a listener, and against what is none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from bot.outlets.envelope import Identity
from bot.outlets.listener import Listener, ListenerSettings
from bot.outlets.metrics import Metrics
from tests.servers import free_port

Cli = Callable[..., tuple[int, str, str]]
WHO = Identity("arbiter", "paper", "run-1", simulated=False)
Asked = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def asked(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The command in a thread, so that a listener of this loop can answer it."""

    async def ask(port: int, *options: str) -> tuple[int, str, str]:
        monkeypatch.setenv("ARBITER_METRICS__PORT", str(port))
        return await asyncio.to_thread(cli, "healthcheck", *options)

    return ask


async def test_a_bot_that_answers_is_healthy_and_says_when_it_is_not_ready(asked: Asked) -> None:
    reasons: list[str] = []
    listener = Listener(ListenerSettings(port=0), Metrics(WHO), lambda: reasons)
    await listener.start()
    try:
        assert await asked(listener.port) == (0, '{"status":"alive"}\n', "")
        assert (await asked(listener.port, "--ready"))[0] == 0
        reasons.append("the feed is down")
        code, out, err = await asked(listener.port, "--ready")
        assert (code, out) == (1, "")
        assert "answers 503" in err
        assert "the feed is down" in err
        assert (await asked(listener.port))[0] == 0, "alive all the same"
    finally:
        await listener.close()


async def test_a_bot_that_is_not_there_is_unhealthy(asked: Asked) -> None:
    code, _, err = await asked(free_port())
    assert code == 1
    assert "cannot be asked" in err


async def test_a_bot_that_hangs_is_unhealthy_in_time(asked: Asked) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, _, err = await asked(silent.getsockname()[1], "--timeout", "0.2")
    assert code == 1
    assert "does not answer within 0.2 s" in err


async def test_a_listener_on_every_address_is_asked_on_loopback(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITER_METRICS__HOST", "0.0.0.0")
    monkeypatch.setenv("ARBITER_METRICS__ALLOW_REMOTE", "true")
    listener = Listener(ListenerSettings(port=0), Metrics(WHO), list)
    await listener.start()
    try:
        assert (await asked(listener.port))[0] == 0
    finally:
        await listener.close()


async def test_without_a_port_nobody_can_be_asked(asked: Asked) -> None:
    code, _, err = await asked(0)
    assert code == 1
    assert "metrics.port is 0" in err
