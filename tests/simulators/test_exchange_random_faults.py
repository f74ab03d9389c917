"""Faults by chance: a share that holds, drawn from the seed alone, over the real sockets."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import Any

import aiohttp
import ccxt
import pytest

from simulators.exchange.account_faults import Telling
from simulators.exchange.answer_faults import Dropped, When
from simulators.exchange.events import Event, Transferred
from simulators.exchange.faults import Clear
from simulators.exchange.random_faults import Chance, RandomFaults, Slip, Trouble
from simulators.exchange.scenarios import BadScenario, read
from simulators.exchange.server import ExchangeSimulator


def chance(fault: RandomFaults) -> Chance:
    found = Chance()
    found.apply(fault)
    return found


def an_event(number: int) -> Event:
    """Something to tell, known by its number."""
    return Transferred("key", "USDT", Decimal(number), number)


async def ask(session: aiohttp.ClientSession, path: str = "/api/v3/time") -> object:
    """What becomes of one request: its status, or that there was no answer."""
    try:
        async with session.get(path) as answer:
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, TimeoutError) as problem:
        return type(problem).__name__


def test_the_share_holds_and_every_kind_comes() -> None:
    drawing = chance(RandomFaults(share=0.05, updates=0.1, seed=3))
    for _ in range(4_000):
        drawing.request("GET", "/api/v3/order")
        drawing.update()
    wrong = sum(drawing.counts[f"random_{kind.value}"] for kind in Trouble)
    slipped = sum(drawing.counts[f"random_{slip.value}"] for slip in Slip)
    assert 150 < wrong < 250
    assert 330 < slipped < 470
    assert all(drawing.counts[f"random_{kind.value}"] for kind in (*Trouble, *Slip))


def test_the_seed_alone_decides_what_becomes_of_the_nth_request() -> None:
    def drawn(seed: int) -> list[object]:
        drawing = chance(RandomFaults(share=0.3, seed=seed))
        return [drawing.request("GET", "/api/v3/time") for _ in range(60)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_requests_that_do_not_match_go_well_and_use_nothing_up() -> None:
    drawing = chance(RandomFaults(share=1.0, path="/api/v3/order", method="POST", kinds=(Trouble.DROPPED_AFTER,)))
    assert drawing.request("GET", "/api/v3/order") is None
    assert drawing.request("POST", "/api/v3/time") is None
    assert drawing.request("POST", "/api/v3/order") == Dropped(When.AFTER)
    assert drawing.counts["random_requests"] == 1


def test_they_end_by_themselves() -> None:
    now = [0.0]
    drawing = Chance(clock=lambda: now[0])
    drawing.apply(RandomFaults(share=1.0, seconds=5.0))
    assert drawing.request("GET", "/") is not None
    assert drawing.active()
    now[0] = 5.0
    assert drawing.request("GET", "/") is None
    assert drawing.update() is None
    assert not drawing.active()


@pytest.mark.parametrize(
    ("slip", "told"),
    [(Slip.LOST, []), (Slip.REPEATED, [1, 1, 2, 2, 3, 3]), (Slip.REORDERED, [])],
)
def test_private_updates_slip(slip: Slip, told: list[int]) -> None:
    telling = Telling(chance=chance(RandomFaults(share=0.0, updates=1.0, slips=(slip,))))
    events = [event for number in (1, 2, 3) for event in telling.told(an_event(number))]
    assert events == [an_event(number) for number in told]
    late = telling.release()
    assert late == ([an_event(number) for number in (3, 2, 1)] if slip is Slip.REORDERED else [])


def test_an_update_out_of_order_comes_after_the_next_one() -> None:
    telling = Telling(chance=chance(RandomFaults(updates=1.0, slips=(Slip.REORDERED,))))
    assert telling.told(an_event(1)) == []
    assert telling.holding
    assert telling.patience > 0
    telling.chance.clear()
    assert telling.told(an_event(2)) == [an_event(2), an_event(1)]


_SEEN = {
    Trouble.DROPPED_BEFORE: "ServerDisconnectedError",
    Trouble.DROPPED_AFTER: "ServerDisconnectedError",
    Trouble.HUNG: "ServerDisconnectedError",
    Trouble.LATE: 200,
    Trouble.SLOW: 200,
    Trouble.GATEWAY_BEFORE: 503,
    Trouble.GATEWAY_AFTER: 502,
    Trouble.HTML: 200,
    Trouble.TRUNCATED: 200,
    Trouble.THROTTLED: 429,
}


@pytest.mark.parametrize("kind", Trouble)
async def test_every_kind_over_the_wire(kind: Trouble) -> None:
    fault = {"fault": "random_faults", "share": 1.0, "kinds": [kind.value], "hang": 0.05, "delay": 0.05}
    async with (
        ExchangeSimulator(symbols=["BTC/USDT"], history=60) as simulator,
        aiohttp.ClientSession(simulator.url) as session,
    ):
        async with session.post("/admin/faults", json=fault) as answer:
            assert answer.status == 200
            assert "RandomFaults" in (await answer.json())["active"][0]
        assert await ask(session) == _SEEN[kind]
        async with session.get("/admin/faults") as answer:
            counts = (await answer.json())["counts"]
        assert counts[f"random_{kind.value}"] >= 1
        simulator.inject(Clear())
        assert await ask(session) == 200


async def test_a_throttled_request_says_when_to_come_back() -> None:
    async with (
        ExchangeSimulator(symbols=["BTC/USDT"], history=60) as simulator,
        aiohttp.ClientSession(simulator.url) as session,
    ):
        simulator.inject(RandomFaults(share=1.0, kinds=(Trouble.THROTTLED,)))
        async with session.get("/api/v3/time") as answer:
            assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("kind", [Trouble.DROPPED_AFTER, Trouble.GATEWAY_AFTER, Trouble.TRUNCATED, Trouble.HTML, Trouble.HUNG])
async def test_after_means_that_the_order_lives(venue: ExchangeSimulator, trader: Any, kind: Trouble) -> None:
    venue.inject(RandomFaults(share=1.0, kinds=(kind,), method="POST", hang=0.05))
    with suppress(ccxt.BaseError):  # an unreadable answer is none to ccxt: an order without an id
        await trader.create_order("BTC/USDT", "limit", "buy", 0.01, 20_000)
    venue.inject(Clear())
    assert len(venue.engine.accounts.get("key").open) == 1  # type: ignore[union-attr]


async def test_a_late_order_lives_after_its_sender_gave_up(venue: ExchangeSimulator, trader: Any) -> None:
    venue.inject(RandomFaults(share=1.0, kinds=(Trouble.LATE,), method="POST", hang=1.2))
    with pytest.raises(Exception, match="POST"):
        await trader.create_order("BTC/USDT", "limit", "buy", 0.01, 20_000)
    account = venue.engine.accounts.get("key")
    assert account is not None
    async with asyncio.timeout(20):
        while not account.open:
            await asyncio.sleep(0.02)


async def test_an_update_that_is_held_back_is_told_in_time_though_none_follows(
    venue: ExchangeSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Event] = []
    account = venue.engine.accounts.get("key")
    assert account is not None
    monkeypatch.setattr(venue.streams, "_deliver", told.append)
    venue.inject(RandomFaults(share=0.0, updates=1.0, slips=(Slip.REORDERED,)))
    venue.engine.transfer(account, "USDT", Decimal(7), venue.venue.now())
    assert not told
    async with asyncio.timeout(20):
        while not any(isinstance(event, Transferred) for event in told):
            await asyncio.sleep(0.02)


def test_a_script_may_ask_for_chance_and_is_told_what_it_cannot_have() -> None:
    (step,) = read([{"at": 1, "fault": "random_faults", "share": 0.2, "seed": 4, "kinds": ["hung", "html"], "seconds": 9}])
    assert step.fault == RandomFaults(share=0.2, seed=4, kinds=(Trouble.HUNG, Trouble.HTML), seconds=9)
    with pytest.raises(BadScenario, match="share"):
        read([{"fault": "random_faults", "share": 2}])
    with pytest.raises(BadScenario, match="kinds"):
        read([{"fault": "random_faults", "kinds": ["nonsense"]}])


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(ValueError, match="kinds"):
        Chance().apply(RandomFaults(kinds=()))
    Chance().apply(RandomFaults(share=0.0, kinds=()))
