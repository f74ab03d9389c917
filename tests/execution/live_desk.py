"""A live broker with nobody behind it, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bot.core.inputs import Input, OrderAccepted
from bot.drill.virtual.loop import VirtualLoop, run_virtual
from execution.account import OrderReport, TradeReport
from execution.live import LiveBroker, LiveRules
from execution.tracked import TrackedOrders
from tests.execution.scripted_account import ScriptedAccount
from tests.execution.tracked_orders import SYMBOL, kinds, request

Program = Callable[["Desk"], Awaitable[None]]
V = "v-arb1"
"""The venue's name of the order that most tests send."""


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
