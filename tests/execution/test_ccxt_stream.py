"""The account's stream over real sockets: nothing that is told is lost, and what cannot be told is noticed."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from bot.core.market import Side
from bot.core.orders import OrderType
from execution.account import ReportStatus
from execution.ccxt_account import AccountConfig
from execution.ccxt_follow import AccountStream, StreamConfig
from simulators.exchange.account_faults import ListenKeyExpiry, PartialFill, UserReorder, UserRepeat, UserStall
from simulators.exchange.answer_faults import Coded, Hung, When
from simulators.exchange.faults import Clear, ClockSkew, Disconnect, Ending, Shock, Stall
from tests.execution.ccxt_rig import DIALECTS, PATIENCE, QUICK, SYMBOL, Notes, Rig, following, ordered, rig

dialects = pytest.mark.parametrize("dialect", DIALECTS)
POISON = ("{bad json", "[]", "null", "garbage", '{"e":"executionReport","s":null}', '{"arg":{"channel":"orders"},"data":[null]}')


def poison(one: Rig) -> None:
    """Send every private socket what no venue should."""
    for socket in list(one.venue.streams._sockets):
        for text in POISON:
            one.venue.streams.send_text(socket, text)


@dialects
async def test_every_order_and_trade_is_told_as_a_value(dialect: str) -> None:
    async with rig(dialect) as one, following(one.account) as notes:
        await one.account.create(one.resting("mine"))
        await one.account.create(ordered("taken"))
        await one.account.cancel(SYMBOL, "mine", None)
        await notes.until(lambda: bool(notes.of("mine")) and notes.of("mine")[-1].status is ReportStatus.CANCELLED)
        await notes.until(lambda: bool(notes.trades))
        assert [report.status for report in notes.of("mine")] == [ReportStatus.OPEN, ReportStatus.CANCELLED]
        assert notes.of("taken")[-1].filled == Decimal("0.01")
        (trade,) = notes.trades
        assert trade == (await one.account.trades(SYMBOL, 0))[0] or trade.client_id == "taken"
        assert (trade.client_id, trade.fee, trade.fee_currency) == ("taken", Decimal("0.00001"), "BTC")


@dialects
async def test_nothing_of_a_burst_is_lost(dialect: str) -> None:
    async with rig(dialect) as one, following(one.account) as notes:
        orders = [one.resting(f"o{number}") for number in range(40)]
        await asyncio.gather(*(one.account.create(order) for order in orders))
        await asyncio.gather(*(one.account.cancel(SYMBOL, order.id, None) for order in orders))
        await notes.until(lambda: sum(report.status is ReportStatus.CANCELLED for report in notes.orders) == 40)
        assert all([r.status for r in notes.of(order.id)] == [ReportStatus.OPEN, ReportStatus.CANCELLED] for order in orders)


@dialects
async def test_what_ccxt_keeps_of_the_stream_does_not_grow_with_the_orders(dialect: str) -> None:
    """A thousand orders with their messages are megabytes that nothing reads."""
    async with rig(dialect, order_limit=1_000) as one, following(one.account) as notes:
        for first in range(0, 120, 40):
            names = [f"o{number}" for number in range(first, first + 40)]
            await asyncio.gather(*(one.account.create(one.resting(name, amount="0.001")) for name in names))
        await notes.until(lambda: len({report.client_id for report in notes.orders}) == 120)
        assert 0 < len(one.account.exchange.orders) <= 100


@dialects
async def test_partial_fills_are_told_trade_by_trade(dialect: str) -> None:
    async with rig(dialect) as one, following(one.account) as notes:
        one.venue.inject(PartialFill())
        await one.account.create(ordered("part", Side.SELL, OrderType.LIMIT, "0.5", price=one.price(0.95)))
        await notes.until(lambda: sum(trade.amount for trade in notes.trades) == Decimal("0.5"))
        listed = await one.account.trades(SYMBOL, 0)
        assert [(t.id, t.amount, t.price, t.fee) for t in notes.trades] == [(t.id, t.amount, t.price, t.fee) for t in listed]
        filled = [report.filled for report in notes.of("part")]
        assert filled == sorted(filled)


@dialects
async def test_a_stop_that_is_met_tells_its_fill_under_our_id(dialect: str) -> None:
    async with rig(dialect) as one, following(one.account) as notes:
        await one.account.create(ordered("stop", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(0.9)))
        await notes.until(lambda: bool(notes.of("stop")))
        one.venue.inject(Shock(SYMBOL, 0.8))
        await notes.until(lambda: any(report.status is ReportStatus.FILLED for report in notes.of("stop")))
        assert sum(trade.amount for trade in notes.trades if trade.client_id == "stop") == Decimal("0.5")


@dialects
async def test_a_stop_that_is_cancelled_is_told_too(dialect: str) -> None:
    async with rig(dialect) as one, following(one.account) as notes:
        await one.account.create(ordered("stop", Side.SELL, OrderType.STOP, "0.5", trigger=one.price(0.9)))
        await one.account.cancel(SYMBOL, "stop", None)
        await notes.until(lambda: any(report.status is ReportStatus.CANCELLED for report in notes.of("stop")))


@dialects
@pytest.mark.parametrize("how", list(Ending))
async def test_a_connection_that_ends_is_told_and_comes_back(dialect: str, how: Ending) -> None:
    async with rig(dialect) as one, following(one.account) as notes:
        one.venue.inject(Disconnect(how, "user"))
        await notes.until(lambda: notes.connected == 2)
        assert len(notes.lost) == 1
        await one.account.create(one.resting("mine"))
        await notes.until(lambda: bool(notes.of("mine")))


@pytest.mark.parametrize(("dialect", "fault"), [("binance", UserStall()), ("binance", Stall()), ("okx", Stall())])
async def test_a_silent_stall_is_found_out_by_asking_and_ended(dialect: str, fault: Any) -> None:
    """The socket answers control frames all the while: only a question of the venue's own tells."""
    hasty = AccountConfig(stream=replace(QUICK, silence=0.3, probe=1.0))
    async with rig(dialect, config=hasty) as one, following(one.account) as notes:
        one.venue.inject(fault)
        await notes.until(lambda: len(notes.lost) == 1)
        assert "silent" in notes.lost[0]
        one.venue.inject(Clear())
        await notes.until(lambda: notes.connected == 2)
        await one.account.create(one.resting("mine"))
        await notes.until(lambda: bool(notes.of("mine")))


