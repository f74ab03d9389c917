"""One run from its first line to its last: open the world, recover the books, trade until told to stop, leave in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version as package_version
from typing import Any

import structlog

from bot.app.account import OpenAccount, native_protection, open_account, opening_cash, refuse_unless_meant
from bot.app.alerting import alert_watch
from bot.app.alone import alone_in
from bot.app.auditing import Audited, live_audit
from bot.app.commands import Operator
from bot.app.control_room import TASK as CONTROL_ROOM
from bot.app.control_room import ControlRoomProcess
from bot.app.ending import aside, signals, terminable, within
from bot.app.instruments import Instruments
from bot.app.learners import Learners
from bot.app.live import LiveSide
from bot.app.monitoring import Parts
from bot.app.opening import Opening
from bot.app.parts import balances, ground, journal_limits, outlets, run_id
from bot.app.readings import bind_control_room, bind_readings
from bot.app.status import Status
from bot.app.telling import MinuteCount, Start, banner, minute, summary
from bot.app.world import World, open_world
from bot.core.decision import Tier
from bot.core.desk import DeskConfig
from bot.core.effects import Notify, Severity
from bot.core.facts import Fact
from bot.core.tracking import NativeProtection
from bot.journal.errors import JournalError, JournalTrouble
from bot.journal.journal import Journal
from bot.journal.run import RunStart
from bot.journal.upkeep import DAY_MS, Retention, retire
from bot.journal.writer import Watch
from bot.outlets.command import Command, CommandResult
from bot.outlets.envelope import Identity, JobChanged, masking
from bot.runtime.clock import WallClock
from bot.runtime.hosting import Port, SourceHost
from bot.runtime.jobs import Jobs
from bot.runtime.process import loading, steady
from bot.runtime.recovery import Recovered, recover
from bot.runtime.shell import Shell, ShellRules
from bot.runtime.supervision import Supervisor, release
from bot.secrets import Secrets
from bot.services.assembly import desk_config
from bot.services.audit.entry import Scribe
from bot.services.llm.access import with_minds
from bot.services.llm.news import open_news
from bot.services.running import HELD as RUNNING
from bot.services.running import Described, Running
from bot.services.specs import unheard, with_settings
from bot.services.use_case import UseCaseError, explained, missing
from bot.settings import Loaded, RunMode, RunOptions, RunSummary, RunWatcher, public
from execution.paper import PaperBroker
from execution.paper_account import PaperAccount
from sources.means import Means
from sources.news.feeds import Feeds
from sources.news.items import Item
from sources.news.veto import settle

log = structlog.get_logger(__name__)

# A stop is over within 5 s, whatever hangs: first the answers under way and the helpers, beside them the jobs, then the desk
# twice, the journal and beside it the outlets and what learns; the world's sockets, last, have nothing to lose.
_HELPER_SECONDS = 0.8
_ANSWER_SECONDS = 0.5
_JOB_SECONDS = 0.8
_SERVICE_SECONDS = 0.2
_DESK_SECONDS = 0.25
_JOURNAL_SECONDS = 2.2
_OUTLET_SECONDS = 2.0
_TELLING_SECONDS = 1.0
# Nobody waits for the end of a run that ended by an error, but whoever must know of it may be an ocean away.
_LAST_WORDS_SECONDS = 2.0
_LEARNER_SECONDS = 1.0
_AUDIT_SECONDS = 0.8
_WORLD_SECONDS = 0.8
_SNAPSHOT_SECONDS = 300.0
_SNAPSHOT_INPUTS = 50_000
_LOOK_SECONDS = 10.0
_MINUTE = 60.0
_UPKEEP_SECONDS = 3_600.0
# A simulated world lives on candles of a second: its curves are sampled, and its pauses after losses end, at that pace.
_DEMO_SAMPLE_MS = 2_000
_DEMO_PAUSE_MS = 15_000


async def run(options: RunOptions, loaded: Loaded, secrets: Secrets, watcher: RunWatcher) -> RunSummary:
    """Trade until the duration is over or the process is told to stop; raises the error of whatever could not be opened.

    Whatever way it ends, nothing that it opened stays open.
    """
    clock = WallClock()
    settings = loaded.settings
    data_dir = settings.bot.data_dir
    live = options.mode is RunMode.LIVE
    if live:
        refuse_unless_meant(loaded, secrets)
    with terminable(), alone_in(data_dir), loading(), contextlib.ExitStack() as held:
        room = None
        if settings.web.enabled:
            room = ControlRoomProcess(loaded, secrets, watcher.noticed)
            held.callback(room.close)
        journal = await asyncio.to_thread(Journal.open, settings.database_url, data_dir, journal_limits(settings))
        world = await open_world(options, loaded, clock, lambda name: secrets.get(name) is not None)
        account: OpenAccount | None = None
        try:
            if live:
                account = await open_account(loaded, secrets, clock.now, world)
            recovered = await asyncio.to_thread(recover, settings.database_url, data_dir, world.book)
            await asyncio.to_thread(journal.complete, recovered.run, recovered.untold)
            return await _Run(options, loaded, secrets, watcher, clock, journal, world, recovered, account, room).live()
        finally:
            if account is not None:
                await within("account", account.close(), _WORLD_SECONDS)
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
        recovered: Recovered,
        account: OpenAccount | None,
        room: ControlRoomProcess | None,
    ) -> None:
        self.options, self.loaded, self.watcher, self.clock = options, loaded, watcher, clock
        self.journal, self.world, self.room = journal, world, room
        self.settings = loaded.settings
        self.version = package_version("arbiter-desk")
        self.id = run_id(clock.now())
        self.stop = asyncio.Event()
        self.supervisor = Supervisor()
        self.config = self._desk_config(account, recovered)
        self.recovered = recovered
        desk = recovered.desk(self.config)
        identity = Identity(self.settings.bot.name, self.id, options.mode.value, world.simulated)
        self.outlets = outlets(self.settings, identity, secrets, watcher, self.version, clock.now, self._obey, self._ready)
        # A real order waits for its intent whatever is set for paper.
        rules = ShellRules(await_intent=account is not None or self.settings.paper.await_intent)
        self.shell = Shell(desk, world.inbox, clock, journal, self.outlets, rules, self._saw)
        traders = () if account is None else (account.exchange,)
        self.instruments = Instruments(world.feed.venue, self.settings.exchange.symbols, world.inbox, clock, traders)
        self.port = Port(world.inbox, desk, clock.now)
        self.host = SourceHost(world.inbox, self.port, self.supervisor)
        self.live_side = self._connected(account)
        self.audit = live_audit(self.settings, identity, clock.now)
        self.start = Start.of(self.shell, clock.now())
        self.status = Status(
            self.id, options.mode, self.start, world, self.shell, self.host, self.supervisor, self.live_side,
            self.audit, room,
        )  # fmt: skip
        self.ground = ground(loaded, secrets, clock.now, world, self.id, self.outlets.notify)
        self.means = Means(self.ground.quantconnect, self.ground.budget)
        self.alerts = alert_watch(self.settings, self.outlets, self.ground, world, self.host, self.supervisor, journal, clock.now)
        self.learners = Learners(self.settings)
        self.feeds: Feeds | None = None
        self.jobs = Jobs(clock.now, self._job_changed, explained, missing)
        self.opening = Opening(
            self.settings, world, recovered, self.shell, self.host, self.means, self.learners.know, self.live_side
        )
        self.monitor = Parts(
            world, self.shell, self.host, self.supervisor, self.ground, self.jobs, self.learners, self.live_side
        ).monitor()
        self.operator = self._audited(Scribe(masking(secrets.values())))

    def _desk_config(self, account: OpenAccount | None, recovered: Recovered) -> DeskConfig:
        """The desk of the settings, at the pace of the world and with what the account has."""
        simulated = self.world.simulated
        return desk_config(
            self.settings,
            sizing_timeframe="1s" if simulated else None,
            sample_ms=_DEMO_SAMPLE_MS if simulated else None,
            loss_pause_ms=_DEMO_PAUSE_MS if simulated else None,
            balance=None if account is None else opening_cash(account, recovered, self.settings),
            native=NativeProtection.OFF if account is None else native_protection(account, self.settings),
        )

    def _audited(self, scribe: Scribe) -> Audited:
        """Who carries out commands, and writes down those that change something."""
        operator = Operator(
            self.shell, self.host, self.status.report, self.opening.admit, self.ground, self.jobs, self.live_side
        )  # fmt: skip
        return Audited(
            operator, self.audit, scribe,
            shell=self.shell, host=self.host, jobs=self.jobs, ground=self.ground, now=self.clock.now,
        )  # fmt: skip

    def _connected(self, account: OpenAccount | None) -> LiveSide | None:
        """Connect the shell with the paper broker, or with that of the account, whose side of the run this gives."""
        desk = self.shell.desk
        if account is None:
            turn, paper = self.shell.cycle.turn, PaperAccount.of(balances(desk))
            broker = PaperBroker(desk.state.instruments, self.config.fills, turn, account=paper)
            self.shell.connect(broker, self.host, broker)
            return None
        side = LiveSide.of(account, self.shell, self.settings, self.recovered.account, self.watcher.noticed)
        side.keep = self._keep_snapshot
        self.shell.connect(side.broker, self.host)
        self.world.notices.extend(side.plan(self.settings, self.config.balance))
        return side

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
            except Exception as error:
                self._tell_end(error)
                with contextlib.suppress(JournalError):  # what went wrong first is what is told
                    await self._leave(None, _LAST_WORDS_SECONDS)
                raise
            except BaseException:
                with contextlib.suppress(JournalError):
                    await self._leave(None)
                raise
            await self._leave(self._snapshot())
        ended = self.clock.now()
        return summary(self.shell, self.world, self.settings, self.start, self.id, self.options.mode, ended)

    def _tell_end(self, error: Exception) -> None:
        """Nobody watches the positions from here on: a person must know."""
        text = f"{type(error).__name__}: {error}; positions and resting orders are as they were"
        self.outlets.notify(Notify(Severity.CRITICAL, "The bot has ended by an error", text))

    async def _open(self) -> None:
        """Everything that the desk needs around it before the first event."""
        bind_readings(
            self.shell, self.world, self.host, self.live_side, self.ground, self.supervisor, self.status.ready
        )  # fmt: skip
        if self.room is not None:
            bind_control_room(self.outlets.metrics, self.room)
        await self.outlets.start()
        await self.learners.begin(
            self.world, self.shell.desk.portfolio, self.ground, self.host, self.port, self.outlets.metrics
        )  # fmt: skip
        await self.monitor.begin(self.ground)
        self.opening.begin_books()
        self.opening.means = self.means = await self._means()
        self.ground.held[RUNNING] = Running(
            self.port, self.host.life, lambda: self.host.specs, self._news, self.shell.desk, self.host, self._described
        )  # fmt: skip
        self.opening.let_sources_in()
        self._tell_worth()
        paths = {"config": str(self.loaded.directory or "defaults"), "data": str(self.settings.bot.data_dir)}
        paths["journal"] = f"{self.settings.database_url.rpartition('@')[2]}, inputs recorded for `replay {self.id}`"
        facts = banner(self.world, self.loaded, self.means, self.shell, self.id, self.version, self.options.mode, paths)
        self.watcher.started(facts)

    async def _means(self) -> Means:
        """What the sources that ask services need; language models are there where any source may want them."""
        means = Means(self.ground.quantconnect, self.ground.budget)
        asking = [source for source in self.world.sources if source.service is not None and source.spec.tier is Tier.LLM]
        if not asking:
            return means
        try:
            means = await with_minds(means, self.ground, self.loaded.directory)
            means = replace(means, weight=self.learners.weight(self.host, self.clock.now))
            if self.settings.news.enabled and not self.world.simulated:
                self.feeds = await open_news(self.ground)
                means = replace(means, news=self.feeds.block, veto=settle)
            return means
        except UseCaseError as error:
            self.world.notices.append(f"no language model is asked in this run: {error}")
            return means

    def _news(self) -> Iterable[Item] | None:
        return None if self.feeds is None else self.feeds.archive

    def _described(self) -> Iterable[Described]:
        """Every source that the configuration has, also those that are off."""
        for found in self.world.sources:
            source = with_settings(found, self.settings)
            yield Described(source.spec, source.about, unheard(source, self.settings, self.means))

    async def _trade(self) -> None:
        """Everything that lives as long as the run; the desk outlives the rest by the time it takes to empty its inbox."""
        steady()
        desk = asyncio.create_task(self.shell.run(), name="desk")
        desk.add_done_callback(lambda _: self.stop.set())
        start = self.supervisor.start
        start("minutes", self._tell_minutes)
        start("snapshots", self._keep_snapshots)
        start("upkeep", self._keep_journal_small)
        if self.room is not None:
            start(CONTROL_ROOM, self.room.run)
        start("audit", self.audit.run)
        if self.alerts is not None:
            start("alerts", self.alerts.run)
        self.learners.start(start)
        start("monitor", self.monitor.run)
        if self.feeds is not None:
            start("news", self.feeds.run)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.options.duration):
                    if self.live_side is None or await self._reconciled(self.live_side):
                        start("feed", self.world.feed.run)
                        start("instruments", self.instruments.run)
                        self.host.start()
                    await self.stop.wait()
            log.info("stopping", run=self.id)
        finally:
            self.host.quiet()
            jobs = asyncio.create_task(self._end_jobs(), name="end-jobs")
            if self.live_side is not None:
                await self.live_side.close(_ANSWER_SECONDS)
            await self.supervisor.stop(_HELPER_SECONDS)
            await jobs
            self.shell.stop()
            await asyncio.wait([desk], timeout=_DESK_SECONDS)
            await release([desk], _DESK_SECONDS)
            if len(self.world.inbox):
                log.warning("inputs_unhandled", **self.world.inbox.depths())
        if not desk.cancelled():
            desk.result()

    async def _end_jobs(self) -> None:
        """Jobs clean up after themselves while sources and helpers end."""
        await self.jobs.close(_JOB_SECONDS)
        await within("services", self.ground.closing.aclose(), _SERVICE_SECONDS)

    async def _reconciled(self, live: LiveSide) -> bool:
        """Read the account before anything is acted on, and keep reading it; False when the run is to stop before that."""
        start = self.supervisor.start
        start("account", live.broker.run)
        first = asyncio.create_task(live.first(), name="first-reconciliation")
        stop: asyncio.Task[Any] = asyncio.create_task(self.stop.wait(), name="stop-before-reconciliation")
        try:
            await asyncio.wait([first, stop], return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                return False
            first.result()
        finally:
            await release([first, stop], _HELPER_SECONDS)
        # What the account held at its first look explains it from now on: it must outlive a crash.
        self._keep_snapshot()
        start("reconciliation", live.keep_reconciled)
        return True

    async def _leave(self, final: object, last_words: float = 0.0) -> None:
        """The last samples and the final snapshot go into the journal, the last messages out, both at once and in time.

        Without a `final` snapshot the next start goes on from the last one kept and the inputs recorded since. `last_words` are
        seconds more for messages that are not told yet.
        """
        self._tell_worth()
        outlets = asyncio.create_task(self._close_outlets(_TELLING_SECONDS + last_words), name="close-outlets")
        both = asyncio.create_task(self._close_learners_and_monitor(), name="close-learners-and-monitor")
        try:
            await self.journal.close(self.clock.now(), final, timeout=_JOURNAL_SECONDS)
        finally:
            await within("outlets", outlets, _OUTLET_SECONDS + last_words)
            await within("learners and monitor", both, _LEARNER_SECONDS)

    async def _close_learners_and_monitor(self) -> None:
        await asyncio.gather(self.learners.close(_LEARNER_SECONDS), self.monitor.close())

    async def _close_outlets(self, telling: float) -> None:
        """No more commands come when they are closed: then the last of them is written down."""
        await self.outlets.close(telling)
        await self.audit.close(_AUDIT_SECONDS)

    async def _obey(self, command: Command) -> CommandResult:
        return await self.operator(command)

    def _job_changed(self, job: JobChanged) -> None:
        self.outlets.publish(job)
        self.operator.changed(job)

    def _saw(self, fact: Fact) -> None:
        self.watcher.saw(fact)
        self.instruments.saw(fact)
        self.host.saw(fact)
        self.learners.saw(fact)
        if self.alerts is not None:
            self.alerts.saw(fact)

    def _ready(self) -> list[str]:
        return self.status.ready()

    def _tell_worth(self) -> None:
        """Journal and publish what the book and the shadows are worth, beside the desk's own samples."""
        for fact in self.shell.desk.samples():
            self.journal.append(fact)
            self.outlets.publish(fact)

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
        account = None if self.live_side is None else self.live_side.reconciler.snapshot()
        return {"config": self.config, "desk": self.shell.desk.state, "sources": self.host.snapshot(), "account": account}

    def _keep_snapshot(self) -> None:
        self.journal.snapshot(self.shell.desk.market.now, self._snapshot())

    def _watch(self) -> Watch:
        def trouble(told: JournalTrouble) -> None:
            self.watcher.noticed(f"the journal has trouble: {told.message}")

        return Watch(trouble, lambda: self.watcher.noticed("the journal can be written again"))

    async def _tell_minutes(self) -> None:
        last = MinuteCount()
        while True:
            await asyncio.sleep(_MINUTE)
            self.watcher.minute(minute(self.shell, self.start, last, self.settings.paper.currency))

    async def _keep_snapshots(self) -> None:
        """Keep the desk as it is every few minutes, sooner where much happens: what came since is replayed at the next start."""
        kept, waited = self.journal.inputs, 0.0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            waited += _LOOK_SECONDS
            if waited >= _SNAPSHOT_SECONDS or self.journal.inputs - kept >= _SNAPSHOT_INPUTS:
                self._keep_snapshot()
                kept, waited = self.journal.inputs, 0.0

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
