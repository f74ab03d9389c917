from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from hashlib import sha256
from pathlib import Path

import aiohttp
import httpx2
import orjson
import pytest
from fastapi import APIRouter, FastAPI, Response

from bot.outlets.envelope import Channel, Heartbeat
from bot.web.api.etags import TaggedRoute
from bot.web.security.idempotency import _done
from bot.web.stream.bells import GAP_MS
from bot.web.stream.ring import Ring
from bot.web.stream.sse import EventStream
from tests.outlets.feed_facts import equity, order, quote
from tests.web.stream.street import PATIENCE, Event, House, bot, house, listening, now, read_events, take, until


def seqs(events: list[Event]) -> list[int]:
    return [event.json["seq"] for event in events]


async def test_a_stream_carries_the_envelopes_as_they_were_sent(tmp_path: Path) -> None:
    async with bot(tmp_path) as running, house(tmp_path) as served:
        await served.room.link.until(up=True, timeout=PATIENCE)
        async with listening(served, channels="orders,equity") as events:
            sent = [running.encoder.encode(event) for event in (order(), equity())]
            for message in sent:
                running.feed.publish(message)
            got = await take(events, 2)
        assert [event.data.encode() for event in got] == [message.payload for message in sent]
        assert [event.name for event in got] == ["message", "message"]


async def test_coming_back_with_the_last_id_gives_exactly_what_was_missed(tmp_path: Path) -> None:
    async with bot(tmp_path) as running, house(tmp_path) as served:
        await served.room.link.until(up=True, timeout=PATIENCE)
        async with listening(served, channels="orders") as events:
            running.say(order(), order())
            last = (await take(events, 2))[-1]
        await until(lambda: served.room.ring.stats().readers == 0)
        running.say(equity(), order(), equity(), order())
        await until(lambda: served.room.link.counters.messages == 6)
        async with listening(served, after=last.id, channels="orders") as events:
            running.say(order())
            assert seqs(await take(events, 3)) == [3, 4, 5]
        async with listening(served, after=last.id, channels="orders") as events:
            assert seqs(await take(events, 3)) == [3, 4, 5]


async def test_an_id_that_is_kept_no_more_gives_a_resync(tmp_path: Path) -> None:
    async with bot(tmp_path) as running, house(tmp_path, ring=Ring(4, now=now)) as served:
        await served.room.link.until(up=True, timeout=PATIENCE)
        begin = served.room.ring.position
        running.say(*(order() for _ in range(10)))
        await until(lambda: served.room.link.counters.messages == 10)
        for after in (begin, "run-0:1"):
            async with listening(served, after=after) as events:
                (first,) = await take(events, 1)
                assert first.json == {"type": "resync", "dropped": None}
                assert first.id == served.room.ring.position


async def test_quotes_flow_only_to_who_asks_for_them(tmp_path: Path) -> None:
    async with bot(tmp_path) as running, house(tmp_path) as served:
        await served.room.link.until(up=True, timeout=PATIENCE)
        async with listening(served) as all_but, listening(served, channels="quotes") as quotes:
            await until(lambda: running.feed.wants(Channel.QUOTES))
            running.say(quote(), order(), quote())
            assert [event.json["type"] for event in await take(quotes, 2)] == ["quotes.quote", "quotes.quote"]
            assert [event.json["type"] for event in await take(all_but, 1)] == ["orders.changed"]
        await until(lambda: not running.feed.wants(Channel.QUOTES))


async def test_a_bot_that_restarts_in_between_is_told_to_every_stream(tmp_path: Path) -> None:
    async with house(tmp_path) as served, listening(served, channels="orders") as events:
        async with bot(tmp_path, "run-1") as running:
            await served.room.link.until(up=True, timeout=PATIENCE)
            running.say(order())
            first = await take(events, 2)
        await served.room.link.until(up=False, timeout=PATIENCE)
        async with bot(tmp_path, "run-2") as running:
            await served.room.link.until(up=True, timeout=PATIENCE)
            running.say(order())
            rest = await take(events, 4)
    kinds = [event.json["type"] for event in (*first, *rest)]
    assert kinds == ["link.up", "orders.changed", "link.down", "link.up", "link.resync", "orders.changed"]
    assert (first[-1].json["run"], rest[-1].json["run"]) == ("run-1", "run-2")
    numbers = [int(event.id.rpartition(":")[2]) for event in (*first, *rest)]
    assert numbers == sorted(set(numbers))


async def test_a_channel_that_there_is_not_is_refused_with_the_choices(tmp_path: Path) -> None:
    async with house(tmp_path) as served, served.http.get(served.url + "/api/v1/stream?channels=orders,weather") as response:
        assert response.status == 422
        problem = await response.json(content_type="application/problem+json")
        assert "'weather'; choose of quotes, candles" in problem["detail"]