@dialects
async def test_a_quiet_account_is_asked_and_not_taken_for_lost(dialect: str) -> None:
    curious = AccountConfig(stream=replace(QUICK, silence=0.3))
    async with rig(dialect, config=curious) as one, following(one.account) as notes:
        async with asyncio.timeout(PATIENCE):
            while one.account.stream.counts["probes"] < 3:
                await asyncio.sleep(0.05)
        assert (notes.connected, notes.lost) == (1, [])
        assert one.account.stream.counts["poison"] == 0


@dialects
async def test_poison_ends_nothing(dialect: str) -> None:
    async with rig(dialect) as one, following(one.account) as notes:
        poison(one)
        await one.account.create(one.resting("mine"))
        await notes.until(lambda: bool(notes.of("mine")))
        assert one.account.stream.counts["poison"] > 0
        assert (notes.connected, notes.lost) == (1, [])


async def test_an_expired_subscription_is_renewed_at_once() -> None:
    """ccxt wakes no pending watcher for it."""
    patient = AccountConfig(stream=StreamConfig(silence=60.0, first_pause=0.02))
    async with rig("binance", config=patient) as one, following(one.account) as notes:
        one.venue.inject(ListenKeyExpiry())
        await notes.until(lambda: notes.connected == 2)
        assert "eventStreamTerminated" in notes.lost[0]
        await one.account.create(one.resting("mine"))
        await notes.until(lambda: bool(notes.of("mine")))


