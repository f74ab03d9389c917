"""The live broker against an account that answers as written, on virtual time: an order is sent once, and its fate found out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from bot.core.inputs import CancelRefused, Closing, Input, OrderAccepted, OrderClosed, OrderNotSent, OrderRefused, OrderUnknown
from bot.core.orders import Order, OrderState
from bot.drill.virtual.loop import VirtualLoop, run_virtual
from execution.account import NotFound, NotSent, OrderReport, ReadFailed, Refused, ReportStatus, TradeReport, Unknown
from execution.live import LiveBroker, LiveRules
from execution.tracked import TrackedOrders
from tests.execution.scripted_account import Held, ScriptedAccount
from tests.execution.tracked_orders import SYMBOL, D, fills, kinds, report, request, trade

Program = Callable[["Desk"], Awaitable[None]]
V = "v-arb1"


class Desk:
    """A live broker with nobody behind it, and everything that was heard of it."""

    def __init__(self, loop: VirtualLoop, rules: LiveRules | None = None) -> None:
        self.loop = loop
        self.said: list[Input] = []
        self.notices: list[str] = []
        self.foreign: list[OrderReport | TradeReport] = []
        self.account = ScriptedAccount(loop.time)
        self.orders = TrackedOrders(self.said.append, loop.now)
        self.broker = LiveBroker(
            self.account,
            self.orders,
            self.said.append,
            loop.now,
            rules,
            notice=self.notices.append,
            foreign=self.foreign.append,
        )

    def submit(self, order_id: str = "arb1", **changes: Any) -> None:
        self.broker.submit(request(order_id, created=self.loop.now(), **changes), self.loop.now())

    def cancel(self, order_id: str = "arb1") -> None:
        self.broker.cancel(order_id, SYMBOL, self.loop.now())

    async def live(self, order_id: str = "arb1") -> None:
        """An order that the venue has, told by its answer."""
        self.submit(order_id)
        await self.until(lambda: any(isinstance(one, OrderAccepted) and one.order_id == order_id for one in self.said))
        self.said.clear()

    async def until(self, condition: Callable[[], bool], seconds: float = 600) -> None:
        """Let time pass until the condition holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)

    async def told(self, *names: str) -> None:
        """Wait until exactly these have been told, in this order."""
        await self.until(lambda: len(self.said) >= len(names))
        assert kinds(self.said) == list(names)


def play(program: Program, rules: LiveRules | None = None, *, run: bool = False) -> Desk:
    """Run a test's program on virtual time, with the broker's own run beside it if wanted; then close the broker."""

    async def main(loop: VirtualLoop) -> Desk:
        desk = Desk(loop, rules)
        running = asyncio.create_task(desk.broker.run()) if run else None
        try:
            await program(desk)
        finally:
            if running is not None:
                running.cancel()
                await asyncio.wait({running})
            await desk.broker.close(0)
        assert len(asyncio.all_tasks()) == 1, "the broker left a task behind"
        assert desk.broker.stats["errands_failed"] == 0
        return desk

    return run_virtual(main)


# What a submit can come to.


def test_an_order_that_the_venue_takes_is_accepted() -> None:
    async def program(desk: Desk) -> None:
        desk.submit()
        assert desk.said == []
        await desk.told("OrderAccepted")

    play(program)


@pytest.mark.parametrize(
    ("failure", "reason"), [(Refused("no funds"), "no funds"), (NotSent("budget spent"), "not sent: budget spent")]
)
def test_an_order_that_never_lived_is_refused_and_never_asked_for(failure: Exception, reason: str) -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", failure)
        desk.submit()
        await desk.told("OrderRefused")
        await asyncio.sleep(60)
        assert isinstance(desk.said[0], OrderRefused)
        assert desk.said[0].reason == reason
        assert len(desk.account.asked) == 1

    play(program)


def test_an_order_that_may_be_sent_later_is_not_called_refused() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", NotSent("budget spent", 700))
        desk.submit()
        await desk.told("OrderNotSent")
        assert isinstance(desk.said[0], OrderNotSent)
        assert (desk.said[0].reason, desk.said[0].again_ms) == ("not sent: budget spent", 700)
        assert desk.orders.live() == []

    play(program)


def test_a_lost_answer_never_orders_twice_and_is_resolved_by_asking() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", Unknown("timeout"))
        desk.account.script("order", NotFound("none"), ReadFailed("502"), report(venue_id=V))
        desk.submit()
        await desk.told("OrderUnknown", "OrderAccepted")
        assert desk.account.count("create") == 1
        assert desk.account.times("order") == pytest.approx([0.5, 1.0, 2.0])
        assert {args for _, name, args in desk.account.asked if name == "order"} == {(SYMBOL, "arb1", None)}

    play(program)


