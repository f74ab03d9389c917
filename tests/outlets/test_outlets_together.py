from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis.asyncio
from jsonschema import Draft202012Validator
from structlog.testing import capture_logs

from bot.core.effects import Notify, Severity
from bot.core.facts import DecisionSeen
from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import KINDS, Channel, Encoder, Identity, masking
from bot.outlets.errors import OutletError
from bot.outlets.listener import ListenerSettings
from bot.outlets.local_client import LocalClient
from bot.outlets.outlets import Outlets, OutletSettings
from bot.outlets.redis_feed import FeedState, RedisFeed, RedisSettings
from bot.outlets.schema import message_schemas
from tests.outlets.feed_facts import AT, PATIENCE, decision, equity, every_event, order, quote

CONSUMER = Path(__file__).parents[2] / "examples" / "consumer.py"


def settings(tmp_path: Path, url: str | None = None, prefix: str = "arbiter.v1", **more: Any) -> OutletSettings:
    redis_settings = RedisSettings(url, prefix, linger=0.0, first_backoff=0.02, last_backoff=0.05)
    return OutletSettings(data_dir=tmp_path, redis=redis_settings, listener=ListenerSettings(port=0), **more)


def outlets(identity: Identity, chosen: OutletSettings, **more: Any) -> Outlets:
    return Outlets(identity, chosen, now=lambda: AT, **more)


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


async def test_redis_and_the_local_feed_carry_the_same_messages_and_metrics_count_them(
    redis_at: str, prefix: str, tmp_path: Path, identity: Identity
) -> None:
    schemas = message_schemas()
    client = redis.asyncio.Redis.from_url(redis_at)
    out = outlets(identity, settings(tmp_path, redis_at, prefix))
    await out.start()
    try:
        await out.redis.wait_for(FeedState.UP, timeout=PATIENCE)
        async with client.pubsub(ignore_subscribe_messages=True) as pubsub, await LocalClient.connect(tmp_path) as local:
            await pubsub.psubscribe(f"{prefix}.*")
            await pubsub.get_message(timeout=5)
            follower = local.follow([channel for channel in Channel if channel is not Channel.HEALTH])
            first = asyncio.ensure_future(anext(follower))
            await until(lambda: out.local and out.local.wants(Channel.ORDERS))
            events = [event for event in every_event() if KINDS[type(event)].channel is not Channel.HEALTH]
            for event in events:
                out.publish(event)
            over_local = [await first] + [await anext(follower) for _ in events[1:]]
            over_redis: list[dict[str, Any]] = []
            async with asyncio.timeout(PATIENCE):
                while len(over_redis) < len(events):
                    message = await pubsub.get_message(timeout=1)
                    if message and not message["channel"].endswith(b".health"):
                        over_redis.append(json.loads(message["data"]))
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{out.listener.port}/metrics") as answer:
            text = await answer.text()
    finally:
        await out.close()
        await client.aclose()
    for body in over_redis:
        Draft202012Validator(schemas[body["type"]]).validate(body)
    assert sorted((m.type, m.seq) for m in over_local) == sorted((body["type"], body["seq"]) for body in over_redis)
    assert "bot_equity 10000.0" in text
    assert "bot_redis_up 1.0" in text


async def test_numbers_stay_true_though_nobody_listens(tmp_path: Path, identity: Identity) -> None:
    out = outlets(identity, settings(tmp_path))
    await out.start()
    for _ in range(7):
        out.publish(order())
    async with await LocalClient.connect(tmp_path) as client:
        follower = client.follow([Channel.ORDERS])
        first = asyncio.ensure_future(anext(follower))
        await until(lambda: out.local and out.local.wants(Channel.ORDERS))
        out.publish(order())
        assert (await first).seq == 8
    await out.close()


async def test_an_event_nobody_can_encode_is_counted_and_never_raises(tmp_path: Path, identity: Identity) -> None:
    out = outlets(identity, settings(tmp_path, "redis://127.0.0.1:1/0"))
    broken = dataclasses.replace(decision(), evidence={"x": object()})  # type: ignore[dict-item]
    with capture_logs() as logs:
        for _ in range(100):
            out.publish(DecisionSeen(AT, broken))
        out.publish(DecisionSeen(AT, decision()))
    assert out.stats().failures == 100
    assert out.stats().last["decisions"] == 101
    assert [line["event"] for line in logs] == ["publish_failed"]


async def test_a_heartbeat_tells_the_newest_numbers(tmp_path: Path, identity: Identity) -> None:
    out = outlets(identity, settings(tmp_path, heartbeat=0.05))
    await out.start()
    out.publish(order())
    async with await LocalClient.connect(tmp_path) as client:
        follower = client.follow([Channel.HEALTH])
        async with asyncio.timeout(PATIENCE):
            beat = await anext(follower)
    await out.close()
    assert beat.type == "health.heartbeat"
    assert beat.data["last"]["orders"] == 1
    assert beat.data["redis"] == "off"


