"""One run from its first line to its last: open the world, recover the books, trade until told to stop, leave in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version as package_version
from pathlib import Path

import structlog

from bot.app.alone import alone_in
from bot.app.commands import Operator
from bot.app.ending import aside, signals, terminable, within
from bot.app.readings import bind_readings
from bot.app.telling import MinuteCount, Start, WatcherNotifier, banner, minute, summary
from bot.app.world import World, open_world
from bot.core.decision import SourceSpec, derive_id
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.inputs import (
    Closing,
    Filled,
    InstrumentChanged,
    OrderClosed,
    SetTradingState,
    SourceLeft,
    TradingState,
)
from bot.core.market import Health
from bot.core.orders import ZERO
from bot.journal.errors import JournalError, JournalTrouble
from bot.journal.journal import Journal, JournalLimits
from bot.journal.run import RunStart
from bot.journal.segments import SegmentLimits
from bot.journal.upkeep import DAY_MS, Retention, retire
from bot.journal.writer import Watch
from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import Identity, masking
from bot.outlets.listener import ListenerSettings
from bot.outlets.local_feed import LocalSettings
from bot.outlets.notify import LogNotifier
from bot.outlets.outlets import Outlets, OutletSettings
from bot.outlets.redis_feed import RedisSettings
from bot.runtime.clock import WallClock
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.process import steady
from bot.runtime.recovery import Recovered, recover
from bot.runtime.shell import Shell, ShellRules
from bot.runtime.supervision import Supervisor, release
from bot.secrets import Secrets
from bot.services.assembly import desk_config
from bot.services.specs import unheard, with_settings
from bot.settings import Loaded, RunOptions, RunSummary, RunWatcher, Settings, public
from execution.paper import PaperBroker
from execution.paper_account import PaperAccount
from sources.loading import load_source

log = structlog.get_logger(__name__)

# A stop is over within 5 s, whatever hangs: first the helpers, the desk twice, the journal and beside it the outlets; the world's
# sockets, last, have nothing to lose.
_HELPER_SECONDS = 0.8
_DESK_SECONDS = 0.25
_JOURNAL_SECONDS = 2.2
_OUTLET_SECONDS = 2.0
_WORLD_SECONDS = 0.8
_SNAPSHOT_SECONDS = 300.0
_MINUTE = 60.0
_UPKEEP_SECONDS = 3_600.0
_LOCAL_REDIS = "redis://127.0.0.1:6379/0"


async def run(options: RunOptions, loaded: Loaded, secrets: Secrets, watcher: RunWatcher) -> RunSummary:
    """Trade until the duration is over or the process is told to stop; raises the error of whatever could not be opened.

    Whatever way it ends, nothing that it opened stays open.
    """
    clock = WallClock()
    settings = loaded.settings
    data_dir = settings.bot.data_dir
    with terminable(), alone_in(data_dir):
        journal = await asyncio.to_thread(Journal.open, settings.database_url, data_dir, _journal_limits(settings))
        world = await open_world(options, loaded, clock)
        try:
            return await _Run(options, loaded, secrets, watcher, clock, journal, world).live()
        finally:
            await within("world", world.close(), _WORLD_SECONDS)


class _Run:
    """The parts of one run and the order in which they come and go."""

    def __init__(
        self,
        options: RunOptions,
        loaded: Loaded,
        secrets: Secrets,
        watcher: RunWatcher,
        clock: WallClock,
        journal: Journal,
        world: World,
    ) -> None:
        self.options, self.loaded, self.watcher, self.clock = options, loaded, watcher, clock
        self.journal, self.world = journal, world
        self.settings = loaded.settings
        self.version = package_version("arbiter-desk")
        self.id = _run_id(clock.now())
        self.stop = asyncio.Event()
        self.supervisor = Supervisor()
        self.config: DeskConfig = desk_config(self.settings, sizing_timeframe="1s" if world.simulated else None)
        self.recovered: Recovered = recover(self.settings.database_url, self.settings.bot.data_dir, world.book)
        desk = self.recovered.desk(self.config)
        self.outlets = _outlets(self, secrets)
        rules = ShellRules(await_intent=self.settings.paper.await_intent)
        self.shell = Shell(desk, world.inbox, clock, journal, self.outlets, rules, watcher.saw)
        self.host = SourceHost(world.inbox, Port(world.inbox, desk.market, clock.now), self.supervisor)
        self.operator = Operator(self.shell, self.host, self.status, self._admit)
        self.broker = PaperBroker(
            desk.state.instruments,
            self.config.fills,
            self.shell.cycle.turn,
            account=PaperAccount.of(_balances(desk)),
        )
        self.shell.connect(self.broker, self.host)
        self.start = Start.of(self.shell, clock.now())

    async def live(self) -> RunSummary:
        """Begin, trade, end."""
        try:
            self.journal.begin(self._run_start(), self._watch())
        except BaseException:
            with contextlib.suppress(JournalError):  # it may have begun by half
                await self.journal.close(self.clock.now(), timeout=1.0)
            raise
        with signals(self.stop):
            try:
                await self._open()
                await self._trade()
            except BaseException:
                with contextlib.suppress(JournalError):  # what went wrong first is what is told
                    await self._leave(None)
                raise
            await self._leave(self._snapshot())
        ended = self.clock.now()
        return summary(self.shell, self.world, self.settings, self.start, self.id, self.options.mode, ended)

    async def _open(self) -> None:
        """Everything that the desk needs around it before the first event."""
        bind_readings(self.shell, self.world)
        await self.outlets.start()
        self._begin_books()
        self._let_sources_in()
        self._tell_worth()
        paths = {"config": str(self.loaded.directory or "defaults"), "data": str(self.settings.bot.data_dir)}
        paths["journal"] = f"{self.settings.database_url.rpartition('@')[2]}, inputs recorded for `replay {self.id}`"
        self.watcher.started(banner(self.world, self.loaded, self.shell, self.id, self.version, self.options.mode, paths))

    async def _trade(self) -> None:
        """Everything that lives as long as the run; the desk outlives the rest by the time it takes to empty its inbox."""
        steady()
        desk = asyncio.create_task(self.shell.run(), name="desk")
        desk.add_done_callback(lambda _: self.stop.set())
        start = self.supervisor.start
        start("feed", self.world.feed.run)
        start("minutes", self._tell_minutes)
        start("snapshots", self._keep_snapshots)
        start("upkeep", self._keep_journal_small)
        self.host.start()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.options.duration):
                    await self.stop.wait()
            log.info("stopping", run=self.id)
        finally:
            self.host.quiet()
            await self.supervisor.stop(_HELPER_SECONDS)
            self.shell.stop()
            await asyncio.wait([desk], timeout=_DESK_SECONDS)
            await release([desk], _DESK_SECONDS)
            if len(self.world.inbox):
                log.warning("inputs_unhandled", **self.world.inbox.depths())
        if not desk.cancelled():
            desk.result()

    async def _leave(self, final: object) -> None:
        """The last samples and the final snapshot go into the journal, the last messages out, both at once and in time.

        Without a `final` snapshot the next start goes on from the last one kept and the inputs recorded since.
        """
        self._tell_worth()
        outlets = asyncio.create_task(self.outlets.close(), name="close-outlets")
        try:
            await self.journal.close(self.clock.now(), final, timeout=_JOURNAL_SECONDS)
        finally:
            await within("outlets", outlets, _OUTLET_SECONDS)

    def _tell_worth(self) -> None:
        """Journal and publish what the book and the shadows are worth, beside the desk's own samples."""
        for fact in self.shell.desk.samples():
            self.journal.append(fact)
            self.outlets.publish(fact)

    def status(self) -> Mapping[str, object]:
        """How the run does, in plain JSON values."""
        desk, tally, feed = self.shell.desk, self.shell.tally, self.world.feed.statistics
        books, risk = desk.portfolio, desk.state.risk
        return {
            "run": self.id,
            "mode": self.options.mode.value,
            "simulated": self.world.simulated,
            "venue": self.world.venue,
            "state": risk.state.value,
            "equity": round(books.equity, 8),
            "cash": str(books.cash),
            "pnl": round(books.equity - float(self.start.equity), 8),
            "positions": {name: str(held.amount) for name, held in books.positions.items() if held.amount},
            "working_orders": len(desk.state.working),
            "waiting_decisions": len(desk.state.queue),
            "standing": {name: bench.standing.source for name, bench in desk.state.benches.items() if bench.standing},
            "sources": {name: "paused" if spec.paused else "on" for name, spec in self.host.specs.items()},
            "decisions": dict(tally.fates),
            "orders": tally.orders,
            "fills": tally.fills,
            "market_events": tally.market_events,
            "health": {name: health.value for name, health in risk.health.items() if health is not Health.FRESH},
            "conflated_quotes": self.world.inbox.conflated,
            "dropped_trades": self.world.inbox.trades_dropped,
            "feed": {name: value for name, value in asdict(feed).items() if isinstance(value, int | float)},
            "journal_pending": self.journal.pending,
            "journal_trouble": self.journal.trouble.value if self.journal.trouble else None,
            "redis": self.outlets.redis.state.value,
            "restarts": dict(self.supervisor.restarts),
            "failing": dict(self.supervisor.failing),
            "ignored_inputs": dict(desk.state.ignored),
            "latency_ms": tally.to_fill.milliseconds(),
        }

    def ready(self) -> list[str]:
        """Why the bot is not ready, nothing if it is."""
        reasons = [f"{name} is down: {error}" for name, error in self.supervisor.failing.items()]
        if self.journal.trouble is not None:
            reasons.append(f"the journal cannot be written: {self.journal.trouble.value}")
        health = self.shell.desk.state.risk.health
        reasons += [f"market data of {symbol} is {state.value}" for symbol, state in health.items() if state is not Health.FRESH]
        return reasons

    def _run_start(self) -> RunStart:
        return RunStart(
            self.id,
            self.world.book,
            self.clock.now(),
            self.world.simulated,
            public(self.settings),
            self.version,
            self.world.seed,
            self._snapshot(),
        )

    def _snapshot(self) -> dict[str, object]:
        return {"config": self.config, "desk": self.shell.desk.state, "sources": self.host.snapshot()}

    def _watch(self) -> Watch:
        def trouble(told: JournalTrouble) -> None:
            self.watcher.noticed(f"the journal has trouble: {told.message}")

        return Watch(trouble, lambda: self.watcher.noticed("the journal can be written again"))

    def _begin_books(self) -> None:
        """Tell the desk its instruments, and close what a paper venue that is gone can no longer fill."""
        turn, now, state = self.shell.cycle.turn, self.clock.now(), self.shell.desk.state
        for instrument in self.world.feed.instruments.values():
            turn(InstrumentChanged(now, instrument))
        for fill in self.recovered.fills:
            turn(Filled(now, fill))
        if self.recovered.strays:
            reason = f"{len(self.recovered.strays)} journaled fills belong to no order that is remembered"
            turn(SetTradingState(now, TradingState.REDUCING, "recovery", reason))
        for order in list(state.working.values()):
            turn(OrderClosed(now, order.request.id, Closing.CANCELLED, order.filled, "the paper venue began anew"))

    def _let_sources_in(self) -> None:
        """Sources as configured; those that are gone leave, those that stay go on where they were."""
        traded = self.settings.exchange.symbols
        known = dict(self.shell.desk.state.sources)
        for described in self.world.sources:
            source = with_settings(described, self.settings)
            if unheard(source, self.settings) is not None:
                continue
            known.pop(source.spec.name, None)
            life = source.live(traded)
            step = source.step(traded)
            if life is not None:
                self.host.add_life(life)
            elif step is not None:
                self.host.add_step(step)
        for name in known:
            self.world.inbox.put_command(SourceLeft(self.clock.now(), name))
        self.host.restore(self.recovered.sources)
        for candle in (*self.recovered.candles, *self.world.warm):
            self.host.warm(candle, self.shell.desk.market)
        for candle in self.world.warm:
            remembered = self.shell.desk.market.history(candle.symbol, candle.timeframe)
            if not remembered or candle.ts > remembered[-1].ts:
                self.shell.cycle.turn(candle)

    def _admit(self, file: Path, actor: str) -> SourceSpec:
        """Let in the source of a YAML file while the bot runs; it warms up on the candles that the desk remembers."""
        source = with_settings(load_source(file), self.settings)
        traded = self.settings.exchange.symbols
        life = source.live(traded)
        if life is not None:
            self.host.add_life(life, actor)
            return source.spec
        step = source.step(traded)
        if step is None:
            message = f"{file}: it has nothing to propose"
            raise ValueError(message)
        missing = [f"{timeframe} of {symbol}" for symbol, timeframe in step.feeds if not self._follows(symbol, timeframe)]
        if missing:
            message = f"{file}: this run has no candles {', '.join(missing)}; add them to exchange.timeframes and start again"
            raise ValueError(message)
        market = self.shell.desk.market
        for symbol, timeframe in step.feeds:
            for candle in tuple(market.history(symbol, timeframe)):
                step.warm(candle, market)
        self.host.add_step(step, actor)
        return source.spec

    def _follows(self, symbol: str, timeframe: str) -> bool:
        return timeframe in self.world.timeframes and symbol in self.settings.exchange.symbols

    async def _tell_minutes(self) -> None:
        last = MinuteCount()
        while True:
            await asyncio.sleep(_MINUTE)
            self.watcher.minute(minute(self.shell, self.start, last, self.settings.paper.currency))

    async def _keep_snapshots(self) -> None:
        while True:
            await asyncio.sleep(_SNAPSHOT_SECONDS)
            self.journal.snapshot(self.shell.desk.market.now, self._snapshot())

    async def _keep_journal_small(self) -> None:
        """Let go of what is older than the settings keep, once at the start and then every hour."""
        journal = self.settings.journal
        kept = Retention(
            None if journal.retention is None else journal.retention / DAY_MS,
            None if journal.segment_retention is None else journal.segment_retention / DAY_MS,
        )
        while True:
            await aside(lambda: retire(self.settings.database_url, self.settings.bot.data_dir, self.clock.now(), kept))
            await asyncio.sleep(_UPKEEP_SECONDS)


