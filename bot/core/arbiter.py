"""The arbiter: of all who speak on a symbol, who wins and why.

A policy ranks the candidates: the decisions that wait and the one that stands. The desk tries them in that order until one
survives sizing and risk. `priority` is strict: the higher tier, then confidence, then recency. `confidence` weighs confidence
by tier. `consensus` lets every unexpired opinion vote, one per source, HOLD included; the best-ranked decision of the winning
side speaks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum

from bot.core.decision import Action, Decision, Tier
from bot.core.queue import Priority, priority
from bot.core.values import value


class Policy(StrEnum):
    """How conflicts are settled."""

    PRIORITY = "priority"
    CONFIDENCE = "confidence"
    CONSENSUS = "consensus"


@value
class Ranking:
    """Candidates, the winner first, and the sentence that explains the winner.

    `outvoted_by` speaks for a majority that no candidate can act for: it wants to hold, or was heard before. Then nobody wins.
    """

    candidates: tuple[Decision, ...]
    reason: str
    outvoted_by: Decision | None = None


def _default_weights() -> dict[Tier, float]:
    return {Tier.QUANTCONNECT: 1.0, Tier.LLM: 0.7, Tier.TRADITIONAL: 0.5}


@value
class Arbiter:
    """A policy and its tier weights (used by `confidence` alone)."""

    policy: Policy = Policy.PRIORITY
    weights: Mapping[Tier, float] = field(default_factory=_default_weights)

    def rank(self, candidates: Sequence[Decision], opinions: Sequence[Decision]) -> Ranking:
        """Order the candidates; `opinions` are all unexpired decisions on the symbol, one per source (for `consensus`)."""
        if self.policy is Policy.PRIORITY:
            return self._by_priority(candidates)
        if self.policy is Policy.CONFIDENCE:
            return self._by_confidence(candidates)
        return self._by_consensus(candidates, opinions)

    def _by_priority(self, candidates: Sequence[Decision]) -> Ranking:
        ranked = sorted(candidates, key=priority)
        first = ranked[0]
        if len(ranked) == 1:
            return Ranking(tuple(ranked), f"{first.source} alone spoke")
        second = ranked[1]
        if first.tier is not second.tier:
            reason = f"{first.tier.label} outranks {second.tier.label}"
        elif first.confidence != second.confidence:
            reason = f"confidence {first.confidence:.2f} over {second.confidence:.2f} within {first.tier.label}"
        else:
            reason = f"the newer of equal confidence within {first.tier.label}"
        return Ranking(tuple(ranked), reason)

    def _by_confidence(self, candidates: Sequence[Decision]) -> Ranking:
        def score(decision: Decision) -> float:
            return self.weights.get(decision.tier, 0.0) * decision.confidence

        ranked = sorted(candidates, key=lambda decision: (-score(decision), priority(decision)))
        return Ranking(tuple(ranked), f"weighted confidence {score(ranked[0]):.3f} of {len(ranked)} candidates")

    def _by_consensus(self, candidates: Sequence[Decision], opinions: Sequence[Decision]) -> Ranking:
        votes = dict.fromkeys(Action, 0)
        voices = {decision.source: decision for decision in (*opinions, *candidates)}
        for decision in voices.values():
            votes[decision.action] += 1

        def support(decision: Decision) -> tuple[int, Priority]:
            return (-votes[decision.action], priority(decision))

        ranked = sorted(candidates, key=support)
        tally = ", ".join(f"{action.value} {count}" for action, count in votes.items() if count)
        first = min(voices.values(), key=support)
        outvoted = first.action is Action.HOLD or all(decision.action is not first.action for decision in ranked)
        return Ranking(tuple(ranked), f"votes: {tally}", first if outvoted else None)
