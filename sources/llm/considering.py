"""One consideration of one symbol: look, think, judge, and say what it came to.

The order is what matters: whatever costs nothing comes first, then the claim, then the call; the judgement is by the market after
the call; what is said to the desk comes before what is booked of it. Every end is a decision or an abstention, and never an
opinion that nobody had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import structlog

from bot.core.briefing import Briefing
from bot.core.decision import Abstention, Action, Claim, Decision, derive_id
from bot.core.protocols import SourcePort
from sources.llm.answer import Unusable, read
from sources.llm.budget import Advice
from sources.llm.deciding import Scene, Wanted, confident, judge
from sources.llm.ensemble import Combined, Vote, combine
from sources.llm.hooks import News, Veto, Weight
from sources.llm.params import NewsMode
from sources.llm.past import Past, validation_of
from sources.llm.records import DECIDED
from sources.llm.snapshot import NewsState, Sight, Snapshot, SnapshotError, SnapshotSpec, take
from sources.llm.thinking import Said, Thinker
from sources.llm.thoughts import Considered, Terms, Thought, Trigger, evidence_of, exposure_of, scene_of
from sources.llm.wording import plain

log = structlog.get_logger(__name__)

_CLOSE_SECONDS = 15.0
_LAST_SECONDS = 1.0  # for the records of a source that is being taken out
_CLAIM_MARGIN_MS = 1_000


class Considering:
    """Considers symbols for one source. `weight` is what a model's word counts; `news` and `veto` go together."""

    def __init__(
        self,
        terms: Terms,
        thinker: Thinker,
        past: Past,
        *,
        weight: Weight | None = None,
        news: News | None = None,
        veto: Veto | None = None,
    ) -> None:
        self._terms = terms
        self._thinker = thinker
        self._past = past
        self._weight: Weight = weight or (lambda _: 1.0)
        self._news = news
        self._veto = veto if terms.params.news is NewsMode.VETO and news is not None else None
        params = terms.params
        self._spec = SnapshotSpec(closes=params.closes, depth=params.depth, money=params.money)

    def look(self, symbol: str, port: SourcePort, briefing: Briefing) -> Snapshot:
        """The snapshot of now; `Unusable` while there is no price."""
        news: Mapping[str, Any] | NewsState = NewsState.OFF
        if self._veto is not None and self._news is not None:
            news = self._news(symbol, briefing.at) or NewsState.UNAVAILABLE
        decisions = self._past.decisions(symbol, briefing.equity)
        sight = Sight(
            symbol,
            port.view,
            briefing,
            self._terms.timeframes,
            decisions,
            self._past.theses,
            news,
            source=self._terms.spec.name,
        )
        try:
            snapshot = take(sight, self._spec)
        except SnapshotError as error:
            reason = "snapshot"
            raise Unusable(reason, str(error)) from error
        if not snapshot.price:
            reason = "no-price"
            raise Unusable(reason, f"there is no price of {symbol} yet")
        return snapshot

    async def consider(self, snapshot: Snapshot, trigger: Trigger, port: SourcePort, *, dry_run: bool = False) -> Considered:
        """Ask, judge and say. Nothing reaches the desk from a dry run, and no claim is made."""
        thoughts = await self._think(snapshot, trigger, port, claims=not dry_run)
        decision, problem = self._settled(thoughts, exposure_of(port.briefing(), snapshot.symbol))
        spec = self._terms.spec
        abstention = None
        if problem is not None:
            abstention = Abstention(spec.name, spec.tier, snapshot.symbol, problem.reason, plain(str(problem), 500))
        cost = sum((thought.cost for thought in thoughts), Decimal(0))
        if decision is not None:
            decision = replace(decision, cost=cost)
        if not dry_run:
            if decision is not None:
                await port.propose(decision)
                self._remember(decision, thoughts)
            elif abstention is not None:
                await port.abstain(abstention)
        return Considered(snapshot.symbol, trigger, decision, abstention, snapshot, cost, tuple(thoughts))

    async def _think(self, snapshot: Snapshot, trigger: Trigger, port: SourcePort, *, claims: bool) -> list[Thought]:
        """One thought, or where there are news two at once: without them, and with."""
        given = self._veto is not None and snapshot.body["news_state"] == "given"
        shown = [snapshot.without_news(), snapshot] if given else [snapshot]
        thoughts = [Thought() for _ in shown]
        for thought, each in zip(thoughts, shown, strict=True):
            try:
                thought.prepared = await self._thinker.prepare(each)
            except Unusable as problem:
                thought.problem = problem
        if claims and any(one.prepared is not None and one.prepared.calls for one in thoughts):
            await port.claim(self._claim(snapshot.symbol, port.now()))
        await asyncio.gather(*(self._ask(one) for one in thoughts))
        for thought in thoughts:
            self._judge(thought, trigger, port)
        return thoughts

    def _claim(self, symbol: str, now: int) -> Claim:
        until = now + round(self._terms.params.deadline_s * 1000) + _CLAIM_MARGIN_MS
        return Claim(self._terms.spec.name, self._terms.spec.tier, symbol, until)

    async def _ask(self, thought: Thought) -> None:
        if thought.prepared is not None:
            thought.said = await self._thinker.ask(thought.prepared, self._terms.params.deadline_s)

    def _judge(self, thought: Thought, trigger: Trigger, port: SourcePort) -> None:
        """What the members want together, as a decision, or why nothing comes of it."""
        if thought.prepared is None:
            return
        try:
            scene = scene_of(thought.prepared.snapshot, port, self._terms.longest_ms)
            for number, said in enumerate(thought.said):
                self._hear(thought, number, said, scene)
            thought.combined = self._together(thought)
            wanted = thought.combined.wanted
            confident(wanted.confidence, wanted.action, self._terms.least)
            thought.decision = self._decision(thought, wanted, scene, trigger)
        except Unusable as problem:
            thought.problem = problem

    def _hear(self, thought: Thought, number: int, said: Said, scene: Scene) -> None:
        try:
            answer = thought.answers[number] = read(said.reply)
            wanted = judge(answer, scene, self._terms.params.bounds)
        except Unusable as problem:
            thought.problems[number] = problem
        else:
            thought.votes.append(Vote(said.member, self._weight(said.member), wanted))

    def _together(self, thought: Thought) -> Combined:
        """The one answer, or what enough members want; of no answer the first problem is told."""
        ensemble, advice = self._terms.params.ensemble, thought.prepared.advice if thought.prepared is not None else None
        needed = 1 if ensemble.members == 1 or advice is Advice.CHEAPER else ensemble.quorum
        if len(thought.votes) < needed:
            first = next(iter(thought.problems.values()), Unusable("quorum", "too few members were asked"))
            if thought.votes:
                told = "; ".join(str(one) for one in thought.problems.values())
                reason = "quorum"
                raise Unusable(
                    reason, f"{len(thought.votes)} of {len(thought.said)} answers are of use, not {needed}: {told}"[:500]
                )
            raise first
        if len(thought.said) == 1:
            return Combined(thought.votes[0].wanted, thought.votes[0], 1.0)
        return combine(thought.votes)

    def _decision(self, thought: Thought, wanted: Wanted, scene: Scene, trigger: Trigger) -> Decision:
        assert thought.prepared is not None
        assert thought.combined is not None
        spec, snapshot = self._terms.spec, thought.prepared.snapshot
        guard, calls = self._thinker.guard, [call for one in thought.said for call in one.consultation.purse.calls]
        wanted = replace(wanted, reasoning=guard.redact(wanted.reasoning), invalidation=guard.redact(wanted.invalidation))
        return Decision(
            id=derive_id(spec.name, snapshot.symbol, snapshot.hash, scene.now),
            source=spec.name,
            tier=spec.tier,
            symbol=snapshot.symbol,
            action=wanted.action,
            confidence=wanted.confidence,
            created=scene.now,
            expires=scene.now + wanted.stands_ms,
            price=scene.price,
            raw_confidence=wanted.confidence,
            stop_loss=wanted.stop_loss,
            take_profit=wanted.take_profit,
            trailing=self._terms.trailing if wanted.action is Action.BUY else None,
            size_fraction=wanted.size,
            reasoning=wanted.reasoning,
            evidence=evidence_of(thought, wanted, trigger),
            external_id=calls[-1] if calls else None,
        )

    def _settled(self, thoughts: Sequence[Thought], exposure: float) -> tuple[Decision | None, Unusable | None]:
        """What stands of a thought without news and one with; of one thought, that."""
        first = thoughts[0]
        if len(thoughts) == 1 or self._veto is None:
            return first.decision, None if first.decision is not None else first.problem
        found = self._veto(first.decision, thoughts[1].decision, exposure)
        if found.decision is None:
            return None, first.problem or Unusable("news", found.why[:500])
        evidence = {**found.decision.evidence, "news": found.why[:200], "news_vetoed": found.vetoed}
        return replace(found.decision, evidence=evidence), None

    def _remember(self, decision: Decision, thoughts: Sequence[Thought]) -> None:
        combined = next((one.combined for one in thoughts if one.decision is not None and one.decision.id == decision.id), None)
        combined = combined or next((one.combined for one in thoughts if one.combined is not None), None)
        if combined is not None:
            self._past.decided(decision, combined.wanted)
        for thought in thoughts:
            for number, one in enumerate(thought.said):
                if thought.decision is not None and number not in thought.problems:
                    self._thinker.keep(one, DECIDED)

    async def book(self, found: Considered, *, dry_run: bool = False) -> None:
        """Book what became of every answer; trading goes on where that takes too long, and a cancellation waits a little."""
        outcome = "dry-run" if dry_run else DECIDED if found.abstention is None else found.abstention.reason
        led_to = found.decision.id if found.decision is not None and not dry_run else None
        closing = [
            asyncio.create_task(self._close(thought, number, one, outcome, led_to))
            for thought in found.thoughts
            for number, one in enumerate(thought.said)
        ]
        if not closing:
            return
        left: set[asyncio.Task[None]] = set(closing)
        try:
            _, left = await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
        except asyncio.CancelledError:
            _, left = await asyncio.wait(closing, timeout=_LAST_SECONDS)
            raise
        finally:
            for task in left:
                task.cancel()
            failed = [one for one in await asyncio.gather(*closing, return_exceptions=True) if one is not None]
            if failed:
                log.warning("llm_consultation_unrecorded", source=self._terms.spec.name, error=repr(failed[0])[:200])

    async def _close(self, thought: Thought, number: int, said: Said, outcome: str, led_to: str | None) -> None:
        problem, answer = thought.problems.get(number), thought.answers.get(number)
        vote = next((one for one in thought.votes if one.member == said.member), None) if problem is None else None
        fields = {} if answer is None else answer.model_dump(mode="json")
        problems = dict.fromkeys(str(one) for one in (problem, thought.problem) if one is not None)
        await said.consultation.close(
            outcome if problem is None else problem.reason,
            decision=led_to,
            validation=validation_of(fields, list(problems)),
            clamps=() if vote is None else vote.wanted.clamps,
        )
