"""Sabotage: a promise broken on purpose, so that it can be seen that the drill would notice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

from bot.core.facts import OrderChanged
from bot.core.orders import OrderRequest
from bot.drill.virtual.journal import MemoryJournal
from execution.account import (
    AccountSink,
    BalanceReport,
    NotFound,
    OrderReport,
    Permissions,
    ReadFailed,
    TradeReport,
    TransferReport,
    Unknown,
    VenueAccount,
)

T = TypeVar("T")


class Sabotage(StrEnum):
    """Which promise is broken."""

    NONE = "none"
    RESENDS = "resends-unknown-orders"
    FORGETS = "forgets-intents"
    EMPTIES = "takes-failed-reads-for-empty-ones"


def sabotaged(account: VenueAccount, sabotage: Sabotage) -> VenueAccount:
    """The account, with its promise broken."""
    match sabotage:
        case Sabotage.RESENDS:
            return Resending(account)
        case Sabotage.EMPTIES:
            return Emptying(account)
        case _:
            return account


class ForgetfulJournal(MemoryJournal):
    """Says that an intent is stored, and does not store it."""

    def _write_intent(self, intent: OrderChanged) -> None:
        """Nothing is written."""


class _Wrapped:
    """An account as it is."""

    def __init__(self, account: VenueAccount) -> None:
        self._account = account

    async def create(self, request: OrderRequest) -> OrderReport:
        """Send an order."""
        return await self._account.create(request)

    async def create_pair(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        """Send two orders of which one cancels the other."""
        return await self._account.create_pair(stop, target)

    async def cancel(self, symbol: str, client_id: str, venue_id: str | None) -> OrderReport | None:
        """Cancel an order."""
        return await self._account.cancel(symbol, client_id, venue_id)

    async def order(self, symbol: str, client_id: str | None, venue_id: str | None = None) -> OrderReport:
        """Ask for one order."""
        return await self._account.order(symbol, client_id, venue_id)

    async def open_orders(self, symbols: Sequence[str]) -> Sequence[OrderReport]:
        """Every open order."""
        return await self._account.open_orders(symbols)

    async def trades(self, symbol: str, since: int) -> Sequence[TradeReport]:
        """Every trade."""
        return await self._account.trades(symbol, since)

    async def balances(self) -> Mapping[str, BalanceReport]:
        """What the account holds."""
        return await self._account.balances()

    async def transfers(self, since: int) -> Sequence[TransferReport] | None:
        """Deposits and withdrawals."""
        return await self._account.transfers(since)

    async def permissions(self) -> Permissions:
        """What the key may do."""
        return await self._account.permissions()

    async def follow(self, sink: AccountSink) -> None:
        """The stream."""
        await self._account.follow(sink)

    async def close(self) -> None:
        """Let go."""
        await self._account.close()


class Resending(_Wrapped):
    """Sends an order again when nobody can say what became of it."""

    async def create(self, request: OrderRequest) -> OrderReport:
        """Send an order, and send it once more."""
        try:
            return await self._account.create(request)
        except Unknown:
            return await self._account.create(request)

    async def create_pair(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        """Send a pair, and send it once more."""
        try:
            return await self._account.create_pair(stop, target)
        except Unknown:
            return await self._account.create_pair(stop, target)


class Emptying(_Wrapped):
    """Takes a question that got no answer for one with an empty answer."""

    async def order(self, symbol: str, client_id: str | None, venue_id: str | None = None) -> OrderReport:
        """Ask for one order; no answer means that there is none."""
        try:
            return await self._account.order(symbol, client_id, venue_id)
        except ReadFailed as failure:
            raise NotFound(failure.reason) from None

    async def open_orders(self, symbols: Sequence[str]) -> Sequence[OrderReport]:
        """Every open order; no answer means none."""
        return await _or_empty(lambda: self._account.open_orders(symbols), ())

    async def trades(self, symbol: str, since: int) -> Sequence[TradeReport]:
        """Every trade; no answer means none."""
        return await _or_empty(lambda: self._account.trades(symbol, since), ())

    async def balances(self) -> Mapping[str, BalanceReport]:
        """What the account holds; no answer means nothing."""
        return await _or_empty(self._account.balances, {})

    async def transfers(self, since: int) -> Sequence[TransferReport] | None:
        """Deposits and withdrawals; no answer means none."""
        return await _or_empty(lambda: self._account.transfers(since), ())


async def _or_empty(ask: Callable[[], Awaitable[T]], empty: T) -> T:
    try:
        return await ask()
    except ReadFailed:
        return empty
