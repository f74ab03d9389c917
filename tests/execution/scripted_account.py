"""An account that answers as a test has written, and tells when it was asked what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bot.core.orders import OrderRequest
from execution.account import (
    AccountSink,
    BalanceReport,
    NotFound,
    OrderReport,
    Permissions,
    ReportStatus,
    TradeReport,
    TransferReport,
)

T = TypeVar("T")


@dataclass(slots=True)
class Held:
    """An answer that is given when the test says so."""

    answer: Any
    release: asyncio.Event = field(default_factory=asyncio.Event)


class ScriptedAccount:
    """A `VenueAccount` without a venue.

    `script(call, *answers)` queues what the next calls get, each an answer, an exception or a `Held`; the last of `always` is
    repeated. What is not scripted: orders are accepted under the id `v-<client id>`, none is found, every list is empty.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.asked: list[tuple[float, str, tuple[Any, ...]]] = []
        self.sink: AccountSink | None = None
        self.followed = asyncio.Event()
        self._clock = clock
        self._scripts: dict[str, list[Any]] = {}
        self._always: dict[str, Any] = {}

    def script(self, call: str, *answers: Any) -> None:
        """The next answers to this call, in order."""
        self._scripts.setdefault(call, []).extend(answers)

    def always(self, call: str, answer: Any) -> None:
        """The answer once the script is used up."""
        self._always[call] = answer

    def times(self, call: str) -> list[float]:
        """When this was asked, in seconds of the clock."""
        return [at for at, name, _ in self.asked if name == call]

    def count(self, call: str) -> int:
        """How often this was asked."""
        return len(self.times(call))

    async def create(self, request: OrderRequest) -> OrderReport:
        default = OrderReport(f"v-{request.id}", request.id, request.symbol, ReportStatus.OPEN, request.created)
        return await self._answer("create", default, request)

    async def create_pair(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        first, second = (
            OrderReport(f"v-{request.id}", request.id, request.symbol, ReportStatus.OPEN, request.created)
            for request in (stop, target)
        )
        return await self._answer("create_pair", (first, second), stop, target)

    async def cancel(self, symbol: str, client_id: str, venue_id: str | None) -> OrderReport | None:
        return await self._answer("cancel", None, symbol, client_id, venue_id)

    async def order(self, symbol: str, client_id: str | None, venue_id: str | None = None) -> OrderReport:
        return await self._answer("order", NotFound("no such order"), symbol, client_id, venue_id)

    async def open_orders(self, symbols: Sequence[str]) -> Sequence[OrderReport]:
        return await self._answer("open_orders", (), tuple(symbols))

    async def trades(self, symbol: str, since: int) -> Sequence[TradeReport]:
        return await self._answer("trades", (), symbol, since)

    async def balances(self) -> Mapping[str, BalanceReport]:
        return await self._answer("balances", {})

    async def transfers(self, since: int) -> Sequence[TransferReport] | None:
        return await self._answer("transfers", (), since)

    async def permissions(self) -> Permissions:
        return await self._answer("permissions", Permissions(True, False))

    async def follow(self, sink: AccountSink) -> None:
        """Keep the sink for the test to speak to, then end as scripted; unscripted it goes on until cancelled."""
        self.sink = sink
        self.followed.set()
        await self._answer("follow", Held(None))

    async def close(self) -> None:
        self.asked.append((self._clock(), "close", ()))

    async def _answer(self, call: str, default: T | Exception | Held, *args: Any) -> T:
        self.asked.append((self._clock(), call, args))
        script = self._scripts.get(call)
        answer: Any = script.pop(0) if script else self._always.get(call, default)
        if isinstance(answer, Held):
            await answer.release.wait()
            answer = answer.answer
        if isinstance(answer, BaseException):
            raise answer
        given: T = answer
        return given
