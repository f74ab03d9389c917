"""Questions to an account on behalf of one pass: a few at a time, and one that gets no answer fails the pass."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from execution.account import AccountError, NotFound, OrderReport, VenueAccount
from execution.reconciliation import ReconcileFailed

T = TypeVar("T")
Item = TypeVar("Item")


class Questions:
    """Asks an account, `concurrency` questions at a time at most."""

    def __init__(self, account: VenueAccount, concurrency: int) -> None:
        self.account = account
        self._room = asyncio.Semaphore(concurrency)

    async def ask(self, what: str, question: Callable[[], Awaitable[T]]) -> T:
        """The answer; `ReconcileFailed` names `what` when there is none."""
        async with self._room:
            try:
                return await question()
            except AccountError as problem:
                raise ReconcileFailed(what, problem.reason) from problem

    async def order(self, symbol: str, client_id: str | None, venue_id: str | None) -> OrderReport | None:
        """One order; None where the venue answered that it has none."""

        async def asked() -> OrderReport | None:
            try:
                return await self.account.order(symbol, client_id, venue_id)
            except NotFound:
                return None

        return await self.ask(f"order {client_id or venue_id} of {symbol}", asked)

    async def each(self, items: Iterable[Item], ask: Callable[[Item], Awaitable[T]]) -> list[T]:
        """Every item's answer, in the order of the items; the first failure ends them all."""

        async def one(item: Item) -> T:
            return await ask(item)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(item)) for item in items]
        except BaseExceptionGroup as problems:
            raise problems.exceptions[0] from None
        return [task.result() for task in tasks]