async def test_the_loops_lag_is_measured(tmp_path: Path, identity: Identity) -> None:
    out = outlets(identity, settings(tmp_path))
    await out.start()
    await until(lambda: out.stats().loop_lag > 0)
    lag = out.metrics.registry.get_sample_value("bot_loop_lag_seconds")
    await out.close()
    assert lag is not None
    assert 0 < lag < 5


async def test_commands_reach_the_owner_and_notices_the_person(tmp_path: Path, identity: Identity) -> None:
    async def obey(command: Command) -> CommandResult:
        return CommandResult(ok=True, result={"did": command.name})

    out = outlets(identity, settings(tmp_path), handler=obey)
    await out.start()
    with capture_logs() as logs:
        async with await LocalClient.connect(tmp_path) as client:
            assert await client.command("reduce") == CommandResult(ok=True, result={"did": "reduce"})
        out.notify(Notify(Severity.CRITICAL, "Halted", "drawdown"))
        await out.close()
    assert ("notice", "Halted") in [(line["event"], line.get("title")) for line in logs]


async def test_a_start_that_fails_leaves_nothing_open(tmp_path: Path, identity: Identity) -> None:
    first = outlets(identity, settings(tmp_path / "one"))
    await first.start()
    taken = ListenerSettings(port=first.listener.port)
    second = outlets(identity, dataclasses.replace(settings(tmp_path / "two"), listener=taken))
    with pytest.raises(OutletError, match=r"metrics\.port"):
        await second.start()
    third = outlets(identity, dataclasses.replace(settings(tmp_path / "one")))
    with pytest.raises(OutletError, match="already runs a bot"):
        await third.start()
    assert third.listener.port == 0
    assert not (tmp_path / "two" / "feed.json").exists()
    await first.close()


async def test_a_secret_planted_everywhere_appears_nowhere(
    redis_at: str, prefix: str, tmp_path: Path, identity: Identity
) -> None:
    secret = "hunter2secret-key"
    client = redis.asyncio.Redis.from_url(redis_at)

    async def leak(command: Command) -> CommandResult:
        raise RuntimeError(secret)

    chosen = settings(tmp_path, redis_at, prefix)
    hidden = dataclasses.replace(chosen, redis=dataclasses.replace(chosen.redis, url=f"redis://:{secret}@127.0.0.1:1/0"))
    out = outlets(identity, chosen, handler=leak, redact=masking([secret]))
    await out.start()
    try:
        await out.redis.wait_for(FeedState.UP, timeout=PATIENCE)
        async with client.pubsub(ignore_subscribe_messages=True) as pubsub, await LocalClient.connect(tmp_path) as local:
            await pubsub.psubscribe(f"{prefix}.*")
            await pubsub.get_message(timeout=5)
            answer = await local.command("kill")
            out.publish(DecisionSeen(AT, decision(f"the venue said: bad key {secret}")))
            async with asyncio.timeout(PATIENCE):
                while not (message := await pubsub.get_message(timeout=1)) or b"bad key" not in message["data"]:
                    pass
        token = json.loads((tmp_path / "feed.json").read_bytes())["token"]
        told = repr((answer, message, out.stats(), out.metrics.expose(), hidden, local.hello))
    finally:
        await out.close()
        await client.aclose()
    assert "bad key ***" in told
    assert secret not in told
    assert token not in told


def consume(url: str, prefix: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(CONSUMER), "--url", url, "--prefix", prefix, "--seconds", "20", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def publish_with_a_hole(url: str, prefix: str, identity: Identity, *, streams: bool) -> None:
    """Orders 1, 2, 5: as after an overflow."""
    encoder = Encoder(identity)
    feed = RedisFeed(RedisSettings(url, prefix, streams=streams))
    await feed.start()
    await feed.wait_for(FeedState.UP, timeout=PATIENCE)
    for number in range(1, 6):
        message = encoder.encode(order())
        if number not in {3, 4}:
            feed.publish(message)
    feed.publish(encoder.encode(equity()))
    feed.publish(encoder.encode(quote()))
    await feed.close(timeout=5)


@pytest.mark.parametrize("streams", [False, True])
async def test_the_example_consumer_prints_messages_and_reports_the_gap(
    redis_at: str, prefix: str, identity: Identity, streams: bool
) -> None:
    if streams:
        await publish_with_a_hole(redis_at, prefix, identity, streams=True)
    process = consume(redis_at, prefix, "--count", "5", *(["--streams"] if streams else []))
    try:
        if not streams:
            client = redis.asyncio.Redis.from_url(redis_at)
            async with asyncio.timeout(PATIENCE):
                while not (await client.pubsub_numsub(f"{prefix}.health"))[0][1]:
                    await asyncio.sleep(0.01)
            await client.aclose()
            await publish_with_a_hole(redis_at, prefix, identity, streams=False)
        printed, said = await asyncio.to_thread(process.communicate, timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert "GAP orders: 2 lost between 2 and 5 of run run-1" in printed
    assert printed.count("SIMULATED orders.changed") == 3
    assert "equity.sampled #1" in printed
    assert "5 messages, 2 lost" in said
    assert process.returncode == 1
