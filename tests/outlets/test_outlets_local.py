from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import Channel, Encoder, Identity
from bot.outlets.errors import AlreadyRunning, Disconnected, NotRunning, OutletError, Refused
from bot.outlets.local_client import FeedMessage, LocalClient
from bot.outlets.local_feed import LINE_LIMIT, LocalFeed, LocalSettings
from bot.outlets.rendezvous import FEED_FILE, Rendezvous
from tests.outlets.feed_facts import PATIENCE, every_event, order, quote
from tests.servers import free_port


class Desk:
    """A handler that remembers what it was asked and can be told to wait."""

    def __init__(self) -> None:
        self.asked: list[Command] = []
        self.go = asyncio.Event()
        self.done = asyncio.Event()

    async def __call__(self, command: Command) -> CommandResult:
        self.asked.append(command)
        match command.name:
            case "status":
                return CommandResult(ok=True, result={"state": "active", "args": dict(command.args)})
            case "kill":
                await self.go.wait()
                self.done.set()
                return CommandResult(ok=True)
            case "crash":
                raise RuntimeError("the inside story")
            case _:
                return CommandResult(ok=False, error=f"there is no command {command.name!r}")


@asynccontextmanager
async def local_feed(data_dir: Path, identity: Identity, desk: Desk, **settings: Any) -> AsyncIterator[LocalFeed]:
    feed = LocalFeed(data_dir, identity, desk, LocalSettings(**settings))
    await feed.start()
    try:
        yield feed
    finally:
        desk.go.set()
        await feed.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


