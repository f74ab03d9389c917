"""Pairs on real sockets, through ccxt and the live broker, at a venue that misbehaves: what the desk is told is what it did."""

from __future__ import annotations

import time
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.inputs import OrderClosed, OrderRefused
from bot.core.market import Side
from bot.core.orders import Leg, OrderRequest, OrderType
from execution.account import NotSent
from simulators.exchange.account_faults import PartialFill, UserStall
from simulators.exchange.answer_faults import Dropped, When
from simulators.exchange.faults import Shock
from tests.execution.ccxt_rig import SYMBOL, ordered, rig
from tests.execution.test_live_venue import Trader, trading, wall
from tests.execution.tracked_orders import fills, kinds

OCO = "/api/v3/orderList/oco"
AMOUNT = Decimal("0.5")


def pair(trader: Trader) -> tuple[OrderRequest, OrderRequest]:
    """A stop and a target a little around the market."""
    one = trader.one
    stop = ordered("stop", Side.SELL, OrderType.STOP, str(AMOUNT), trigger=one.price(0.95), leg=Leg.STOP_LOSS)
    target = ordered("target", Side.SELL, OrderType.LIMIT, str(AMOUNT), price=one.price(1.05), leg=Leg.TAKE_PROFIT)
    return replace(stop, created=wall(), reduce_only=True), replace(target, created=wall(), reduce_only=True)


async def resting(trader: Trader) -> None:
    """A pair that rests, as the desk knows."""
    trader.broker.submit_pair(*pair(trader), wall())
    await trader.told("OrderAccepted", 2)
    assert sorted(await trader.one.live_ids()) == ["stop", "target"]


def closed(trader: Trader) -> list[str]:
    return sorted(one.order_id for one in trader.said if isinstance(one, OrderClosed))


@pytest.mark.parametrize(("factor", "filled", "other"), [(0.9, "stop", "target"), (1.1, "target", "stop")])
async def test_what_trades_ends_the_other_and_both_are_told(factor: float, filled: str, other: str) -> None:
    async with trading("binance") as trader:
        await resting(trader)
        trader.one.venue.inject(Shock(SYMBOL, factor))
        await trader.until(lambda: sum(fills(trader.said, filled).values()) == AMOUNT and closed(trader) == [other])
        assert fills(trader.said, other) == {}
        assert await trader.one.live_ids() == []


async def test_what_trades_in_part_ends_the_other_too() -> None:
    async with trading("binance") as trader:
        trader.one.venue.inject(PartialFill(fraction=Decimal("0.3"), count=2))
        await resting(trader)
        trader.one.venue.inject(Shock(SYMBOL, 1.1))
        await trader.until(lambda: bool(fills(trader.said, "target")) and closed(trader) == ["stop"])


@pytest.mark.parametrize("order_id", ["stop", "target"])
async def test_cancelling_both_is_told_once_each_and_frees_what_they_locked(order_id: str) -> None:
    async with trading("binance") as trader:
        await resting(trader)
        for one in (order_id, "target" if order_id == "stop" else "stop"):
            trader.cancel(one)
        await trader.until(lambda: closed(trader) == ["stop", "target"])
        assert "CancelRefused" not in kinds(trader.said)
        assert (await trader.one.account.balances())["BTC"].locked == 0


async def test_a_pair_whose_answer_was_lost_is_found_and_not_sent_again() -> None:
    async with trading("binance") as trader:
        trader.one.venue.inject(UserStall())
        trader.one.venue.inject(Dropped(When.AFTER, OCO, "POST"))
        trader.broker.submit_pair(*pair(trader), wall())
        await trader.told("OrderAccepted", 2)
        assert kinds(trader.said).count("OrderUnknown") == 2
        assert sorted(await trader.one.live_ids()) == ["stop", "target"]


async def test_a_pair_that_never_arrived_is_known_not_to_live_and_is_not_sent_again() -> None:
    async with trading("binance") as trader:
        trader.one.venue.inject(Dropped(When.BEFORE, OCO, "POST"))
        begun = time.monotonic()
        trader.broker.submit_pair(*pair(trader), wall())
        await trader.told("OrderRefused", 2)
        assert time.monotonic() - begun >= 0.4
        assert await trader.one.live_ids() == []


async def test_a_pair_on_the_wrong_side_of_the_market_is_refused_whole() -> None:
    async with trading("binance") as trader:
        stop, target = pair(trader)
        trader.broker.submit_pair(stop, replace(target, price=trader.one.price(0.9)), wall())
        await trader.told("OrderRefused", 2)
        assert await trader.one.live_ids() == []


async def test_a_venue_without_pairs_is_sent_none() -> None:
    async with trading("okx") as trader:
        trader.broker.submit_pair(*pair(trader), wall())
        await trader.told("OrderRefused", 2)
        assert all("has no oco" in one.reason for one in trader.said if isinstance(one, OrderRefused))
        assert await trader.one.live_ids() == []


async def test_the_account_says_so_too() -> None:
    async with rig("okx") as one:
        stop = ordered("stop", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(0.95))
        with pytest.raises(NotSent):
            await one.account.create_pair(stop, ordered("target", Side.SELL, OrderType.LIMIT, "0.5", price=one.price(1.05)))
