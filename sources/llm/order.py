"""In which order candidates are asked: by rank; equals by their weights or, without, the cheapest that does well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import groupby

from sources.llm.models import Candidate

WELL = 0.95  # recent share of useful answers from which a candidate does well


class Turns:
    """Shares calls out among weighted equals: in any row of calls each gets its share, and none comes in bursts."""

    def __init__(self) -> None:
        self._owed: dict[str, float] = {}

    def order(
        self, candidates: Sequence[Candidate], success: Callable[[Candidate], float], amount: Callable[[Candidate], Decimal]
    ) -> tuple[Candidate, ...]:
        """The candidates in their order for one call, which counts as a turn. `amount` is what each would reserve, in USD."""
        ordered: list[Candidate] = []
        for _, group in groupby(sorted(candidates, key=lambda one: one.rank), key=lambda one: one.rank):
            equals = list(group)
            if len(equals) > 1 and any(one.weight is not None for one in equals):
                ordered += self._weighted(equals)
            elif len(equals) > 1:
                ordered += sorted(equals, key=lambda one: (success(one) < WELL, amount(one)))
            else:
                ordered += equals
        return tuple(ordered)

    def _weighted(self, equals: list[Candidate]) -> list[Candidate]:
        weights = {str(one): 1.0 if one.weight is None else one.weight for one in equals}
        for name, weight in weights.items():
            self._owed[name] = self._owed.get(name, 0.0) + weight
        first = max(equals, key=lambda one: self._owed[str(one)])
        self._owed[str(first)] -= sum(weights.values())
        rest = sorted((one for one in equals if one is not first), key=lambda one: -weights[str(one)])
        return [first, *rest]
