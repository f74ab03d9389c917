"""Two orders in one step, at a venue that has them."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from bot.core.market import Side
from bot.core.orders import OrderType
from execution.account import NotFound, NotSent, Refused, ReportStatus, Unknown
from execution.ccxt_native import CcxtNative
from execution.ccxt_orders import Native
from simulators.exchange.answer_faults import Dropped, Garbage, Garbled
from simulators.exchange.faults import Shock, Status
from simulators.exchange.mischief import Fault
from tests.execution.ccxt_rig import DIALECTS, PATIENCE, SYMBOL, following, ordered, rig

OCO = "/api/v3/orderList/oco"
REPLACE = "/api/v3/order/cancelReplace"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_a_venue_watches_over_itself_is_told(dialect: str) -> None:
    async with rig(dialect) as one:
        found = one.account.natives(SYMBOL)
        assert {Native.STOP, Native.STOP_LIMIT, Native.TAKE_PROFIT} <= found
        assert ({Native.OCO, Native.CANCEL_REPLACE} <= found) is (dialect == "binance")


@pytest.mark.parametrize(("side", "stop", "target"), [(Side.SELL, 0.9, 1.1), (Side.BUY, 1.1, 0.9)])
@pytest.mark.parametrize("limited", [False, True])
async def test_a_stop_and_its_target_are_placed_as_one_under_our_ids(
    side: Side, stop: float, target: float, limited: bool
) -> None:
    async with rig("binance") as one:
        kind, price = (OrderType.STOP_LIMIT, one.price(stop)) if limited else (OrderType.STOP, None)
        below = ordered("stop", side, kind, "0.5", trigger=one.price(stop), price=price)
        above = ordered("target", side, OrderType.LIMIT, "0.5", price=one.price(target))
        stopped, taken = await one.account.create_pair(below, above)
        assert (stopped.client_id, stopped.trigger, stopped.status) == ("stop", below.trigger, ReportStatus.OPEN)
        assert (taken.client_id, taken.price, taken.amount) == ("target", above.price, Decimal("0.5"))
        assert sorted(await one.live_ids()) == ["stop", "target"]


async def test_the_fill_of_one_ends_the_other() -> None:
    async with rig("binance") as one, following(one.account) as notes:
        stop = ordered("stop", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(0.9))
        target = ordered("target", Side.SELL, OrderType.LIMIT, "0.5", price=one.price(1.1))
        await one.account.create_pair(stop, target)
        one.venue.inject(Shock(SYMBOL, 0.8))
        await notes.until(lambda: any(report.status is ReportStatus.FILLED for report in notes.of("stop")))
        await notes.until(lambda: any(report.status.ended for report in notes.of("target")))
        assert notes.of("target")[-1].filled == 0


async def test_cancelling_one_of_a_pair_tells_of_the_one_that_was_asked_for_and_ends_both() -> None:
    async with rig("binance") as one:
        stop = ordered("stop", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(0.9))
        target = ordered("target", Side.SELL, OrderType.LIMIT, "0.5", price=one.price(1.1))
        await one.account.create_pair(stop, target)
        report = await one.account.cancel(SYMBOL, "stop", None)
        assert report is not None
        assert (report.client_id, report.status) == ("stop", ReportStatus.CANCELLED)
        assert await one.live_ids() == []


async def test_a_target_may_wait_for_its_trigger() -> None:
    async with rig("binance") as one:
        stop = ordered("stop", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(0.9))
        target = ordered("target", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(1.1))
        await one.account.create_pair(stop, target)
        kinds = sorted(row["type"] for row in (await one.truth())["orders"])
        assert kinds == ["STOP_LOSS", "TAKE_PROFIT"]


async def test_a_pair_fails_like_an_order() -> None:
    async with rig("binance") as one:
        stop = ordered("stop", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(0.9))
        target = ordered("target", Side.SELL, OrderType.LIMIT, "0.5", price=one.price(1.1))
        upside_down = ordered("target", Side.SELL, OrderType.LIMIT, "0.5", price=one.price(0.8))
        with pytest.raises(Refused):
            await one.account.create_pair(stop, upside_down)
        with pytest.raises(NotSent, match="same symbol"):
            await one.account.create_pair(stop, ordered("target", Side.SELL, OrderType.LIMIT, "0.4", price=one.price(1.1)))
        with pytest.raises(NotSent, match="target is"):
            await one.account.create_pair(stop, ordered("target", Side.SELL, amount="0.5"))
        for fault in (Dropped(path=OCO), Garbled(Garbage.BRACES, path=OCO)):
            one.venue.inject(fault)
            with pytest.raises(Unknown):
                await one.account.create_pair(stop, target)
            await one.account.cancel(SYMBOL, "stop", None)
    async with rig("okx") as one:
        with pytest.raises(NotSent, match="no oco"):
            await one.account.create_pair(stop, target)


async def test_an_order_takes_the_place_of_another() -> None:
    async with rig("binance") as one:
        await one.account.create(one.resting("old"))
        replaced = await CcxtNative(one.account).cancel_replace(SYMBOL, "old", None, one.resting("new", factor=0.8))
        assert replaced.gone is not None
        assert replaced.placed is not None
        assert (replaced.gone.client_id, replaced.gone.status) == ("old", ReportStatus.CANCELLED)
        assert (replaced.placed.client_id, replaced.placed.status) == ("new", ReportStatus.OPEN)
        assert (replaced.not_gone, replaced.not_placed) == (None, None)
        assert await one.live_ids() == ["new"]


async def test_what_is_not_there_is_not_replaced() -> None:
    async with rig("binance") as one:
        replaced = await CcxtNative(one.account).cancel_replace(SYMBOL, "never", None, one.resting("new"))
        assert isinstance(replaced.not_gone, NotFound)
        assert isinstance(replaced.not_placed, NotSent)
        assert (replaced.gone, replaced.placed) == (None, None)
        assert await one.live_ids() == []


async def test_the_old_order_may_be_gone_though_the_new_one_was_refused() -> None:
    async with rig("binance") as one:
        await one.account.create(one.resting("old"))
        replaced = await CcxtNative(one.account).cancel_replace(SYMBOL, "old", None, one.resting("new", amount="50"))
        assert replaced.gone is not None
        assert replaced.gone.client_id == "old"
        assert isinstance(replaced.not_placed, Refused)
        assert (replaced.placed, replaced.not_gone) == (None, None)
        assert await one.live_ids() == []


async def test_a_lost_answer_to_a_replacement_leaves_both_halves_unknown() -> None:
    async with rig("binance") as one:
        faults: list[Fault] = [Dropped(path=REPLACE), Garbled(Garbage.TRUNCATED, path=REPLACE), Status(503, REPLACE)]
        for number, fault in enumerate(faults):
            await one.account.create(one.resting(f"old{number}"))
            one.venue.inject(fault)
            with pytest.raises(Unknown):
                await CcxtNative(one.account).cancel_replace(SYMBOL, f"old{number}", None, one.resting(f"new{number}"))
    async with rig("okx") as one:
        with pytest.raises(NotSent, match="cancel-replace"):
            await CcxtNative(one.account).cancel_replace(SYMBOL, "old", None, one.resting("new"))


async def test_a_replaced_stop_is_a_stop() -> None:
    async with rig("binance") as one:
        await one.account.create(ordered("old", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(0.9)))
        raised = ordered("new", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(0.95))
        replaced = await CcxtNative(one.account).cancel_replace(SYMBOL, "old", None, raised)
        assert replaced.placed is not None
        assert replaced.placed.trigger == raised.trigger
        async with asyncio.timeout(PATIENCE):
            (found,) = await one.account.open_orders([SYMBOL])
        assert found.client_id == "new"