@dialects
async def test_what_is_told_twice_or_out_of_order_is_passed_on_as_it_came(dialect: str) -> None:
    async with rig(dialect) as one, following(one.account) as notes:
        one.venue.inject(UserRepeat(4))
        await one.account.create(ordered("twice"))
        await notes.until(lambda: len(notes.trades) >= 2)
        assert len({trade.id for trade in notes.trades}) == 1
        one.venue.inject(Clear())
        one.venue.inject(UserReorder(4, 0.3))
        await one.account.create(ordered("turned"))
        await notes.until(lambda: any(trade.client_id == "turned" for trade in notes.trades))
        await notes.until(lambda: any(report.status is ReportStatus.FILLED for report in notes.of("turned")))


@dialects
async def test_a_venue_that_is_down_is_tried_again_and_told_lost_once(dialect: str) -> None:
    async with rig(dialect) as one:
        notes = Notes()
        await one.venue.__aexit__(None, None, None)
        task = asyncio.create_task(one.account.follow(notes))
        try:
            async with asyncio.timeout(PATIENCE):
                while one.account.stream.counts["refused"] < 3:
                    await asyncio.sleep(0.02)
            assert (notes.connected, len(notes.lost)) == (0, 1)
            await one.venue.__aenter__()
            await notes.until(lambda: notes.connected == 1)
            await one.account.create(one.resting("mine"))
            await notes.until(lambda: bool(notes.of("mine")))
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_subscription_that_is_not_confirmed_is_not_taken_for_one() -> None:
    async with rig("binance", config=AccountConfig(stream=StreamConfig(connect=1.0, first_pause=0.02))) as one:
        one.venue.inject(Hung(When.BEFORE, "/ws-api/v3/userDataStream.subscribe.signature", "WS"))
        one.venue.inject(Coded(-1000, "no", 400, When.BEFORE, "/ws-api/v3/userDataStream.subscribe.signature", "WS"))
        async with following(one.account) as notes:
            assert (notes.connected, len(notes.lost)) == (1, 1)
            assert one.account.stream.counts["refused"] == 2


@pytest.mark.parametrize(("dialect", "skew"), [("binance", 20_000), ("okx", 90_000)])
async def test_a_stream_that_a_wrong_clock_forbids_sets_the_clock(dialect: str, skew: int) -> None:
    async with rig(dialect) as one:
        one.venue.inject(ClockSkew(skew))
        async with following(one.account) as notes:
            assert notes.connected == 1
            assert one.account.counts["clock.adjusted"] >= 1


async def test_ccxts_later_changes_of_an_order_do_not_reach_what_was_told() -> None:
    async with rig("binance") as one, following(one.account) as notes:
        one.venue.inject(PartialFill())
        await one.account.create(ordered("part", Side.SELL, OrderType.LIMIT, "0.5", price=one.price(0.95)))
        await notes.until(lambda: any(report.status is ReportStatus.FILLED for report in notes.of("part")))
        assert notes.of("part")[0].status is ReportStatus.OPEN
        assert notes.of("part")[0].filled == 0


async def test_one_stream_is_followed_by_one() -> None:
    async with rig("binance") as one, following(one.account):
        with pytest.raises(RuntimeError, match="already"):
            await one.account.follow(Notes())


@dialects
async def test_whoever_stops_following_leaves_no_socket_and_may_begin_again(dialect: str) -> None:
    async with rig(dialect) as one:
        for _ in range(2):
            async with following(one.account):
                assert one.venue.streams._sockets
            assert not one.account.exchange.clients
            async with asyncio.timeout(PATIENCE):
                while one.venue.streams._sockets:
                    await asyncio.sleep(0.01)
        gc.collect()


def test_pauses_grow_to_their_cap_and_are_shortened_by_chance() -> None:
    stream = AccountStream(None, QUICK, lambda: 0, lambda: asyncio.sleep(0, True), Random(1))
    pauses = [stream._pause(failures) for failures in range(1, 40)]
    assert all(0.01 <= pause <= QUICK.longest_pause for pause in pauses)
    assert min(pauses[5:]) >= QUICK.longest_pause / 2
    assert len(set(pauses)) > 30
