"""Crash points: a bot that kills itself, as `kill -9` would, at an exact step of an order's life. For drills alone.

`ARBITER_DRILL_CRASH=<point>[:n]` names the step, and which of its passes is the last. It is honoured only where every address of
the venue is on loopback: a bot that could reach a real venue refuses to start with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

from bot.core.inputs import Filled, Input, OrderAccepted
from bot.core.orders import ZERO, OrderRequest
from bot.core.protocols import Emit
from execution.account import (
    AccountSink,
    BalanceReport,
    OrderReport,
    Permissions,
    TradeReport,
    TransferReport,
    VenueAccount,
)

T = TypeVar("T")

VARIABLE = "ARBITER_DRILL_CRASH"

# Long enough for a request to leave over loopback, short enough that a venue which answers late has not answered yet.
_ON_THE_WIRE_SECONDS = 0.05
_MAX_ORDERS = 10_000


class CrashPoint(StrEnum):
    """A step of an order's life after which a bot may be gone."""

    INTENT_STORED = "intent-stored"
    """The intent is durable, nothing was sent."""
    REQUEST_SENT = "request-sent"
    """The request is out, its answer told nobody."""
    ACCEPTED = "accepted"
    """The desk knows that the venue has the order."""
    PARTLY_FILLED = "partly-filled"
    """The desk knows of a fill, and more is to come."""
    FILLED = "filled"
    """The desk knows of the last fill."""
    CANCEL_SENT = "cancel-sent"
    """The cancel is out, its answer told nobody."""


class CrashRefused(Exception):  # noqa: N818 - it names what happened
    """The variable is set where it must not be, or cannot be read; the message says which."""


def kill_self() -> None:
    """End this process as `kill -9` would: nothing is flushed, nothing is closed."""
    if sys.platform == "win32":
        os._exit(9)
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(slots=True)
class CrashPoints:
    """Counts the passes of one point and dies at the `left`-th. Wrap the account next to the venue, and the broker's `emit`."""

    point: CrashPoint
    left: int = 1
    die: Callable[[], None] = kill_self
    _amounts: dict[str, Decimal] = field(default_factory=dict)

    def account(self, inner: VenueAccount) -> VenueAccount:
        """The account, with the points that are passed on the way to the venue."""
        return CrashingAccount(inner, self)

    def emit(self, inner: Emit) -> Emit:
        """The broker's way to the desk, with the points that are passed on the way back; the desk is told first."""

        def tell(event: Input) -> None:
            inner(event)
            self._told(event)

        return tell

    def passed(self, point: CrashPoint) -> None:
        """The point is reached; does not return at the last pass."""
        if point is self.point:
            self.left -= 1
            if self.left == 0:
                self.die()

    async def asked(self, point: CrashPoint, asking: Awaitable[T]) -> T:
        """Let a request go out; at the last pass nobody hears its answer."""
        if point is not self.point or self.left != 1:
            self.passed(point)
            return await asking
        request = asyncio.ensure_future(asking)
        await asyncio.wait([request], timeout=_ON_THE_WIRE_SECONDS)
        self.passed(point)
        return await request

    def remember(self, request: OrderRequest) -> None:
        """What an order is for, so that its last fill is known from those before."""
        while len(self._amounts) >= _MAX_ORDERS:
            del self._amounts[next(iter(self._amounts))]
        self._amounts[request.id] = request.amount

    def _told(self, event: Input) -> None:
        match event:
            case OrderAccepted():
                self.passed(CrashPoint.ACCEPTED)
            case Filled(fill=fill) if fill.order_id in self._amounts:
                left = self._amounts[fill.order_id] - fill.amount
                self._amounts[fill.order_id] = left
                self.passed(CrashPoint.PARTLY_FILLED if left > ZERO else CrashPoint.FILLED)
            case _:
                pass


class CrashingAccount:
    """A `VenueAccount` around another that passes the crash points of requests."""

    def __init__(self, inner: VenueAccount, points: CrashPoints) -> None:
        self._inner = inner
        self._points = points

    async def create(self, request: OrderRequest) -> OrderReport:
        """As the inner account; passes intent-stored before and request-sent after the bytes are out."""
        self._points.remember(request)
        self._points.passed(CrashPoint.INTENT_STORED)
        return await self._points.asked(CrashPoint.REQUEST_SENT, self._inner.create(request))

    async def create_pair(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        """As the inner account; a pair is one request, and passes the points of one."""
        self._points.remember(stop)
        self._points.remember(target)
        self._points.passed(CrashPoint.INTENT_STORED)
        return await self._points.asked(CrashPoint.REQUEST_SENT, self._inner.create_pair(stop, target))

    async def cancel(self, symbol: str, client_id: str, venue_id: str | None) -> OrderReport | None:
        """As the inner account; passes cancel-sent after the bytes are out."""
        return await self._points.asked(CrashPoint.CANCEL_SENT, self._inner.cancel(symbol, client_id, venue_id))

    async def order(self, symbol: str, client_id: str | None, venue_id: str | None = None) -> OrderReport:
        """As the inner account."""
        return await self._inner.order(symbol, client_id, venue_id)

    async def open_orders(self, symbols: Sequence[str]) -> Sequence[OrderReport]:
        """As the inner account."""
        return await self._inner.open_orders(symbols)

    async def trades(self, symbol: str, since: int) -> Sequence[TradeReport]:
        """As the inner account."""
        return await self._inner.trades(symbol, since)

    async def balances(self) -> Mapping[str, BalanceReport]:
        """As the inner account."""
        return await self._inner.balances()

    async def transfers(self, since: int) -> Sequence[TransferReport] | None:
        """As the inner account."""
        return await self._inner.transfers(since)

    async def permissions(self) -> Permissions:
        """As the inner account."""
        return await self._inner.permissions()

    async def follow(self, sink: AccountSink) -> None:
        """As the inner account."""
        await self._inner.follow(sink)

    async def close(self) -> None:
        """As the inner account."""
        await self._inner.close()


def crash_points(environ: Mapping[str, str], urls: Iterable[str]) -> CrashPoints | None:
    """The crash that the environment asks for, None without one; `urls` are all addresses that the venue is reached at.

    `CrashRefused` if it cannot be read, if there are no addresses (ccxt would use the real ones), or if one is not on loopback.
    """
    asked = environ.get(VARIABLE, "")
    if not asked:
        return None
    name, _, count = asked.partition(":")
    known = ", ".join(CrashPoint)
    if name not in set(CrashPoint) or not (count or "1").isdecimal() or int(count or "1") < 1:
        message = f"{VARIABLE} = {asked}: is not a crash point; write one of {known}, and after a colon which pass is the last"
        raise CrashRefused(message)
    elsewhere = [url for url in urls if not _on_loopback(url)] if (urls := list(urls)) else ["the venue's own addresses"]
    if elsewhere:
        message = f"{VARIABLE} = {asked}: refused, {elsewhere[0]} is not on loopback and a crash there costs money; unset it"
        raise CrashRefused(message)
    return CrashPoints(CrashPoint(name), int(count or "1"))


def _on_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