def test_an_order_that_the_venue_denies_is_lost_only_after_the_grace_and_a_look_at_the_trades() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", Unknown("timeout"))
        desk.submit()
        await desk.told("OrderUnknown", "OrderRefused")
        assert desk.account.times("order") == pytest.approx([0.5, 1.0, 2.0, 4.0, 6.0])
        assert desk.account.times("trades") == pytest.approx([6.0])
        assert isinstance(desk.said[0], OrderUnknown)
        assert desk.account.count("create") == 1

    play(program)


def test_failed_questions_are_never_taken_for_an_answer_however_long_they_last() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", Unknown("timeout"))
        desk.account.always("order", ReadFailed("maintenance", retry_after_ms=45_000))
        desk.submit()
        await asyncio.sleep(3_600)
        assert kinds(desk.said) == ["OrderUnknown"]
        assert 75 <= desk.account.count("order") <= 85
        desk.account.always("order", report(ReportStatus.CANCELLED, venue_id=V))
        await desk.told("OrderUnknown", "OrderAccepted", "OrderClosed")

    play(program)


def test_an_order_is_not_lost_while_its_trades_cannot_be_looked_through() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", Unknown("timeout"))
        desk.account.always("trades", ReadFailed("502"))
        desk.submit()
        await asyncio.sleep(300)
        assert kinds(desk.said) == ["OrderUnknown"]
        desk.account.always("trades", ())
        await desk.told("OrderUnknown", "OrderRefused")

    play(program)


def test_an_order_that_is_denied_but_traded_is_not_lost() -> None:
    async def program(desk: Desk) -> None:
        mine = trade("t1", "0.4", venue_id=V)

        desk.account.script("create", Unknown("timeout"))
        desk.account.always("trades", (mine, trade("t0", "9", venue_id="v0")))
        desk.account.script("order", *[NotFound("none")] * 5, report(filled="9", order_id="other", venue_id="v0"))
        desk.account.script("order", report(filled="0.4", venue_id=V))
        desk.submit()
        await desk.told("OrderUnknown", "OrderAccepted", "Filled")
        assert fills(desk.said) == {"t1": D("0.4")}
        asked = [args for _, name, args in desk.account.asked if name == "order"]
        assert (SYMBOL, None, "v0") in asked or (SYMBOL, None, V) in asked

    play(program)


def test_the_stream_may_resolve_a_doubt_before_the_question_does() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", Unknown("timeout"))
        desk.submit()
        await desk.told("OrderUnknown")
        desk.broker.on_order(report(venue_id=V))
        await desk.told("OrderUnknown", "OrderAccepted")
        await asyncio.sleep(120)
        assert desk.account.count("order") == 0

    play(program)


def test_an_answer_that_is_lost_after_the_stream_told_of_the_order_leaves_no_doubt() -> None:
    async def program(desk: Desk) -> None:
        held = Held(Unknown("timeout"))
        desk.account.script("create", held)
        desk.submit()
        await desk.until(lambda: desk.account.count("create") == 1)
        desk.broker.on_trade(trade("t1", "1", "arb1", V))
        held.release.set()
        await asyncio.sleep(60)
        assert kinds(desk.said) == ["OrderAccepted", "Filled"]

    play(program)


def test_an_account_that_never_answers_and_one_that_breaks_its_promise_leave_the_order_unknown() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", Held(None), KeyError("secret"))
        desk.submit()
        desk.submit("arb2")
        await desk.until(lambda: kinds(desk.said).count("OrderUnknown") == 2)
        assert {(one.order_id, one.reason) for one in desk.said if isinstance(one, OrderUnknown)} == {
            ("arb1", "no answer to create within 30 s"),
            ("arb2", "create raised KeyError"),
        }
        assert desk.broker.stats["surprises"] == 1

    play(program)


def test_an_order_handed_over_twice_is_sent_once() -> None:
    async def program(desk: Desk) -> None:
        desk.submit()
        desk.submit()
        await asyncio.sleep(1)
        assert desk.account.count("create") == 1
        assert kinds(desk.said) == ["OrderAccepted"]
        assert desk.broker.stats["submitted_twice"] == 1

    play(program)


