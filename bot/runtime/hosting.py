"""Hosting sources: steps are called by the desk's own task, the others live in supervised tasks; all can come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from bot.core.briefing import Briefing
from bot.core.decision import Abstention, Claim, Decision, SourceSpec
from bot.core.desk import TradingDesk
from bot.core.facts import Fact
from bot.core.inputs import Abstained, Claimed, Proposed, SourceJoined, SourceLeft
from bot.core.market import Candle, MarketView
from bot.core.protocols import Ailing, CandleListener, LiveSource, StepSource, Witness
from bot.runtime.inbox import Inbox
from bot.runtime.supervision import Supervisor

log = structlog.get_logger(__name__)

_END_SECONDS = 2.0

Adjust = Callable[[Decision], Decision]
"""What is made of a decision between its source and the desk, such as the memory's say on its confidence; must not wait."""


class Port:
    """What a source with a life of its own may do: speak, and look.

    Every proposal, a step's too, passes `adjust` on its way into the inbox, so what is recorded is what the desk decided upon.
    One that raises changes nothing: it is logged, and counted in `unadjusted`.
    """

    def __init__(self, inbox: Inbox, desk: TradingDesk, now: Callable[[], int], adjust: Adjust | None = None) -> None:
        self._inbox = inbox
        self._desk = desk
        self._view = desk.market
        self._now = now
        self.adjust = adjust
        self.unadjusted = 0

    @property
    def view(self) -> MarketView:
        """The newest of the market, to be read and never written."""
        return self._view

    def now(self) -> int:
        """Milliseconds UTC, as the bot counts them."""
        return self._now()

    def briefing(self) -> Briefing:
        """The books and the limits as they are now."""
        return self._desk.briefing()

    async def propose(self, decision: Decision) -> None:
        """Hand a decision to the desk; waits while the inbox is full."""
        if self.adjust is not None:
            decision = self.adjusted(decision)
        await self._inbox.put_proposal(Proposed(self._now(), decision))

    def adjusted(self, decision: Decision) -> Decision:
        """What the desk shall see of a decision."""
        if self.adjust is None:
            return decision
        try:
            return self.adjust(decision)
        except Exception as error:  # noqa: BLE001 - the boundary to what only advises: the desk trades on without it
            self.unadjusted += 1
            log.warning("decision_not_adjusted", source=decision.source, error=repr(error), unadjusted=self.unadjusted)
            return decision

    async def claim(self, claim: Claim) -> None:
        """Say that the source is thinking."""
        await self._inbox.put_proposal(Claimed(self._now(), claim))

    async def abstain(self, abstention: Abstention) -> None:
        """Say that the source has no opinion."""
        await self._inbox.put_proposal(Abstained(self._now(), abstention))