@pytest.mark.parametrize("path", ["/api/v1/stream", "/ui/events"])
async def test_a_stranger_hears_nothing(tmp_path: Path, path: str) -> None:
    async with house(tmp_path) as served:
        async with served.stranger.get(served.url + path) as response:
            assert response.status == 401
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await served.stranger.ws_connect(served.url + "/api/v1/ws")
        assert refused.value.status == 403
        assert served.room.ring.stats().readers == 0


async def test_one_stream_too_many_is_turned_away_until_another_ends(tmp_path: Path) -> None:
    async with house(tmp_path, ring=Ring(now=now, readers=1)) as served:
        async with listening(served):
            for path in ("/api/v1/stream", "/ui/events"):
                async with served.http.get(served.url + path) as response:
                    assert (response.status, response.headers["Retry-After"]) == (503, "5")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await served.http.ws_connect(served.url + "/api/v1/ws")
            assert refused.value.status == 503
        await until(lambda: served.room.ring.stats().readers == 0)
        async with listening(served, "/ui/events"):
            pass


async def test_a_slow_reader_is_bounded_and_told_what_it_lost(tmp_path: Path) -> None:
    ring = Ring(64, now=now)
    async with house(tmp_path, ring=ring, send_buffer=4_096) as served:
        with unread(served, "/api/v1/stream") as slow:
            await until(lambda: ring.stats().readers == 1)
            for number in range(600):
                ring.append("r", "orders", "orders.changed", orjson.dumps({"n": number, "fill": "x" * 20_000}))
                await asyncio.sleep(0)
            assert ring.stats().kept <= 64
            slow.settimeout(PATIENCE)
            got = b""
            while b'"n":599,' not in got:
                chunk = await asyncio.to_thread(slow.recv, 1 << 20)
                assert chunk, got[-200:]
                got += chunk
        assert got.count(b'"type":"resync"') == 1
        assert 64 <= got.count(b'"fill"') < 600
        dropped = int(got.partition(b'"dropped":')[2].partition(b"}")[0])
        assert dropped + got.count(b'"fill"') == 600
        await until(lambda: ring.stats().readers == 0)


class unread:  # noqa: N801 - read as a verb
    """A raw connection that asks for a stream and reads as little as it can."""

    def __init__(self, served: House, path: str) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.socket.connect(("127.0.0.1", int(served.url.rpartition(":")[2])))
        request = f"GET {path} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {served.token}\r\n\r\n"
        self.socket.sendall(request.encode())

    def __enter__(self) -> socket.socket:
        return self.socket

    def __exit__(self, *_: object) -> None:
        self.socket.close()


async def test_open_streams_do_not_hold_up_the_end(tmp_path: Path) -> None:
    ring = Ring(now=now)
    async with bot(tmp_path), house(tmp_path, ring=ring, send_buffer=4_096) as served:
        await served.room.link.until(up=True, timeout=PATIENCE)
        with unread(served, "/api/v1/stream"), unread(served, "/ui/events"):
            async with listening(served) as one, listening(served, "/ui/events") as tab:
                talk = await served.http.ws_connect(served.url + "/api/v1/ws")
                await until(lambda: ring.stats().readers == 5)
                reading = [asyncio.create_task(_all(events)) for events in (one, tab, talk)]
                for _ in range(300):
                    ring.append("r", "equity", "equity.sampled", b'{"x":"%b"}' % (b"x" * 20_000), ("equity",), b"x" * 20_000)
                assert await served.stop() < 2.0  # three and more if any of them held it up
                async with asyncio.timeout(PATIENCE):
                    envelopes, _, messages = await asyncio.gather(*reading)  # the tab's bell was not due yet
                assert envelopes > 0
                assert messages > 0
                assert talk.close_code in {1001, 1012}  # our word, or the server's own
        assert ring.stats().readers == 0


async def _all(events: AsyncIterator[object]) -> int:
    """Read until the stream ends in order; how much there was."""
    return len([event async for event in events])


async def test_fifty_clients_hear_everything_in_order(tmp_path: Path) -> None:
    async with bot(tmp_path) as running, house(tmp_path) as served:
        await served.room.link.until(up=True, timeout=PATIENCE)

        async def follow() -> list[int]:
            async with listening(served, channels="orders") as events:
                return seqs(await take(events, 40))

        following = [asyncio.create_task(follow()) for _ in range(50)]
        await until(lambda: served.room.ring.stats().readers == 50)
        for _ in range(40):
            running.say(order())
            await asyncio.sleep(0)
        assert await asyncio.gather(*following) == [list(range(1, 41))] * 50
        await until(lambda: served.room.ring.stats().readers == 0)