def test_beyond_its_bound_the_broker_sends_nothing_rather_than_piles_up() -> None:
    async def program(desk: Desk) -> None:
        desk.account.always("create", Held(None))
        for number in range(3):
            desk.submit(f"arb{number}")
        await desk.told("OrderNotSent")
        assert desk.account.count("create") <= 2
        assert desk.broker.stats["errands_overflowed"] == 1

    play(program, LiveRules(errands=2))


# What a cancel can come to.


def test_a_cancel_waits_for_the_answer_to_its_submit() -> None:
    async def program(desk: Desk) -> None:
        held = Held(report(venue_id=V))
        desk.account.script("create", held)
        desk.account.script("cancel", report(ReportStatus.CANCELLED, venue_id=V))
        desk.submit()
        desk.cancel()
        await asyncio.sleep(5)
        assert desk.account.count("cancel") == 0
        held.release.set()
        await desk.told("OrderAccepted", "OrderClosed")
        assert desk.account.asked[-1][2] == (SYMBOL, "arb1", V)

    play(program)


def test_a_confirmed_cancel_that_says_no_more_is_followed_by_a_question() -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        desk.account.script("order", report(venue_id=V), report(ReportStatus.CANCELLED, "0.2", venue_id=V))
        desk.account.always("trades", (trade("t1", "0.2", venue_id=V),))
        desk.cancel()
        await desk.told("OrderClosed", "Filled")

    play(program)


@pytest.mark.parametrize("failure", [Refused("busy"), NotSent("budget")])
def test_a_cancel_that_was_refused_is_told_so(failure: Exception) -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        desk.account.script("cancel", failure)
        desk.cancel()
        await desk.told("CancelRefused")
        assert desk.account.count("order") == 0

    play(program)


@pytest.mark.parametrize("failure", [Unknown("timeout"), NotFound("unknown order")])
def test_a_cancel_whose_answer_was_lost_is_known_by_asking(failure: Exception) -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        desk.account.script("cancel", failure)
        desk.account.script("order", report(ReportStatus.CANCELLED, venue_id=V))
        desk.cancel()
        await desk.told("OrderClosed")
        assert desk.account.count("cancel") == 1

    play(program)


def test_an_order_still_open_after_a_lost_cancel_is_handed_back_to_be_cancelled_again() -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        desk.account.script("cancel", Unknown("timeout"), report(ReportStatus.CANCELLED, venue_id=V))
        desk.account.script("order", report(venue_id=V))
        desk.cancel()
        await desk.told("CancelRefused")
        assert desk.account.count("order") == 1
        desk.cancel()
        await desk.told("CancelRefused", "OrderClosed")

    play(program)


def test_a_cancel_that_the_venue_beat_with_a_fill_ends_with_the_fill() -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        desk.account.script("cancel", NotFound("unknown order"))
        desk.account.script("order", report(ReportStatus.FILLED, "1", venue_id=V, trades=(trade("t1", "1", "arb1", V),)))
        desk.cancel()
        await desk.told("Filled")
        await asyncio.sleep(60)
        assert kinds(desk.said) == ["Filled"]

    play(program)


def test_a_cancel_of_an_unknown_order_leaves_its_fate_to_the_resolution() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create", Unknown("timeout"))
        desk.account.script("cancel", NotFound("unknown order"))
        desk.submit()
        desk.cancel()
        await desk.told("OrderUnknown", "CancelRefused")
        await desk.told("OrderUnknown", "CancelRefused", "OrderRefused")
        assert desk.loop.time() >= 6

    play(program)


def test_a_cancel_that_nobody_can_tell_of_is_given_back_in_time() -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        desk.account.script("cancel", Unknown("timeout"))
        desk.account.always("order", ReadFailed("502"))
        desk.cancel()
        await desk.told("CancelRefused")
        assert desk.account.count("order") == desk.broker.rules.cancel_queries

    play(program)


def test_one_cancel_at_a_time_is_under_way() -> None:
    async def program(desk: Desk) -> None:
        await desk.live()
        held = Held(report(ReportStatus.CANCELLED, venue_id=V))
        desk.account.script("cancel", held)
        desk.cancel()
        desk.cancel()
        await asyncio.sleep(1)
        held.release.set()
        await desk.told("OrderClosed")
        assert desk.account.count("cancel") == 1

    play(program)


def test_a_cancel_of_an_order_that_nobody_knows_is_refused() -> None:
    async def program(desk: Desk) -> None:
        desk.cancel("stranger")
        assert isinstance(desk.said[0], CancelRefused)

    play(program)


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
