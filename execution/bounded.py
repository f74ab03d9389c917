"""Asking an account within bounds: every answer comes in time or counts as none, every failure is one that execution knows.

`VenueAccount` promises as much already. This holds it to that, because an order must not hang on a promise: what never answers,
and whatever unexpected is raised while an order is under way, leaves the order unknown, and a question unanswered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import structlog

from bot.core.orders import OrderRequest
from execution.account import (
    AccountError,
    NotFound,
    NotSent,
    OrderReport,
    ReadFailed,
    Refused,
    TradeReport,
    Unknown,
    VenueAccount,
)

logger = structlog.get_logger(__name__)
T = TypeVar("T")


class BoundedAccount:
    """The calls of `account` that an order's life needs, each answered within `answer_ms`; `surprises` counts broken promises."""

    def __init__(self, account: VenueAccount, answer_ms: int) -> None:
        self.surprises = 0
        self._account = account
        self._seconds = answer_ms / 1_000

    async def create(self, request: OrderRequest) -> OrderReport:
        """Send an order, once. Raises `NotSent`, `Refused` or `Unknown`."""
        return await self._act("create", self._account.create(request), (NotSent, Refused, Unknown))

    async def create_pair(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        """Send two orders of which one cancels the other, once. Raises `NotSent`, `Refused` or `Unknown`."""
        return await self._act("create_pair", self._account.create_pair(stop, target), (NotSent, Refused, Unknown))

    async def cancel(self, symbol: str, client_id: str, venue_id: str | None) -> OrderReport | None:
        """Cancel an order. Raises `NotSent`, `NotFound`, `Refused` or `Unknown`."""
        call = self._account.cancel(symbol, client_id, venue_id)
        return await self._act("cancel", call, (NotSent, NotFound, Refused, Unknown))

    async def order(self, symbol: str, client_id: str | None, venue_id: str | None = None) -> OrderReport:
        """Ask for one order. Raises `NotFound` or `ReadFailed`."""
        return await self._ask("order", self._account.order(symbol, client_id, venue_id), (NotFound, ReadFailed))

    async def open_orders(self, symbols: Sequence[str]) -> Sequence[OrderReport]:
        """Every open order on these symbols. Raises `ReadFailed`."""
        return await self._ask("open_orders", self._account.open_orders(symbols), (ReadFailed,))

    async def trades(self, symbol: str, since: int) -> Sequence[TradeReport]:
        """Every trade on a symbol from `since` on (ms). Raises `ReadFailed`."""
        return await self._ask("trades", self._account.trades(symbol, since), (ReadFailed,))

    async def _act(self, what: str, call: Awaitable[T], expected: tuple[type[AccountError], ...]) -> T:
        try:
            async with asyncio.timeout(self._seconds):
                return await call
        except expected:
            raise
        except TimeoutError:
            message = f"no answer to {what} within {self._seconds:g} s"
            raise Unknown(message) from None
        except Exception as error:  # noqa: BLE001 - the boundary to the account; counted and told as what we know: nothing
            raise Unknown(self._surprised(what, error)) from None

    async def _ask(self, what: str, call: Awaitable[T], expected: tuple[type[AccountError], ...]) -> T:
        try:
            async with asyncio.timeout(self._seconds):
                return await call
        except expected:
            raise
        except TimeoutError:
            message = f"no answer to {what} within {self._seconds:g} s"
            raise ReadFailed(message) from None
        except Exception as error:  # noqa: BLE001 - the boundary to the account; counted and told as what we know: nothing
            raise ReadFailed(self._surprised(what, error)) from None

    def _surprised(self, what: str, error: Exception) -> str:
        """Count what no account should raise. Only its kind is told: its text may quote the request, and the key with it."""
        self.surprises += 1
        kind = type(error).__name__
        logger.error("account_raised_the_unexpected", call=what, kind=kind)
        return f"{what} raised {kind}"
