"""Promises of pairs on paper: one cancels the other, one lock serves both, and a restart changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.inputs import Closing, Filled, OrderAccepted, OrderClosed, OrderRefused
from bot.core.market import Side
from bot.core.matching import FillModel
from bot.core.orders import Leg, OrderRequest, OrderType
from execution.paper_account import Balance
from tests.execution.paper_world import SYMBOL, World, order

D = Decimal


def pair(amount: str = "2", stop: str = "90.00", target: str = "110.00") -> tuple[OrderRequest, OrderRequest]:
    """A stop and a target that sell."""
    first = order(Side.SELL, amount, 1, id_="stop", trigger=stop)
    second = order(Side.SELL, amount, 1, id_="target", price=target)
    return replace(first, leg=Leg.STOP_LOSS, reduce_only=True), replace(second, leg=Leg.TAKE_PROFIT, reduce_only=True)


def holding() -> World:
    """A world at 100 whose account holds two, and has sent a pair for them."""
    world = World(btc="2")
    world.quote(1, 99.9, 100.1)
    world.broker.submit_pair(*pair(), 1_000)
    return world


def base(world: World) -> Balance:
    """What the account holds of the base currency."""
    return world.broker.balances()["BTC"]


def ends(world: World) -> list[tuple[str, Closing, Decimal]]:
    """How orders ended that did not fill whole."""
    return [(said.order_id, said.how, said.filled) for said in world.said if isinstance(said, OrderClosed)]


def test_a_pair_is_accepted_whole_and_locks_what_it_sells_once() -> None:
    world = holding()
    assert [said.order_id for said in world.said if isinstance(said, OrderAccepted)] == ["stop", "target"]
    assert base(world) == Balance(D(0), D(2))


@pytest.mark.parametrize(("bid", "filled", "other"), [(85.0, "stop", "target"), (111.0, "target", "stop")])
def test_what_fills_cancels_the_other_first(bid: float, filled: str, other: str) -> None:
    world = holding()
    world.quote(2_000, bid, bid + 0.2)
    assert ends(world) == [(other, Closing.EXPIRED, D(0))]
    assert [(fill.order_id, fill.amount) for fill in world.fills[-1:]] == [(filled, D(2))]
    assert [type(said) for said in world.said[-2:]] == [OrderClosed, Filled]
    assert base(world) == Balance(D(0), D(0))
    assert world.broker.open_orders() == ()


def test_what_fills_in_part_cancels_the_other_too_and_keeps_the_lock_of_the_rest() -> None:
    world = holding()
    world.quote(2_000, 111.0, 111.2, bid_size=0.5)
    assert ends(world) == [("stop", Closing.EXPIRED, D(0))]
    assert base(world) == Balance(D(0), D("1.5"))
    world.quote(3_000, 80.0, 80.2)
    assert [one.request.id for one in world.broker.open_orders()] == ["target"]
    world.broker.cancel("target", SYMBOL, 4_000)
    assert base(world) == Balance(D("1.5"), D(0))


@pytest.mark.parametrize("which", [0, 1])
def test_cancelling_one_cancels_both_and_frees_the_lock(which: int) -> None:
    world = holding()
    cancelled = ("stop", "target")[which]
    world.broker.cancel(cancelled, SYMBOL, 2_000)
    assert ends(world) == [(cancelled, Closing.CANCELLED, D(0)), (("target", "stop")[which], Closing.CANCELLED, D(0))]
    assert base(world) == Balance(D(2), D(0))


def test_when_one_stretch_reached_both_the_stop_came_first() -> None:
    world = holding()
    world.swept(2_000, 100.0, 100.2, 89.0, 111.0)
    assert [fill.order_id for fill in world.fills[-1:]] == ["stop"]


@pytest.mark.parametrize(
    "wrong",
    [
        pair("3"),
        pair("0.000000001"),
        pair(stop="90.001"),
        pair(target="110.001"),
        (pair()[0], replace(pair()[1], type=OrderType.LIMIT, price=None)),
    ],
)
def test_a_pair_is_refused_whole(wrong: tuple[OrderRequest, OrderRequest]) -> None:
    world = World(btc="2")
    world.quote(1, 99.9, 100.1)
    world.broker.submit_pair(*wrong, 2)
    assert [said.order_id for said in world.said if isinstance(said, OrderRefused)] == [
        "stop", "target",
    ]  # fmt: skip
    assert base(world) == Balance(D(2), D(0))


def test_an_id_of_a_pair_may_be_used_once() -> None:
    world = holding()
    world.said.clear()
    world.broker.submit_pair(*pair(), 2_000)
    assert [type(said) for said in world.said] == [OrderRefused] * 2
    assert len(world.broker.open_orders()) == 2


def test_a_pair_travels_as_one_and_a_restart_forgets_neither_it_nor_who_cancels_whom() -> None:
    world = World(FillModel(latency_ms=100), btc="2")
    world.quote(1, 99.9, 100.1)
    world.broker.submit_pair(*pair(), 200)
    for wait in (0, 100):
        world.broker.wake(200 + wait)
        again = World(FillModel(latency_ms=100))
        again.broker.restore(json.loads(json.dumps(world.broker.snapshot())))
        assert again.broker.next_due() == (None if wait else 300)
        world.broker.submit_pair(*pair(), 200)
        again.quote(300, 99.9, 100.1)
        assert len(again.broker.open_orders()) == 2
        again.quote(400, 111.0, 111.2)
        assert again.broker.open_orders() == ()
        assert base(again) == Balance(D(0), D(0))
