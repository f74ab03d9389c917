"""The guards of an account, on a loop whose time is virtual: what is tried again, what never is, and who is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.core.orders import OrderRequest
from execution.account import (
    AccountSink,
    BalanceReport,
    NotFound,
    NotSent,
    OrderReport,
    Permissions,
    ReadFailed,
    Refused,
    ReportStatus,
    TradeReport,
    TransferReport,
    Unknown,
    VenueAccount,
)
from execution.breaker import BreakerRules, BreakerState
from execution.budget import BudgetSpent
from execution.error_budget import Condition, ErrorRules
from execution.guarded import AccountHealth, GuardedAccount, RetryRules
from tests.execution.budget_clock import run_virtually, timed

REPORT = OrderReport(venue_id="1", client_id="a", symbol="BTC/USDT", status=ReportStatus.OPEN, ts=0)
BREAKER = BreakerRules(failures=3, calls=20, share=0.5, cool_down_ms=1_000, longest_ms=8_000)
RETRY = RetryRules(tries=3, pause_ms=100, longest_pause_ms=150, jitter=0.5, total_ms=5_000)
DOWN = ReadFailed("down")


class Scripted:
    """An account that fails as it is told to, then answers; it remembers what was asked of it."""

    def __init__(self, *script: Exception | float) -> None:
        self.script = list(script)
        self.asked: list[tuple[float, str]] = []

    async def _act(self, name: str) -> None:
        self.asked.append((asyncio.get_running_loop().time(), name))
        what = self.script.pop(0) if self.script else 0.0
        if isinstance(what, Exception):
            raise what
        await asyncio.sleep(what)

    async def create(self, request: OrderRequest) -> OrderReport:
        await self._act("create")
        return REPORT

    async def create_pair(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        await self._act("create_pair")
        return REPORT, REPORT

    async def cancel(self, symbol: str, client_id: str, venue_id: str | None) -> OrderReport | None:
        await self._act("cancel")
        return None

    async def order(self, symbol: str, client_id: str | None, venue_id: str | None = None) -> OrderReport:
        await self._act("order")
        return REPORT

    async def open_orders(self, symbols: Sequence[str]) -> Sequence[OrderReport]:
        await self._act("open_orders")
        return [REPORT]

    async def trades(self, symbol: str, since: int) -> Sequence[TradeReport]:
        await self._act("trades")
        return []

    async def balances(self) -> Mapping[str, BalanceReport]:
        await self._act("balances")
        return {}

    async def transfers(self, since: int) -> Sequence[TransferReport] | None:
        await self._act("transfers")
        return None

    async def permissions(self) -> Permissions:
        await self._act("permissions")
        return Permissions(trade=True, withdraw=False)

    async def follow(self, sink: AccountSink) -> None:
        await self._act("follow")

    async def close(self) -> None:
        await self._act("close")

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.asked]


REQUEST: OrderRequest = None  # type: ignore[assignment]  # a guard never looks into it


def guard(inner: VenueAccount, retry: RetryRules = RETRY, **more: Any) -> GuardedAccount:
    return GuardedAccount(inner, "binance", retry=retry, breaker=BREAKER, draw=lambda: 0.0, **more)


Scene = Callable[[], Coroutine[Any, Any, None]]


def virtually(scene: Scene) -> Callable[[], None]:
    """Run a test on virtual time."""

    def test() -> None:
        run_virtually(scene())

    test.__name__ = scene.__name__
    return test


READS: list[Callable[[VenueAccount], Awaitable[object]]] = [
    lambda account: account.order("BTC/USDT", "a"),
    lambda account: account.open_orders(["BTC/USDT"]),
    lambda account: account.trades("BTC/USDT", 0),
    lambda account: account.balances(),
    lambda account: account.transfers(0),
    lambda account: account.permissions(),
]


@pytest.mark.parametrize("read", READS)
def test_every_read_is_tried_three_times_with_growing_pauses(read: Callable[[VenueAccount], Awaitable[object]]) -> None:
    inner = Scripted(DOWN, DOWN)
    account = guard(inner)
    run_virtually(_await(read(account)))
    assert inner.times == pytest.approx([0.0, 0.1, 0.25])  # the second pause would be 0.2: its cap is 0.15

    async def look() -> tuple[int, int]:
        return account.health.retries, account.health.given_up

    assert run_virtually(look()) == (2, 0)


async def _await(call: Awaitable[object]) -> object:
    return await call


@virtually
async def test_a_read_that_fails_three_times_has_failed() -> None:
    inner = Scripted(DOWN, DOWN, ReadFailed("still down"), DOWN)
    account = guard(inner)
    with pytest.raises(ReadFailed, match="still down"):
        await account.balances()
    assert len(inner.asked) == 3
    assert account.health.given_up == 1


@virtually
async def test_a_pair_is_sent_once_and_not_at_all_while_the_breaker_is_open() -> None:
    inner = Scripted(*[Unknown("no answer")] * 3)
    account = guard(inner)
    for _ in range(3):
        with pytest.raises(Unknown):
            await account.create_pair(REQUEST, REQUEST)
    assert account.health.breaker is BreakerState.OPEN
    with pytest.raises(NotSent) as refused:
        await account.create_pair(REQUEST, REQUEST)
    assert refused.value.retry_after_ms > 0
    assert [name for _, name in inner.asked] == ["create_pair"] * 3


@virtually
async def test_a_lasting_failure_is_not_tried_again_and_does_not_open_the_breaker() -> None:
    inner = Scripted(*[ReadFailed("the key is no good", transient=False)] * 10)
    account = guard(inner)
    for _ in range(10):
        with pytest.raises(ReadFailed):
            await account.balances()
    assert len(inner.asked) == 10
    assert account.health.breaker is BreakerState.CLOSED
    assert account.health.health.failures == 10


@virtually
async def test_what_the_venue_wants_waited_is_waited() -> None:
    inner = Scripted(ReadFailed("429", retry_after_ms=2_500))
    waited, _ = await timed(guard(inner).balances)
    assert waited == pytest.approx(2.5)


@virtually
async def test_a_read_never_takes_longer_than_its_bound() -> None:
    inner = Scripted(ReadFailed("429", retry_after_ms=6_000))
    with pytest.raises(ReadFailed) as caught:  # waiting would take it past the bound: the caller may decide
        await guard(inner).balances()
    assert caught.value.retry_after_ms == 6_000
    hanging = Scripted(3.0, 3.0)
    hanging.script = [DOWN, 60.0]
    began = asyncio.get_running_loop().time()
    with pytest.raises(ReadFailed, match="within 5000 ms"):
        await guard(hanging).balances()
    assert asyncio.get_running_loop().time() - began == pytest.approx(5.0)


@virtually
async def test_jitter_shortens_the_pause_and_never_below_what_was_asked_for() -> None:
    inner = Scripted(DOWN, ReadFailed("429", retry_after_ms=140))
    await GuardedAccount(inner, "binance", retry=RETRY, draw=lambda: 1.0).balances()
    assert inner.times == pytest.approx([0.0, 0.05, 0.19])


@pytest.mark.parametrize("failure", [Unknown("timeout"), Refused("no"), NotSent("spent"), RuntimeError("bug"), TimeoutError()])
@pytest.mark.parametrize("what", ["create", "cancel"])
def test_what_changes_the_account_is_sent_once_whatever_comes_back(what: str, failure: Exception) -> None:
    inner = Scripted(failure)

    async def scene() -> None:
        account = guard(inner)
        with pytest.raises(type(failure)):
            await (account.create(REQUEST) if what == "create" else account.cancel("BTC/USDT", "a", None))

    run_virtually(scene())
    assert [name for _, name in inner.asked] == [what]


async def open_the_circuit(account: GuardedAccount) -> None:
    for _ in range(BREAKER.failures):
        with pytest.raises(Unknown):
            await account.create(REQUEST)
    assert account.health.breaker is BreakerState.OPEN


@virtually
async def test_an_open_circuit_sends_no_order_and_says_when_to_come_again() -> None:
    inner = Scripted(*[Unknown("timeout")] * 3)
    account = guard(inner)
    await open_the_circuit(account)
    await asyncio.sleep(0.3)
    with pytest.raises(NotSent, match="circuit") as not_sent:
        await account.create(REQUEST)
    with pytest.raises(ReadFailed, match="circuit") as failed:
        await account.balances()
    assert not_sent.value.retry_after_ms == failed.value.retry_after_ms == 700
    assert failed.value.transient
    assert len(inner.asked) == 3
    assert account.health.turned_away == 2
    await asyncio.sleep(0.7)
    assert await account.create(REQUEST) is REPORT
    assert account.health.breaker is BreakerState.CLOSED


@virtually
async def test_a_cancel_goes_out_through_an_open_circuit_and_closes_it() -> None:
    inner = Scripted(*[Unknown("timeout")] * 3, NotFound("already over"))
    account = guard(inner)
    await open_the_circuit(account)
    with pytest.raises(NotFound):
        await account.cancel("BTC/USDT", "a", None)
    assert account.health.breaker is BreakerState.CLOSED  # no is an answer


@virtually
async def test_a_read_that_opens_the_circuit_is_not_tried_again() -> None:
    inner = Scripted(*[Unknown("timeout")] * 2, DOWN, DOWN)
    account = guard(inner)
    for _ in range(2):
        with pytest.raises(Unknown):
            await account.create(REQUEST)
    with pytest.raises(ReadFailed, match="down"):
        await account.balances()
    assert len(inner.asked) == 3


@virtually
async def test_answers_that_say_no_keep_the_circuit_closed() -> None:
    inner = Scripted(*[Refused("below minimum"), NotFound("no such order")] * 20)
    account = guard(inner)
    for _ in range(20):
        with pytest.raises(Refused):
            await account.create(REQUEST)
        with pytest.raises(NotFound):
            await account.order("BTC/USDT", "a")
    health = account.health
    assert (health.breaker, health.health.calls, health.health.failures) == (BreakerState.CLOSED, 40, 0)


def kept_back(outcome: Exception) -> Exception:
    """As an account raises it that shows no causes."""
    try:
        try:
            raise BudgetSpent("no room", 1)
        except BudgetSpent:
            raise outcome from None
    except type(outcome) as error:
        return error


@virtually
async def test_what_our_own_budget_kept_back_counts_as_neither() -> None:
    orders = [kept_back(NotSent("no room", 1)) for _ in range(15)] + [NotSent("a shape the venue would not take")] * 15
    inner = Scripted(*orders, *[kept_back(ReadFailed("no room", retry_after_ms=1)) for _ in range(30)])
    account = guard(inner)
    for _ in orders:
        with pytest.raises(NotSent):
            await account.create(REQUEST)
    for _ in range(10):
        with pytest.raises(ReadFailed):
            await account.balances()
    assert len(inner.asked) == 60
    assert account.health.breaker is BreakerState.CLOSED
    assert account.health.health.calls == 0


@virtually
async def test_orders_that_find_no_connection_open_the_circuit() -> None:
    account = guard(Scripted(*[NotSent("no route to the venue", 1_000)] * 3))
    for _ in range(3):
        with pytest.raises(NotSent, match="no route"):
            await account.create(REQUEST)
    assert account.health.breaker is BreakerState.OPEN
    assert account.health.health.failures == 3


@virtually
async def test_a_cancelled_probe_does_not_keep_the_circuit_shut() -> None:
    inner = Scripted(*[Unknown("timeout")] * 3, 60.0)
    account = guard(inner)
    await open_the_circuit(account)
    await asyncio.sleep(1.0)
    probe = asyncio.create_task(account.create(REQUEST))
    await asyncio.sleep(0)
    with pytest.raises(NotSent) as not_sent:
        await account.create(REQUEST)
    assert not_sent.value.retry_after_ms > 0
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert await account.create(REQUEST) is REPORT


@virtually
async def test_whoever_wants_to_know_hears_of_every_change_once() -> None:
    heard: list[AccountHealth] = []
    inner = Scripted(*[Unknown("timeout")] * 3)
    errors = ErrorRules(window_ms=10_000, least_calls=3, recovered_calls=2)
    account = guard(inner, on_change=heard.append, errors=errors)
    with capture_logs() as logs:
        await open_the_circuit(account)
        await asyncio.sleep(1.0)
        await account.create(REQUEST)
        await asyncio.sleep(11.0)
        for _ in range(3):
            await account.create(REQUEST)
    assert [(health.breaker, health.health.condition) for health in heard] == [
        (BreakerState.OPEN, Condition.DEGRADED),
        (BreakerState.CLOSED, Condition.DEGRADED),
        (BreakerState.CLOSED, Condition.HEALTHY),
    ]
    assert [health.well for health in heard] == [False, False, True]
    assert [line["log_level"] for line in logs] == ["warning", "warning", "info"]
    assert heard[0].name == "binance"


@virtually
async def test_following_and_closing_pass_straight_through() -> None:
    inner = Scripted()
    account = guard(inner)
    await account.follow(None)  # type: ignore[arg-type]
    await account.close()
    assert [name for _, name in inner.asked] == ["follow", "close"]
    assert account.health.health.calls == 0


def test_money_passes_a_guard_untouched() -> None:
    class Rich(Scripted):
        async def balances(self) -> Mapping[str, BalanceReport]:
            return {"USDT": BalanceReport(Decimal("0.10"), Decimal(2))}

    found = run_virtually(_await(guard(Rich()).balances()))
    assert found == {"USDT": BalanceReport(Decimal("0.10"), Decimal(2))}
