"""One process of the bot, from its start to its kill: the real desk, shell, broker, reconciler and recovery.

Only what is outside of it is the drill's: the clock, the venue's account, the disk. It starts as `bot.app` starts a live run, and
is killed as a process is: from one moment to the next nothing of it reaches anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from bot.app.account import OpenAccount
from bot.app.live import LiveSide
from bot.core.decision import Decision, SourceSpec, Tier
from bot.core.desk import DeskConfig
from bot.core.effects import Notify
from bot.core.facts import Fact
from bot.core.inputs import InstrumentChanged, Proposed, SetTradingState, SourceJoined, TradingState
from bot.core.market import Quote
from bot.core.orders import OrderType
from bot.core.risk import RiskLimits
from bot.core.tracking import NativeProtection, TradingRules
from bot.core.values import value
from bot.drill.virtual.account import EngineAccount, Wire
from bot.drill.virtual.journal import Disk, MemoryJournal
from bot.drill.virtual.loop import VirtualLoop
from bot.drill.virtual.schedule import SYMBOLS
from bot.drill.virtual.venue import SISTER_PREFIX
from bot.journal.journal import Journal
from bot.outlets.outlets import Outlets
from bot.runtime.clock import WallClock
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.inbox import Inbox
from bot.runtime.recovery import recover_from
from bot.runtime.shell import Shell, ShellRules
from bot.runtime.supervision import Supervisor
from execution.account import VenueAccount
from execution.guarded import GuardedAccount
from execution.live import LiveBroker, LiveRules
from execution.reconcile import Reconciler, ReconcileRules
from execution.tracked import TrackedOrders

PREFIX = "arb"
SOURCE = "rules:drill"
_SNAPSHOT_SECONDS = 15.0
_GRACE_MS = 6_000


@value
class Setting:
    """How the bot of a run is set up. `owns`: the account's deposits are the bot's; `native`: what rests at the venue."""

    balance: Decimal
    entry: OrderType
    owns: bool
    native: NativeProtection

    def config(self) -> DeskConfig:
        """The desk: losses and cool-downs do not keep it from trading, for it is to trade through everything."""
        limits = RiskLimits(max_daily_loss=None, max_drawdown=None, loss_streak=None, max_orders_per_minute=None)
        trading = TradingRules("drill", "arbiter", PREFIX, self.entry, entry_ttl_ms=4_000, native=self.native)
        return DeskConfig(balance=self.balance, limits=limits, trading=trading, sample_ms=10_000)


class _Outlets:
    """Where everything is published: nowhere. Notifications are kept for whoever looks into a failure."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def publish(self, event: object) -> None:
        """Nobody follows."""

    def notify(self, notice: Notify) -> None:
        """Keep it."""
        self.notices.append(f"{notice.title}: {notice.text}")


@dataclass(slots=True)
class Surroundings:
    """What a process starts in. `guard` stands between it and its account, for sabotage."""

    loop: VirtualLoop
    wire: Wire
    disk: Disk
    setting: Setting
    journal: Callable[[], MemoryJournal]
    guard: Callable[[VenueAccount], VenueAccount] = lambda account: account


