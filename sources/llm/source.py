"""Language models as a source: asked when a candle closes, by a schedule or on demand, one question at a time about a symbol.

A failure is an abstention with its reason, never a HOLD, and never ends the source. It asks nobody while nothing has changed,
while it cools down, while it is paused, and while its circuit is open.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from bot.core.decision import Abstention, SourceSpec
from bot.core.facts import CommandDone, Fact, FillBooked
from bot.core.inputs import TradingState
from bot.core.market import Candle, timeframe_ms
from bot.core.protocols import SourcePort
from sources.llm.answer import Unusable
from sources.llm.circuit import Circuit
from sources.llm.considering import Considering
from sources.llm.gates import Seen, shut
from sources.llm.past import Past
from sources.llm.thoughts import Considered, Terms, Trigger, is_nonsense
from sources.schedule import Scheduler

if TYPE_CHECKING:
    from bot.core.briefing import Briefing
    from sources.llm.snapshot import Snapshot
    from sources.llm.thinking import Thinker

log = structlog.get_logger(__name__)

_RECALL_SECONDS = 10.0
_SLACK_SECONDS = 60.0  # beyond the deadline, for the ledger and the desk
# Reasons that say nothing of whether models answer: nobody was asked, or the answers were of use and came to nothing.
_NO_FAILURES = frozenset(
    {"budget", "breaker", "resting", "disabled", "unpriced", "no-price", "template", "leak", "snapshot", "disagreement", "news"}
)
NO_MODELS = "no language model can be asked: there is no key, or they are off in this world"


class NotAsked(RuntimeError):  # noqa: N818 - a state of the source
    """Nobody can be asked on demand now; the message says why."""


class LlmSource:
    """A `LiveSource` that listens to candles and witnesses facts. `thinker` None: nobody can be asked, and it says so.

    `symbols` are those it thinks about, `trigger` the timeframe whose closed candles make it think.
    """

    def __init__(
        self,
        terms: Terms,
        symbols: Sequence[str],
        trigger: str,
        thinker: Thinker | None,
        considering: Considering | None,
        past: Past,
    ) -> None:
        self._terms = terms
        self._symbols = tuple(symbols)
        self._trigger = trigger
        self._thinker = thinker
        self._considering = considering
        self._past = past
        self._circuit = Circuit(terms.params.circuit)
        self._port: SourcePort | None = None
        self._waiting: asyncio.Queue[tuple[str, Trigger]] = asyncio.Queue(terms.params.queue)
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._again: dict[str, Trigger] = {}
        self._turns = {symbol: asyncio.Lock() for symbol in self._symbols}
        self._slots = asyncio.Semaphore(terms.params.concurrency)
        self._asked: dict[str, int] = {}  # when, by symbol
        self._seen: dict[str, Seen] = {}
        self._paused = terms.spec.paused
        self._trouble = ""
        self.counts: Counter[str] = Counter()

    @property
    def spec(self) -> SourceSpec:
        """What the desk must know of it."""
        return self._terms.spec

    @property
    def feeds(self) -> Sequence[tuple[str, str]]:
        """Every symbol with every timeframe that its snapshots show."""
        return tuple((symbol, timeframe) for symbol in self._symbols for timeframe in self._terms.timeframes)

    @property
    def ailments(self) -> Sequence[str]:
        """Why it asks nobody, or why its last question had no answer."""
        if self._thinker is None:
            return [NO_MODELS]
        found = []
        opened = None if self._port is None else self._circuit.open(self._port.now())
        if opened is not None and self._port is not None:
            minutes = (opened.until - self._port.now()) / 60_000
            found.append(f"it pauses itself for {minutes:.0f} min more, until {_utc(opened.until)}: {opened.reason}")
        if self._trouble:
            found.append(self._trouble)
        return found

    def hear(self, candle: Candle) -> None:
        """A candle closed."""
        if candle.timeframe == self._trigger and self._terms.params.on_candle and candle.symbol in self._turns:
            self._want(candle.symbol, Trigger.CANDLE)

    def saw(self, fact: Fact) -> None:
        """Take note of what became of decisions and positions, and of being paused."""
        self._past.saw(fact)
        if isinstance(fact, FillBooked) and self._thinker is not None:
            self._thinker.live.position_changed(fact.fill.symbol)
        elif isinstance(fact, CommandDone) and fact.command in {"source-added", "source-changed"}:
            name, _, about = fact.detail.partition(" (")
            if name == self.spec.name:
                self._paused = ", paused," in about

    async def run(self, port: SourcePort) -> None:
        """Think until cancelled."""
        self._port = port
        if self._thinker is None:
            for symbol in self._symbols:
                await self._abstain(port, symbol, "disabled", NO_MODELS)
            await asyncio.Event().wait()  # for its cancellation: this is where the source lives
            return
        await self._thinker.minds.access.warm()
        try:
            async with asyncio.timeout(_RECALL_SECONDS):
                await self._past.recall(port.briefing(), self._thinker.minds.records)
        except TimeoutError:
            log.warning("llm_past_unread", source=self.spec.name, seconds=_RECALL_SECONDS)
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._terms.params.concurrency):
                tasks.create_task(self._work(port), name=f"llm worker {number}")
            if self._terms.params.schedule is not None:
                tasks.create_task(self._by_schedule(), name="llm schedule")

    async def decide(self, symbol: str, *, dry_run: bool = False, port: SourcePort | None = None) -> Considered:
        """Ask now, whatever the gates say; a dry run tells the desk nothing.

        `NotAsked` where the symbol is not one of the source's or the source does not run and no `port` is given.
        """
        port = port or self._port
        if symbol not in self._turns:
            message = f"{self.spec.name} does not think about {symbol}; its symbols are {', '.join(self._symbols)}"
            raise NotAsked(message)
        if port is None or self._considering is None:
            message = f"{self.spec.name} does not run" if port is None else f"{self.spec.name}: {NO_MODELS}"
            raise NotAsked(message)
        async with self._turns[symbol], self._slots:
            return await self._considered(port, symbol, Trigger.DEMAND, dry_run=dry_run)

    def _want(self, symbol: str, trigger: Trigger) -> None:
        """Let the symbol be thought about once more; what is asked for twice is thought about once."""
        if symbol in self._queued or symbol in self._again:
            self.counts["coalesced"] += 1
        elif symbol in self._busy:
            self._again[symbol] = trigger
        else:
            try:
                self._waiting.put_nowait((symbol, trigger))
            except asyncio.QueueFull:
                self.counts["dropped"] += 1
                log.warning("llm_question_dropped", source=self.spec.name, symbol=symbol, dropped=self.counts["dropped"])
            else:
                self._queued.add(symbol)

    async def _work(self, port: SourcePort) -> None:
        while True:
            symbol, trigger = await self._waiting.get()
            self._queued.discard(symbol)
            self._busy.add(symbol)
            try:
                async with self._turns[symbol], self._slots:
                    await self._considered(port, symbol, trigger)
            finally:
                self._busy.discard(symbol)
                again = self._again.pop(symbol, None)
                if again is not None:
                    self._want(symbol, again)

    async def _by_schedule(self) -> None:
        schedule = self._terms.params.schedule
        assert schedule is not None

        async def fire(_: int) -> None:
            for symbol in self._symbols:
                self._want(symbol, Trigger.SCHEDULE)

        async with Scheduler() as scheduler:
            scheduler.add(self.spec.name, schedule, fire)
            await asyncio.Event().wait()  # for its cancellation

    async def _considered(self, port: SourcePort, symbol: str, trigger: Trigger, *, dry_run: bool = False) -> Considered:
        """The boundary: whatever a provider, a template or a database does ends here as an abstention."""
        limit = self._terms.params.deadline_s + _SLACK_SECONDS
        try:
            async with asyncio.timeout(limit):
                return await self._consider(port, symbol, trigger, dry_run=dry_run)
        except TimeoutError:
            reason, detail = "timeout", f"no decision within {limit:g} s"
        except Exception as error:  # one question must not end the source; it is logged, counted and an abstention
            self.counts["errors"] += 1
            log.exception("llm_question_failed", source=self.spec.name, symbol=symbol, errors=self.counts["errors"])
            reason, detail = "error", type(error).__name__
        self._circuit.failed(port.now())
        return await self._nothing(port, symbol, trigger, Unusable(reason, detail), dry_run=dry_run)

    async def _consider(self, port: SourcePort, symbol: str, trigger: Trigger, *, dry_run: bool) -> Considered:
        assert self._considering is not None
        now, briefing = port.now(), port.briefing()
        idle = None if trigger is Trigger.DEMAND else self._idle(symbol, now, briefing)
        if idle is not None:
            return self._skipped(symbol, trigger, idle)
        opened = self._circuit.open(now)
        if opened is not None:
            self._asked[symbol] = now
            why = f"it pauses itself until {_utc(opened.until)}: {opened.reason}"
            return await self._nothing(port, symbol, trigger, Unusable(opened.code, why), dry_run=dry_run)
        try:
            snapshot = self._considering.look(symbol, port, briefing)
        except Unusable as problem:
            self._asked[symbol] = now
            return await self._nothing(port, symbol, trigger, problem, dry_run=dry_run)
        gates, amount = self._terms.params.gates, _held(briefing, symbol)
        closed = None if trigger is Trigger.DEMAND else shut(gates, snapshot, amount, self._seen.get(symbol))
        if closed is not None:
            return self._skipped(symbol, trigger, "gated", closed, snapshot)
        self._asked[symbol] = now
        found = await self._considering.consider(snapshot, trigger, port, dry_run=dry_run)
        if not dry_run and any(thought.answers for thought in found.thoughts):
            self._seen[symbol] = Seen.of(snapshot, gates, amount)  # after a failure the next candle will do
        self._learn(found, port.now(), dry_run=dry_run)
        await self._considering.book(found, dry_run=dry_run)
        return found

    def _idle(self, symbol: str, now: int, briefing: Briefing) -> str | None:
        """Why nobody is even thought of being asked."""
        if self._paused:
            return "paused"
        if briefing.state is TradingState.HALTED:
            return "halted"
        if briefing.state is TradingState.REDUCING and briefing.share(symbol) <= 0:
            return "reducing"
        last = self._asked.get(symbol)
        if last is not None and now - last < timeframe_ms(self._terms.params.cool_down):
            return "cooling"
        return None

    def _learn(self, found: Considered, now: int, *, dry_run: bool) -> None:
        """What the circuit and the counters make of a consideration."""
        if found.decision is not None:
            self.counts["decisions"] += 1
            self._trouble = ""
            if not dry_run and any(thought.fresh for thought in found.thoughts):
                self._circuit.decided(found.symbol, found.decision.action, now)
        elif found.abstention is not None:
            self.counts["abstentions"] += 1
            reason = found.abstention.reason
            problems = [one for thought in found.thoughts for one in (*thought.problems.values(), thought.problem) if one]
            if any(is_nonsense(one) for one in problems):
                self._circuit.refused(now)
            elif not reason.startswith("semantic:") and reason not in _NO_FAILURES:
                self._circuit.failed(now)
            self._trouble = "" if reason.startswith("semantic:") else f"{reason}: {found.abstention.detail}"[:300]

    def _skipped(self, symbol: str, trigger: Trigger, why: str, detail: str = "", snapshot: Snapshot | None = None) -> Considered:
        self.counts[why] += 1
        return Considered(symbol, trigger, snapshot=snapshot, skipped=f"{why}: {detail}" if detail else why)

    async def _nothing(self, port: SourcePort, symbol: str, trigger: Trigger, problem: Unusable, *, dry_run: bool) -> Considered:
        """An abstention without a question."""
        self.counts["abstentions"] += 1
        if problem.reason not in {"circuit", "resting"}:
            self._trouble = f"{problem.reason}: {problem}"[:300]
        told = Abstention(self.spec.name, self.spec.tier, symbol, problem.reason, str(problem)[:500])
        if not dry_run:
            await port.abstain(told)
        return Considered(symbol, trigger, abstention=told)

    async def _abstain(self, port: SourcePort, symbol: str, reason: str, detail: str) -> None:
        await port.abstain(Abstention(self.spec.name, self.spec.tier, symbol, reason, detail))

    @property
    def busy(self) -> bool:
        """Whether it thinks of anything now."""
        return bool(self._busy)

    @property
    def standing(self) -> Mapping[str, int]:
        """What became of questions, by a word each: decisions, abstentions, gated, cooling, coalesced, dropped, errors, trips."""
        return {**self.counts, "trips": self._circuit.trips, "waiting": self._waiting.qsize()}


def _utc(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%H:%M UTC")


def _held(briefing: Briefing, symbol: str) -> str:
    return next((str(held.amount) for held in briefing.held if held.symbol == symbol), "")