class SourceHost:
    """The sources of a running bot: steps that the desk's task calls, and lives that the supervisor keeps."""

    def __init__(self, inbox: Inbox, port: Port, supervisor: Supervisor) -> None:
        self._inbox = inbox
        self._port = port
        self._supervisor = supervisor
        self._specs: dict[str, SourceSpec] = {}
        self._steps: dict[str, StepSource] = {}
        self._lives: dict[str, LiveSource] = {}
        self._by_feed: dict[tuple[str, str], list[StepSource]] = {}
        self._listeners: dict[tuple[str, str], list[CandleListener]] = {}
        self._witnesses: list[Witness] = []
        self._running = False

    @property
    def specs(self) -> dict[str, SourceSpec]:
        """The sources by name, as the desk knows them."""
        return dict(self._specs)

    @property
    def steps(self) -> Sequence[StepSource]:
        """The sources that are pure steps."""
        return tuple(self._steps.values())

    def life(self, name: str) -> LiveSource | None:
        """The source with a life of its own of that name."""
        return self._lives.get(name)

    @property
    def feeds(self) -> set[tuple[str, str]]:
        """Every (symbol, timeframe) that somebody wants to see."""
        return {*self._by_feed, *self._listeners}

    @property
    def troubles(self) -> dict[str, list[str]]:
        """What is wrong with sources that go on nevertheless, by their names."""
        sources = {**self._steps, **self._lives}
        told = {name: list(source.ailments) for name, source in sources.items() if isinstance(source, Ailing)}
        return {name: ailments for name, ailments in told.items() if ailments}

    @property
    def failing(self) -> dict[str, str]:
        """Why the tasks of sources are down or keep failing, by the sources' names."""
        told = self._supervisor.troubles
        return {name: told[task_name(name)] for name in self._lives if task_name(name) in told}

    def add_step(self, source: StepSource, actor: str = "configuration") -> None:
        """Let a pure step in; it sees the next closed candle. `ValueError` if its name is taken."""
        self._admit(source.spec, actor)
        self._steps[source.spec.name] = source
        for feed in source.feeds:
            self._by_feed.setdefault(feed, []).append(source)

    def add_life(self, source: LiveSource, actor: str = "configuration") -> None:
        """Let in a source with a life of its own and start its task. `ValueError` if its name is taken."""
        self._admit(source.spec, actor)
        self._lives[source.spec.name] = source
        self._attend()
        self._run(source.spec.name)

    def set_paused(self, name: str, paused: bool, actor: str) -> None:
        """Pause a source or let it speak again; `KeyError` if there is none of that name."""
        spec = self._specs[name] = replace(self._specs[name], paused=paused)
        self._inbox.put_command(SourceJoined(self._port.now(), spec, actor))

    def set_threshold(self, name: str, threshold: float, actor: str) -> None:
        """Hear a source from another confidence (0..1) on; `KeyError` if there is none of that name."""
        spec = self._specs[name] = replace(self._specs[name], threshold=threshold)
        self._inbox.put_command(SourceJoined(self._port.now(), spec, actor))

    async def remove(self, name: str, actor: str) -> None:
        """Take a source out; its waiting decisions are cancelled, its shadow is kept. `KeyError` if there is none."""
        del self._specs[name]
        if self._lives.pop(name, None) is not None:
            self._attend()
            await self._supervisor.end(task_name(name), _END_SECONDS)
        if self._steps.pop(name, None) is not None:
            for sources in self._by_feed.values():
                sources[:] = [source for source in sources if source.spec.name != name]
        self._inbox.put_command(SourceLeft(self._port.now(), name, actor))

    def start(self) -> None:
        """Start the tasks of the sources that live."""
        self._running = True
        for name in self._lives:
            self._run(name)

    def quiet(self) -> None:
        """Let no step propose any more; the tasks of the others end with the supervisor."""
        self._running = False
        self._by_feed.clear()
        self._listeners.clear()

    def warm(self, candle: Candle, view: MarketView) -> None:
        """Let every step that wants it learn from a past candle."""
        for source in self._by_feed.get((candle.symbol, candle.timeframe), ()):
            source.warm(candle, view)

    def step(self, candle: Candle, view: MarketView) -> list[Decision]:
        """What the steps propose on a closed candle; those who listen hear of it."""
        for listener in self._listeners.get((candle.symbol, candle.timeframe), ()):
            listener.hear(candle)
        decisions = []
        for source in self._by_feed.get((candle.symbol, candle.timeframe), ()):
            decision = source.on_candle(candle, view)
            if decision is not None:
                decisions.append(self._port.adjusted(decision))
        return decisions

    def saw(self, fact: Fact) -> None:
        """Tell those who want to know."""
        for witness in self._witnesses:
            witness.saw(fact)

    def snapshot(self) -> dict[str, object]:
        """The state of every step, by source name, in plain JSON values."""
        return {name: source.snapshot() for name, source in self._steps.items()}

    def restore(self, states: dict[str, object]) -> None:
        """Continue the steps that a snapshot knows; what does not fit starts fresh, and says so."""
        for name, state in states.items():
            source = self._steps.get(name)
            if source is None:
                continue
            try:
                source.restore(state)
            except ValueError as error:
                log.warning("source_starts_fresh", source=name, reason=str(error))

    def _admit(self, spec: SourceSpec, actor: str) -> None:
        if spec.name in self._specs:
            message = f"a source called {spec.name} is already here; remove it first"
            raise ValueError(message)
        self._specs[spec.name] = spec
        self._inbox.put_command(SourceJoined(self._port.now(), spec, actor))

    def _attend(self) -> None:
        """Who listens and who witnesses, of those who live."""
        self._listeners.clear()
        self._witnesses = [life for life in self._lives.values() if isinstance(life, Witness)]
        for life in self._lives.values():
            if isinstance(life, CandleListener):
                for feed in life.feeds:
                    self._listeners.setdefault(feed, []).append(life)

    def _run(self, name: str) -> None:
        if self._running:
            life = self._lives[name]
            self._supervisor.start(task_name(name), lambda: life.run(self._port))


def task_name(source: str) -> str:
    """What the task of a source that lives is called."""
    return f"source {source}"
