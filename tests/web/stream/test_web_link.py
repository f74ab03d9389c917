from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from bot.outlets.command import Command
from bot.outlets.envelope import Channel, Heartbeat
from bot.web.stream.link import BotAway, BotLink
from bot.web.stream.ring import Entry, Ring, Subscription
from tests.outlets.feed_facts import AT, every_event, order, quote
from tests.web.stream.street import PATIENCE, bot, now, until


async def until_type(reader: Subscription, kind: str) -> list[Entry]:
    """What comes until a message of this type, and that one."""
    entries: list[Entry] = []
    async for entry in reader:
        entries.append(entry)
        if entry.type == kind:
            return entries
    raise AssertionError(entries)


async def test_every_message_of_the_bot_reaches_the_ring_as_it_was_sent(tmp_path: Path) -> None:
    ring = Ring(now=now)
    async with bot(tmp_path) as running, BotLink(tmp_path, now, ring) as link, ring.subscribe() as reader:
        await link.until(up=True, timeout=PATIENCE)
        sent = [running.encoder.encode(event) for event in every_event()]
        for message in sent:
            running.feed.publish(message)
        carried = [message.payload for message in sent if message.channel != Channel.QUOTES]
        got = [entry for entry in await until_type(reader, "jobs.changed") if entry.channel != "link"]
        assert [entry.payload for entry in got] == carried
        assert all(entry.id.startswith("run-1:") and entry.bells for entry in got)
        assert link.hello is not None
        assert (link.hello.run, link.state.up, link.counters.messages) == ("run-1", True, len(carried))


async def test_quotes_are_carried_only_while_somebody_wants_them(tmp_path: Path) -> None:
    ring = Ring(now=now)
    async with bot(tmp_path) as running, BotLink(tmp_path, now, ring) as link:
        await link.until(up=True, timeout=PATIENCE)
        assert not running.feed.wants(Channel.QUOTES)
        with link.wants([Channel.QUOTES]):
            with link.wants([Channel.QUOTES]):
                await until(lambda: running.feed.wants(Channel.QUOTES))
            async with ring.subscribe() as reader:
                running.say(quote(), order())
                assert [entry.type for entry in await until_type(reader, "orders.changed")] == ["quotes.quote", "orders.changed"]
            assert running.feed.wants(Channel.QUOTES)
        await until(lambda: not running.feed.wants(Channel.QUOTES))
        assert running.feed.wants(Channel.ORDERS)


async def test_a_bot_that_restarts_is_found_again_and_what_was_missed_is_said(tmp_path: Path) -> None:
    ring = Ring(now=now)
    async with BotLink(tmp_path, now, ring) as link, ring.subscribe(["link"]) as reader:
        async with bot(tmp_path, "run-1"):
            await link.until(up=True, timeout=PATIENCE)
        await link.until(up=False, timeout=PATIENCE)
        assert link.hello is None
        assert "gone away" in link.state.reason or "no bot is running" in link.state.reason
        async with bot(tmp_path, "run-2"):
            told = await until_type(reader, "link.resync")
            assert [entry.type for entry in told] == ["link.up", "link.down", "link.up", "link.resync"]
            assert told[-1].id.startswith("run-2:")
            envelope = orjson.loads(told[-1].payload)
            assert (envelope["run"], envelope["seq"], envelope["data"]["reason"]) == ("run-2", 4, "restarted")
            assert link.counters.connections == 2


async def test_commands_go_in_the_name_of_who_asks_and_nowhere_without_a_bot(tmp_path: Path) -> None:
    async with BotLink(tmp_path, now, Ring(now=now)) as link:
        with pytest.raises(BotAway, match="pause was not sent"):
            await link.command("pause", {"source": "llm:claude"})
        async with bot(tmp_path) as running:
            await link.until(up=True, timeout=PATIENCE)
            done = await link.command("pause", {"source": "llm:claude"}, actor="web:owner", nonce="a-name-of-its-own-1")
            assert (done.ok, done.result) == (True, {"run": "run-1"})
            await link.command("status")
        assert running.asked[0] == Command("pause", {"source": "llm:claude"}, "web:owner", "a-name-of-its-own-1")
        assert running.asked[1].actor == "control-room"


async def test_a_heartbeat_grows_old_and_there_is_none_without_a_bot(tmp_path: Path) -> None:
    clock = [AT]
    ring = Ring(now=now)
    async with BotLink(tmp_path, lambda: clock[0], ring) as link:
        ages = [link.heartbeat_age]
        async with bot(tmp_path) as running, ring.subscribe(["health"]) as reader:
            await link.until(up=True, timeout=PATIENCE)
            clock[0] += 7_000
            ages.append(link.heartbeat_age)
            running.say(Heartbeat(AT, 5_000, "up", 0, {}))
            await until_type(reader, "health.heartbeat")
            ages.append(link.heartbeat_age)
        await link.until(up=False, timeout=PATIENCE)
        assert [*ages, link.heartbeat_age] == [None, 7_000, 0, None]


async def test_what_the_feed_had_to_drop_is_counted_and_said(tmp_path: Path) -> None:
    ring = Ring(now=now)
    async with bot(tmp_path, queue=5) as running, BotLink(tmp_path, now, ring) as link, ring.subscribe() as reader:
        await link.until(up=True, timeout=PATIENCE)
        running.say(*(order() for _ in range(50)))  # in one go, so that nothing is sent in between
        told = (await until_type(reader, "link.resync"))[-1]
        assert orjson.loads(told.payload)["data"]["dropped"] == 45
        assert "resync" in told.bells
        assert (link.counters.lost, link.counters.resyncs) == (45, 1)
