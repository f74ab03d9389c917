"""A thousand open orders after a restart: what it costs us to bring them from the venue's list to the books, and what the venue.

The orders rest at the exchange simulator, which is another process, on twenty symbols. The books know them from the journal
alone, so that each is unknown until the venue has told of it. Own time is the CPU time of this process: the wall waits for the
venue.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from time import perf_counter, process_time

from benchmarks.live_orders import PREFIX, an_order
from benchmarks.live_venue import LiveVenue, live_venue
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, spread_of
from benchmarks.rig import run_loop
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.inputs import Input, InstrumentChanged, OrderAdopted
from bot.core.orders import OrderRequest, OrderState
from bot.market.ccxt_venue import CcxtVenue, VenueConfig
from execution.budget import BudgetRules, Lane, WindowBudget
from execution.ccxt_account import CcxtAccount
from execution.ccxt_stream import minute_weight, trading
from execution.guarded import GuardedAccount
from execution.reconcile import Reconciler, ReconcileRules
from execution.tracked import TrackedOrders

_ORDERS = 1_000
_SYMBOLS = 20
_AT_ONCE = 8
_BELOW = 0.9
_COST = 100.0
_LIMIT = 6_000.0
_MOST_SECONDS = 2.0


def reconcile(effort: Effort, peers: Peers) -> list[Result]:
    """Seconds of our own, and weight of the calls in the venue's own measure."""
    del peers
    runs = []
    for _ in range(effort.runs):
        with live_venue(_SYMBOLS) as venue:
            runs.append(run_loop(_measured(venue, effort.size(_ORDERS, 20))))
    detail = {"orders": runs[0].orders, "symbols": _SYMBOLS, "calls": runs[0].calls}
    own, weights = [run.cpu for run in runs], [run.weight for run in runs]
    wall = round(statistics.median(run.wall for run in runs), 3)
    seconds = Result(
        "live-reconcile-own", statistics.median(own), "s", (Goal(most=_MOST_SECONDS),), {}, len(runs), spread_of(own),
        cpu_figure=statistics.median(own), detail={**detail, "wall_s": wall},
    )  # fmt: skip
    weight = Result(
        "live-reconcile-weight", statistics.median(weights), "weight", (Goal(most=_LIMIT),), {}, len(runs), spread_of(weights),
        detail={**detail, "share_of_a_minute": round(weights[0] / _LIMIT, 3)},
    )  # fmt: skip
    return [seconds, weight]


@dataclass(frozen=True, slots=True)
class Run:
    """One reconciliation: seconds of CPU and by the wall, and what was asked."""

    cpu: float
    wall: float
    orders: int
    calls: int
    weight: float


class Counting(WindowBudget):
    """The budget, and what went out through it."""

    def __init__(self, rules: BudgetRules) -> None:
        super().__init__(rules)
        self.calls = 0
        self.weight = 0.0

    async def take(self, weight: float, lane: Lane) -> None:
        """Wait for a turn, and count it."""
        await super().take(weight, lane)
        self.calls += 1
        self.weight += weight

    def observe(self, used: float) -> None:
        """What the venue counted before is the benchmark's own doing."""


async def _measured(venue: LiveVenue, count: int) -> Run:
    async with _account(venue) as (opened, account):
        requests = await _rest(opened, account, venue.symbols, count)
        guarded = GuardedAccount(account, "binance")
        rules = ReconcileRules(symbols=tuple(venue.symbols), prefix=PREFIX)
        before = Reconciler(guarded, _followed(requests), _now, rules)
        await before.once()
        desk = TradingDesk(DeskConfig(balance=Decimal(1_000_000)))
        for symbol in venue.symbols:
            desk.handle(InstrumentChanged(_now(), opened.instrument(symbol)))

        def tell(said: Input) -> None:
            desk.handle(said)

        tracked = TrackedOrders(tell, _now)
        for request in requests:
            desk.handle(OrderAdopted(_now(), request))
            tracked.adopt(desk.state.orders[request.id])
        reconciler = Reconciler(guarded, tracked, _now, rules, memory=before.snapshot())
        budget = Counting(BudgetRules(weight=minute_weight(opened.exchange)))
        opened.exchange.budget, opened.exchange.enableRateLimit = budget, True
        began, spent = perf_counter(), process_time()
        found = await reconciler.once()
        cpu, wall = process_time() - spent, perf_counter() - began
        states = [desk.state.orders[request.id].state for request in requests]
        if found.unexplained or len(found.open_orders) != count or any(state is not OrderState.OPEN for state in states):
            message = f"{len(found.open_orders)} of {count} orders are open; unexplained: {found.unexplained}"
            raise RuntimeError(message)
        return Run(cpu, wall, count, budget.calls, budget.weight)


def _followed(requests: Sequence[OrderRequest]) -> TrackedOrders:
    """The orders as the process that sent them knew them."""
    tracked = TrackedOrders(lambda _: None, _now)
    for request in requests:
        tracked.begin(request)
    return tracked


async def _rest(opened: CcxtVenue, account: CcxtAccount, names: Sequence[str], count: int) -> list[OrderRequest]:
    """That many orders which the market does not reach."""
    prices = {name: float(told["last"]) for name, told in (await opened.exchange.fetch_tickers(list(names))).items()}
    requests = []
    for number in range(count):
        symbol = names[number % len(names)]
        instrument, price = opened.instrument(symbol), prices[symbol] * _BELOW
        limit = Decimal(str(price)) // instrument.price_step * instrument.price_step
        amount = Decimal(str(_COST / price)) // instrument.amount_step * instrument.amount_step
        requests.append(an_order(symbol, f"order {number}", amount, limit, price))
    places = asyncio.Semaphore(_AT_ONCE)

    async def send(request: OrderRequest) -> None:
        async with places:
            await account.create(request)

    async with asyncio.TaskGroup() as group:
        for request in requests:
            group.create_task(send(request))
    return requests


@asynccontextmanager
async def _account(venue: LiveVenue) -> AsyncIterator[tuple[CcxtVenue, CcxtAccount]]:
    opened = await CcxtVenue.open(VenueConfig("binance", venue.ours, clock_samples=1), derive=trading)
    try:
        yield opened, CcxtAccount(opened.exchange)
    finally:
        await opened.close()


def _now() -> int:
    return time.time_ns() // 1_000_000
