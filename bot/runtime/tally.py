"""The tally of a run: what happened, counted from the facts themselves."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from time import perf_counter

from bot.core.facts import DecisionFate, DecisionSeen, Fact, FillBooked, OrderChanged
from bot.core.orders import ZERO, OrderState
from bot.runtime.latency import LatencyHistogram

_OPEN_BOUND = 4_096


@dataclass(slots=True)
class Tally:
    """Counts since the run began.

    `to_fill` measures from the arrival of what caused a decision to its first fill, in seconds; `measured` is told each.
    """

    market_events: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    fills: int = 0
    fees: Decimal = ZERO
    handled: LatencyHistogram = field(default_factory=LatencyHistogram)
    to_fill: LatencyHistogram = field(default_factory=LatencyHistogram)
    arrived: float = 0.0
    measured: Callable[[float], None] | None = None
    _open: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def observe(self, fact: Fact) -> None:
        """Count one fact."""
        if isinstance(fact, DecisionSeen):
            self.decisions[fact.decision.source] += 1
            self._open[fact.decision.id] = self.arrived or perf_counter()
            if len(self._open) > _OPEN_BOUND:
                self._open.popitem(last=False)
        elif isinstance(fact, DecisionFate):
            self.fates[fact.fate.value] += 1
        elif isinstance(fact, OrderChanged):
            self.orders += fact.state is OrderState.SENT
        elif isinstance(fact, FillBooked):
            self.fills += 1
            self.fees += fact.fee_value
            began = self._open.pop(fact.decision_id or "", None)
            if began is not None:
                took = perf_counter() - began
                self.to_fill.add(took)
                if self.measured is not None:
                    self.measured(took)
