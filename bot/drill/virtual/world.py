"""The world of one run: a venue, a disk, and one process of the bot after another, through everything a schedule holds.

When the schedule is over the faults end, and after a quiet time the books are audited. Then the bot must trade again, unless a
difference was put there that nothing explains: then it must not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from bot.core.decision import Action, Decision, Tier
from bot.core.facts import AccountReconciled
from bot.core.orders import OrderType
from bot.core.tracking import NativeProtection
from bot.drill.virtual.account import Wire
from bot.drill.virtual.audit import Audit
from bot.drill.virtual.chance import Chance
from bot.drill.virtual.journal import Disk, MemoryJournal
from bot.drill.virtual.loop import VirtualLoop, run_virtual
from bot.drill.virtual.mischief import Mischief
from bot.drill.virtual.process import PREFIX, SOURCE, Process, Setting, Surroundings
from bot.drill.virtual.sabotage import ForgetfulJournal, Sabotage, sabotaged
from bot.drill.virtual.schedule import (
    SYMBOLS,
    Crash,
    CrashOn,
    Decide,
    Event,
    Leak,
    Moment,
    Move,
    Other,
    Outage,
    Schedule,
    Slice,
    Tell,
    Telling,
)
from bot.drill.virtual.schedule import (
    Disk as DiskFault,
)
from bot.drill.virtual.venue import START, VirtualVenue

QUIET = 100.0
"""Seconds after the last fault until everything must be settled: the longest patience of the bot, and a reconciliation."""

_PROBE = 20.0
_TRY_AGAIN = 0.25


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to: `findings` are the broken promises, `counts` what happened in it."""

    findings: tuple[str, ...]
    counts: dict[str, int]


def play(schedule: Schedule, sabotage: Sabotage = Sabotage.NONE) -> Result:
    """Run a schedule from its beginning to its audit."""
    return run_virtual(lambda loop: World(loop, schedule, sabotage).run())


