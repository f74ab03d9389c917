"""What asking came to since the process began, by model: calls, tokens, money and time, for whoever watches.

The ledger is what counts for limits; this is cheap, is kept in memory, and says nothing of other processes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from bot.latency import LatencyHistogram
from sources.llm.asking import LlmError, Reply
from sources.llm.models import Candidate

ANSWERED = "answered"
CANCELLED = "cancelled"


@dataclass(slots=True)
class ModelTally:
    """Of one model at one provider. `outcomes` by `answered`, `cancelled` or the trouble; `cost` in USD; `took` in seconds."""

    outcomes: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    cost: Decimal = Decimal(0)
    took: LatencyHistogram = field(default_factory=LatencyHistogram)


@dataclass(slots=True)
class Tally:
    """By provider and model, of which there are as many as are configured. `under_way` counts calls without an answer yet."""

    under_way: int = 0
    models: dict[tuple[str, str], ModelTally] = field(default_factory=dict)

    def answered(self, candidate: Candidate, reply: Reply, seconds: float) -> None:
        """An answer came, useful or not: it is paid for."""
        model, usage = self._of(candidate), reply.usage
        model.outcomes[ANSWERED if reply.fault is None else reply.fault.value] += 1
        model.cost += reply.cost
        model.took.add(seconds)
        for direction, tokens in (
            ("input", usage.input),
            ("cached", usage.cached),
            ("output", usage.output),
            ("reasoning", usage.reasoning),
        ):
            model.tokens[direction] += tokens

    def failed(self, candidate: Candidate, error: LlmError, reserved: Decimal) -> None:
        """No answer came; where it may have been billed, what was set aside is spent."""
        model = self._of(candidate)
        model.outcomes[error.trouble.value] += 1
        if error.may_have_been_billed:
            model.cost += reserved

    def cancelled(self, candidate: Candidate, reserved: Decimal) -> None:
        """Nobody waited for the answer any more; what was set aside is spent."""
        model = self._of(candidate)
        model.outcomes[CANCELLED] += 1
        model.cost += reserved

    def _of(self, candidate: Candidate) -> ModelTally:
        return self.models.setdefault((candidate.model.provider, candidate.model.name), ModelTally())
