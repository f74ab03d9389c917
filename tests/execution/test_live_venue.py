"""The live broker on real sockets, through ccxt, at a venue that misbehaves: what the desk is told is what the venue did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bot.core.inputs import Filled, Input, OrderClosed, OrderUnknown
from bot.core.market import Side
from bot.core.orders import ZERO, OrderRequest
from execution.live import LiveBroker, LiveRules
from execution.tracked import TrackedOrders
from simulators.exchange.account_faults import Omitted, PartialFill, Thing, UserLoss, UserReorder, UserRepeat, UserStall
from simulators.exchange.answer_faults import Dropped, Garbage, Garbled, When
from simulators.exchange.faults import Disconnect, Ending, Latency, Shock, Status
from simulators.exchange.mischief import Fault
from tests.execution.ccxt_rig import CREATE, DIALECTS, SYMBOL, Rig, ordered, rig
from tests.execution.tracked_orders import fills, kinds

dialects = pytest.mark.parametrize("dialect", DIALECTS)
CANCEL = {"binance": ("/api/v3/order", "DELETE"), "okx": ("*cancel*", "POST")}
QUICK = LiveRules(grace_ms=400, poll_ms=400, poll_lost_ms=100, first_wait_ms=50, longest_wait_ms=400, answer_ms=3_000)


def wall() -> int:
    return time.time_ns() // 1_000_000


class Trader:
    """A desk that only submits, cancels and remembers what it is told."""

    def __init__(self, one: Rig) -> None:
        self.one = one
        self.said: list[Input] = []
        self.notices: list[str] = []
        self.orders = TrackedOrders(self._hear, wall)
        self.broker = LiveBroker(one.account, self.orders, self._hear, wall, QUICK, notice=self.notices.append)
        self._news = asyncio.Event()

    def submit(self, request: OrderRequest) -> None:
        self.broker.submit(replace(request, created=wall()), wall())

    def cancel(self, order_id: str) -> None:
        self.broker.cancel(order_id, SYMBOL, wall())

    async def until(self, condition: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(10):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            message = f"not so within 10 s; told {self.said}; {self.broker.stats}"
            raise AssertionError(message) from None

    async def told(self, name: str, count: int = 1) -> None:
        await self.until(lambda: kinds(self.said).count(name) >= count)

    async def resting(self, order_id: str = "mine", **how: Any) -> None:
        """An order that lives at the venue, as the desk knows."""
        self.submit(self.one.resting(order_id, **how))
        await self.told("OrderAccepted")

    def _hear(self, news: Input) -> None:
        self.said.append(news)
        self._news.set()


@asynccontextmanager
async def trading(dialect: str) -> AsyncIterator[Trader]:
    async with rig(dialect) as one:
        trader = Trader(one)
        running = asyncio.create_task(trader.broker.run())
        try:
            async with asyncio.timeout(10):
                while not trader.broker.stream_up:
                    await asyncio.sleep(0.01)
            yield trader
        finally:
            running.cancel()
            await asyncio.wait({running})
            await trader.broker.close(1)
            assert trader.broker.stats["errands_failed"] == trader.broker.stats["unheard"] == 0


@dialects
async def test_a_market_order_is_told_whole_and_once(dialect: str) -> None:
    async with trading(dialect) as trader:
        trader.submit(ordered("mine", amount="0.01"))
        await trader.told("Filled")
        assert kinds(trader.said) == ["OrderAccepted", "Filled"]
        assert sum(fills(trader.said, "mine").values()) == Decimal("0.01")


@dialects
async def test_an_order_whose_answer_was_lost_is_found_and_not_sent_again(dialect: str) -> None:
    async with trading(dialect) as trader:
        path, method = CREATE[dialect]
        trader.one.venue.inject(UserStall())
        trader.one.venue.inject(Dropped(When.AFTER, path, method))
        trader.submit(trader.one.resting("mine"))
        await trader.told("OrderAccepted")
        assert kinds(trader.said) == ["OrderUnknown", "OrderAccepted"]
        assert await trader.one.live_ids() == ["mine"]


@dialects
async def test_an_order_that_never_arrived_is_known_not_to_live_and_is_not_sent_again(dialect: str) -> None:
    async with trading(dialect) as trader:
        path, method = CREATE[dialect]
        trader.one.venue.inject(Dropped(When.BEFORE, path, method))
        trader.submit(trader.one.resting("mine"))
        await trader.told("OrderRefused")
        assert kinds(trader.said) == ["OrderUnknown", "OrderRefused"]
        assert await trader.one.live_ids() == []


@dialects
@pytest.mark.parametrize("body", [Garbage.HTML, Garbage.BRACES])
async def test_an_answer_that_nobody_can_read_leaves_the_order_unknown_until_it_is_asked_for(dialect: str, body: Garbage) -> None:
    async with trading(dialect) as trader:
        path, method = CREATE[dialect]
        trader.one.venue.inject(UserStall())
        trader.one.venue.inject(Garbled(body, When.AFTER, path, method))
        trader.submit(trader.one.resting("mine"))
        await trader.told("OrderAccepted")
        assert isinstance(trader.said[0], OrderUnknown)


@dialects
@pytest.mark.parametrize("when", list(When))
async def test_a_cancel_whose_answer_was_lost_ends_with_what_became_of_the_order(dialect: str, when: When) -> None:
    async with trading(dialect) as trader:
        await trader.resting()
        path, method = CANCEL[dialect]
        trader.one.venue.inject(UserStall())
        # aiohttp repeats a DELETE once by itself.
        trader.one.venue.inject(Dropped(when, path, method, count=2 if method == "DELETE" else 1))
        trader.cancel("mine")
        await trader.until(lambda: kinds(trader.said)[-1] in {"CancelRefused", "OrderClosed"})
        alive = await trader.one.live_ids()
        assert alive == (["mine"] if kinds(trader.said)[-1] == "CancelRefused" else [])
        if alive:
            trader.cancel("mine")
            await trader.told("OrderClosed")
        assert await trader.one.live_ids() == []


@dialects
async def test_a_poll_finds_the_fill_that_the_silent_stream_did_not_tell(dialect: str) -> None:
    async with trading(dialect) as trader:
        await trader.resting(factor=0.97)
        trader.one.venue.inject(UserStall())
        trader.one.venue.inject(Shock(SYMBOL, 0.9))
        await trader.told("Filled")
        assert sum(fills(trader.said, "mine").values()) == Decimal("0.01")


@dialects
async def test_a_fill_while_the_stream_is_broken_is_told_once(dialect: str) -> None:
    async with trading(dialect) as trader:
        await trader.resting(factor=0.97)
        trader.one.venue.inject(Disconnect(Ending.ABORT, "user"))
        trader.one.venue.inject(Shock(SYMBOL, 0.9))
        await trader.told("Filled")
        assert sum(fills(trader.said, "mine").values()) == Decimal("0.01")


@dialects
async def test_an_order_missing_from_one_answer_goes_on_living(dialect: str) -> None:
    async with trading(dialect) as trader:
        await trader.resting()
        polls = trader.broker.counted.polls
        trader.one.venue.inject(Omitted(Thing.ORDER, "mine", count=2))
        trader.broker.poll_now()
        async with asyncio.timeout(10):
            while trader.broker.counted.polls < polls + 4:
                await asyncio.sleep(0.02)
        assert kinds(trader.said) == ["OrderAccepted"]
        trader.cancel("mine")
        await trader.told("OrderClosed")


@dialects
async def test_what_the_desk_is_told_under_all_sorts_of_faults_is_what_the_venue_did(dialect: str) -> None:
    path, method = CREATE[dialect]
    faults: list[Fault] = [
        UserRepeat(6), UserReorder(3, seconds=0.2), UserLoss(2), PartialFill(Decimal("0.3"), 2),
        Dropped(When.AFTER, path, method), Status(503, path, method), Garbled(Garbage.TRUNCATED, When.AFTER, path, method),
        Disconnect(Ending.ABORT, "user"), Latency(0.1), Dropped(When.BEFORE, path, method), Status(502, count=2), Latency(0.0),
    ]  # fmt: skip
    async with trading(dialect) as trader:
        for number, fault in enumerate(faults):
            trader.one.venue.inject(fault)
            trader.submit(ordered(f"m{number}", Side.SELL if number % 3 == 2 else Side.BUY))
            trader.submit(trader.one.resting(f"r{number}"))
            await asyncio.sleep(0.05)
            trader.cancel(f"r{number}")
        await trader.until(lambda: not trader.orders.lacking() and all(_over(trader, one) for one in _ids(len(faults))))
        truth = (await trader.one.truth())["orders"]
        for told_of in truth:
            told = sum(fills(trader.said, told_of["client_id"]).values(), ZERO)
            assert told == Decimal(told_of["filled"]), told_of
        assert len(truth) == len({one["client_id"] for one in truth}), "an order was sent twice"
        assert not any(isinstance(one, Filled) and one.fill.evidence for one in trader.said)
        assert await trader.one.live_ids() == []


def _ids(count: int) -> list[str]:
    return [f"{kind}{number}" for number in range(count) for kind in "mr"]


def _over(trader: Trader, order_id: str) -> bool:
    """Whether an order is over; a cancel that was not carried out is asked for again, as a desk would."""
    tracked = trader.orders.of(order_id)
    if tracked is None or tracked.end is None:
        if order_id.startswith("r"):
            trader.cancel(order_id)
        return False
    closed = [one for one in trader.said if isinstance(one, OrderClosed) and one.order_id == order_id]
    return len(closed) <= 1
