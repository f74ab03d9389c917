"""`notify`: what a person and a program see of the channels."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.outlets.notify_hook import CANARY, Hook, standing_hook

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A hook on a loop of its own: commands have theirs."""
    standing: list[Hook] = []
    ready, loop, over = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def stand() -> None:
        async with standing_hook() as hook:
            standing.append(hook)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(stand(),))
    thread.start()
    assert ready.wait(10)
    yield standing[0]
    loop.call_soon_threadsafe(over.set)
    thread.join(10)
    loop.close()


@pytest.fixture
def phone(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> Hook:
    """The channel `phone`, which leads to the hook."""
    monkeypatch.setenv("ARBITER_SECRET_HOOK", hook.url)
    monkeypatch.setenv("ARBITER_NOTIFICATIONS__CHANNELS__PHONE__URL_SECRET", "HOOK")
    monkeypatch.setenv("ARBITER_NOTIFICATIONS__CHANNELS__PHONE__TOPICS", "stops,fills")
    return hook


def test_without_a_channel_each_command_says_what_to_do(cli: Cli) -> None:
    assert "notifications.channels" in cli("notify", "channels")[1]
    assert cli("notify", "log")[1] == "nothing was sent yet\n"
    code, _, err = cli("notify", "test", "phone")
    assert code == 1
    assert "add one under notifications.channels" in err


def test_a_message_is_sent_and_stands_in_the_log(cli: Cli, phone: Hook) -> None:
    code, out, err = cli("notify", "test", "phone")
    assert (code, err) == (0, "")
    assert "phone (json://user:****@127.0.0.1" in out
    assert "Test message: delivered" in cli("notify", "log")[1]
    code, out, _ = cli("notify", "channels")
    assert "stops,fills" in out
    assert "delivered" in out
    found = json.loads(cli("notify", "log", "--json", "--channel", "phone")[1])
    assert [row["outcome"] for row in found["deliveries"]] == ["delivered"]


def test_a_message_that_does_not_arrive_is_an_exit_code(cli: Cli, phone: Hook) -> None:
    phone.answers = [500, 500]
    code, out, err = cli("notify", "test", "phone")
    assert (code, out) == (1, "")
    assert "did not take it" in err
    code, out, _ = cli("notify", "test", "phone", "--json")
    assert code == 1
    assert json.loads(out)["delivered"] is False
    assert CANARY not in out + err
