"""How candidates have done: counts, latencies and the recent share of answers that were of use, as plain values."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from sources.llm.asking import LlmError, Reply, Trouble

_RECENT = 50
_LATENCIES = 200
_ENOUGH = 5  # outcomes below which nothing is said of a candidate


@dataclass(frozen=True, slots=True)
class Standing:
    """How a candidate has done since the start. `recent_success` is 0..1 of the last outcomes, 1 while there are too few.

    Latencies are ms of answers, None while there are none; `troubles` counts failed calls and answers of no use by what they had.
    """

    calls: int = 0
    answers: int = 0
    recent_success: float = 1.0
    recent: int = 0
    p50_ms: int | None = None
    p95_ms: int | None = None
    cost: Decimal = Decimal(0)
    troubles: Mapping[Trouble, int] = field(default_factory=dict)
    last_trouble: str = ""


class Record:
    """Keeps what a `Standing` is made of."""

    def __init__(self) -> None:
        self._calls = self._answers = 0
        self._cost = Decimal(0)
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._latencies: deque[int] = deque(maxlen=_LATENCIES)
        self._troubles: Counter[Trouble] = Counter()
        self._last = ""

    def answered(self, reply: Reply) -> None:
        """An answer came; a refusal speaks of the question and not of the model."""
        self._calls += 1
        self._answers += 1
        self._cost += reply.cost
        self._latencies.append(reply.latency_ms)
        self._recent.append(reply.fault in {None, Trouble.REFUSAL})
        if reply.fault is not None:
            self._troubles[reply.fault] += 1
            self._last = f"{reply.fault}: {reply.fault_detail}"

    def failed(self, error: LlmError) -> None:
        """No answer came."""
        self._calls += 1
        self._recent.append(False)
        self._troubles[error.trouble] += 1
        self._last = f"{error.trouble}: {error.reason}"

    @property
    def success(self) -> float:
        """The recent share of answers that were of use, 0..1."""
        return sum(self._recent) / len(self._recent) if len(self._recent) >= _ENOUGH else 1.0

    def standing(self) -> Standing:
        """As it is now."""
        slow = sorted(self._latencies)
        return Standing(
            calls=self._calls,
            answers=self._answers,
            recent_success=self.success,
            recent=len(self._recent),
            p50_ms=slow[len(slow) // 2] if slow else None,
            p95_ms=slow[min(len(slow) - 1, len(slow) * 95 // 100)] if slow else None,
            cost=self._cost,
            troubles=dict(self._troubles),
            last_trouble=self._last,
        )