async def test_a_stream_ends_when_its_reader_is_no_longer_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.web.stream.ending.until_unknown.__defaults__", (0.01,))
    async with house(tmp_path) as served, listening(served) as events:
        assert await served.room.access.revoke("reader")
        async with asyncio.timeout(PATIENCE):
            assert [event async for event in events] == []
        assert served.room.ring.stats().readers == 0


async def test_a_tab_hears_where_it_is_and_then_bells_and_points(tmp_path: Path) -> None:
    async with bot(tmp_path) as running, house(tmp_path) as served:
        await served.room.link.until(up=True, timeout=PATIENCE)
        async with served.http.get(served.url + "/ui/events") as response, asyncio.timeout(PATIENCE):
            events = read_events(response)
            hello = await anext(events)
            assert (hello.name, hello.json["badge"], hello.json["world"]["run"]) == ("hello", "SIMULATED", "run-1")
            assert hello.json["link"]["up"] is True
            running.say(*(event for _ in range(20) for event in (equity(), order())))
            wanted = {"equity", "overview", "orders", "positions", "candles:BTC/USDT"}
            bells: Counter[str] = Counter()
            points: list[float] = []
            begun = time.monotonic()
            while not (bells.keys() == wanted and min(bells.values()) >= 2 and len(points) >= 20):
                event = await anext(events)
                if event.data.startswith("{"):
                    points.append(event.json["equity"])
                else:
                    bells[event.name] += 1
    assert points == [10_000.0] * 20
    assert max(bells.values()) <= 2 + (time.monotonic() - begun) * 1_000 / GAP_MS


async def test_a_tab_is_told_to_ask_for_everything_when_the_bot_comes_and_which_bot_it_is(tmp_path: Path) -> None:
    async with house(tmp_path) as served, listening(served, "/ui/events") as events, bot(tmp_path, "run-7") as running:
        first = await take(events, 3)
        assert {event.name for event in first} == {"hello", "link", "resync"}
        assert first[0].json["world"] == {**first[0].json["world"], "run": "run-7", "alive": True}
        running.say(Heartbeat(now(), 5_000, "up", 0, {}))
        async with asyncio.timeout(PATIENCE):
            while (await anext(events)).name != "pulse":
                pass


async def test_a_tab_that_cannot_be_told_where_it_is_is_let_go_to_come_back(tmp_path: Path) -> None:
    async with house(tmp_path) as served, listening(served, "/ui/events") as events:
        served.room.journal = False
        async with bot(tmp_path):
            await served.room.link.until(up=True, timeout=PATIENCE)
            await until(lambda: served.room.ring.stats().readers == 0)
        with pytest.raises(aiohttp.ClientPayloadError):
            await _all(events)
        async with served.http.get(served.url + "/ui/events") as response:
            assert response.status == 503


async def test_a_silent_stream_says_that_it_is_alive_and_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.web.stream.sse.KEEP_ALIVE_SECONDS", 0.05)
    ring = Ring(now=now)
    async with house(tmp_path, ring=ring) as served, listening(served, channels="orders") as events:
        passed = ring.append("r", "equity", "equity.sampled", b"{}")
        async with asyncio.timeout(PATIENCE):
            assert passed.id in [event.id async for event in _while_silent(events, passed.id)]


async def _while_silent(events: AsyncIterator[Event], last: str) -> AsyncIterator[Event]:
    async for event in events:
        assert event.data == ""
        yield event
        if event.id == last:
            return


async def test_a_stream_is_never_taken_for_an_answer_that_the_reader_has_already() -> None:
    ring = Ring(now=now)
    app, router = FastAPI(), APIRouter(route_class=TaggedRoute)

    @router.get("/words")
    async def words() -> Response:
        async def said() -> AsyncGenerator[bytes, None]:
            yield b"data: hello\n\n"

        return EventStream(ring.subscribe(), said(), ())

    app.include_router(router)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as client:
        for _ in range(2):
            answer = await client.get("/words", headers={"If-None-Match": f'*, "{sha256(b"").hexdigest()[:20]}"'})
            assert (answer.status_code, answer.text) == (200, "data: hello\n\n")
            assert "etag" not in answer.headers
    assert ring.stats().readers == 0


async def test_a_stream_is_not_kept_as_an_empty_answer() -> None:
    async def said() -> AsyncGenerator[bytes, None]:
        yield b"data: hello\n\n"

    async with Ring(now=now).subscribe() as reader:
        assert _done(EventStream(reader, said(), ())).body is None
