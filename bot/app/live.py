"""The live side of a run: a broker on the account, and reconciliation, which opens the way to the venue or closes it."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

import structlog

from bot.app.account import OpenAccount, native_protection
from bot.core.effects import Notify, Severity
from bot.core.inputs import CashMoved, Reconciled
from bot.core.tracking import NativeProtection
from bot.runtime.shell import Shell
from bot.settings import Settings
from bot.settings.models import LiveProtection
from execution.account import OrderReport, TradeReport, TransferReport
from execution.budget import loop_ms
from execution.error_budget import Condition
from execution.guarded import AccountHealth
from execution.live import LiveBroker, LiveRules
from execution.reconcile import ReconcileFailed, Reconciler, ReconcileRules, Reconciliation
from execution.shared_budget import SharedBudget, SharedState
from execution.tracked import TrackedOrders

Report = TypeVar("Report", OrderReport, TradeReport)

log = structlog.get_logger(__name__)

_TOLD_BEFORE = 1_000
_ENDED_KNOWN = 2_000  # as many as the desk remembers at the most
_FAILED_OFTEN = 3
_LATE_MS = 1_000
_SKEW_MS = 60_000
_CLOCK_OFF_MS = 1_000
_QUIET_MS = 3_600_000
_FIRST_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 30.0


@dataclass(slots=True)
class LiveSide:
    """Orders and their truth at the venue, for one run.

    `noticed` shows a person one line; `keep` keeps what the run remembers, so that it outlives a crash from then on.
    """

    account: OpenAccount
    broker: LiveBroker
    reconciler: Reconciler
    shell: Shell
    currency: str
    owns_account: bool
    noticed: Callable[[str], None]
    last: Reconciliation | None = None
    keep: Callable[[], None] = lambda: None
    _failed: int = 0
    _told: OrderedDict[str, None] = field(default_factory=OrderedDict)

    @classmethod
    def of(
        cls, account: OpenAccount, shell: Shell, settings: Settings, memory: object, noticed: Callable[[str], None]
    ) -> LiveSide:  # fmt: skip
        """The parts of a live run around its shell; `memory` is what an earlier run's reconciliation remembered."""
        live, now = settings.live, shell.clock.now
        grace = max(live.grace, account.request_life_ms + _LATE_MS)
        # What traded is told by the venue's clock, and asked for by ours.
        behind = max(account.ahead_ms, 0)
        put = shell.inbox.put_broker
        tracked = TrackedOrders(put if account.crash is None else account.crash.emit(put), now, _ENDED_KNOWN)
        broker = LiveBroker(
            account.account,
            tracked,
            put,
            now,
            LiveRules(grace_ms=grace, poll_ms=live.poll_every, answer_ms=3 * live.call_timeout, skew_ms=_SKEW_MS + behind),
            notice=lambda text: shell.notify(Notify(Severity.WARNING, "The broker", text)),
            jitter=lambda: random.uniform(0.8, 1.2),  # noqa: S311 - it spreads waits, nothing secret
        )
        orders = shell.desk.state.orders
        reconciler = Reconciler(
            account.account,
            tracked,
            now,
            ReconcileRules(
                symbols=(*settings.exchange.symbols, *(each for each in live.watch if each not in settings.exchange.symbols)),
                prefix=settings.bot.order_prefix,
                sisters=live.sisters,
                every_ms=live.reconcile_every,
                grace_ms=grace,
                quiet_ms=_QUIET_MS + behind,
            ),
            ended=lambda order_id: order_id in orders and orders[order_id].state.terminal,
            jitter=random.random,
            memory=memory,
        )
        side = cls(account, broker, reconciler, shell, settings.paper.currency, live.allocation is None, noticed)
        account.noticed.append(side.on_health)
        return side

    def begin(self) -> None:
        """Take up the orders that an earlier run left; nothing leaves before the account was read.

        Those that had ended too: what traded of them while nobody listened must still reach the books.
        """
        now = self.shell.clock.now()
        self.shell.cycle.turn(Reconciled(now, False, notes=("it is being read",)))
        self.broker.adopt(self.shell.desk.state.orders.values())

    async def first(self) -> None:
        """Reconcile until it succeeds: no decision is acted on before. Runs until then, or until cancelled."""
        wait = _FIRST_RETRY_SECONDS
        while True:
            try:
                self.on_reconciled(await self.reconciler.once())
            except ReconcileFailed as problem:
                self.on_reconcile_failed(problem)
                self.noticed(f"not trading: {problem}; asking again in {wait:g} s")
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_RETRY_SECONDS)
            else:
                return

    async def keep_reconciled(self) -> None:
        """Reconcile on the timer, until cancelled."""
        await self.reconciler.run(self)

    async def reconcile(self, accept: str | None) -> dict[str, object]:
        """One pass now, for an operator; `accept` names who takes the account as it is. `ReconcileFailed` when it fails."""
        if accept is not None:
            self.reconciler.rebase()
        found = await self.reconciler.once()
        self.on_reconciled(found, *([f"{accept} accepted the account as it is"] if accept is not None else ()))
        if accept is not None:
            self.keep()
        return {
            "open_orders": len(found.open_orders),
            "fills_found": len(found.fills),
            "foreign_orders": len(found.foreign_orders) + len(found.sister_orders),
            "explained": found.explained,
            "unexplained": list(found.unexplained),
        }

    async def close(self, seconds: float) -> None:
        """Let requests under way be answered for so long."""
        await self.broker.close(seconds)

    def on_reconciled(self, found: Reconciliation, *more: str) -> None:
        """Tell the desk what a whole pass found, and move the books with the account's deposits where it is all the bot's."""
        put, now = self.shell.inbox.put_broker, self.shell.clock.now()
        if self.owns_account:
            for transfer in found.transfers:
                if transfer.currency == self.currency:
                    put(CashMoved(now, transfer.amount, transfer.currency, f"transfer {transfer.id}", _entry(transfer)))
        notes = (*self._news(found), *more)
        put(Reconciled(now, True, len(found.open_orders), len(found.fills), notes, found.unexplained))
        if self.last is not None and self._failed >= _FAILED_OFTEN:
            self.shell.notify(
                Notify(Severity.INFO, "The account is reconciled again", f"after {self._failed} passes that failed")
            )
        self.last, self._failed = found, 0

    def on_reconcile_failed(self, problem: ReconcileFailed) -> None:
        """A pass that could not read everything changes nothing, but before the first whole one nothing leaves.

        That no pass can any more is something a person must know.
        """
        self._failed += 1
        if self.last is None:
            self.shell.inbox.put_broker(Reconciled(self.shell.clock.now(), False, notes=(str(problem),)))
        elif self._failed == _FAILED_OFTEN:
            self.shell.notify(Notify(Severity.WARNING, "The account is not reconciled", f"{problem}; trading goes on"))

    def on_health(self, health: AccountHealth) -> None:
        """The account's breaker or error budget changed: a person should know, and what was missed is asked for."""
        if health.well:
            self.shell.notify(Notify(Severity.INFO, "The venue answers again", health.name))
            self.broker.poll_now()
            self.reconciler.soon()
        else:
            text = f"{health.name}: breaker {health.breaker.value}, {health.health.condition.value}"
            self.shell.notify(Notify(Severity.WARNING, "The venue is degraded", text))

    def ailments(self) -> list[str]:
        """What keeps the account from being used as usual."""
        health = self.account.guarded.health
        reasons = [] if health.well else [f"{health.name} is degraded: breaker {health.breaker.value}"]
        if self._sharing().get("limit_shared") == SharedState.LOCAL.value:
            reasons.append("Redis is away: the venue's limit is kept alone, at the share last known")
        if self._failed >= _FAILED_OFTEN:
            reasons.append(f"the account of {health.name} could not be read in {self._failed} passes of reconciliation")
        data = self.account.data.health(loop_ms())
        if data.condition is not Condition.HEALTHY:
            reasons.append(f"{data.name} is degraded: {data.share:.0%} of {data.calls} calls failed")
        return reasons if self.broker.stream_up else [*reasons, f"the account stream of {health.name} is down"]

    def plan(self, settings: Settings, cash: Decimal) -> list[str]:
        """What a person should know before the first order."""
        exchange, free = settings.exchange, self.account.free(self.currency)
        orders = f"client ids begin with {settings.bot.order_prefix!r}"
        lines = [
            f"LIVE: real orders on {exchange.id}, account {settings.bot.account!r}; {orders}",
            f"this bot's books began with {cash} {self.currency}; {free} {self.currency} is free in the account now",
            "before the first order the account is read: open orders, fills and balances; then every "
            f"{settings.live.reconcile_every // 1_000} s",
            "stopping leaves open orders at the venue; `python -m bot kill --flatten` cancels them and closes every position",
        ]
        lines += self._protection(settings)
        if self.account.permissions.withdraw:
            lines.insert(1, "WARNING: this key may withdraw; make one that may only read and trade")
        if abs(self.account.ahead_ms) > _CLOCK_OFF_MS:
            lines.insert(
                1, f"WARNING: this machine's clock is {self.account.ahead_ms / 1_000:+.1f} s off the venue's; set it right"
            )
        if self.account.permissions.trade is False:
            lines.insert(1, "WARNING: this key may not trade: every order will be refused")
        return lines

    def _protection(self, settings: Settings) -> Iterator[str]:
        """What of the protection that was asked for the venue cannot hold."""
        wanted, resting = settings.live.protection, native_protection(self.account, settings)
        if wanted is not LiveProtection.DESK and resting is NativeProtection.OFF:
            yield f"{settings.exchange.id} keeps no stop-loss order on every symbol: the bot watches the levels itself"
        elif wanted is LiveProtection.OCO and resting is NativeProtection.STOP:
            yield f"{settings.exchange.id} has no pairs of orders: stops rest there, the bot watches the targets itself"

    def report(self) -> dict[str, object]:
        """How the live side does, in plain values."""
        health, stats, last = self.account.guarded.health, self.account.budget.stats, self.last
        return {
            "stream_up": self.broker.stream_up,
            "broker": self.broker.stats,
            "breaker": health.breaker.value,
            "condition": health.health.condition.value,
            "market_data": self.account.data.health(loop_ms()).condition.value,
            "limit_used": round(stats.used, 3),
            "limit": round(stats.capacity, 3),
            "limit_penalty_ms": stats.penalty_ms,
            **self._sharing(),
            "reconciled": None if last is None else last.at,
            "reconcile_failures": self.reconciler.failures,
            "unexplained": [] if last is None else list(last.unexplained),
        }

    def _sharing(self) -> dict[str, object]:
        """With whom the venue's limit is shared."""
        budget = self.account.budget
        if not isinstance(budget, SharedBudget):
            return {}
        reading = budget.reading
        return {"limit_shared": reading.state.value, "limit_members": reading.members}

    def _news(self, found: Reconciliation) -> Iterator[str]:
        """What a pass found beside our own orders, each thing once."""
        for ghost in found.ghosts:
            yield f"cancelled {ghost}: it had ended for us and still rested at the venue"
        for order in self._new("order", found.foreign_orders):
            yield f"left alone: an order of somebody else on {order.symbol}"
        for order in self._new("order", found.sister_orders):
            yield f"left alone: order {order.client_id} of a sister bot on {order.symbol}"
        for trade in self._new("trade", found.foreign_trades):
            yield f"a trade of somebody else: {trade.side.value} {trade.amount} {trade.symbol} at {trade.price}"
        for trade in self._new("trade", found.sister_trades):
            yield f"a trade of a sister bot: {trade.side.value} {trade.amount} {trade.symbol} at {trade.price}"
        for transfer in found.transfers:
            if self._first_time(f"transfer {transfer.id}"):
                yield _transfer(transfer)

    def _new(self, kind: str, reports: Iterable[Report]) -> Iterator[Report]:
        for report in reports:
            number = report.venue_id if isinstance(report, OrderReport) else report.id
            if self._first_time(f"{kind} {report.symbol} {number}"):
                yield report

    def _first_time(self, what: str) -> bool:
        if what in self._told:
            return False
        self._told[what] = None
        if len(self._told) > _TOLD_BEFORE:
            self._told.popitem(last=False)
        return True


def _entry(transfer: TransferReport) -> str:
    """What tells a transfer from every other: deposits and withdrawals may share numbers."""
    return f"{'in' if transfer.amount > 0 else 'out'}:{transfer.currency}:{transfer.id}"


def _transfer(transfer: TransferReport) -> str:
    what = "a deposit" if transfer.amount > 0 else "a withdrawal"
    return f"{what} of {abs(transfer.amount)} {transfer.currency}"
