"""Several models about one question: their usable answers by weight, where disagreement lowers the confidence.

The winning action is the one with the most weight times confidence. Levels are those of its leading member, for a stop of one
and a target of another are nobody's trade.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.core.decision import Action
from sources.llm.answer import MOST_EVIDENCE, Unusable
from sources.llm.deciding import Wanted

_LARGEST_WEIGHT = 1_000.0
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Vote:
    """A member's usable answer. A `weight` that is no positive number counts as 0."""

    member: str
    weight: float
    wanted: Wanted

    @property
    def counted(self) -> float:
        """The weight that counts."""
        return min(self.weight, _LARGEST_WEIGHT) if math.isfinite(self.weight) and self.weight > 0 else 0.0

    def __str__(self) -> str:
        """As the evidence of a decision shows it."""
        return f"{self.member} {self.wanted.action} {self.wanted.confidence:.3f} x{self.counted:g}"


@dataclass(frozen=True, slots=True)
class Combined:
    """What the members want together. `agreement` is the share of the weight that wants it, 0..1; `lead` whose levels it has."""

    wanted: Wanted
    lead: Vote
    agreement: float


def combine(votes: Sequence[Vote]) -> Combined:
    """What the votes come to; `Unusable` with `disagreement` where no action has more for it than another."""
    total = sum(vote.counted for vote in votes)
    if total <= 0:
        reason = "disagreement"
        raise Unusable(reason, "no member's word has any weight")
    strength = {action: sum(_strength(vote) for vote in votes if vote.wanted.action is action) for action in Action}
    best, second = sorted(strength, key=lambda action: -strength[action])[:2]
    if strength[best] - strength[second] <= _SAME:
        reason = "disagreement"
        raise Unusable(reason, "; ".join(map(str, votes)))
    winners = [vote for vote in votes if vote.wanted.action is best and vote.counted > 0]
    lead = max(winners, key=_strength)
    weight = sum(vote.counted for vote in winners)
    cited = dict.fromkeys(one for vote in (lead, *winners) for one in vote.wanted.evidence)
    wanted = replace(
        lead.wanted,
        confidence=min(1.0, strength[best] / total),
        size=None if lead.wanted.size is None else min(1.0, sum(_size(vote) for vote in winners) / weight),
        stands_ms=min(vote.wanted.stands_ms for vote in winners),
        evidence=tuple(cited)[:MOST_EVIDENCE],
    )
    return Combined(wanted, lead, weight / total)


def _strength(vote: Vote) -> float:
    return vote.counted * vote.wanted.confidence


def _size(vote: Vote) -> float:
    return vote.counted * (vote.wanted.size or 0.0)
