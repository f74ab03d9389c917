"""The tally of a run: what happened, counted from the facts themselves, and how long each stage took."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from decimal import Decimal
from time import perf_counter

from bot.core.facts import DecisionFate, DecisionSeen, Fact, FillBooked, OrderChanged
from bot.core.orders import ZERO, OrderRequest, OrderState
from bot.latency import LatencyHistogram

_OPEN_BOUND = 4_096


class _Recent(OrderedDict[str, float]):
    """When something began, by its id; the oldest of too many are forgotten, and then not measured."""

    def began(self, name: str, at: float) -> None:
        self[name] = at
        if len(self) > _OPEN_BOUND:
            self.popitem(last=False)

    def took(self, name: str, histogram: LatencyHistogram) -> None:
        """Measure what began, once; what nobody saw begin is not measured."""
        at = self.pop(name, None)
        if at is not None:
            histogram.add(perf_counter() - at)


@dataclass(slots=True)
class Stages:
    """How long an order's way takes, stage by stage, in seconds; each order counts once for each.

    `intended` from the arrival of a decision's cause to the intent, `stored` from there until it is durable, `sent` until it is
    given to the broker; `accepted` and `filled` from there until the venue has it, and until its first fill.
    """

    intended: LatencyHistogram = field(default_factory=LatencyHistogram)
    stored: LatencyHistogram = field(default_factory=LatencyHistogram)
    sent: LatencyHistogram = field(default_factory=LatencyHistogram)
    accepted: LatencyHistogram = field(default_factory=LatencyHistogram)
    filled: LatencyHistogram = field(default_factory=LatencyHistogram)
    _storing: _Recent = field(default_factory=_Recent)
    _sending: _Recent = field(default_factory=_Recent)
    _asked: _Recent = field(default_factory=_Recent)
    _resting: _Recent = field(default_factory=_Recent)

    def intend(self, request: OrderRequest, cause: float | None) -> None:
        """An intent goes to the journal; `cause` is when its decision's cause arrived, None where no decision asked for it."""
        now = perf_counter()
        if cause is not None:
            self.intended.add(now - cause)
        self._storing.began(request.id, now)
        self._sending.began(request.id, now)

    def keep(self, order: str) -> None:
        """An intent is durable."""
        self._storing.took(order, self.stored)

    def send(self, order: str) -> None:
        """An order is given to the broker."""
        self._sending.took(order, self.sent)
        now = perf_counter()
        self._asked.began(order, now)
        self._resting.began(order, now)

    def observe(self, fact: OrderChanged) -> None:
        """The venue has answered, or the order has ended."""
        order, state = fact.request.id, fact.state
        if state is OrderState.OPEN or state is OrderState.FILLED:
            self._asked.took(order, self.accepted)
        if state is OrderState.FILLED:
            self.fill(order)
        if state.terminal:  # its intent may still be on its way to the disk, where nobody waits for that
            for waiting in (self._sending, self._asked, self._resting):
                waiting.pop(order, None)

    def fill(self, order: str) -> None:
        """An order traded."""
        self._resting.took(order, self.filled)


@dataclass(slots=True)
class Tally:
    """Counts since the run began.

    `handled` measures from an input's arrival until it was handled, `to_fill` from the arrival of what caused a decision to its
    first fill, in seconds.
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
    stages: Stages = field(default_factory=Stages)
    _open: _Recent = field(default_factory=_Recent)

    def observe(self, fact: Fact) -> None:
        """Count one fact."""
        if isinstance(fact, DecisionSeen):
            self.decisions[fact.decision.source] += 1
            self._open.began(fact.decision.id, self.arrived or perf_counter())
        elif isinstance(fact, DecisionFate):
            self.fates[fact.fate.value] += 1
        elif isinstance(fact, OrderChanged):
            self.orders += fact.state is OrderState.SENT
            self.stages.observe(fact)
        elif isinstance(fact, FillBooked):
            self.fills += 1
            self.fees += fact.fee_value
            self.stages.fill(fact.fill.order_id)
            self._open.took(fact.decision_id or "", self.to_fill)

    def intend(self, request: OrderRequest) -> None:
        """An order's intent goes to the journal."""
        self.stages.intend(request, self._open.get(request.decision_id or ""))
