"""An account behind its guards: reads are tried again, a failing venue is left alone for a while, its failures are counted.

What changes the account is never repeated here: a create or a cancel goes out at most once per call. While the breaker is open a
create is `NotSent` and a read is `ReadFailed`, both at once; a cancel goes out all the same, since an order that should not rest
is worth every try. An answer is an answer even if it is no: `Refused` and `NotFound` count as successes. What our own rate budget
kept back says nothing of the venue and counts as neither.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import structlog

from bot.core.orders import OrderRequest
from bot.core.values import value
from execution.account import (
    AccountSink,
    BalanceReport,
    NotFound,
    NotSent,
    OrderReport,
    Permissions,
    ReadFailed,
    Refused,
    TradeReport,
    TransferReport,
    VenueAccount,
)
from execution.breaker import Breaker, BreakerRules, BreakerState, Ending, Pass
from execution.budget import BudgetSpent, loop_ms
from execution.error_budget import Condition, ErrorBudget, ErrorRules, Health

_log = structlog.get_logger(__name__)

T = TypeVar("T")


@value
class RetryRules:
    """How often a read is tried, and how long all of it may take. The pause before a try doubles, up to `longest_pause_ms`.

    Of each pause a random part, up to the fraction `jitter`, is left out.
    """

    tries: int = 3
    pause_ms: int = 200
    longest_pause_ms: int = 5_000
    jitter: float = 0.5
    total_ms: int = 20_000


@value
class AccountHealth:
    """What the guards know of an account: plain values for status, metrics and notifications."""

    health: Health
    breaker: BreakerState
    retry_after_ms: int  # until the open breaker lets a probe through
    opened: int  # how often the breaker did
    turned_away: int  # calls that the open breaker did not let through
    retries: int  # reads tried again
    given_up: int  # reads that failed for good

    @property
    def name(self) -> str:
        """Whose it is."""
        return self.health.name

    @property
    def well(self) -> bool:
        """Whether the account can be used as usual."""
        return self.breaker is BreakerState.CLOSED and self.health.condition is Condition.HEALTHY


class GuardedAccount:
    """A `VenueAccount` around another.

    `on_change` hears when the breaker's state or the error budget's condition has changed, and must not raise. `draw` gives
    numbers in 0..1 for the jitter. Time is the running loop's.
    """

    def __init__(
        self,
        inner: VenueAccount,
        name: str,
        *,
        retry: RetryRules | None = None,
        breaker: BreakerRules | None = None,
        errors: ErrorRules | None = None,
        on_change: Callable[[AccountHealth], None] | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._inner = inner
        self._retry = retry or RetryRules()
        self._breaker = Breaker(breaker or BreakerRules())
        self._errors = ErrorBudget(name, errors or ErrorRules())
        self._on_change = on_change
        self._draw = draw
        self._told: tuple[BreakerState, Condition] = (BreakerState.CLOSED, Condition.HEALTHY)
        self._retries = 0
        self._given_up = 0

    @property
    def health(self) -> AccountHealth:
        """The account now."""
        now = loop_ms()
        breaker = self._breaker
        return AccountHealth(
            health=self._errors.health(now),
            breaker=breaker.state,
            retry_after_ms=breaker.retry_after(now),
            opened=breaker.opened,
            turned_away=breaker.turned_away,
            retries=self._retries,
            given_up=self._given_up,
        )

    async def create(self, request: OrderRequest) -> OrderReport:
        """Send an order, once; `NotSent` while the breaker is open."""
        return await self._send(lambda: self._inner.create(request))

    async def create_pair(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        """Send two orders of which one cancels the other, once; `NotSent` while the breaker is open."""
        return await self._send(lambda: self._inner.create_pair(stop, target))

    async def cancel(self, symbol: str, client_id: str, venue_id: str | None) -> OrderReport | None:
        """Cancel an order, once, whatever the breaker says."""
        leave = self._breaker.force(loop_ms())
        return await self._once(leave, lambda: self._inner.cancel(symbol, client_id, venue_id))

    async def order(self, symbol: str, client_id: str | None, venue_id: str | None = None) -> OrderReport:
        """Ask for one order."""
        return await self._read(lambda: self._inner.order(symbol, client_id, venue_id))

    async def open_orders(self, symbols: Sequence[str]) -> Sequence[OrderReport]:
        """Every open order of the account on these symbols."""
        return await self._read(lambda: self._inner.open_orders(symbols))

    async def trades(self, symbol: str, since: int) -> Sequence[TradeReport]:
        """Every trade of the account on a symbol from `since` on."""
        return await self._read(lambda: self._inner.trades(symbol, since))

    async def balances(self) -> Mapping[str, BalanceReport]:
        """What the account holds, by currency."""
        return await self._read(self._inner.balances)

    async def transfers(self, since: int) -> Sequence[TransferReport] | None:
        """Deposits and withdrawals from `since` on."""
        return await self._read(lambda: self._inner.transfers(since))

    async def permissions(self) -> Permissions:
        """What the key may do."""
        return await self._read(self._inner.permissions)

    async def follow(self, sink: AccountSink) -> None:
        """Tell the sink what the account stream says; the stream mends itself and is none of the breaker's business."""
        await self._inner.follow(sink)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._inner.close()

    async def _send(self, call: Callable[[], Awaitable[T]]) -> T:
        now = loop_ms()
        leave = self._breaker.enter(now)
        if leave is None:
            raise NotSent(self._shut(), max(self._breaker.retry_after(now), 1))
        return await self._once(leave, call)

    async def _read(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer, within the rules; raises the last failure."""
        deadline = loop_ms() + self._retry.total_ms
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._ask(ask, deadline)
            except ReadFailed as failure:
                pause = self._pause(attempt, failure)
                last = attempt >= self._retry.tries or loop_ms() + pause >= deadline
                if last or not failure.transient or self._breaker.state is not BreakerState.CLOSED:
                    self._given_up += 1
                    raise
            self._retries += 1
            await asyncio.sleep(pause / 1_000)

    def _pause(self, attempt: int, failure: ReadFailed) -> int:
        rules = self._retry
        backoff = min(rules.pause_ms << (attempt - 1), rules.longest_pause_ms)
        return max(failure.retry_after_ms, round(backoff * (1 - rules.jitter * self._draw())))

    async def _ask(self, ask: Callable[[], Awaitable[T]], deadline: int) -> T:
        now = loop_ms()
        leave = self._breaker.enter(now)
        if leave is None:
            raise ReadFailed(self._shut(), transient=True, retry_after_ms=self._breaker.retry_after(now))
        try:
            return await self._once(leave, ask, (deadline - now) / 1_000)
        except TimeoutError as error:
            raise ReadFailed(f"{self._errors.name} gave no answer within {self._retry.total_ms} ms") from error

    async def _once(self, leave: Pass, call: Callable[[], Awaitable[T]], bound: float | None = None) -> T:
        """Make a call and count how it ended; `bound` is in seconds."""
        ending, failed = Ending.UNTOLD, False  # as it stays when we are cancelled
        try:
            async with asyncio.timeout(bound):
                result = await call()
            ending = Ending.ANSWERED
            return result
        except Exception as error:
            ending, failed = _weigh(error)
            raise
        finally:
            self._settle(leave, ending, failed=failed)

    def _settle(self, leave: Pass, ending: Ending, *, failed: bool) -> None:
        now = loop_ms()
        self._breaker.settle(leave, ending, now)
        if failed or ending is Ending.ANSWERED:
            self._errors.record(now, failed=failed)
        self._tell()

    def _tell(self) -> None:
        """Log what changed and pass it on."""
        health = self.health
        current = health.breaker, health.health.condition
        if current == self._told:
            return
        shape = health.health
        log = _log.info if health.well else _log.warning
        log("account_health", account=shape.name, breaker=health.breaker, condition=shape.condition, share=round(shape.share, 3))
        self._told = current
        if self._on_change is not None:
            self._on_change(health)

    def _shut(self) -> str:
        return f"the circuit of {self._errors.name} is open after too many failures: nothing was sent"


def _weigh(error: Exception) -> tuple[Ending, bool]:
    """What a failure says of the venue, and whether it is one of the failed calls."""
    match error:
        case Refused() | NotFound():
            return Ending.ANSWERED, False
        case NotSent() | ReadFailed() if _kept_back(error):
            return Ending.UNTOLD, False
        case NotSent():  # without a time to come again it was a shape the venue would not take; with one, no connection or a 429
            return (Ending.FAILED, True) if error.retry_after_ms else (Ending.UNTOLD, False)
        case ReadFailed(transient=False):  # an answer too, such as that the key is no good; yet the call failed
            return Ending.ANSWERED, True
        case _:
            return Ending.FAILED, True


def _kept_back(error: Exception) -> bool:
    """Whether our own budget did; the account may have cut the chain of causes, the context stays."""
    return isinstance(error.__cause__ or error.__context__, BudgetSpent)
