from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from bot.outlets.envelope import Channel
from bot.web.stream.conversation import MESSAGE_LIMIT
from bot.web.stream.ring import Ring
from tests.outlets.feed_facts import equity, order, quote
from tests.web.stream.street import PATIENCE, House, bot, house, now, until

WISHES = [
    "",
    "{",
    "[]",
    '{"folow":[]}',
    '{"follow":"orders"}',
    '{"follow":[1]}',
    '{"after":7}',
    '{"follow":["weather"]}',
    "9" * 400,
]


@asynccontextmanager
async def talking(served: House, **options: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    readers = served.room.ring.stats().readers
    async with served.http.ws_connect(served.url + "/api/v1/ws", **options) as talk:
        await until(lambda: served.room.ring.stats().readers == readers + 1)
        yield talk


async def hear(talk: aiohttp.ClientWebSocketResponse, count: int) -> list[Any]:
    return [orjson.loads(await talk.receive_str(timeout=PATIENCE)) for _ in range(count)]


async def closed(talk: aiohttp.ClientWebSocketResponse) -> int | None:
    async for _ in talk:
        pass
    return talk.close_code


async def test_a_websocket_carries_the_same_envelopes_each_with_its_id(tmp_path: Path) -> None:
    async with bot(tmp_path) as running, house(tmp_path) as served:
        await served.room.link.until(up=True, timeout=PATIENCE)
        async with talking(served) as talk:
            sent = running.encoder.encode(order())
            running.feed.publish(sent)
            (got,) = await hear(talk, 1)
            assert got.pop("id") == served.room.ring.position
            assert got == orjson.loads(sent.payload)


async def test_a_client_chooses_its_channels_and_goes_on_after_an_id(tmp_path: Path) -> None:
    async with bot(tmp_path) as running, house(tmp_path) as served:
        await served.room.link.until(up=True, timeout=PATIENCE)
        start = served.room.ring.position
        running.say(order(), equity(), order())
        await until(lambda: served.room.link.counters.messages == 3)
        async with talking(served) as talk:
            await talk.send_json({"follow": ["orders", "quotes"], "after": start})
            answer, *missed = await hear(talk, 3)
            assert (answer["type"], answer["channels"]) == ("following", ["link", "orders", "quotes"])
            assert [(message["type"], message["seq"]) for message in missed] == [("orders.changed", 1), ("orders.changed", 2)]
            await until(lambda: running.feed.wants(Channel.QUOTES))
            running.say(quote(), equity())
            assert [message["type"] for message in await hear(talk, 1)] == ["quotes.quote"]
            await talk.send_json({"follow": ["equity"]})
            assert [message["type"] for message in await hear(talk, 1)] == ["following"]
            await until(lambda: not running.feed.wants(Channel.QUOTES))
            running.say(order(), equity())
            assert [message["type"] for message in await hear(talk, 1)] == ["equity.sampled"]


async def test_an_id_that_is_kept_no_more_gives_a_resync(tmp_path: Path) -> None:
    async with house(tmp_path) as served, talking(served) as talk:
        await talk.send_json({"after": "run-0:17"})
        got = await hear(talk, 2)
        assert {message["type"] for message in got} == {"following", "resync"}


@pytest.mark.parametrize("wish", WISHES)
async def test_a_wish_that_is_none_is_refused_and_changes_nothing(tmp_path: Path, wish: str) -> None:
    async with bot(tmp_path) as running, house(tmp_path) as served:
        await served.room.link.until(up=True, timeout=PATIENCE)
        async with talking(served) as talk:
            await talk.send_str(wish)
            (answer,) = await hear(talk, 1)
            assert answer["type"] == "refused"
            assert answer["error"]
            running.say(order())
            assert [message["type"] for message in await hear(talk, 1)] == ["orders.changed"]


async def test_what_is_too_long_or_no_text_ends_the_conversation(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        async with talking(served) as talk:
            await talk.send_str("x" * (MESSAGE_LIMIT + 1))
            assert await closed(talk) == 1009
        async with talking(served) as talk:
            await talk.send_bytes(b"{}")
            assert await closed(talk) == 1003
        await until(lambda: served.room.ring.stats().readers == 0)


async def test_a_slow_reader_is_closed_as_too_slow_and_costs_no_memory(tmp_path: Path) -> None:
    ring = Ring(32, now=now)
    async with house(tmp_path, ring=ring, send_buffer=4_096) as served:
        async with talking(served, max_msg_size=0) as talk:
            for number in range(4_000):
                ring.append("r", "orders", "orders.changed", orjson.dumps({"n": number, "fill": "x" * 20_000}))
                if number % 16 == 0:
                    await asyncio.sleep(0)
            assert ring.stats().kept == 32
            async with asyncio.timeout(PATIENCE):
                assert await closed(talk) == 1013
        await until(lambda: ring.stats().readers == 0)


async def test_a_quiet_reader_hears_its_message_however_much_was_said_to_others(tmp_path: Path) -> None:
    ring = Ring(8, now=now)
    async with house(tmp_path, ring=ring) as served, talking(served) as talk:
        await talk.send_str('{"follow": ["orders"]}')
        while (await hear(talk, 1))[0]["type"] != "following":
            pass
        for number in range(100):
            ring.append("r", "fills", "fills.booked", orjson.dumps({"n": number}))
        ring.append("r", "orders", "orders.changed", orjson.dumps({"type": "orders.changed"}))
        assert [each["type"] for each in await hear(talk, 1)] == ["orders.changed"]
