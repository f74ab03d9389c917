"""The one door: each opinion once, young, mapped and the newest, or a line that says why not."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from bot.core.decision import Decision
from sources.quantconnect.insights import Heading, Signal, Way
from sources.quantconnect.intake import Bounded
from tests.sources.quantconnect.qc_port import NOW, Port, intake


def signal(name: str, age_s: int = 10, **changed: object) -> Signal:
    given = {"way": Way.INSIGHTS, "heading": Heading.UP, "ticker": "BTCUSDT", "price": 1.0, "generated": NOW - age_s * 1_000}
    return Signal(id=name, **{**given, **changed})  # type: ignore[arg-type]


async def test_an_opinion_that_comes_on_two_routes_is_proposed_once() -> None:
    port = Port()
    door = intake(port)
    assert await door.take([signal("a")], NOW) == 1
    assert await door.take([signal("a", way=Way.WEBHOOK)]) == 0
    assert [decision.external_id for decision in port.decisions] == ["a"]
    assert door.counts["duplicate"] == 1


async def test_an_opinion_of_the_day_before_is_journaled_as_stale_and_not_traded() -> None:
    port = Port()
    door = intake(port)
    await door.take([signal("old", 90_000, closes=NOW + 9_000_000), signal("over", 60, closes=NOW - 1), signal("new", 30)])
    told = {decision.external_id: decision.evidence.get("stale") for decision in port.decisions}
    assert told == {"old": "too old", "over": "over", "new": None}
    assert all(decision.expires <= NOW for decision in port.decisions if decision.external_id != "new")


async def test_what_was_polled_and_bears_no_time_is_not_traded() -> None:
    port = Port()
    await intake(port).take([signal("a", generated=None), signal("b", generated=None, way=Way.PORTFOLIO, ticker="ETHUSDT")])
    assert [decision.external_id for decision in port.live()] == ["b"]


async def test_of_one_poll_only_the_newest_opinion_on_a_symbol_is_traded() -> None:
    port = Port()
    await intake(port).take([signal("b", 60, heading=Heading.DOWN), signal("c", 20), signal("a", 90)])
    assert [(one.external_id, one.evidence.get("stale")) for one in port.decisions] == [
        ("a", "overtaken"),
        ("b", "overtaken"),
        ("c", None),
    ]


async def test_a_slower_route_does_not_overrule_a_newer_opinion() -> None:
    port = Port()
    door = intake(port)
    await door.take([signal("pushed", 5, way=Way.WEBHOOK)])
    await door.take([signal("polled", 300, heading=Heading.DOWN)], NOW)
    assert [decision.external_id for decision in port.live()] == ["pushed"]


async def test_a_time_to_come_does_not_silence_what_comes() -> None:
    port = Port()
    door = intake(port)
    await door.take([signal("future", -86_400)])
    port.at += 1_000
    await door.take([signal("next", -1)])
    assert [decision.external_id for decision in port.live()] == ["future", "next"]


async def test_many_stale_opinions_are_counted_and_only_the_newest_journaled() -> None:
    port = Port()
    door = intake(port, stale_kept=2)
    await door.take([signal(f"s{number}", 100_000 + number) for number in range(10)])
    assert [decision.external_id for decision in port.decisions] == ["s1", "s0"]
    assert (door.counts["stale"], door.counts["stale_dropped"]) == (10, 8)


@pytest.mark.parametrize(
    ("ticker", "what", "reason"),
    [("DOTUSD", "unmapped", "DOTUSD is ambiguous"), ("XRPUSDT", "untraded", "XRP/USDT is not among the symbols of this source")],
)
async def test_a_symbol_that_cannot_be_traded_is_refused_with_one_clear_line(ticker: str, what: str, reason: str) -> None:
    port = Port()
    door = intake(port)
    with capture_logs() as lines:
        await door.take([signal("a", ticker=ticker), signal("b", ticker=ticker)])
    assert port.decisions == []
    assert door.counts[what] == 2
    assert len(lines) == 1
    assert lines[0]["reason"].startswith(reason)


async def test_without_a_price_anywhere_it_abstains_and_is_heard_again_once_there_is_one() -> None:
    port = Port()
    door = intake(port)
    await door.take([signal("a", price=None)])
    assert [abstention.reason for abstention in port.abstentions] == ["no-price"]
    port.view.prices["BTC/USDT"] = 65_000.0
    await door.take([signal("a", price=None)])
    assert [decision.price for decision in port.decisions] == [65_000.0]


async def test_what_a_cancelled_delivery_did_not_propose_may_come_again() -> None:
    class Full(Port):
        async def propose(self, decision: Decision) -> None:
            await asyncio.Event().wait()

    port = Full()
    door = intake(port)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await door.take([signal("a")])
    door._port = again = Port()
    assert await door.take([signal("a")]) == 1
    assert len(again.live()) == 1


def test_a_bounded_set_forgets_its_oldest_and_counts_it() -> None:
    held = Bounded(2)
    assert [held.add(name) for name in ("a", "b", "a", "c", "a")] == [True, True, False, True, True]
    assert held.dropped == 2
