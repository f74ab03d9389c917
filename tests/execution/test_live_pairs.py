"""A stop and a target in one request through the live broker: sent once, and each found out about by itself."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.inputs import OrderClosed, OrderNotSent, OrderRefused
from bot.core.market import Side
from bot.core.orders import Leg, OrderRequest, OrderType
from execution.account import NotFound, NotSent, OrderReport, ReadFailed, Refused, ReportStatus, Unknown
from execution.live import LiveRules
from tests.execution.live_desk import Desk, play
from tests.execution.scripted_account import Held
from tests.execution.tracked_orders import SYMBOL, D, kinds, report, request

STOP, TARGET = "stop", "target"


def pair() -> tuple[OrderRequest, OrderRequest]:
    """A stop and a target that sell one."""
    stop = request(STOP, side=Side.SELL, type=OrderType.STOP, leg=Leg.STOP_LOSS, price=None, trigger=D(90), reduce_only=True)
    return stop, request(TARGET, side=Side.SELL, leg=Leg.TAKE_PROFIT, price=D(110), reduce_only=True)


def submit(desk: Desk) -> None:
    desk.broker.submit_pair(*pair(), desk.loop.now())


def about(desk: Desk, order_id: str) -> list[str]:
    """What was told of one of them."""
    return kinds([one for one in desk.said if getattr(one, "order_id", "") == order_id])


def asked(desk: Desk, call: str) -> list[str]:
    """Of which of them this was asked."""
    return [args[1] for _, name, args in desk.account.asked if name == call]


def test_a_pair_that_the_venue_takes_is_accepted_in_one_request() -> None:
    async def program(desk: Desk) -> None:
        submit(desk)
        await desk.told("OrderAccepted", "OrderAccepted")
        assert [args for _, name, args in desk.account.asked if name == "create_pair"] == [pair()]
        assert desk.account.count("create") == 0

    play(program)


@pytest.mark.parametrize(
    ("failure", "kind", "reason"),
    [
        (Refused("no funds"), OrderRefused, "no funds"),
        (NotSent("no oco here"), OrderRefused, "not sent: no oco here"),
        (NotSent("budget spent", 700), OrderNotSent, "not sent: budget spent"),
    ],
)
def test_the_outcome_of_a_pair_is_that_of_both(failure: Exception, kind: type[OrderRefused | OrderNotSent], reason: str) -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create_pair", failure)
        submit(desk)
        await desk.told(kind.__name__, kind.__name__)
        await asyncio.sleep(60)
        told = [one for one in desk.said if isinstance(one, OrderRefused | OrderNotSent)]
        assert [(one.order_id, one.reason) for one in told] == [(STOP, reason), (TARGET, reason)]
        assert len(desk.account.asked) == 1

    play(program)


def test_a_lost_answer_never_sends_a_pair_twice_and_either_is_asked_for() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create_pair", Unknown("timeout"))
        desk.account.always("order", ReadFailed("502"))
        submit(desk)
        await desk.until(lambda: len(asked(desk, "order")) >= 4)
        assert kinds(desk.said) == ["OrderUnknown", "OrderUnknown"]
        assert set(asked(desk, "order")) == {STOP, TARGET}
        for order_id in (TARGET, STOP):
            desk.broker.on_order(report(order_id=order_id, venue_id=f"v-{order_id}"))
        assert about(desk, STOP) == about(desk, TARGET) == ["OrderUnknown", "OrderAccepted"]
        await asyncio.sleep(60)
        assert desk.account.count("create_pair") == 1

    play(program)


def test_a_pair_that_the_venue_denies_is_lost_only_after_the_grace() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create_pair", Unknown("timeout"))
        begun = desk.loop.time()
        submit(desk)
        await desk.until(lambda: kinds(desk.said).count("OrderRefused") == 2)
        assert desk.loop.time() - begun >= 6.0
        assert about(desk, STOP) == about(desk, TARGET) == ["OrderUnknown", "OrderRefused"]

    play(program, LiveRules(grace_ms=6_000))


def test_what_the_stream_told_of_one_stands_when_the_answer_is_lost() -> None:
    async def program(desk: Desk) -> None:
        held = Held(Unknown("timeout"))
        desk.account.script("create_pair", held)
        submit(desk)
        await asyncio.sleep(0.1)
        desk.broker.on_order(report(order_id=STOP, venue_id="v-stop"))
        held.release.set()
        await desk.until(lambda: "OrderUnknown" in kinds(desk.said))
        assert about(desk, STOP) == ["OrderAccepted"]
        assert about(desk, TARGET) == ["OrderUnknown"]

    play(program)


@pytest.mark.parametrize("order_id", [STOP, TARGET])
def test_a_cancel_of_either_waits_for_the_answer_to_the_pair(order_id: str) -> None:
    async def program(desk: Desk) -> None:
        held = Held((report(order_id=STOP, venue_id="v1"), report(order_id=TARGET, venue_id="v2")))
        desk.account.script("create_pair", held)
        ended = report(ReportStatus.CANCELLED, order_id=order_id, venue_id="v1" if order_id == STOP else "v2")
        desk.account.script("cancel", ended)
        submit(desk)
        desk.cancel(order_id)
        await asyncio.sleep(5)
        assert asked(desk, "cancel") == []
        held.release.set()
        await desk.until(lambda: "OrderClosed" in kinds(desk.said))
        assert about(desk, order_id) == ["OrderAccepted", "OrderClosed"]

    play(program)


def test_the_cancel_of_one_whose_partner_took_it_along_is_told_as_its_end() -> None:
    async def program(desk: Desk) -> None:
        ends = {
            order_id: report(ReportStatus.CANCELLED, order_id=order_id, venue_id=f"v-{order_id}") for order_id in (STOP, TARGET)
        }
        submit(desk)
        await desk.told("OrderAccepted", "OrderAccepted")
        desk.account.script("cancel", ends[STOP], NotFound("it is over"))
        desk.account.script("order", ends[TARGET])
        desk.cancel(STOP)
        desk.cancel(TARGET)
        await desk.until(lambda: kinds(desk.said).count("OrderClosed") == 2)
        assert sorted(one.order_id for one in desk.said if isinstance(one, OrderClosed)) == [STOP, TARGET]
        assert "CancelRefused" not in kinds(desk.said)

    play(program)


def test_a_pair_handed_over_twice_is_sent_once_and_said() -> None:
    async def program(desk: Desk) -> None:
        submit(desk)
        submit(desk)
        await desk.told("OrderAccepted", "OrderAccepted")
        assert desk.account.count("create_pair") == 1
        assert desk.broker.stats["submitted_twice"] == 1

    play(program)


def test_a_pair_for_which_there_is_no_room_stays_here_whole() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create_pair", Held((report(order_id=STOP), report(order_id=TARGET))))
        desk.submit("arb1")
        submit(desk)
        assert kinds(desk.said) == ["OrderNotSent", "OrderNotSent"]
        assert desk.account.count("create_pair") == 0

    play(program, LiveRules(errands=1))


def test_a_pair_given_up_that_lives_after_all_is_cancelled() -> None:
    async def program(desk: Desk) -> None:
        desk.account.script("create_pair", Unknown("timeout"))
        submit(desk)
        await desk.until(lambda: kinds(desk.said).count("OrderRefused") == 2)
        for order_id in (STOP, TARGET):
            desk.broker.on_order(report(order_id=order_id, venue_id=f"v-{order_id}"))
        await desk.until(lambda: set(asked(desk, "cancel")) == {STOP, TARGET})
        assert len(desk.notices) == 2

    play(program)


def test_reports_of_a_pair_name_orders_by_our_ids_also_where_the_venue_does_not() -> None:
    async def program(desk: Desk) -> None:
        nameless = tuple(OrderReport(f"v{number}", None, SYMBOL, ReportStatus.UNSAID, 0) for number in (1, 2))
        desk.account.script("create_pair", nameless)
        submit(desk)
        await desk.told("OrderAccepted", "OrderAccepted")
        assert [desk.orders.of_venue(SYMBOL, f"v{number}") for number in (1, 2)] == [desk.orders.of(STOP), desk.orders.of(TARGET)]

    play(program)
