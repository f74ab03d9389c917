from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.outlets.envelope import Channel, Encoder, Identity
from bot.outlets.local_client import FeedMessage
from bot.web.stream.bells import GAP_MS, LEAD_MS, PANELS, SETTLE_MS, Doorbell, bells_of, point_of
from tests.outlets.feed_facts import SYMBOL, every_event

BELL_NAMES = st.sampled_from(["orders", "fills", "queue"])


@dataclass(frozen=True)
class Said:
    type: str
    data: Mapping[str, Any] = field(default_factory=dict)


def messages() -> list[FeedMessage]:
    encoder = Encoder(Identity("main", "run-1", "paper", simulated=True))
    payloads = [encoder.encode(event).payload for event in every_event()]
    return [FeedMessage.of(orjson.loads(payload), payload) for payload in payloads]


@pytest.mark.parametrize("message", messages(), ids=lambda message: message.type)
def test_every_message_but_a_quote_rings_a_panel_that_there_is(message: FeedMessage) -> None:
    bells = bells_of(message)
    assert bool(bells) is (message.channel != Channel.QUOTES)
    assert set(bells) <= {*PANELS, f"candles:{SYMBOL}"}


def test_every_panel_is_rung_by_something() -> None:
    rung = {name for message in messages() for name in bells_of(message)} | {*bells_of(Said("link.up"))}
    assert rung >= set(PANELS)


def test_a_chart_of_a_symbol_hears_of_what_is_drawn_on_it() -> None:
    drawn = {message.type for message in messages() if f"candles:{SYMBOL}" in bells_of(message)}
    assert drawn == {"candles.closed", "orders.changed", "fills.booked", "decisions.seen"}


@pytest.mark.parametrize("change", ["link.up", "link.down", "link.resync"])
def test_a_link_that_came_went_or_lost_something_rings_for_every_panel(change: str) -> None:
    """What a bot that is gone last said must not stand there as if it were so now."""
    assert bells_of(Said(change)) == ("link", "resync")


def test_a_message_that_nobody_knows_or_that_lacks_its_parts_rings_what_it_can() -> None:
    assert bells_of(Said("weather.changed")) == ()
    assert bells_of(Said("orders.changed", {"request": "?"})) == ("orders", "positions")
    assert bells_of(Said("candles.closed", {"symbol": "A\nevent: risk"})) == ()


def test_equity_and_candles_bring_their_points_along() -> None:
    points = {message.type: point_of(message) for message in messages()}
    assert {name for name, point in points.items() if point} == {"equity.sampled", "candles.closed"}
    head, _, rest = points["equity.sampled"].partition(b"\ndata: ")
    assert head == b"event: equity"
    assert orjson.loads(rest)["equity"] == 10_000.0
    assert orjson.loads(points["candles.closed"].partition(b"\ndata: ")[2])["close"] == 1.5


@given(st.lists(st.tuples(st.integers(0, 2_000), BELL_NAMES), min_size=1, max_size=40))
def test_a_bell_rings_soon_then_at_intervals_and_once_more_when_all_is_settled(heard: list[tuple[int, str]]) -> None:
    heard = sorted(heard)
    doorbell, rings = Doorbell(), list[tuple[float, str]]()

    def until(end: float) -> None:
        while (due := doorbell.next_due()) is not None and due <= end:
            names = doorbell.ring(due)
            assert names
            rings.extend((due, name) for name in names)

    for at, name in heard:
        until(at - 1)
        doorbell.hear([name], at)
        until(at)
    until(10_000)
    assert doorbell.next_due() is None
    for name in {name for _, name in heard}:
        mine, told = [at for at, what in rings if what == name], [at for at, what in heard if what == name]
        assert mine[0] == told[0] + LEAD_MS
        assert all(later - earlier >= GAP_MS for earlier, later in pairwise(mine))
        assert all(min(ring for ring in mine if ring >= at) - at <= SETTLE_MS for at in told)
        assert told[-1] + SETTLE_MS <= mine[-1] <= told[-1] + SETTLE_MS + GAP_MS
        assert len(mine) <= 2 * len(told)


def test_one_event_rings_twice_soon_and_when_its_rows_are_surely_there() -> None:
    doorbell = Doorbell()
    doorbell.hear(["orders"], 1_000)
    assert doorbell.ring(1_000) == []
    assert doorbell.ring(1_000 + LEAD_MS) == ["orders"]
    assert doorbell.next_due() == 1_000 + SETTLE_MS
    assert doorbell.ring(1_000 + SETTLE_MS) == ["orders"]
    assert doorbell.next_due() is None


def test_a_flood_of_names_is_bounded_and_becomes_a_resync() -> None:
    doorbell = Doorbell()
    doorbell.hear([f"candles:{number}" for number in range(2_000)], 0)
    rung = doorbell.ring(LEAD_MS)
    assert len(rung) == 513
    assert "resync" in rung
