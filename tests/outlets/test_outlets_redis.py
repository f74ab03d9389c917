from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis.asyncio
from structlog.testing import capture_logs

from bot.outlets.envelope import Channel, Encoder, Identity, Message
from bot.outlets.errors import OutletError
from bot.outlets.redis_feed import FeedState, RedisFeed, RedisSettings
from tests.outlets.feed_facts import PATIENCE, every_event, order, quote
from tests.servers import RedisProcess, free_port, redis_process

QUICK: dict[str, Any] = {"linger": 0.0, "first_backoff": 0.02, "last_backoff": 0.05, "idle": 0.1}


@asynccontextmanager
async def feed_to(settings: RedisSettings) -> AsyncIterator[RedisFeed]:
    feed = RedisFeed(settings)
    await feed.start()
    try:
        yield feed
    finally:
        await feed.close()


class Follower:
    """A plain redis client on one pattern."""

    def __init__(self, url: str, prefix: str) -> None:
        self.client = redis.asyncio.Redis.from_url(url)
        self.pubsub = self.client.pubsub()
        self.pattern = f"{prefix}.*"

    async def __aenter__(self) -> Follower:
        await self.pubsub.psubscribe(self.pattern)
        assert await self.pubsub.get_message(timeout=5)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pubsub.aclose()  # type: ignore[no-untyped-call]
        await self.client.aclose()

    async def read(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        found: list[tuple[str, dict[str, Any]]] = []
        async with asyncio.timeout(PATIENCE):
            while len(found) < count:
                message = await self.pubsub.get_message(ignore_subscribe_messages=True, timeout=1)
                if message:
                    found.append((message["channel"].decode(), orjson.loads(message["data"])))
        return found


async def test_a_plain_client_reads_every_type_on_its_channel_in_order(redis_at: str, prefix: str, identity: Identity) -> None:
    encoder = Encoder(identity)
    sent = [encoder.encode(event) for event in every_event()]
    async with feed_to(RedisSettings(redis_at, prefix, **QUICK)) as feed, Follower(redis_at, prefix) as follower:
        for message in sent:
            feed.publish(message)
        got = await follower.read(len(sent))
        assert feed.state is FeedState.UP
    by_channel: dict[str, list[object]] = {}
    for name, body in got:
        by_channel.setdefault(name, []).append(body)
    for channel in Channel:
        assert by_channel[f"{prefix}.{channel}"] == [orjson.loads(m.payload) for m in sent if m.channel is channel]


async def test_streams_keep_what_was_published_up_to_their_cap(
    redis_server: RedisProcess, prefix: str, identity: Identity
) -> None:
    encoder = Encoder(identity)
    settings = RedisSettings(redis_server.url, prefix, streams=True, stream_length=100, **QUICK)
    async with feed_to(settings) as feed:
        await feed.wait_for(FeedState.UP, timeout=PATIENCE)
        for _ in range(1_000):
            feed.publish(encoder.encode(order()))
        await feed.close(timeout=5)
        assert feed.stats().published == 1_000
    client = redis.asyncio.Redis.from_url(redis_server.url)
    entries: Any = await client.xrange(f"{prefix}.orders")
    await client.aclose()
    assert 100 <= len(entries) < 300
    numbers = [orjson.loads(fields[b"message"])["seq"] for _, fields in entries]
    assert numbers == list(range(1_000 - len(entries) + 1, 1_001))


async def test_without_a_url_the_feed_is_off_and_costs_nothing(identity: Identity) -> None:
    async with feed_to(RedisSettings()) as feed:
        feed.publish(Encoder(identity).encode(quote()))
        stats = feed.stats()
    assert (stats.state, stats.buffered, sum(stats.dropped.values())) == (FeedState.OFF, 0, 0)


async def test_a_server_absent_at_the_start_is_quietly_tried_for_until_it_comes(
    tmp_path: Path, prefix: str, identity: Identity
) -> None:
    server = RedisProcess(tmp_path / "redis", free_port())
    with capture_logs() as logs:
        async with feed_to(RedisSettings(server.url, prefix, **QUICK)) as feed:
            assert feed.state is FeedState.CONNECTING
            await feed.wait_for(FeedState.DOWN, timeout=PATIENCE)
            feed.publish(Encoder(identity).encode(order()))
            server.start()
            try:
                await feed.wait_for(FeedState.UP, timeout=PATIENCE)
                await feed.close()
                assert feed.stats().published == 1
                assert feed.stats().reconnects == 0
            finally:
                server.stop()
    assert [line["event"] for line in logs] == ["redis_down", "redis_up"]


async def test_after_a_crash_of_the_server_the_feed_reconnects_counts_its_drops_and_seq_shows_the_gap(
    redis_server: RedisProcess, prefix: str, identity: Identity
) -> None:
    encoder = Encoder(identity)
    async with feed_to(RedisSettings(redis_server.url, prefix, buffer=10, batch=4, **QUICK)) as feed:
        async with Follower(redis_server.url, prefix) as follower:
            for _ in range(3):
                feed.publish(encoder.encode(order()))
            before = [body["seq"] for _, body in await follower.read(3)]
        redis_server.kill()
        await feed.wait_for(FeedState.DOWN, timeout=PATIENCE)
        for _ in range(50):
            feed.publish(encoder.encode(order()))
        assert feed.stats().dropped == {channel.value: 40 * (channel is Channel.ORDERS) for channel in Channel}
        redis_server.start()
        async with Follower(redis_server.url, prefix) as follower:
            await feed.wait_for(FeedState.UP, timeout=PATIENCE)
            feed.publish(encoder.encode(order()))
            await feed.close()
        stats = feed.stats()
    assert before == [1, 2, 3]
    assert stats.reconnects == 1
    # Fifty-four numbers were given; forty were dropped, and every other one was sent.
    assert (stats.published, sum(stats.dropped.values())) == (14, 40)


async def test_a_message_whose_answer_never_came_is_sent_again(
    redis_server: RedisProcess, prefix: str, identity: Identity
) -> None:
    """The server freezes with the message in flight and thaws later: the message arrives, perhaps twice."""
    assert redis_server.process is not None
    settings = RedisSettings(redis_server.url, prefix, timeout=0.2, **{**QUICK, "idle": 60.0})
    async with feed_to(settings) as feed, Follower(redis_server.url, prefix) as follower:
        await feed.wait_for(FeedState.UP, timeout=PATIENCE)
        redis_server.process.send_signal(signal.SIGSTOP)
        os.waitpid(redis_server.process.pid, os.WUNTRACED)
        feed.publish(Encoder(identity).encode(order()))
        await feed.wait_for(FeedState.DOWN, timeout=PATIENCE)
        redis_server.process.send_signal(signal.SIGCONT)
        await feed.wait_for(FeedState.UP, timeout=PATIENCE)
        assert [body["seq"] for _, body in await follower.read(1)] == [1]
        await feed.close(timeout=5)
        assert (feed.stats().published, sum(feed.stats().dropped.values())) == (1, 0)


async def test_failing_again_and_again_is_said_once() -> None:
    attempts = asyncio.Semaphore(0)

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attempts.release()
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    with capture_logs() as logs:
        async with feed_to(RedisSettings(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", **QUICK)):
            async with asyncio.timeout(PATIENCE):
                for _ in range(4):
                    await attempts.acquire()
    server.close()
    await server.wait_closed()
    assert [line["event"] for line in logs] == ["redis_down"]


async def test_the_gap_that_an_overflow_left_is_seen_by_a_follower(tmp_path: Path, prefix: str, identity: Identity) -> None:
    encoder = Encoder(identity)
    server = RedisProcess(tmp_path / "redis", free_port())
    feed = RedisFeed(RedisSettings(server.url, prefix, buffer=5, **QUICK))
    for _ in range(12):
        feed.publish(encoder.encode(order()))
    server.start()
    try:
        async with Follower(server.url, prefix) as follower:
            await feed.start()
            got = [body["seq"] for _, body in await follower.read(5)]
            await feed.close()
    finally:
        server.stop()
    assert got == [8, 9, 10, 11, 12]


async def test_a_flood_of_quotes_never_pushes_out_a_fill(identity: Identity) -> None:
    encoder = Encoder(identity)
    feed = RedisFeed(RedisSettings("redis://127.0.0.1:1/0", buffer=10))
    feed.publish(encoder.encode(order()))
    for _ in range(1_000):
        feed.publish(encoder.encode(quote()))
    dropped = feed.stats().dropped
    assert (dropped["quotes"], dropped["orders"], feed.stats().buffered) == (990, 0, 11)


async def test_publishing_never_waits_for_a_server_that_hangs(identity: Identity) -> None:
    """The server accepts and says nothing. Each publish costs microseconds; the feed gives up by its own timeout."""
    swallowed: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: swallowed.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    message = Encoder(identity).encode(quote())
    async with feed_to(RedisSettings(f"redis://127.0.0.1:{port}/0", buffer=1_000, timeout=0.1, **QUICK)) as feed:
        begun, computing = time.monotonic(), time.thread_time()
        for _ in range(10_000):
            feed.publish(message)
        assert time.thread_time() - computing < 1.0
        assert time.monotonic() - begun < 10.0
        await feed.wait_for(FeedState.DOWN, timeout=PATIENCE)
        assert feed.stats().dropped["quotes"] == 9_000
    server.close()
    for writer in swallowed:
        writer.transport.abort()
    await server.wait_closed()


async def test_what_the_server_refuses_is_counted_and_not_sent_for_ever(
    redis_server: RedisProcess, prefix: str, identity: Identity
) -> None:
    client = redis.asyncio.Redis.from_url(redis_server.url)
    await client.set(f"{prefix}.orders", "not a stream")
    await client.aclose()
    encoder = Encoder(identity)
    async with feed_to(RedisSettings(redis_server.url, prefix, streams=True, **QUICK)) as feed:
        feed.publish(encoder.encode(order()))
        feed.publish(encoder.encode(quote()))
        await feed.wait_for(FeedState.UP, timeout=PATIENCE)
        await feed.close(timeout=5)
        stats = feed.stats()
    assert (stats.published, stats.dropped["orders"], stats.dropped["quotes"]) == (1, 1, 0)


async def test_closing_sends_what_is_left_and_counts_what_could_not_be_sent(
    redis_at: str, prefix: str, identity: Identity
) -> None:
    encoder = Encoder(identity)
    there = RedisFeed(RedisSettings(redis_at, prefix))
    gone = RedisFeed(RedisSettings("redis://127.0.0.1:1/0", **QUICK))
    for feed in (there, gone):
        await feed.start()
    await there.wait_for(FeedState.UP, timeout=PATIENCE)
    await gone.wait_for(FeedState.DOWN, timeout=PATIENCE)
    for feed in (there, gone):
        for _ in range(500):
            feed.publish(encoder.encode(order()))
        await feed.close(timeout=5)
        feed.publish(Message(Channel.ORDERS, b"{}"))
    assert (there.stats().published, sum(there.stats().dropped.values())) == (500, 0)
    assert (gone.stats().published, sum(gone.stats().dropped.values())) == (0, 500)
    assert there.stats().buffered == gone.stats().buffered == 0
    assert there.state is gone.state is FeedState.OFF


@pytest.mark.parametrize("url", ["http://:hunter2secret@host", "redis://:hunter2secret@host:port/0", "hunter2secret"])
async def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    feed = RedisFeed(RedisSettings(url))
    with pytest.raises(OutletError) as caught:
        await feed.start()
    assert "redis.url" in str(caught.value)
    assert "hunter2secret" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_the_password_of_redis_appears_nowhere(tmp_path: Path, prefix: str) -> None:
    with redis_process(tmp_path / "redis", "--requirepass", "right-password") as server, capture_logs() as logs:
        settings = RedisSettings(f"redis://:hunter2secret@127.0.0.1:{server.port}/0", prefix, **QUICK)
        async with feed_to(settings) as feed:
            await feed.wait_for(FeedState.DOWN, timeout=PATIENCE)
            told = repr((settings, feed.stats(), logs))
    assert "AuthenticationError" in told
    assert "hunter2secret" not in told