@dataclass(slots=True)
class World:
    """One run."""

    loop: VirtualLoop
    schedule: Schedule
    sabotage: Sabotage
    disk: Disk = field(default_factory=Disk)
    counts: Counter[str] = field(default_factory=Counter)
    processes: list[Process] = field(default_factory=list)
    leaked: bool = False
    _running: Process | None = None
    _crashes: list[CrashOn] = field(default_factory=list)
    _calm: bool = False

    async def run(self) -> Result:
        """Everything, in its time."""
        loop, schedule = self.loop, self.schedule
        chance = Chance(schedule.seed)
        mischief = Mischief(schedule.events, self._elapsed)
        venue = VirtualVenue(loop, schedule)
        wire = Wire(loop, venue, chance, mischief)
        wire.on_moment = self._on_moment
        self.disk.full = self._disk_full
        draw = chance.draw("setting")
        owns = draw.random() < 0.3
        balance = START["USDT"] if owns else START["USDT"] / 2
        entry = OrderType.LIMIT if draw.random() < 0.4 else OrderType.MARKET
        setting = Setting(balance, entry, owns, draw.choice(list(NativeProtection)))
        made = ForgetfulJournal if self.sabotage is Sabotage.FORGETS else MemoryJournal
        around = Surroundings(
            loop,
            wire,
            self.disk,
            setting,
            lambda: made(self.disk, loop, chance, self._on_moment),
            lambda account: sabotaged(account, self.sabotage),
        )
        venue.on_quote = self._on_quote
        market = loop.create_task(venue.run(), name="market")
        for event in schedule.events:
            loop.call_at(event.at / 1_000, self._happen, event, around)
        self._start(around)
        try:
            await asyncio.sleep(schedule.length / 1_000)
            self._calm = mischief.over = True
            await asyncio.sleep(QUIET)
            await self._end(around)
        finally:
            market.cancel()
        self.counts["faults"] = mischief.struck
        return Result(tuple(self._findings(venue, setting)), dict(sorted(self.counts.items())))

    def _elapsed(self) -> int:
        return round(self.loop.time() * 1_000)

    def _disk_full(self) -> bool:
        now = self._elapsed()
        events = (event for event in self.schedule.events if isinstance(event, DiskFault))
        return not self._calm and any(event.at <= now < event.at + event.lasting for event in events)

    def _on_quote(self, quote: object) -> None:
        if self._running is not None:
            self._running.on_quote(quote)  # type: ignore[arg-type]

    def _start(self, around: Surroundings) -> None:
        if self._disk_full():
            # A bot whose journal cannot be opened does not start; whoever minds it tries again.
            self.loop.call_later(_TRY_AGAIN, self._start, around)
        elif self._running is None:
            self._running = Process(around, len(self.processes) + 1)
            self.processes.append(self._running)
            self.counts["starts"] += 1
            self._running.start()

    def _kill(self, down: int, around: Surroundings) -> None:
        if self._running is not None and not self._calm:
            self.counts["kills"] += 1
            self._running.kill()
            self._running = None
            self.loop.call_later(down / 1_000, self._start, around)

    def _on_moment(self, moment: Moment) -> None:
        self.counts[moment.value] += 1
        due = next((crash for crash in self._crashes if crash.moment is moment), None)
        if due is not None and self._running is not None:
            self._crashes.remove(due)
            self.loop.call_later(due.delay / 1_000, self._kill, due.down, self._running.around)

    def _happen(self, event: Event, around: Surroundings) -> None:
        match event:
            case Decide():
                self._decide(event, around.wire.venue)
            case Crash():
                self._kill(event.down, around)
            case CrashOn():
                self._crashes.append(event)
            case Slice() | Other():
                around.wire.venue.happen(event)
            case Move() | Leak():
                self._move(event, around.wire.venue)
            case Tell(how=Telling.DISCONNECT):
                around.wire.disconnect("the socket broke")
            case Outage():
                around.wire.disconnect("the venue is down")
            case _:
                pass  # it strikes when something is asked or told

    def _move(self, event: Move | Leak, venue: VirtualVenue) -> None:
        """Money comes or goes, once the account's first totals are on the disk: until then whatever is there is the start."""
        if any(isinstance(fact, AccountReconciled) and fact.complete for fact in self.disk.facts()):
            self.leaked = isinstance(event, Leak) or self.leaked
            venue.happen(event)

    def _decide(self, event: Decide, venue: VirtualVenue) -> None:
        process, now = self._running, self.loop.now()
        if process is None:
            return
        price = venue.price(event.symbol)
        self.counts["decisions"] += 1
        decision = Decision(
            f"d{event.at}-{self.counts['decisions']}",
            SOURCE,
            Tier.TRADITIONAL,
            event.symbol,
            event.action,
            0.9,
            now,
            now + event.stands,
            price,
            stop_loss=None if event.stop_loss is None else price * (1 - event.stop_loss),
            take_profit=None if event.take_profit is None else price * (1 + event.take_profit),
        )
        process.propose(decision)

    async def _end(self, around: Surroundings) -> None:
        """See whether the bot still trades: sell what it holds of a symbol, then buy; then let it leave."""
        venue = around.wire.venue
        for action in (Action.SELL, Action.BUY):
            self.counts["venue-orders-before-probe"] = len(venue.orders_of(PREFIX))
            self._decide(Decide(0, SYMBOLS[0], action), venue)
            await asyncio.sleep(_PROBE)
        if self._running is not None:
            await self._running.leave()

    def _findings(self, venue: VirtualVenue, setting: Setting) -> list[str]:
        """What the auditor finds, what failed, and whether trading went on as it should."""
        found = Audit(venue, self.disk, setting).findings()
        for process in self.processes:
            found += [f"process {process.number}: {failure}" for failure in process.failures]
            if process.live.broker.stats["errands_failed"] or process.live.broker.stats["surprises"]:
                found.append(f"process {process.number}: {process.live.broker.stats}")
        reconciled = [fact for fact in self.disk.facts() if isinstance(fact, AccountReconciled)]
        unexplained = reconciled[-1].unexplained if reconciled else ()
        entered = len(venue.orders_of(PREFIX)) > self.counts.pop("venue-orders-before-probe")
        if self.leaked and not unexplained:
            found.append("a difference that nothing explains was not told")
        if self.leaked and entered:
            found.append("entries went on although a difference has no explanation")
        if not self.leaked and unexplained:
            found.append(f"said to be unexplained: {'; '.join(unexplained)}")
        if not self.leaked and not entered:
            found.append("entries did not resume after the faults")
        self._count(venue, reconciled)
        return found

    def _count(self, venue: VirtualVenue, reconciled: list[AccountReconciled]) -> None:
        ours = venue.orders_of(PREFIX)
        self.counts["orders"] = len(ours)
        self.counts["fills"] = sum(len(order.fills) for order in ours)
        self.counts["alarms"] = sum(bool(fact.unexplained) for fact in reconciled)