async def take(messages: AsyncIterator[FeedMessage], count: int) -> list[FeedMessage]:
    async with asyncio.timeout(PATIENCE):
        return [await anext(messages) for _ in range(count)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_client_follows_the_same_envelopes(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    encoder = Encoder(identity)
    async with local_feed(tmp_path, identity, desk) as feed, await LocalClient.connect(tmp_path) as client:
        assert (client.hello.bot, client.hello.run, client.hello.mode, client.hello.simulated) == ("main", "run-1", "paper", True)
        messages = client.follow()
        first = asyncio.ensure_future(anext(messages))
        await until(lambda: feed.wants(Channel.FILLS))
        sent = [encoder.encode(event) for event in every_event()]
        for message in sent:
            feed.publish(message)
        got = [await first, *await take(messages, len(sent) - 1)]
    for message, read in zip(sent, got, strict=True):
        body = orjson.loads(message.payload)
        assert (read.channel, read.type, read.seq, read.data) == (message.channel, body["type"], body["seq"], body["data"])


async def test_only_followed_channels_are_sent_and_only_while_followed(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    encoder = Encoder(identity)
    async with local_feed(tmp_path, identity, desk) as feed:
        async with await LocalClient.connect(tmp_path) as client:
            assert not feed.wants(Channel.ORDERS)
            messages = client.follow([Channel.ORDERS])
            first = asyncio.ensure_future(anext(messages))
            await until(lambda: feed.wants(Channel.ORDERS))
            assert not feed.wants(Channel.QUOTES)
            feed.publish(encoder.encode(quote()))
            feed.publish(encoder.encode(order()))
            assert (await first).type == "orders.changed"
        await until(lambda: not feed.wants(Channel.ORDERS))


async def test_commands_are_answered_and_carry_who_asked(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    async with local_feed(tmp_path, identity, desk), await LocalClient.connect(tmp_path, actor="control-room") as client:
        status = await client.command("status", {"verbose": True})
        unknown = await client.command("dance")
    assert status == CommandResult(ok=True, result={"state": "active", "args": {"verbose": True}})
    assert unknown == CommandResult(ok=False, error="there is no command 'dance'")
    asked = desk.asked[0]
    assert asked == Command("status", {"verbose": True}, "control-room", asked.nonce)


async def test_a_slow_command_does_not_hold_up_a_quick_one(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    async with local_feed(tmp_path, identity, desk), await LocalClient.connect(tmp_path) as client:
        slow = asyncio.ensure_future(client.command("kill"))
        await until(lambda: desk.asked)
        assert (await client.command("status")).ok
        desk.go.set()
        assert (await slow).ok


async def test_a_command_runs_to_its_end_though_its_client_has_gone(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    async with local_feed(tmp_path, identity, desk):
        async with await LocalClient.connect(tmp_path) as client:
            asked = asyncio.ensure_future(client.command("kill"))
            await until(lambda: desk.asked)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        desk.go.set()
        async with asyncio.timeout(PATIENCE):
            await desk.done.wait()
        assert [command.name for command in desk.asked] == ["kill"]


async def test_a_failing_handler_is_an_answer_that_keeps_the_inside_story_inside(
    tmp_path: Path, identity: Identity, desk: Desk
) -> None:
    async with local_feed(tmp_path, identity, desk), await LocalClient.connect(tmp_path) as client:
        with capture_logs() as logs:
            result = await client.command("crash")
        assert not result.ok
        assert result.error == "crash failed (RuntimeError); the bot's log says why"
        assert [line["event"] for line in logs] == ["command_failed"]
        assert (await client.command("status")).ok


async def test_a_command_that_takes_too_long_is_answered(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    async with local_feed(tmp_path, identity, desk, command=0.05), await LocalClient.connect(tmp_path) as client:
        assert (await client.command("kill")).error == "kill took longer than 0.05 s"


async def test_a_wrong_token_is_refused_and_learns_nothing(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    async with local_feed(tmp_path, identity, desk) as feed:
        right = Rendezvous.read(tmp_path)
        elsewhere = tmp_path / "elsewhere"
        Rendezvous(right.host, right.port, "x" * len(right.token), right.pid, right.run).write(elsewhere)
        with pytest.raises(Refused, match="the token is not this bot's") as caught:
            await LocalClient.connect(elsewhere)
        assert right.token not in str(caught.value)
        assert feed.stats().refused == 1
        assert desk.asked == []


@pytest.mark.parametrize(
    "greeting",
    [b'{"command":"kill"}\n', b"nonsense\n", b"[]\n", b'{"token":null}\n', b'{"token":"\\ud83d"}\n', b"x" * (LINE_LIMIT + 9)],
)
async def test_whatever_a_stranger_says_it_gets_no_further(
    tmp_path: Path, identity: Identity, desk: Desk, greeting: bytes
) -> None:
    async with local_feed(tmp_path, identity, desk) as feed:
        reader, writer = await asyncio.open_connection("127.0.0.1", feed.port)
        writer.write(greeting)
        async with asyncio.timeout(PATIENCE):
            try:
                answer = await reader.read()
            except ConnectionResetError:
                answer = b""
        writer.close()
        assert b"hello" not in answer
        assert desk.asked == []


async def test_a_stranger_that_says_nothing_is_hung_up_on(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    async with local_feed(tmp_path, identity, desk, greeting=0.05) as feed:
        reader, writer = await asyncio.open_connection("127.0.0.1", feed.port)
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()


async def test_more_clients_than_allowed_are_turned_away(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    async with local_feed(tmp_path, identity, desk, clients=1) as feed, await LocalClient.connect(tmp_path) as client:
        with pytest.raises(NotRunning):
            await LocalClient.connect(tmp_path)
        assert feed.stats().refused == 1
        assert (await client.command("status")).ok


async def greeted(data_dir: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw client that has been let in and follows everything."""
    place = Rendezvous.read(data_dir)
    reader, writer = await asyncio.open_connection(place.host, place.port, limit=LINE_LIMIT)
    writer.write(orjson.dumps({"token": place.token}) + b"\n" + orjson.dumps({"id": "f", "follow": True}) + b"\n")
    assert orjson.loads(await reader.readuntil())["type"] == "hello"
    assert orjson.loads(await reader.readuntil()) == {"id": "f", "ok": True, "error": None}
    return reader, writer


async def test_a_client_that_does_not_read_slows_nobody_and_is_told_what_it_missed(
    tmp_path: Path, identity: Identity, desk: Desk
) -> None:
    encoder = Encoder(identity)
    total = 100_000
    async with local_feed(tmp_path, identity, desk, queue=100) as feed:
        reader, writer = await greeted(tmp_path)
        message = encoder.encode(quote())
        begun, computing = time.monotonic(), time.thread_time()
        for _ in range(total):
            feed.publish(message)
            if _ % 100 == 0:
                await asyncio.sleep(0)
        assert time.thread_time() - computing < 5.0
        assert time.monotonic() - begun < 30.0
        async with await LocalClient.connect(tmp_path) as other:
            assert (await other.command("status")).ok
        read = missed = resyncs = 0
        async with asyncio.timeout(20):
            while read + missed < total:
                line = orjson.loads(await reader.readuntil())
                if line["type"] == "resync":
                    missed += line["dropped"]
                    resyncs += 1
                else:
                    read += 1
        writer.close()
        assert missed > 0
        assert resyncs > 0
        assert feed.stats().dropped == missed
        assert read + missed == total


async def test_a_client_that_stalls_for_too_long_is_hung_up_on(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    message = Encoder(identity).encode(quote())
    async with local_feed(tmp_path, identity, desk, stall=0.1, queue=100_000) as feed:
        _, writer = await greeted(tmp_path)
        for _ in range(60_000):
            feed.publish(message)
        assert feed.stats().clients == 1
        await until(lambda: feed.stats().clients == 0)
        writer.close()


async def test_feed_json_is_its_owners_alone_and_gone_when_the_bot_is(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    path = tmp_path / FEED_FILE
    async with local_feed(tmp_path, identity, desk) as feed:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        content = orjson.loads(path.read_bytes())
        assert (content["host"], content["port"], content["pid"], content["run"]) == (
            "127.0.0.1",
            feed.port,
            os.getpid(),
            "run-1",
        )
        assert len(content["token"]) >= 32
        assert content["token"] not in repr(Rendezvous.read(tmp_path))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotRunning, match=r"there is no feed\.json"):
        await LocalClient.connect(tmp_path)


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("left", ["by a dead process", "at a port that refuses", "as rubbish"])
async def test_a_stale_feed_json_means_not_running_and_does_not_stop_a_new_start(
    tmp_path: Path, identity: Identity, desk: Desk, left: str
) -> None:
    if left == "as rubbish":
        (tmp_path / FEED_FILE).write_text('{"token": "hunter2secret"')
    else:
        pid = dead_pid() if left == "by a dead process" else os.getpid()
        Rendezvous("127.0.0.1", free_port(), "hunter2secret", pid, "old").write(tmp_path)
    with pytest.raises(NotRunning) as caught:
        await LocalClient.connect(tmp_path)
    assert "hunter2secret" not in repr(caught.value)
    why = {
        "by a dead process": "which is gone",
        "at a port that refuses": "nothing answers there",
        "as rubbish": "cannot be read",
    }
    assert why[left] in str(caught.value)
    async with local_feed(tmp_path, identity, desk), await LocalClient.connect(tmp_path) as client:
        assert client.hello.run == "run-1"


async def test_a_second_bot_in_the_same_directory_is_refused(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    async with local_feed(tmp_path, identity, desk):
        with pytest.raises(AlreadyRunning, match="choose another --data-dir"):
            await LocalFeed(tmp_path, identity, desk).start()
        async with await LocalClient.connect(tmp_path) as client:
            assert (await client.command("status")).ok


async def test_a_stranger_on_the_port_of_a_stale_file_does_not_stop_a_new_start(
    tmp_path: Path, identity: Identity, desk: Desk
) -> None:
    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail\r\n")
        writer.close()

    stranger = await asyncio.start_server(answer, "127.0.0.1", 0)
    Rendezvous("127.0.0.1", stranger.sockets[0].getsockname()[1], "old", os.getpid(), "old").write(tmp_path)
    async with local_feed(tmp_path, identity, desk, greeting=0.5), await LocalClient.connect(tmp_path) as client:
        assert client.hello.run == "run-1"
    stranger.close()
    await stranger.wait_closed()


async def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path, identity: Identity, desk: Desk) -> None:
    async with local_feed(tmp_path / "one", identity, desk) as feed:
        with pytest.raises(OutletError, match=f"local feed cannot start at 127.0.0.1:{feed.port}"):
            await LocalFeed(tmp_path / "two", identity, desk, LocalSettings(port=feed.port)).start()
    assert not (tmp_path / "two" / FEED_FILE).exists()


async def test_a_bot_that_goes_away_ends_the_following_and_fails_the_asking(
    tmp_path: Path, identity: Identity, desk: Desk
) -> None:
    feed = LocalFeed(tmp_path, identity, desk)
    await feed.start()
    async with await LocalClient.connect(tmp_path) as client:
        messages = client.follow()
        first = asyncio.ensure_future(anext(messages, None))
        await until(lambda: feed.wants(Channel.QUOTES))
        asked = asyncio.ensure_future(client.command("kill"))
        await until(lambda: desk.asked)
        feed.publish(Encoder(identity).encode(quote()))
        await feed.close()
        message = await first
        assert message is not None
        assert message.type == "quotes.quote"
        assert [message async for message in messages] == []
        with pytest.raises(Disconnected):
            await asked
        with pytest.raises(Disconnected):
            await client.command("status")


async def test_what_was_published_before_the_end_is_still_read(
    tmp_path: Path, identity: Identity, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = Encoder(identity)
    feed = LocalFeed(tmp_path, identity, desk)
    await feed.start()
    reader, writer = await greeted(tmp_path)
    for _ in range(2_000):
        feed.publish(encoder.encode(quote()))
    closing = asyncio.ensure_future(feed.close(timeout=5))
    async with asyncio.timeout(PATIENCE):
        lines = (await reader.read(-1)).splitlines()
    await closing
    writer.close()
    assert [orjson.loads(line)["seq"] for line in lines] == list(range(1, 2_001))
    assert caplog.records == []
