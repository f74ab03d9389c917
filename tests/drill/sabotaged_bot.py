"""`python sabotaged_bot.py SABOTAGE run --live ...`: a bot with a promise broken in one method, to prove that drills can fail."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

from bot.cli import main
from bot.core.inputs import MarketHealth
from bot.core.orders import OrderRequest
from bot.journal.journal import Journal
from bot.runtime.inbox import Inbox
from execution.account import NotFound, OrderReport, ReadFailed, TradeReport, Unknown
from execution.ccxt_account import CcxtAccount
from execution.polling import Polling
from execution.reconcile import Reconciler
from execution.tracked import TrackedOrders


def retry_unknown() -> None:
    """What nobody can say is sent again."""
    create = CcxtAccount.create

    async def hasty(self: CcxtAccount, request: OrderRequest) -> OrderReport:
        try:
            return await create(self, request)
        except Unknown:
            return await create(self, request)

    patch(CcxtAccount, "create", hasty)


def forget_intent() -> None:
    """An order leaves before it is written down."""

    def forgetful(self: Journal, request: OrderRequest, at: int, on_stored: Callable[[Exception | None], None]) -> None:
        on_stored(None)

    patch(Journal, "store", forgetful)


def write_intent_late() -> None:
    """The intent is written down, but the order does not wait for it."""
    store = Journal.store

    def late(self: Journal, request: OrderRequest, at: int, on_stored: Callable[[Exception | None], None]) -> None:
        import asyncio

        on_stored(None)
        asyncio.get_running_loop().call_later(0.3, lambda: store(self, request, at, lambda error: None))

    patch(Journal, "store", late)


def failure_is_nothing() -> None:
    """A failed question counts as an empty answer."""
    order = CcxtAccount.order

    async def one(self: CcxtAccount, symbol: str, client_id: str | None, venue_id: str | None = None) -> OrderReport:
        try:
            return await order(self, symbol, client_id, venue_id)
        except ReadFailed as error:
            raise NotFound(error.reason) from error

    patch(CcxtAccount, "order", one)
    for name in ("open_orders", "trades"):
        patch(CcxtAccount, name, _or_nothing(getattr(CcxtAccount, name)))


def _or_nothing(ask: Any) -> Any:
    async def asked(self: CcxtAccount, *given: object) -> Sequence[object]:
        try:
            return cast("Sequence[object]", await ask(self, *given))
        except ReadFailed:
            return ()

    return asked


def trust_the_stream() -> None:
    """What the account stream does not tell is never asked for."""

    async def nothing(self: object, *given: object) -> None:
        import asyncio

        await asyncio.Event().wait()

    patch(Polling, "run", nothing)
    patch(Reconciler, "run", nothing)


def book_everything() -> None:
    """Every trade that is told is a new trade."""
    trade = TrackedOrders.trade
    told = [0]

    def again(self: TrackedOrders, report: TradeReport) -> object:
        from dataclasses import replace

        told[0] += 1
        return trade(self, replace(report, id=f"{report.id}.{told[0]}"))

    patch(TrackedOrders, "trade", again)


def ignore_health() -> None:
    """A stale market is as good as a fresh one."""
    put = Inbox.put_market
    patch(Inbox, "put_market", lambda self, event: None if isinstance(event, MarketHealth) else put(self, event))


def patch(cls: type, name: str, method: object) -> None:
    assert hasattr(cls, name), f"{cls.__name__}.{name} is gone; sabotage something else"
    setattr(cls, name, method)


if __name__ == "__main__":
    {
        "retry-unknown": retry_unknown,
        "forget-intent": forget_intent,
        "write-intent-late": write_intent_late,
        "failure-is-nothing": failure_is_nothing,
        "trust-the-stream": trust_the_stream,
        "book-everything": book_everything,
        "ignore-health": ignore_health,
    }[sys.argv.pop(1)]()
    sys.exit(main())
