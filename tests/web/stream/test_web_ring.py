from __future__ import annotations

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.web.stream.ring import Crowded, Entry, Ring

BORN = 1_767_225_600_000


def ring_of(size: int = 8, **bounds: int) -> Ring:
    return Ring(size, now=lambda: BORN, **bounds)


def say(ring: Ring, channel: str = "orders", run: str = "run-1") -> Entry:
    return ring.append(run, channel, f"{channel}.changed", b'{"type":"%b.changed"}' % channel.encode())


def numbers(entries: list[Entry]) -> list[int]:
    return [entry.number for entry in entries]


def test_ids_grow_by_one_and_no_earlier_process_can_have_given_them() -> None:
    ring = ring_of()
    ids = [say(ring).id for _ in range(3)]
    assert ids == [f"run-1:{BORN * 1_000 + number}" for number in (1, 2, 3)]
    later = Ring(now=lambda: BORN + 60_000)
    assert later.place_of(ids[-1]) is None


@given(st.lists(st.sampled_from(["orders", "quotes", "fills"]), max_size=30), st.data())
def test_an_id_that_is_kept_gives_exactly_what_was_missed(said: list[str], data: st.DataObject) -> None:
    ring = ring_of(8)
    start = ring.position
    entries = [say(ring, channel) for channel in said]
    chosen = data.draw(st.integers(0, len(entries)))
    after = start if chosen == 0 else entries[chosen - 1].id
    taken = ring.subscribe(["orders", "fills"], after).take()
    if len(entries) - chosen <= 8:
        assert numbers(taken) == [entry.number for entry in entries[chosen:] if entry.channel != "quotes"]
    else:
        assert [entry.type for entry in taken] == ["resync"]
        assert taken[0].id == ring.position


@pytest.mark.parametrize(
    "after", ["", "nonsense", "run-1:", "run-1:-3", "run-1:1e3", "other:1767225600000001", "x" * 300, "r:" + "9" * 21]
)
def test_an_id_that_nobody_gave_gives_a_resync_and_then_what_is_new(after: str) -> None:
    ring = ring_of()
    say(ring)
    reader = ring.subscribe(None, after)
    (first,) = reader.take()
    assert orjson.loads(first.payload) == {"type": "resync", "dropped": None}
    fresh = say(ring)
    assert reader.take() == [fresh]


def test_a_slow_reader_loses_the_oldest_and_is_told_once_how_many() -> None:
    ring = ring_of(4)
    reader = ring.subscribe()
    said = [say(ring) for _ in range(10)]
    first, *rest = reader.take()
    assert orjson.loads(first.payload) == {"type": "resync", "dropped": 6}
    assert rest == said[6:]
    assert first.id == said[5].id
    assert (reader.take(), reader.dropped, ring.stats().dropped, ring.stats().resyncs) == ([], 6, 6, 1)


def test_the_ring_is_bounded_in_bytes_too_but_keeps_the_newest() -> None:
    ring = ring_of(100, most_bytes=1_000)
    for _ in range(20):
        ring.append("r", "orders", "orders.changed", b"x" * 100)
    assert (ring.stats().kept, ring.stats().size_bytes) == (10, 1_000)
    big = ring.append("r", "orders", "orders.changed", b"x" * 5_000)
    reader = ring.subscribe(None, ring.id_at(ring.first - 1))
    assert reader.take() == [big]


def test_what_is_taken_at_once_is_bounded_and_the_rest_comes_next() -> None:
    ring = ring_of(100)
    reader = ring.subscribe()
    said = [ring.append("r", "orders", "orders.changed", b"x" * 100) for _ in range(10)]
    taken = [reader.take(250) for _ in range(4)]
    assert taken == [said[:3], said[3:6], said[6:9], said[9:]]


def test_a_message_is_framed_once_for_all_its_readers() -> None:
    ring = ring_of()
    one, other = ring.subscribe(), ring.subscribe()
    said = say(ring)
    (mine,), (yours,) = one.take(), other.take()
    assert mine is yours is said
    assert mine.frame is yours.frame
    assert mine.text is yours.text
    assert mine.frame == b'id: %b\ndata: {"type":"orders.changed"}\n\n' % said.id.encode()
    assert orjson.loads(mine.text) == {"id": said.id, "type": "orders.changed"}


def test_one_reader_too_many_is_refused_until_another_leaves() -> None:
    ring = ring_of(readers=2)
    first, _ = ring.subscribe(), ring.subscribe()
    with pytest.raises(Crowded, match="2 streams are open"):
        ring.subscribe()
    first.close()
    first.close()
    ring.subscribe()
    assert (ring.stats().readers, ring.stats().refused) == (2, 1)


async def test_a_reader_wakes_for_its_own_channels_alone_and_its_position_passes_the_others() -> None:
    ring = ring_of(4)
    reader = ring.subscribe(["orders"])
    reader.take()
    for _ in range(9):
        say(ring, "quotes")
    assert not await reader.wait(0)
    assert reader.position == ring.position
    waiting = asyncio.create_task(reader.wait(20))
    say(ring, "orders")
    assert await waiting


def test_a_reader_that_is_up_to_date_loses_nothing_however_much_is_said_to_others() -> None:
    ring = ring_of(4)
    reader = ring.subscribe(["orders"])
    for _ in range(9):
        say(ring, "quotes")
    wanted = say(ring, "orders")
    assert reader.take() == [wanted]
    assert reader.dropped == ring.stats().resyncs == 0


def test_a_reader_that_is_behind_stays_there_whatever_is_said_to_others() -> None:
    ring = ring_of(8)
    reader = ring.subscribe(["orders"])
    wanted = say(ring, "orders")
    for _ in range(3):
        say(ring, "quotes")
    assert reader.take() == [wanted]
    assert reader.position == ring.position


async def test_iterating_ends_when_the_subscription_is_closed() -> None:
    ring = ring_of()
    async with ring.subscribe() as reader:
        said = [say(ring), say(ring)]
        assert [await anext(reader), await anext(reader)] == said
        waiting = asyncio.ensure_future(anext(reader, None))
        await asyncio.sleep(0)
        reader.close()
        assert await waiting is None
    assert ring.stats().readers == 0