def _outlets(run: _Run, secrets: Secrets) -> Outlets:
    settings = run.settings
    identity = Identity(settings.bot.name, run.id, run.options.mode.value, run.world.simulated)

    async def obey(command: Command) -> CommandResult:
        return await run.operator(command)

    url = {"auto": _LOCAL_REDIS, "off": None}.get(settings.redis.url, settings.redis.url)
    return Outlets(
        identity,
        OutletSettings(
            data_dir=settings.bot.data_dir,
            redis=RedisSettings(
                url,
                prefix=settings.redis.prefix,
                streams=settings.redis.streams,
                stream_length=settings.redis.stream_length,
                buffer=settings.feed.buffer,
            ),
            local=LocalSettings(port=settings.feed.port, queue=settings.feed.buffer),
            listener=ListenerSettings(
                settings.metrics.host, settings.metrics.port, settings.metrics.allow_remote, settings.metrics.enabled
            ),
        ),
        now=run.clock.now,
        handler=obey,
        ready=run.ready,
        notifiers=(LogNotifier(), WatcherNotifier(run.watcher)),
        redact=masking(secrets.values()),
        version=run.version,
    )


def _journal_limits(settings: Settings) -> JournalLimits:
    journal = settings.journal
    return JournalLimits(segments=SegmentLimits(segment_bytes=journal.segment_bytes), ballast_bytes=journal.ballast_bytes)


def _balances(desk: TradingDesk) -> dict[str, Decimal]:
    """The paper account that belongs to the desk's books: its cash, and what it holds."""
    balances = {desk.portfolio.currency: desk.portfolio.cash}
    for symbol, position in desk.portfolio.positions.items():
        if position.amount > ZERO:
            base = symbol.partition("/")[0]
            balances[base] = balances.get(base, ZERO) + position.amount
    return balances


def _run_id(now: int) -> str:
    """A name that sorts by time and that two starts do not share."""
    moment = datetime.fromtimestamp(now / 1_000, UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{derive_id(now, os.getpid(), length=4)}"
