"""The shell with its real parts, and a test in the place of the market."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from bot.core.decision import Action, Decision, SourceSpec
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.facts import Fact, OrderChanged
from bot.core.inputs import InstrumentChanged, Proposed
from bot.core.matching import FillModel
from bot.core.orders import OrderRequest, OrderState
from bot.core.tracking import TradingRules
from bot.journal.journal import Journal, JournalLimits
from bot.journal.run import BookKey, RunStart
from bot.journal.writer import Watch, WriterLimits
from bot.outlets.envelope import Identity
from bot.outlets.listener import ListenerSettings
from bot.outlets.outlets import Outlets, OutletSettings
from bot.outlets.redis_feed import RedisSettings
from bot.runtime.clock import WallClock
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.inbox import Inbox
from bot.runtime.shell import Shell, ShellRules
from bot.runtime.supervision import Supervisor, release
from execution.paper import PaperBroker
from execution.paper_account import PaperAccount
from tests.factories import BTC, ETH, LLM, QC, RULE, a_config, a_decision, a_quote, a_source, an_instrument

SomeFact = TypeVar("SomeFact", bound=Fact)

QUICK = TradingRules(retry_ms=50)
NO_FEES = FillModel(maker_fee=Decimal(0), taker_fee=Decimal(0))
RULES = ShellRules()


class Facts:
    """Every fact the shell told, and a way to wait for one."""

    def __init__(self) -> None:
        self.seen: list[Fact] = []
        self._waiters: list[tuple[Callable[[], bool], asyncio.Event]] = []

    def __call__(self, fact: Fact) -> None:
        self.seen.append(fact)
        for condition, reached in self._waiters:
            if condition():
                reached.set()

    def of(self, kind: type[SomeFact]) -> list[SomeFact]:
        return [fact for fact in self.seen if isinstance(fact, kind)]

    async def until(self, condition: Callable[[], bool], timeout: float = 20.0) -> None:
        """Wait for a condition, which is looked at after every fact."""
        if condition():
            return
        waiter = (condition, asyncio.Event())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter[1].wait()
        finally:
            self._waiters.remove(waiter)

    async def count(self, kind: type[SomeFact], number: int = 1, timeout: float = 20.0) -> list[SomeFact]:
        """Wait for so many facts of a kind."""
        await self.until(lambda: len(self.of(kind)) >= number, timeout)
        return self.of(kind)

    def states(self) -> list[OrderState]:
        return [fact.state for fact in self.of(OrderChanged)]


class Witness(PaperBroker):
    """The paper broker; of every order it hears of it notes what the database held of it at that moment."""

    database: Path
    watching = True

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.heard: list[tuple[OrderRequest, list[str]]] = []

    def submit(self, request: OrderRequest, at: int) -> None:
        if self.watching:
            self.heard.append((request, order_states(self.database, request.id)))
        super().submit(request, at)


def order_states(database: Path, order: str) -> list[str]:
    """The states of an order that are committed in the journal."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT state FROM order_events WHERE order_id = ? ORDER BY row", (order,)).fetchall()
    return [str(state) for (state,) in rows]


@dataclass
class Rig:
    """A running shell."""

    shell: Shell
    host: SourceHost
    broker: Witness
    supervisor: Supervisor
    facts: Facts
    database: Path
    troubles: list[str] = field(default_factory=list)
    desk_task: asyncio.Task[None] | None = None

    @property
    def inbox(self) -> Inbox:
        return self.shell.inbox

    @property
    def now(self) -> int:
        return self.shell.clock.now()

    def quote(self, price: float = 100.0, symbol: str = BTC, **changes: Any) -> None:
        """The market moves, as the feed would tell it."""
        self.shell.on_quote(a_quote(price, self.now, symbol, **changes))

    async def propose(self, action: Action = Action.BUY, source: str = RULE, **changes: Any) -> Decision:
        """A source speaks through the port it would be given."""
        now = self.now
        changes.setdefault("name", f"{source}-{action.value}-{len(self.facts.seen)}-{now}")
        decision = a_decision(action, source, now, **changes)
        await self.inbox.put_proposal(Proposed(now, decision))
        return decision

    async def settled(self, timeout: float = 20.0) -> None:
        """Until the desk has taken everything that had arrived."""
        async with asyncio.timeout(timeout):
            while len(self.inbox):
                await asyncio.sleep(0)


def a_shell(
    path: Path,
    facts: Facts,
    *,
    config: DeskConfig | None = None,
    rules: ShellRules = RULES,
    outlets: Outlets | None = None,
    limits: JournalLimits | None = None,
    inbox: Inbox | None = None,
    desk: TradingDesk | None = None,
) -> Rig:
    """A shell whose parts are open, and whose journal has not begun."""
    config = config or a_config(trading=QUICK, fills=NO_FEES)
    clock, inbox = WallClock(), inbox or Inbox()
    desk = desk or TradingDesk(config)
    database = path / "arbiter.db"
    quick = JournalLimits(WriterLimits(retry=0.05, retry_longest=0.1), busy_ms=20, ballast_bytes=1 << 16)
    journal = Journal.open(f"sqlite:///{database}", path, limits or quick)
    shell = Shell(desk, inbox, clock, journal, outlets or quiet_outlets(clock), rules, facts)
    supervisor = Supervisor()
    host = SourceHost(inbox, Port(inbox, desk, clock.now), supervisor)
    broker = Witness(
        desk.state.instruments,
        config.fills,
        shell.cycle.turn,
        account=PaperAccount.of({config.currency: config.balance}),
    )
    broker.database = database
    shell.connect(broker, host, broker)
    return Rig(shell, host, broker, supervisor, facts, database)


def quiet_outlets(clock: WallClock) -> Outlets:
    """Outlets that nobody follows."""
    settings = OutletSettings(None, RedisSettings(None), listener=ListenerSettings(enabled=False))
    return Outlets(Identity("main", "run-1", "paper", simulated=True), settings, now=clock.now)


@asynccontextmanager
async def running(
    path: Path, sources: Sequence[SourceSpec] | None = None, symbols: Sequence[str] = (BTC, ETH), **options: Any
) -> AsyncIterator[Rig]:
    """A shell at work, with two symbols and a source of each tier; everything is closed at the end."""
    rig = a_shell(path, Facts(), **options)
    shell = rig.shell
    book = BookKey("main", "paper", "test", "simulated")
    watch = Watch(lambda trouble: rig.troubles.append(trouble.kind.value), lambda: rig.troubles.append("recovered"))
    shell.journal.begin(RunStart("run-1", book, rig.now, True, {}, "0", None, None), watch)
    await shell.outlets.start()
    for symbol in symbols:
        shell.cycle.turn(InstrumentChanged(rig.now, an_instrument(symbol)))
    for spec in sources if sources is not None else (a_source(QC), a_source(LLM), a_source(RULE)):
        rig.host._admit(spec, "test")
    rig.desk_task = asyncio.create_task(shell.run(), name="desk")
    rig.host.start()
    try:
        yield rig
    finally:
        rig.host.quiet()
        await rig.supervisor.stop(1.0)
        shell.stop()
        await asyncio.wait([rig.desk_task], timeout=2.0)
        await release([rig.desk_task], 1.0)
        await shell.outlets.close(0.2)
        await shell.journal.close(rig.now)