@dataclass(slots=True)
class Process:
    """A running bot. `start` at once; `kill` or `leave` ends it."""

    around: Surroundings
    number: int
    outlets: _Outlets = field(default_factory=_Outlets)
    failures: list[str] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _burials: list[asyncio.Task[None]] = field(default_factory=list)
    _account: EngineAccount = field(init=False)
    _journal: MemoryJournal = field(init=False)
    _config: DeskConfig = field(init=False)
    shell: Shell = field(init=False)
    live: LiveSide = field(init=False)

    def start(self) -> None:
        """Recover, and begin to trade once the account is reconciled."""
        around = self.around
        recovered = recover_from(around.disk)
        clock = WallClock(around.loop.now_ns, around.loop.now_ns)
        self._config, self._journal = around.setting.config(), around.journal()
        desk, inbox = recovered.desk(self._config), Inbox()
        self.shell = shell = Shell(
            desk,
            inbox,
            clock,
            cast("Journal", self._journal),
            cast("Outlets", self.outlets),
            ShellRules(),
            self._saw,
        )
        self._account = EngineAccount(around.wire)
        self.live = self._live_side(recovered.account)
        shell.connect(self.live.broker, SourceHost(inbox, Port(inbox, desk, clock.now), Supervisor()))
        now = clock.now()
        around.disk.complete(recovered.run, recovered.untold)
        self._journal.begin(f"run{self.number}", now, self._snapshot())
        for instrument in around.wire.venue.instruments.values():
            shell.cycle.turn(InstrumentChanged(now, instrument))
        if recovered.strays:
            shell.cycle.turn(SetTradingState(now, TradingState.REDUCING, "recovery", f"strays: {recovered.strays}"))
        self.live.begin()
        inbox.put_command(SourceJoined(now, SourceSpec(SOURCE, Tier.TRADITIONAL, settle_ms=0)))
        for name, task in self._lives().items():
            self._tasks.append(around.loop.create_task(self._watched(name, task), name=f"{self.number} {name}"))

    def kill(self) -> None:
        """The process is gone: what it had not said by now is never said."""
        self._journal.die()
        self._account.sever()
        for task in self._tasks:
            task.cancel()
        self._burials.append(self.around.loop.create_task(self.live.broker.close(0), name=f"{self.number} burial"))

    async def leave(self) -> None:
        """Wait until the journal has everything, and end. What is still open stays open."""
        for fact in self.shell.desk.samples():
            self._journal.append(fact)
        await self._journal.flush()
        self.kill()
        await asyncio.gather(*self._burials)

    def on_quote(self, quote: Quote) -> None:
        """The market shows a new quote."""
        self.shell.on_quote(quote)

    def propose(self, decision: Decision) -> None:
        """A source proposes; it waits while too many proposals do."""
        proposed = Proposed(self.around.loop.now(), decision)
        self._tasks.append(self.around.loop.create_task(self.shell.inbox.put_proposal(proposed), name="source"))

    def _live_side(self, memory: object) -> LiveSide:
        """As `LiveSide.of` puts it together, with chances that the seed draws."""
        around, shell = self.around, self.shell
        chance, now, put = around.wire.chance, shell.clock.now, shell.inbox.put_broker
        account = GuardedAccount(around.guard(self._account), "drill", draw=lambda: chance.between("pause", 0.0, 1.0))
        tracked = TrackedOrders(put, now)
        broker = LiveBroker(
            account, tracked, put, now, LiveRules(grace_ms=_GRACE_MS), jitter=lambda: chance.between("jitter", 0.8, 1.2)
        )
        orders = shell.desk.state.orders
        rules = ReconcileRules(SYMBOLS, PREFIX, (SISTER_PREFIX,), every_ms=10_000, grace_ms=_GRACE_MS)
        reconciler = Reconciler(
            account,
            tracked,
            now,
            rules,
            ended=lambda order_id: order_id in orders and orders[order_id].state.terminal,
            jitter=lambda: chance.between("timer", 0.0, 1.0),
            memory=memory,
        )
        # What `LiveSide` reports of the opened account is for a status page; nobody asks here.
        opened = cast("OpenAccount", None)
        return LiveSide(
            opened, broker, reconciler, shell, self._config.currency, around.setting.owns, self.outlets.notices.append
        )

    def _lives(self) -> dict[str, Coroutine[Any, Any, None]]:
        return {
            "desk": self.shell.run(),
            "broker": self.live.broker.run(),
            "reconciliation": self._reconcile(),
            "snapshots": self._keep_snapshots(),
        }

    async def _reconcile(self) -> None:
        await self.live.first()
        self._journal.snapshot(self.shell.desk.market.now, self._snapshot())
        await self.live.keep_reconciled()

    async def _keep_snapshots(self) -> None:
        while True:
            await asyncio.sleep(_SNAPSHOT_SECONDS)
            self._journal.snapshot(self.shell.desk.market.now, self._snapshot())

    async def _watched(self, name: str, life: Coroutine[Any, Any, None]) -> None:
        """A part that ends or fails is a finding: none of them may, whatever the world does."""
        try:
            await life
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - the boundary of the drill: told as its finding
            self.failures.append(f"{name} failed: {type(error).__name__}: {error}")
        else:
            self.failures.append(f"{name} ended")

    def _snapshot(self) -> dict[str, object]:
        return {
            "config": self._config,
            "desk": self.shell.desk.state,
            "sources": {},
            "account": self.live.reconciler.snapshot(),
        }

    def _saw(self, fact: Fact) -> None:
        """Facts are read from the disk, not from here."""
