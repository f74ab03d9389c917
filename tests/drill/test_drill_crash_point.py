"""Crash points: where they strike, how often they let pass, and where they are refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.app.crash_point import CrashPoint, CrashPoints, CrashRefused, crash_points
from bot.core.decision import Tier
from bot.core.inputs import Filled, Input, OrderAccepted
from bot.core.market import Side
from bot.core.orders import Fill, Leg, OrderRequest, OrderType
from execution.account import OrderReport, ReportStatus

LOOPBACK = ("http://127.0.0.1:1/api/v3", "ws://localhost:1/stream/ws", "http://[::1]:9/")


class Killed(BaseException):
    """Instead of a signal that would end the tests."""


def die() -> None:
    raise Killed


def a_request() -> OrderRequest:
    return OrderRequest(
        "arb1", "BTC/USDT", Side.BUY, OrderType.MARKET, Decimal(1), Leg.ENTRY, "c", 1, "s", Tier.LLM, 1.0, 100.0, 0
    )  # fmt: skip


def a_fill(name: str, amount: str) -> Filled:
    return Filled(0, Fill(name, "arb1", "BTC/USDT", Side.BUY, Decimal(amount), Decimal(100), Decimal(0), "BTC", 0))


class Venue:
    """Only what is asked here of a `VenueAccount`; it answers when it is let."""

    def __init__(self) -> None:
        self.created: list[str] = []
        self.cancelled: list[str] = []
        self.answer = asyncio.Event()

    async def create(self, request: OrderRequest) -> OrderReport:
        self.created.append(request.id)
        await self.answer.wait()
        return OrderReport("1", request.id, request.symbol, ReportStatus.OPEN, 0)

    async def create_pair(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        self.created += (stop.id, target.id)
        await self.answer.wait()
        first, second = (OrderReport(one.id, one.id, one.symbol, ReportStatus.OPEN, 0) for one in (stop, target))
        return first, second

    async def cancel(self, symbol: str, client_id: str, venue_id: str | None) -> OrderReport | None:
        self.cancelled.append(client_id)
        await self.answer.wait()
        return None


def points(point: CrashPoint, left: int = 1) -> CrashPoints:
    return CrashPoints(point, left, die)


async def test_intent_stored_strikes_before_anything_is_sent() -> None:
    venue = Venue()
    with pytest.raises(Killed):
        await points(CrashPoint.INTENT_STORED).account(venue).create(a_request())  # type: ignore[arg-type]
    assert venue.created == []


async def test_request_sent_strikes_after_the_request_is_out_and_before_its_answer() -> None:
    venue = Venue()
    with pytest.raises(Killed):
        await points(CrashPoint.REQUEST_SENT).account(venue).create(a_request())  # type: ignore[arg-type]
    assert venue.created == ["arb1"]
    assert not venue.answer.is_set()


@pytest.mark.parametrize(("point", "sent"), [(CrashPoint.INTENT_STORED, []), (CrashPoint.REQUEST_SENT, ["arb1", "arb2"])])
async def test_a_pair_is_one_request_and_passes_the_points_of_one(point: CrashPoint, sent: list[str]) -> None:
    venue, pair = Venue(), (a_request(), replace(a_request(), id="arb2"))
    with pytest.raises(Killed):
        await points(point).account(venue).create_pair(*pair)  # type: ignore[arg-type]
    assert venue.created == sent
    chosen = points(point, 2).account(venue)  # type: ignore[arg-type]
    venue.answer.set()
    await chosen.create_pair(*pair)
    with pytest.raises(Killed):
        await chosen.create_pair(*pair)


async def test_cancel_sent_strikes_after_the_cancel_is_out() -> None:
    venue = Venue()
    with pytest.raises(Killed):
        await points(CrashPoint.CANCEL_SENT).account(venue).cancel("BTC/USDT", "arb1", None)  # type: ignore[arg-type]
    assert venue.cancelled == ["arb1"]


async def test_passes_before_the_last_let_everything_through() -> None:
    venue, chosen = Venue(), points(CrashPoint.REQUEST_SENT, 2)
    venue.answer.set()
    report = await chosen.account(venue).create(a_request())  # type: ignore[arg-type]
    assert report.client_id == "arb1"
    with pytest.raises(Killed):
        await chosen.account(venue).create(a_request())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("point", "survived", "last"),
    [
        (CrashPoint.ACCEPTED, [], OrderAccepted(0, "arb1", "1")),
        (CrashPoint.PARTLY_FILLED, [OrderAccepted(0, "arb1", "1")], a_fill("1", "0.4")),
        (CrashPoint.FILLED, [OrderAccepted(0, "arb1", "1"), a_fill("1", "0.4")], a_fill("2", "0.6")),
    ],
)
async def test_what_the_desk_is_told_strikes_once_the_desk_knows(point: CrashPoint, survived: list[Input], last: Input) -> None:
    told: list[Input] = []
    chosen, venue = points(point), Venue()
    venue.answer.set()
    await chosen.account(venue).create(a_request())  # type: ignore[arg-type]
    emit = chosen.emit(told.append)
    for event in survived:
        emit(event)
    with pytest.raises(Killed):
        emit(last)
    assert told == [*survived, last]


def test_without_the_variable_there_is_none() -> None:
    assert crash_points({}, LOOPBACK) is None


def test_point_and_pass_are_read() -> None:
    found = crash_points({"ARBITER_DRILL_CRASH": "filled:3"}, LOOPBACK)
    assert found is not None
    assert (found.point, found.left) == (CrashPoint.FILLED, 3)


@pytest.mark.parametrize("asked", ["filed", "filled:0", "filled:x", "filled:-1", ":2"])
def test_what_cannot_be_read_is_refused(asked: str) -> None:
    with pytest.raises(CrashRefused, match="is not a crash point; write one of intent-stored"):
        crash_points({"ARBITER_DRILL_CRASH": asked}, LOOPBACK)


@pytest.mark.parametrize("urls", [(), ("https://api.example.com",), (*LOOPBACK, "http://10.0.0.1/")])
def test_a_bot_that_could_reach_a_real_venue_refuses(urls: tuple[str, ...]) -> None:
    with pytest.raises(CrashRefused, match="is not on loopback"):
        crash_points({"ARBITER_DRILL_CRASH": "filled"}, urls)
