"""Language models over the past: a source as a pure step, whose answers come from what was recorded.

A question is answered by the reply that was once given to exactly that question; one that nobody recorded is an abstention
`not-recorded`. A live call about past data is made only where that is allowed, is paid from the budget, and is a leak wherever
the data are not after what the model knows: it may remember what came next. Every decision that may rest on that is stamped
`leak_risk`, and so is an answer that was recorded long after its market's moment.

A step is synchronous and its database is not. `Rooms` therefore owns an event loop (`asyncio.Runner`) that runs while a step
waits for its answer, and never in between; it must be used by one thread, in which no other loop runs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bot.core.briefing import Briefing
from bot.core.decision import Abstention, Claim, Decision, SourceSpec
from bot.core.facts import Fact
from bot.core.market import Candle, MarketView, timeframe_ms
from sources.config import SourceConfig
from sources.llm.asking import Ask, LlmError, Reply, Role, Trouble
from sources.llm.budget import LARGEST, Budget
from sources.llm.cache import NotRecorded, Question, Recorded, Replies
from sources.llm.considering import Considering
from sources.llm.costs import Costs
from sources.llm.leaks import Guard
from sources.llm.ledger import Ledger, Payer
from sources.llm.loading import TIER, timeframes
from sources.llm.minds import About, Consultation, Minds
from sources.llm.models import Candidate
from sources.llm.opening import Access, candidates_of, model_of
from sources.llm.params import LlmParams
from sources.llm.past import Past
from sources.llm.prices import shipped
from sources.llm.prompt_store import PromptStore
from sources.llm.records import Clamp, Records
from sources.llm.router import Router
from sources.llm.settings import AccessSettings
from sources.llm.source import LlmSource
from sources.llm.tables import open_tables
from sources.llm.templates import Templates
from sources.llm.thinking import Thinker
from sources.llm.thoughts import Considered, Terms, Trigger

NOT_RECORDED = "not-recorded"
LEAK_RISK = "leak_risk"
_HINDSIGHT_MS = 3_600_000
_UNLIMITED = Budget(LARGEST, LARGEST, LARGEST, LARGEST, 10**9, Decimal(1))


class Unrecorded(LlmError):  # noqa: N818 - a state of the records
    """Nobody recorded an answer to a question, and nobody may be asked."""


@dataclass(slots=True)
class Noted(Consultation):
    """A question that was answered from the records: nothing of it is booked, for it was when it was asked."""

    async def close(
        self, outcome: str = "", *, decision: str | None = None, validation: str = "", clamps: Sequence[Clamp] = ()
    ) -> None:
        """Nothing is written."""


@dataclass(frozen=True, slots=True)
class PastMinds(Minds):
    """Minds that look into the records first. `asks`: what is not there is asked, and paid for."""

    of_run: str | None = None
    asks: bool = False
    recorded: Recorded | None = None
    answered_at: dict[str, int] = field(default_factory=dict)  # when the answer was given, by the hash of the market state

    def again(self) -> PastMinds:
        """The same with the records from their beginning: every run over the data takes its answers in their order."""
        return replace(self, recorded=Recorded(self.database, self.of_run), answered_at={})

    async def consult(
        self,
        ask: Ask,
        payer: Payer,
        about: About,
        *,
        among: Sequence[Candidate] | None = None,
        deadline_s: float | None = None,
    ) -> Consultation:
        """The recorded answer; else that of somebody who is asked; else an `Unrecorded` in its place."""
        state = Question("", "", None, "", "", about.state).state_hash
        for candidate in self.router.candidates(ask.role) if among is None else among:
            found = await self._of(candidate, about)
            if found is not None:
                reply, at = found
                self.answered_at[state] = at
                return Noted(self, ask, payer, about, self.ledger.purse(payer), reply=reply)
        if self.asks:
            self.answered_at[state] = self.now()
            return await Minds.consult(self, ask, payer, about, among=among, deadline_s=deadline_s)
        error = Unrecorded(Trouble.DISABLED, f"nobody recorded an answer to this question ({state[:12]})")
        return Noted(self, ask, payer, about, self.ledger.purse(payer), error=error)

    async def _of(self, candidate: Candidate, about: About) -> tuple[Reply, int] | None:
        assert self.recorded is not None
        model = candidate.model
        template = f"{about.template}@{about.template_version}"
        for effort in dict.fromkeys((model.capabilities.effort_for(candidate.effort), candidate.effort)):
            question = Question(model.provider, model.name, effort, about.schema_version, template, about.state)
            try:
                return await self.recorded.reply(question), await self._when(question.key)
            except NotRecorded:
                continue
        return None

    async def _when(self, key: str) -> int:
        """When the first answer to a question was recorded, ms UTC."""
        asked = text("SELECT min(ts) FROM llm_replies WHERE cache_key = :key")
        return int(await self.database.run(lambda connection: connection.execute(asked, {"key": key}).scalar_one()))


@asynccontextmanager
async def from_the_records(
    settings: AccessSettings, database_url: str, now: Callable[[], int], run: str | None
) -> AsyncIterator[PastMinds]:
    """Minds that only look into the records, of one run or (None) of all; they hold no key and know no provider.

    `StoreUnavailable` if the database cannot be used.
    """
    database = await open_tables(database_url)
    try:
        ledger = await Ledger.open(database, _UNLIMITED, now=now, told=lambda alert: None)
        try:
            table = shipped()
            roles = {role: candidates_of(settings, role, table) for role in Role}
            access = Access(Router({}, roles, now=now), {}, {})
            records = Records(database, lambda told: told)
            replies, prompts, costs = Replies(database), PromptStore(database, now), Costs(database)
            known = PastMinds(access, ledger, records, replies, prompts, costs, database, now, of_run=run)
            yield known.again()
        finally:
            await ledger.close()
    finally:
        await database.close()


def with_records(minds: Minds, run: str | None) -> PastMinds:
    """Minds that ask where the records, of one run or (None) of all, have no answer."""
    return PastMinds(
        minds.access,
        minds.ledger,
        minds.records,
        minds.replies,
        minds.prompts,
        minds.costs,
        minds.database,
        minds.now,
        minds.run,
        of_run=run,
        asks=True,
    ).again()


@dataclass(frozen=True, slots=True)
class Rooms:
    """The minds of a backtest and the loop that they live in. `cutoff` is the last moment (ms UTC) that models may know of.

    `cutoff` None: nobody knows it, and everything that has happened may be known.
    """

    minds: PastMinds
    run: Callable[[Coroutine[Any, Any, Any]], Any]
    prompts: Path | None = None
    guard: Guard | None = None
    cutoff: int | None = None

    def source(self, config: SourceConfig, params: LlmParams, traded: Sequence[str]) -> BacktestMind:
        """A fresh source, with the records from their beginning."""
        return BacktestMind(config, params, traded, replace(self, minds=self.minds.again()))

    def leaks(self, at: int, answered: int | None) -> bool:
        """Whether an answer about the market at a moment may rest on what came later."""
        in_hindsight = answered is None or answered - at > _HINDSIGHT_MS
        return in_hindsight and (self.cutoff is None or at <= self.cutoff)


@contextmanager
def open_rooms(
    opening: Callable[[], AbstractAsyncContextManager[PastMinds]],
    *,
    prompts: Path | None = None,
    guard: Guard | None = None,
    cutoff: int | None = None,
) -> Iterator[Rooms]:
    """Open minds on a loop of their own, and close both at the end; what opening raises is raised."""
    with asyncio.Runner() as runner:
        opened = opening()
        minds = runner.run(opened.__aenter__())
        try:
            yield Rooms(minds, runner.run, prompts, guard, cutoff)
        finally:
            runner.run(opened.__aexit__(None, None, None))


@dataclass(slots=True)
class _Port:
    """What the source sees and says in one step; the step itself is what the desk hears."""

    view: MarketView
    books: Callable[[], Briefing]
    at: int
    decision: Decision | None = None

    def briefing(self) -> Briefing:
        return self.books()

    def now(self) -> int:
        return self.at

    async def propose(self, decision: Decision) -> None:
        self.decision = decision

    async def claim(self, claim: Claim) -> None:
        """Time does not pass while somebody thinks."""

    async def abstain(self, abstention: Abstention) -> None:
        """It is counted by whoever steps."""


class _Stepped(LlmSource):
    """The source that lives in a running bot, asked once for each candle; gates, cool-down and circuit are its own."""

    async def step(self, symbol: str, port: _Port) -> Considered:
        """What it makes of a closed candle."""
        return await self._considered(port, symbol, Trigger.CANDLE)


class BacktestMind:
    """A `StepSource`. `books` must be set to the desk's briefing before the first step.

    `counts` has decisions and abstentions by their reason; `leaked` counts decisions that are stamped.
    """

    def __init__(self, config: SourceConfig, params: LlmParams, traded: Sequence[str], rooms: Rooms) -> None:
        self._config = config.model_copy(update={"tier": TIER})
        self._rooms = rooms
        spec, shown = self._config.spec(), timeframes(config, params)
        symbols = tuple(symbol for symbol in (config.symbols or tuple(traded)) if symbol in traded)
        self._spec = spec
        self._feeds = tuple((symbol, timeframe) for symbol in symbols for timeframe in dict.fromkeys((config.timeframe, *shown)))
        minds = rooms.minds
        terms = Terms(spec, params, shown, config.horizon, config.protection.trailing)
        every_s = timeframe_ms(config.timeframe) / 1000
        templates = Templates(minds.prompts, minds.now, rooms.prompts)
        thinker = Thinker(spec.name, params, minds, templates, _candidates(params), rooms.guard, every_s)
        past = Past(spec.name)
        self._thinks = _Stepped(terms, symbols, config.timeframe, thinker, Considering(terms, thinker, past), past)
        self._on_candle = params.on_candle
        self.books: Callable[[], Briefing] | None = None
        self.counts: Counter[str] = Counter()
        self.leaked = 0
        self.cost = Decimal(0)

    @property
    def spec(self) -> SourceSpec:
        """What the desk must know of it."""
        return self._spec

    @property
    def feeds(self) -> Sequence[tuple[str, str]]:
        """Every symbol with every timeframe that its snapshots show."""
        return self._feeds

    @property
    def warmup(self) -> int:
        """None: a snapshot says how many candles it has."""
        return 0

    def warm(self, candle: Candle, view: MarketView) -> None:
        """Nothing is learnt from a candle that is not asked about."""

    def on_candle(self, candle: Candle, view: MarketView) -> Decision | None:
        """Ask, if this is a candle to ask at; `RuntimeError` where `books` was not set."""
        if candle.timeframe != self._config.timeframe or not self._on_candle:
            return None
        if self.books is None:
            message = f"{self._spec.name} has no books to look into: set `books` to the desk's briefing"
            raise RuntimeError(message)
        port = _Port(view, self.books, candle.at)
        return self._learnt(self._rooms.run(self._thinks.step(candle.symbol, port)), port)

    def saw(self, fact: Fact) -> None:
        """Take note of what became of decisions and positions."""
        self._thinks.saw(fact)

    def snapshot(self) -> object:
        """Nothing outlives a backtest."""
        return {}

    def restore(self, state: object) -> None:
        """`ValueError`: there is nothing to go on from."""
        if state != {}:
            message = f"{self._spec.name} keeps nothing from one backtest to another"
            raise ValueError(message)

    @property
    def told(self) -> Mapping[str, int]:
        """Decisions, and abstentions by reason."""
        return dict(sorted(self.counts.items()))

    def _learnt(self, found: Considered, port: _Port) -> Decision | None:
        self.cost += found.cost
        if found.abstention is not None:
            self.counts[NOT_RECORDED if _unrecorded(found) else found.abstention.reason] += 1
        decision = port.decision
        if decision is None:
            return None
        self.counts["decisions"] += 1
        answers = self._rooms.minds.answered_at
        seen = [one.prepared.snapshot.hash for one in found.thoughts if one.prepared is not None]
        if not any(self._rooms.leaks(port.at, answers.get(each)) for each in seen):
            return decision
        self.leaked += 1
        return replace(decision, evidence={**decision.evidence, LEAK_RISK: True})


def _candidates(params: LlmParams) -> tuple[Candidate, ...]:
    """The source's own candidates; none: those of the role."""
    table = shipped() if params.candidates else None
    return tuple(
        Candidate(model_of(one, table), place if one.rank is None else one.rank, one.weight, one.effort)
        for place, one in enumerate(params.candidates)
        if table is not None
    )


def _unrecorded(found: Considered) -> bool:
    """Whether it abstains for want of a recorded answer."""
    asked = [said.consultation.error for thought in found.thoughts for said in thought.said]
    return bool(asked) and all(isinstance(error, Unrecorded) for error in asked)
