"""Settlement: from proposals to verdicts.

A decision is admitted or refused at the door, waits out the settle window of its symbol, and is then heard in the order that the
policy gives. The first that survives sizing and risk wins and stands; the others agreed or were outranked, for good. A permanent
denial passes the turn on; a transient one keeps it and blocks only contrary entries. Each decision meets exactly one fate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.arbiter import Arbiter, Ranking
from bot.core.decision import Abstention, Action, Claim, Decision, Denial, Fate, OnExpiry, SourceSpec, Tier, derive_id
from bot.core.facts import AbstentionMade, ClaimMade, DecisionFate, DecisionSeen, Verdict
from bot.core.orders import ZERO, Leg, Order
from bot.core.shadow import Shadows
from bot.core.state import Bench, DeskState, Due, ExitWanted, Outbox
from bot.core.trading import Attempt, Trading

MAX_MS = 2**53
"""Later than any time in milliseconds that can be meant."""


@dataclass(slots=True)
class Settlement:
    """The arbitration of one desk."""

    state: DeskState
    out: Outbox
    arbiter: Arbiter
    shadows: Shadows
    trading: Trading
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
        refusal = self._refusal(decision, spec)
        if refusal is not None or spec is None:
            fate, denial, reason = refusal or (Fate.DENIED, Denial.UNKNOWN_SOURCE, "")
            self.finish(decision, fate, denial=denial, reason=reason)
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
            self.finish(superseded, Fate.SUPERSEDED, winner=decision.id)
        if dropped is not None:
            self.finish(dropped, Fate.QUEUE_OVERFLOW, reason=f"the queue holds {state.queue.bound} decisions")
        state.remind(decision.expires, Due.EXPIRE, decision.symbol, decision.id)
        if dropped is decision:
            return
        if not bench.settle_at:
            bench.settle_at = state.now + spec.settle_ms
            if spec.settle_ms:
                state.remind(bench.settle_at, Due.SETTLE, decision.symbol)
        if not spec.settle_ms or bench.settle_at <= state.now:
            self.settle(bench)

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
                bench.settle_at = self.state.now + self.trading.rules.retry_ms
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
            self.finish(decision, Fate.EXPIRED)
            return
        standing = bench.standing
        if standing is not None and standing.id == decision_id:
            self.end_standing(bench, Fate.EXPIRED)
            spec = self.state.sources.get(standing.source)
            if spec is not None and spec.on_expiry is OnExpiry.FLATTEN:
                self._flatten(bench, standing)

    def end_standing(self, bench: Bench, fate: Fate, keep_order: bool = False) -> None:
        """The standing decision stands no more; `fate` is what it becomes if it has met none and no order of its lives on.

        An order that works towards its target, be it of an earlier decision that agreed, ends with it.
        """
        standing = bench.standing
        bench.standing, bench.pursuing, bench.refused = None, False, None
        if standing is None:
            return
        order = self.state.working.get(bench.working or "")
        own = order is not None and order.request.decision_id == standing.id
        if order is not None and not keep_order and (own or self.trading.serves(order, standing)):
            self.trading.cancel(order, f"the decision was {fate.value}")
            if own:
                self.state.lapsing[order.request.id] = fate
        if own:
            return
        if standing.id in self.state.open:
            self.finish(standing, fate, verdict_id=bench.verdict_id)

    def order_done(self, order: Order) -> None:
        """An order ended: its decision meets its fate, and the symbol goes on."""
        request = order.request
        lapsed = self.state.lapsing.pop(request.id, None)
        decision = self.state.open.get(request.decision_id or "")
        bench = self.state.bench(request.symbol)
        owner = bench.standing is not None and bench.standing.id == request.decision_id
        if decision is not None and not order.filled:
            fate = lapsed or self.trading.fate_of(order)
            self.finish(decision, fate, verdict_id=bench.verdict_id, reason=order.reason)
            if owner:
                bench.standing, bench.refused = None, None
        if owner:
            # An exit that got only part of the way goes on; an entry makes do with what it got.
            part = request.leg is Leg.EXIT and order.filled > ZERO and self.state.portfolio.amount(request.symbol) != ZERO
            bench.pursuing = part
        self.pursue(bench)

    def unstored(self, order: Order) -> None:
        """An order's intent could not be stored: the standing decision tries again, any other meets its fate."""
        request = order.request
        lapsed = self.state.lapsing.pop(request.id, None)
        bench = self.state.bench(request.symbol)
        if lapsed is None and bench.standing is not None and bench.standing.id == request.decision_id:
            bench.refused, bench.pursuing = Denial.INTENT_NOT_STORED, True
            return
        decision = self.state.open.get(request.decision_id or "")
        if decision is not None:
            denial = Denial.INTENT_NOT_STORED if lapsed is None else None
            self.finish(decision, lapsed or Fate.DENIED, denial=denial, verdict_id=bench.verdict_id, reason=order.reason)

    def booked_late(self, order: Order) -> None:
        """A fill came after its order's end: the position is another one, and what stands against it acts again."""
        bench = self.state.bench(order.request.symbol)
        standing = bench.standing
        if standing is not None and standing.action is not Action.HOLD and standing.action.value != order.request.side.value:
            bench.pursuing = True
        self.pursue(bench)

    def pursue(self, bench: Bench) -> None:
        """Go on with what the symbol still wants: an exit first, else the standing decision's target."""
        if self.trading.leave(bench):
            return
        standing = bench.standing
        if standing is None or not bench.pursuing or bench.working is not None:
            return
        spec = self.state.sources.get(standing.source)
        if spec is None:
            self.end_standing(bench, Fate.CANCELLED)
            return
        self._carry(bench, standing, self.trading.consider(standing, spec, bench))

    def finish(
        self,
        decision: Decision,
        fate: Fate,
        *,
        denial: Denial | None = None,
        verdict_id: str | None = None,
        winner: str | None = None,
        reason: str = "",
    ) -> None:
        """Give a decision its one terminal fate; a second is impossible."""
        if self.state.open.pop(decision.id, None) is None:
            return
        self.out.record(
            DecisionFate(
                self.state.now,
                decision.id,
                decision.source,
                decision.tier,
                decision.symbol,
                fate,
                denial,
                verdict_id,
                winner,
                reason,
            )
        )

    def _refusal(self, decision: Decision, spec: SourceSpec | None) -> tuple[Fate, Denial | None, str] | None:
        """Why a decision is not admitted."""
        if spec is None:
            return Fate.DENIED, Denial.UNKNOWN_SOURCE, f"no source is called {decision.source}"
        fault = malformed(decision, spec.tier)
        if fault is not None:
            return Fate.DENIED, Denial.MALFORMED, fault
        if spec.paused:
            return Fate.DENIED, Denial.SOURCE_PAUSED, f"{spec.name} is paused"
        if decision.symbol not in self.state.instruments:
            return Fate.DENIED, Denial.UNKNOWN_INSTRUMENT, f"the venue does not list {decision.symbol}"
        if spec.symbols and decision.symbol not in spec.symbols:
            return Fate.DENIED, Denial.SYMBOL_NOT_ALLOWED, f"{spec.name} may not trade {decision.symbol}"
        if decision.external_id is not None and not self.state.remember(f"{decision.source}\x1f{decision.external_id}"):
            return Fate.DUPLICATE, None, f"{decision.external_id} was already proposed"
        if decision.confidence < spec.threshold:
            return Fate.BELOW_THRESHOLD, None, f"confidence {decision.confidence:.2f} is below {spec.threshold:.2f}"
        if decision.expires <= self.state.now or self.state.now - decision.created > self.max_age_ms:
            return Fate.STALE, None, f"made {self.state.now - decision.created} ms ago"
        return None

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
        verdict_id = derive_id("verdict", bench.symbol, self.state.now, self.state.next_id())
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
                self.finish(candidate, Fate.HELD, reason="holds without blocking")
                return False
            self._verdict(bench, candidate, ranking, verdict_id, None)
            self._replace(bench, candidate, verdict_id)
            self.finish(candidate, Fate.HELD, verdict_id=verdict_id, reason="holds and blocks lower tiers")
            return True
        attempt = self.trading.consider(candidate, spec, bench)
        against = self.trading.contrary(bench, candidate)
        filling = against is not None and against.request.leg is Leg.ENTRY
        if attempt.refusal is not None and attempt.refusal.denial.permanent and not filling:
            self.finish(candidate, Fate.DENIED, denial=attempt.refusal.denial, reason=attempt.refusal.detail)
            return False
        self._verdict(bench, candidate, ranking, verdict_id, attempt)
        self._replace(bench, candidate, verdict_id)
        self._carry(bench, candidate, attempt)
        return True

    def _outvote(self, bench: Bench, ranking: Ranking, voice: Decision, verdict_id: str) -> None:
        """The majority wants none of what the candidates want: those who wait lose, what is held stays."""
        self._verdict(bench, voice, ranking, verdict_id, None)
        for loser in self.state.queue.on(bench.symbol):
            self.state.queue.remove(loser)
            if loser.action is Action.HOLD is voice.action:
                self.finish(loser, Fate.HELD, verdict_id=verdict_id, reason="holds with the majority")
                continue
            self.shadows.overrule(loser, voice, verdict_id)
            self.finish(loser, Fate.OUTRANKED, verdict_id=verdict_id, winner=voice.id, reason=ranking.reason)

    def _supersede(self, bench: Bench, before: Decision | None) -> None:
        """Nobody new won; what stood before stands no more if its own source was heard again."""
        if before is None or bench.standing is not before:
            return
        newest = bench.opinions.get(before.source)
        if newest is not None and newest.id != before.id and newest.id not in self.state.queue.ids(bench.symbol):
            self.end_standing(bench, Fate.SUPERSEDED)

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
            self.finish(
                loser, Fate.AGREED if agreed else Fate.OUTRANKED, verdict_id=verdict_id, winner=winner.id, reason=winner.source
            )

    def _let_out(self, bench: Bench, decision: Decision) -> bool:
        """A transiently denied winner blocks contrary entries, not exits: let this one through."""
        spec = self.state.sources[decision.source]
        attempt = self.trading.consider(decision, spec, bench)
        if attempt.draft is None or not attempt.draft.reduces or bench.working is not None or bench.exit is not None:
            return False
        self.trading.carry_out(bench, decision, attempt.draft)
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
            self.end_standing(bench, Fate.AGREED if agrees and not same else fate, keep_order=agrees)
        bench.standing, bench.verdict_id, bench.pursuing, bench.refused = winner, verdict_id, False, None
        against = self.trading.contrary(bench, winner)
        if against is not None:
            self.trading.cancel(against, "a contrary verdict")
            self.state.lapsing.setdefault(against.request.id, Fate.OUTRANKED)

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
                ranking.reason,
                target,
                position,
            )
        )

    def _carry(self, bench: Bench, decision: Decision, attempt: Attempt) -> None:
        """Act on what an attempt at the standing decision's target came to."""
        bench.pursuing = False
        bench.refused = None
        if self.trading.contrary(bench, decision) is not None:
            # It may still trade while it is being cancelled: wait for its end and start from the position that is there.
            bench.pursuing = True
        elif attempt.draft is not None:
            if bench.exit is None:
                self.trading.carry_out(bench, decision, attempt.draft)
            else:
                bench.pursuing = True
        elif attempt.fate is not None:
            self.finish(decision, attempt.fate, verdict_id=bench.verdict_id)
        elif attempt.refusal is not None and attempt.refusal.denial.permanent:
            denial, detail = attempt.refusal.denial, attempt.refusal.detail
            if decision.id in self.state.open:
                self.finish(decision, Fate.DENIED, denial=denial, verdict_id=bench.verdict_id, reason=detail)
                bench.standing = None
        elif attempt.refusal is not None:
            bench.refused = attempt.refusal.denial
            bench.pursuing = True
            self.trading.retry(bench)

    def _flatten(self, bench: Bench, decision: Decision) -> None:
        """Leave the position of an expired decision's source, and what an entry on its way may still add to it."""
        position = self.state.portfolio.positions.get(bench.symbol)
        held = position is not None and bool(position.lots) and position.lots[0].source == decision.source
        order = self.state.working.get(bench.working or "")
        entering = order is not None and order.request.leg is Leg.ENTRY and order.request.source == decision.source
        if bench.exit is not None or decision.action is Action.HOLD or not (held or entering):
            return
        if held and position is not None and (position.amount > ZERO) is not (decision.action is Action.BUY):
            return
        level = self.state.prices[bench.symbol]
        self.trading.want_exit(bench, ExitWanted(Leg.FLATTEN, decision.id, level, decision.source))
        self.pursue(bench)


def malformed(decision: Decision, tier: Tier) -> str | None:
    """What is wrong with a decision's figures, or None."""
    if decision.tier is not tier:
        return f"the source speaks as {tier.label}, not as {decision.tier.label}"
    if not decision.id:
        return "it has no id"
    if not 0.0 <= decision.confidence <= 1.0:
        return f"confidence {decision.confidence!r} is not within 0..1"
    if not (math.isfinite(decision.price) and decision.price > 0.0):
        return f"price {decision.price!r} is not a positive number"
    if decision.expires <= decision.created:
        return "it expires before it was made"
    if not 0 <= decision.created <= decision.expires <= MAX_MS:
        return f"its time {decision.created}..{decision.expires} is no time in milliseconds"
    for name, level in (("stop_loss", decision.stop_loss), ("take_profit", decision.take_profit)):
        if level is not None and not (math.isfinite(level) and level > 0.0):
            return f"{name} {level!r} is not a positive number"
    if decision.trailing is not None and not 0.0 < decision.trailing < 1.0:
        return f"trailing {decision.trailing!r} is not a fraction of the price"
    if decision.size_fraction is not None and not 0.0 < decision.size_fraction <= 1.0:
        return f"size_fraction {decision.size_fraction!r} is not within 0..1"
    return None
