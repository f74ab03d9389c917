"""Settlement: from proposals to verdicts.

A decision is admitted or refused at the door, waits out the settle window of its symbol, and is then heard in the order that the
policy gives. The first that survives sizing and risk wins and stands; the others agreed or were outranked, for good. A permanent
denial passes the turn on; a transient one keeps it and blocks only contrary entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.admission import refusal
from bot.core.arbiter import Arbiter, Ranking
from bot.core.decision import Abstention, Action, Claim, Decision, Denial, Fate, OnExpiry, Tier
from bot.core.facts import AbstentionMade, ClaimMade, DecisionSeen, Verdict
from bot.core.orders import Leg
from bot.core.shadow import Shadows
from bot.core.standing import Standing
from bot.core.state import Bench, DeskState, Due, Outbox
from bot.core.trading import Attempt, Trading


@dataclass(slots=True)
class Settlement:
    """The arbitration of one desk."""

    state: DeskState
    out: Outbox
    arbiter: Arbiter
    shadows: Shadows
    trading: Trading
    standing: Standing
    max_age_ms: int

    def propose(self, decision: Decision) -> None:
        """Admit a decision, or give it the fate of one that never stood."""
        state = self.state
        if decision.id in state.open or not state.remember(decision.id):
            state.ignore("decision-repeated")
            return
        self.out.record(DecisionSeen(state.now, decision))
        state.open[decision.id] = decision
        spec = state.sources.get(decision.source)
        refused = refusal(decision, spec, state, self.max_age_ms)
        if refused is not None or spec is None:
            fate, denial, reason = refused or (Fate.DENIED, Denial.UNKNOWN_SOURCE, "")
            self.standing.finish(decision, fate, denial=denial, reason=reason)
            self._thought(decision)
            return
        bench = state.bench(decision.symbol)
        bench.opinions[decision.source] = decision
        bench.release(decision.source)
        if decision.symbol in state.prices:
            self.shadows.follow(decision, spec)
        else:
            bench.unpriced.append(decision.id)
        superseded, dropped = state.queue.put(decision)
        if superseded is not None:
            self.standing.finish(superseded, Fate.SUPERSEDED, winner=decision.id)
        if dropped is not None:
            self.standing.finish(dropped, Fate.QUEUE_OVERFLOW, reason=f"the queue holds {state.queue.bound} decisions")
        state.remind(decision.expires, Due.EXPIRE, decision.symbol, decision.id)
        if dropped is decision:
            return
        if not bench.settle_at:
            bench.settle_at = state.now + spec.settle_ms
            if spec.settle_ms:
                state.remind(bench.settle_at, Due.SETTLE, decision.symbol)
        if not spec.settle_ms or bench.settle_at <= state.now:
            self.settle(bench)

    def _thought(self, decision: Decision) -> None:
        """A source has spoken, though in vain: whoever waited for it need not any more."""
        bench = self.state.benches.get(decision.symbol)
        if bench is not None and bench.release(decision.source):
            self.due(bench)

    def claim(self, claim: Claim) -> None:
        """A source thinks: lower tiers wait, within the bound that its settings give."""
        spec = self.state.sources.get(claim.source)
        unheard = spec is None or spec.paused or spec.tier is not claim.tier or claim.symbol not in self.state.instruments
        if spec is None or unheard or claim.until <= self.state.now:
            self.state.ignore("claim-refused")
            return
        bench = self.state.bench(claim.symbol)
        held = bench.claims.get(claim.source)
        # A claim that is renewed while it lasts is one claim: nobody waits longer for saying so again.
        began = bench.claimed[claim.source] if held is not None and held.until > self.state.now else self.state.now
        until = min(claim.until, began + spec.max_claim_ms)
        if until <= self.state.now:
            self.state.ignore("claim-refused")
            return
        bounded = Claim(claim.source, claim.tier, claim.symbol, until)
        bench.claims[claim.source], bench.claimed[claim.source] = bounded, began
        self.out.record(ClaimMade(self.state.now, bounded))

    def abstain(self, abstention: Abstention) -> None:
        """A source has no opinion; whoever waited for it need not any more."""
        self.out.record(AbstentionMade(self.state.now, abstention))
        bench = self.state.benches.get(abstention.symbol)
        if bench is not None and bench.release(abstention.source):
            self.due(bench)

    def due(self, bench: Bench) -> None:
        """Settle if somebody waits and the window has passed."""
        if bench.settle_at and bench.settle_at <= self.state.now:
            self.settle(bench)

    def settle(self, bench: Bench) -> None:
        """Hear everyone who waits on the symbol, unless a higher tier is still thinking."""
        self._drop_expired(bench)
        waiting = self.state.queue.on(bench.symbol)
        if not waiting:
            bench.settle_at = 0
            return
        if bench.symbol not in self.state.prices:
            if bench.settle_at <= self.state.now:
                bench.settle_at = self.state.now + self.trading.tracker.rules.retry_ms
                self.state.remind(bench.settle_at, Due.SETTLE, bench.symbol)
            return
        if bench.unpriced:
            self._follow_late(bench, waiting)
        standing = bench.standing
        candidates = list(waiting)
        if standing is not None and all(decision.source != standing.source for decision in waiting):
            candidates.append(standing)
        ranking = self.arbiter.rank(candidates, list(bench.opinions.values()))
        self._hear(bench, ranking)

    def expire(self, symbol: str, decision_id: str) -> None:
        """A decision's time is over: it stops waiting or standing, and stops being an opinion."""
        bench = self.state.bench(symbol)
        for source, opinion in list(bench.opinions.items()):
            if opinion.id == decision_id:
                del bench.opinions[source]
                self._lapse_shadow(opinion)
        decision = self.state.open.get(decision_id)
        if decision is not None and self.state.queue.remove(decision):
            self.standing.finish(decision, Fate.EXPIRED)
            return
        standing = bench.standing
        if standing is not None and standing.id == decision_id:
            self.standing.end(bench, Fate.EXPIRED)
            spec = self.state.sources.get(standing.source)
            if spec is not None and spec.on_expiry is OnExpiry.FLATTEN:
                self.standing.flatten(bench, standing)

    def _claimed_until(self, bench: Bench, tier: Tier) -> int:
        """Until when a higher tier than `tier` thinks about the symbol; zero when none does."""
        until = 0
        for source, claim in list(bench.claims.items()):
            if claim.until <= self.state.now:
                bench.release(source)
            elif claim.tier < tier:
                until = max(until, claim.until)
        return until

    def _hear(self, bench: Bench, ranking: Ranking) -> None:
        """Try the candidates in order until one wins; the rest of those who waited lose."""
        verdict_id = f"v{self.state.next_id()}"
        before = bench.standing
        winner: Decision | None = None
        for candidate in ranking.candidates:
            until = self._claimed_until(bench, candidate.tier)
            if until:
                self.state.remind(until, Due.SETTLE, bench.symbol)
                self._supersede(bench, before)
                return
            if ranking.outvoted_by is not None:
                self._outvote(bench, ranking, ranking.outvoted_by, verdict_id)
                break
            if candidate is before:
                winner, verdict_id = candidate, bench.verdict_id or verdict_id
                break
            if self._wins(bench, candidate, ranking, verdict_id):
                winner = candidate
                break
        bench.settle_at = 0
        if winner is None:
            self._supersede(bench, before)
        else:
            self._lose(bench, winner, verdict_id)

    def _wins(self, bench: Bench, candidate: Decision, ranking: Ranking, verdict_id: str) -> bool:
        """Let a candidate try: it wins and acts, or meets its fate."""
        self.state.queue.remove(candidate)
        spec = self.state.sources[candidate.source]
        if candidate.action is Action.HOLD:
            if not spec.hold_blocks:
                self.standing.finish(candidate, Fate.HELD, reason="holds without blocking")
                return False
            self._verdict(bench, candidate, ranking, verdict_id, None)
            self._replace(bench, candidate, verdict_id)
            self.standing.finish(candidate, Fate.HELD, verdict_id=verdict_id, reason="holds and blocks lower tiers")
            return True
        attempt = self.trading.consider(candidate, spec, bench)
        against = self.trading.contrary(bench, candidate)
        filling = against is not None and against.request.leg is Leg.ENTRY
        if attempt.refusal is not None and attempt.refusal.denial.permanent and not filling:
            self.standing.finish(candidate, Fate.DENIED, denial=attempt.refusal.denial, reason=attempt.refusal.detail)
            return False
        self._verdict(bench, candidate, ranking, verdict_id, attempt)
        self._replace(bench, candidate, verdict_id)
        self.standing.carry(bench, candidate, attempt)
        return True

    def _outvote(self, bench: Bench, ranking: Ranking, voice: Decision, verdict_id: str) -> None:
        """The majority wants none of what the candidates want: those who wait lose, what is held stays."""
        self._verdict(bench, voice, ranking, verdict_id, None)
        for loser in self.state.queue.on(bench.symbol):
            self.state.queue.remove(loser)
            if loser.action is Action.HOLD is voice.action:
                self.standing.finish(loser, Fate.HELD, verdict_id=verdict_id, reason="holds with the majority")
                continue
            self.shadows.overrule(loser, voice, verdict_id)
            self.standing.finish(loser, Fate.OUTRANKED, verdict_id=verdict_id, winner=voice.id, reason=ranking.reason)

    def _supersede(self, bench: Bench, before: Decision | None) -> None:
        """Nobody new won; what stood before stands no more if its own source was heard again."""
        if before is None or bench.standing is not before:
            return
        newest = bench.opinions.get(before.source)
        if newest is not None and newest.id != before.id and newest.id not in self.state.queue.ids(bench.symbol):
            self.standing.end(bench, Fate.SUPERSEDED)

    def _follow_late(self, bench: Bench, waiting: Sequence[Decision]) -> None:
        """Let the shadows follow what was proposed before there was a price."""
        for decision in waiting:
            if decision.id in bench.unpriced:
                self.shadows.follow(decision, self.state.sources[decision.source])
        bench.unpriced.clear()

    def _drop_expired(self, bench: Bench) -> None:
        """Whose time is over is not heard, also when the desk was woken late."""
        now = self.state.now
        for decision in self.state.queue.on(bench.symbol):
            if decision.expires <= now:
                self.expire(bench.symbol, decision.id)
        if bench.standing is not None and bench.standing.expires <= now:
            self.expire(bench.symbol, bench.standing.id)
        for opinion in list(bench.opinions.values()):
            if opinion.expires <= now:
                self.expire(bench.symbol, opinion.id)

    def _lapse_shadow(self, opinion: Decision) -> None:
        """A source's newest word on a symbol expired: its shadow leaves the position if the source wants none without one."""
        spec = self.state.sources.get(opinion.source)
        if spec is not None and spec.on_expiry is OnExpiry.FLATTEN and opinion.action is not Action.HOLD:
            self.shadows.flatten(opinion)

    def _lose(self, bench: Bench, winner: Decision, verdict_id: str) -> None:
        """Everyone who still waits on the symbol agreed with the winner or was outranked."""
        for loser in self.state.queue.on(bench.symbol):
            self.state.queue.remove(loser)
            contrary = loser.action is not winner.action and loser.action is not Action.HOLD
            if contrary and bench.refused is not None and self._let_out(bench, loser):
                continue
            agreed = loser.action is winner.action
            if not agreed:
                self.shadows.overrule(loser, winner, verdict_id)
            self.standing.finish(
                loser, Fate.AGREED if agreed else Fate.OUTRANKED, verdict_id=verdict_id, winner=winner.id, reason=winner.source
            )

    def _let_out(self, bench: Bench, decision: Decision) -> bool:
        """A transiently denied winner blocks contrary entries, not exits: let this one through."""
        spec = self.state.sources[decision.source]
        attempt = self.trading.consider(decision, spec, bench)
        if attempt.draft is None or not attempt.draft.reduces or bench.working is not None or bench.exit is not None:
            return False
        if bench.resting is not None and bench.resting.released is not None:
            return False
        self.trading.let_out(bench, decision, attempt.draft)
        return True

    def _replace(self, bench: Bench, winner: Decision, verdict_id: str) -> None:
        """The winner stands; what stood before ends, keeping its order only if it works in the same direction."""
        before = bench.standing
        if before is not None:
            newest = bench.opinions.get(before.source)
            same = before.source == winner.source or (newest is not None and newest.id != before.id)
            fate = Fate.SUPERSEDED if same else Fate.OUTRANKED
            agrees = before.action is winner.action
            if not agrees and not same:
                self.shadows.overrule(before, winner, verdict_id)
            self.standing.end(bench, Fate.AGREED if agrees and not same else fate, keep_order=agrees)
        bench.standing, bench.verdict_id, bench.pursuing, bench.refused = winner, verdict_id, False, None
        against = self.trading.contrary(bench, winner)
        if against is not None:
            self.trading.tracker.cancel(against, "a contrary verdict")
            self.state.lapsing.setdefault(against.request.id, Fate.OUTRANKED)

    def _why(self, bench: Bench, winner: Decision, ranking: Ranking) -> str:
        """Why this one won: against those who came after it, and after whom, if those before it gave way."""
        place = next((place for place, each in enumerate(ranking.candidates) if each is winner), 0)
        if not place:
            return ranking.reason
        gave_way = ", ".join(decision.source for decision in ranking.candidates[:place])
        among = self.arbiter.rank(ranking.candidates[place:], list(bench.opinions.values()))
        return f"{among.reason}, after {gave_way} gave way"

    def _verdict(self, bench: Bench, winner: Decision, ranking: Ranking, verdict_id: str, attempt: Attempt | None) -> None:
        position = self.state.portfolio.amount(bench.symbol)
        losers = tuple(
            decision.id
            for decision in ranking.candidates
            if decision is not winner and decision.action is not winner.action and decision.id in self.state.open
        )
        target = position if attempt is None else attempt.target
        self.out.record(
            Verdict(
                verdict_id,
                self.state.now,
                bench.symbol,
                self.arbiter.policy.value,
                winner.id,
                winner.source,
                winner.tier,
                winner.action,
                winner.confidence,
                losers,
                self._why(bench, winner, ranking),
                target,
                position,
            )
        )
