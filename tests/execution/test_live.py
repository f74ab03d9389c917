"""The live broker against an account that answers as written, on virtual time: an order is sent once, and its fate found out."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.inputs import CancelRefused, OrderNotSent, OrderRefused, OrderUnknown
from execution.account import NotFound, NotSent, ReadFailed, Refused, ReportStatus, Unknown
from execution.live import LiveRules
from tests.execution.live_desk import Desk, V, play
from tests.execution.scripted_account import Held
from tests.execution.tracked_orders import SYMBOL, D, fills, kinds, report, trade

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
