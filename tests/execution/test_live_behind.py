"""What goes on behind the orders of a live broker, on virtual time: polls, missing trades, orders given up, start and end."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from bot.core.inputs import Closing, OrderClosed
from bot.core.orders import Order, OrderState
from execution.account import NotFound, ReadFailed, Refused, ReportStatus, Unknown
from execution.live import LiveRules
from tests.execution.live_desk import Desk, V, play
from tests.execution.scripted_account import Held
from tests.execution.tracked_orders import D, fills, kinds, report, request, trade

# The polls behind the stream.


def test_a_poll_finds_the_fill_that_a_silent_stream_did_not_tell() -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        desk.broker.on_connected()
        desk.account.always("order", report(ReportStatus.FILLED, "1", venue_id=V))
        desk.account.always("trades", (trade("t1", "1", venue_id=V),))
        await desk.told("Filled")

    play(program, run=True)


def test_absence_from_the_list_of_open_orders_concludes_nothing() -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        desk.account.always("order", report(venue_id=V))
        await asyncio.sleep(120)
        assert desk.said == []
        assert desk.account.count("order") >= 20

    play(program, run=True)


def test_an_order_that_lived_and_is_found_no_more_is_closed_after_the_grace_and_not_before() -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        began = desk.loop.time()
        await desk.told("OrderClosed")
        assert desk.loop.time() - began > 6
        assert isinstance(desk.said[0], OrderClosed)
        assert (desk.said[0].how, desk.said[0].filled) == (Closing.CANCELLED, D(0))

    play(program, run=True)


def test_an_order_missing_from_one_answer_is_not_lost() -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        desk.account.script("order", NotFound("none"))
        desk.account.always("order", report(venue_id=V))
        await asyncio.sleep(60)
        assert desk.said == []

    play(program, run=True)


def test_polls_are_faster_while_the_stream_is_lost_and_come_at_once_when_it_changes() -> None:
    async def program(desk: Desk) -> None:
        desk.account.always("open_orders", (report(venue_id=V),))
        await desk.live()
        desk.broker.on_connected()
        await asyncio.sleep(0.1)
        began, at = desk.loop.time(), desk.account.count("open_orders")
        await asyncio.sleep(20)
        assert desk.account.count("open_orders") - at == 4
        desk.broker.on_lost("silent")
        await asyncio.sleep(0.1)
        assert desk.account.times("open_orders")[-1] == pytest.approx(began + 20)
        await asyncio.sleep(10)
        assert desk.account.count("open_orders") - at == 15

    play(program, run=True)


def test_a_failed_poll_is_no_answer_and_waits_as_long_as_the_venue_wants() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("open_orders", ReadFailed("418", retry_after_ms=60_000))
        await desk.live()
        await asyncio.sleep(50)
        assert desk.account.count("open_orders") == 1
        assert desk.account.count("order") == 0
        assert desk.said == []

    play(program, run=True)


def test_missing_orders_are_asked_for_some_at_a_time_and_all_in_turn() -> None:
    async def program(desk: Desk) -> None:
        for number in range(7):
            desk.account.script("order", report(order_id=f"arb{number}", venue_id=f"v-arb{number}"))
            await desk.live(f"arb{number}")
        desk.account.always("order", ReadFailed("502"))
        desk.broker.on_connected()
        await asyncio.sleep(16)
        asked = [args[1] for at, name, args in desk.account.asked if name == "order"]
        assert {asked.count(f"arb{number}") for number in range(7)} <= {1, 2}

    play(program, LiveRules(asked_per_round=3), run=True)


def test_an_order_whose_answer_is_still_awaited_is_not_polled_for() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", Held(None))
        desk.submit()
        desk.broker.poll_now()
        await asyncio.sleep(20)
        assert desk.account.count("open_orders") == desk.account.count("order") == 0

    play(program, run=True)


# Trades that are missing.


def test_trades_that_a_report_left_out_are_fetched_once_for_all_orders_of_a_symbol() -> None:
    async def program(desk: Desk) -> None:
        await desk.live("arb1")
        await desk.live("arb2")
        desk.account.script("trades", ReadFailed("502"))
        desk.account.always("trades", (trade("t1", "1", venue_id="v-arb1"), trade("t2", "1", venue_id="v-arb2")))
        desk.broker.on_order(report(ReportStatus.FILLED, "1", "arb1", "v-arb1"))
        desk.broker.on_order(report(ReportStatus.FILLED, "1", "arb2", "v-arb2"))
        await desk.told("Filled", "Filled")
        assert desk.account.times("trades") == [pytest.approx(0.52, abs=0.02), pytest.approx(1.52, abs=0.02)]

    play(program)


def test_trades_that_come_by_themselves_are_not_asked_for() -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        desk.broker.on_order(report(ReportStatus.FILLED, "1", venue_id=V))
        desk.broker.on_trade(trade("t1", "1", venue_id=V))
        await asyncio.sleep(10)
        assert desk.account.count("trades") == 0

    play(program)


def test_what_the_venue_will_not_list_is_told_as_a_synthetic_fill_and_never_doubled() -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        desk.account.always("trades", ReadFailed("maintenance"))
        desk.broker.on_order(report(ReportStatus.FILLED, "1", venue_id=V, price=D("99.5")))
        began = desk.loop.time()
        await desk.told("Filled")
        assert desk.loop.time() - began == pytest.approx(30, abs=0.1)
        assert fills(desk.said) == {"synthetic:arb1:0:1": D(1)}
        desk.broker.on_trade(trade("t1", "1", venue_id=V))
        await asyncio.sleep(60)
        assert kinds(desk.said) == ["Filled"]

    play(program)


def test_an_order_that_goes_on_filling_has_the_whole_time_for_each_of_its_trades() -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        for number in range(1, 10):
            desk.broker.on_order(report(filled=Decimal(number) / 10, venue_id=V))
            await asyncio.sleep(5)
            if number > 1:
                desk.broker.on_trade(trade(f"t{number}", "0.1", venue_id=V))
        assert "synthetic" not in str(fills(desk.said))
        await desk.until(lambda: "synthetic:arb1:0.8:0.9" in fills(desk.said))

    play(program)


# Orders that were given up, and those of others.


def test_an_order_that_was_given_up_and_lives_is_cancelled_until_it_does_not() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", Unknown("timeout"))
        desk.submit()
        await desk.told("OrderUnknown", "OrderRefused")
        desk.account.script("cancel", Unknown("timeout"), report(ReportStatus.CANCELLED, venue_id=V))
        desk.account.script("order", report(venue_id=V), report(ReportStatus.CANCELLED, venue_id=V))
        desk.broker.on_order(report(venue_id=V))
        desk.broker.on_order(report(venue_id=V))
        await desk.until(lambda: desk.account.count("cancel") == 2)
        await asyncio.sleep(60)
        assert desk.account.count("cancel") == 2
        assert len(desk.notices) == 1
        assert "given up" in desk.notices[0]
        assert kinds(desk.said) == ["OrderUnknown", "OrderRefused"]

    play(program)


def test_a_symbol_whose_order_was_given_up_is_watched_for_a_while() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", Unknown("timeout"))
        desk.submit()
        await desk.told("OrderUnknown", "OrderRefused")
        desk.account.script("open_orders", (), (report(venue_id=V),))
        desk.account.always("cancel", report(ReportStatus.CANCELLED, venue_id=V))
        await desk.until(lambda: desk.account.count("cancel") == 1)
        await asyncio.sleep(120)
        polled = desk.account.count("open_orders")
        await asyncio.sleep(120)
        assert desk.account.count("open_orders") == polled

    play(program, run=True)


def test_what_trades_of_an_order_that_was_given_up_is_told_all_the_same() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", Refused("no"))
        desk.account.always("trades", (trade("t1", "0.5", venue_id=V),))
        desk.submit()
        await desk.told("OrderRefused")
        desk.broker.on_order(report(ReportStatus.CANCELLED, "0.5", venue_id=V))
        await desk.told("OrderRefused", "Filled")

    play(program)


def test_orders_and_trades_of_others_are_handed_on_and_nothing_is_told_of_them() -> None:
    async def program(desk: Desk) -> None:
        strange, sold = report(order_id="human", venue_id="v7"), trade("t7", "1", venue_id="v7")
        desk.broker.on_order(strange)
        desk.broker.on_trade(sold)
        assert desk.foreign == [strange, sold]
        assert desk.said == []

    play(program)


def test_a_trade_that_waited_for_its_order_is_handed_on_once_it_is_known_to_be_anothers() -> None:
    async def program(desk: Desk) -> None:
        held = Held(report(venue_id=V))
        desk.account.script("create", held)
        desk.submit()
        sold = trade("t7", "1", venue_id="v7")
        desk.broker.on_trade(sold)
        assert desk.foreign == []
        held.release.set()
        await desk.until(lambda: desk.foreign == [sold])

    play(program, run=True)


# Start, stream and end.


def test_a_restart_asks_for_what_the_journal_left_open_and_sends_nothing_again() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("order", report(ReportStatus.CANCELLED, "0.3", venue_id=V))
        desk.account.always("trades", (trade("t1", "0.1", venue_id=V), trade("t2", "0.2", venue_id=V)))
        sent = Order(request(), OrderState.SENT, filled=D("0.1"), fill_ids={"t1": None})
        done = Order(request("arb0"), OrderState.FILLED)
        desk.broker.adopt([sent, done])
        await desk.told("OrderAccepted", "OrderClosed", "Filled")
        assert fills(desk.said) == {"t2": D("0.2")}
        assert desk.account.count("create") == 0

    play(program)


def test_a_restart_repeats_the_cancel_that_was_wanted() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("cancel", report(ReportStatus.CANCELLED, venue_id=V))
        desk.broker.adopt([Order(request(), OrderState.OPEN, V, cancelling=True)])
        await desk.told("OrderClosed")

    play(program)


def test_a_stream_that_ends_or_fails_is_followed_again() -> None:
    async def program(desk: Desk) -> None:
        await desk.until(lambda: desk.account.count("follow") == 3)
        assert desk.broker.stats["stream_lost"] == 2
        assert not desk.broker.stream_up

    async def scripted(desk: Desk) -> None:
        desk.account.script("follow", None, OSError("gone"))
        await program(desk)

    play(scripted, run=True)


def test_closing_waits_a_moment_for_the_answer_and_begins_nothing_more() -> None:
    async def program(desk: Desk) -> None:
        held = Held(report(venue_id=V))
        desk.account.script("create", held, Held(None))
        desk.submit("arb1")
        desk.submit("arb2")
        desk.loop.call_later(1, held.release.set)
        await asyncio.sleep(0)
        began = desk.loop.time()
        await desk.broker.close(2)
        assert desk.loop.time() - began == pytest.approx(2)
        assert kinds(desk.said) == ["OrderAccepted"]
        desk.submit("arb3")
        # Not refused: a decision that could not leave any more is left to the next start.
        assert kinds(desk.said) == ["OrderAccepted", "OrderNotSent"]
        assert desk.account.count("create") == 2

    play(program)
