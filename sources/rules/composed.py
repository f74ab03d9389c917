"""A rule put together from conditions over indicators, as a person or a language model may write it down: data, never code.

Buy as the entry conditions and the filters come to hold while the exit does not; sell as the exit comes to hold, or when
`max_hold` candles have passed since the rule's own buy. It speaks at that candle, not while the conditions go on holding.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, Self

from pydantic import Field, model_validator

from bot.core.decision import Action
from bot.core.indicators import Cross, Indicator, Previous
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Rule, Strict
from sources.rules.conditions import Check, Condition, Gauge, Measure, Operator

MOST_CONDITIONS = 8
_MOST_IN_ALL = 16
_CONDITION = "{indicator, period, operator, value}, or other and other_period in the place of value"
_WORDS = f"indicators: {', '.join(Measure)}; operators: {', '.join(Operator)}"


class Logic(StrEnum):
    """Whether all of several conditions must hold, or any of them."""

    ALL = "all"
    ANY = "any"


class ComposedParams(Strict):
    """Conditions, and how they act together. There is always a way out: an exit condition, or `max_hold`."""

    entry: tuple[Condition, ...] = Field(
        min_length=1, max_length=MOST_CONDITIONS, description=f"when to buy: a list of {_CONDITION}; {_WORDS}"
    )
    entry_logic: Logic = Field(default=Logic.ALL, description="whether all or any of the entry conditions must hold")
    filters: tuple[Condition, ...] = Field(
        default=(), max_length=MOST_CONDITIONS, description="all of them must hold besides for a buy"
    )
    exit: tuple[Condition, ...] = Field(default=(), max_length=MOST_CONDITIONS, description="when to sell")
    exit_logic: Logic = Field(default=Logic.ANY, description="whether all or any of the exit conditions must hold")
    max_hold: int | None = Field(
        default=None, ge=1, le=100_000, description="candles after its buy at which it sells; absent: none"
    )
    cool_down: int = Field(default=0, ge=0, le=10_000, description="candles after its sell in which it does not buy")
    confidence: float = Field(default=0.6, gt=0, le=1, description="confidence of what it proposes")
    size_fraction: float | None = Field(default=None, gt=0, le=1, description="part of the usual size; absent: all of it")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.exit and self.max_hold is None:
            message = "there is no way out; give an exit condition or max_hold"
            raise ValueError(message)
        count = len(self.entry) + len(self.filters) + len(self.exit)
        if count > _MOST_IN_ALL:
            message = f"{count} conditions are too many to mean anything; give at most {_MOST_IN_ALL}"
            raise ValueError(message)
        return self


class Composed(Rule):
    """Buys and sells as the conditions of its parameters come to hold."""

    Params: ClassVar[type[Strict]] = ComposedParams

    def __init__(self, params: ComposedParams) -> None:
        self.params = params
        self._gauges = {name: Gauge(measure, period) for name, measure, period in _measured(params)}
        self._entry = [Check(each) for each in params.entry]
        self._filters = [Check(each) for each in params.filters]
        self._exit = [Check(each) for each in params.exit]
        self.enter = Cross()
        self.leave = Cross()
        self.held = Previous()  # candles since its own buy, None while it has none
        self.rest = Previous()  # candles of the cool-down that are left

    def indicators(self) -> dict[str, Indicator]:
        """All that it remembers: its own, those it measures with, and the crosses of its conditions."""
        found = super().indicators()
        for name, gauge in self._gauges.items():
            found |= {f"{name}.{at}": part for at, part in enumerate(gauge.parts)}
        for kind, checks in (("entry", self._entry), ("filter", self._filters), ("exit", self._exit)):
            found |= {f"{kind}.{at}": check.cross for at, check in enumerate(checks)}
        return found

    @property
    def warmup(self) -> int:
        """A change can be seen only one candle after everything is warm."""
        return max(gauge.warmup for gauge in self._gauges.values()) + 1

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Propose where the entry or the exit begins to hold."""
        values = {name: gauge.update(candle) for name, gauge in self._gauges.items()}
        known = {name: value for name, value in values.items() if value is not None}
        if len(known) < len(values):
            return None
        entry = _together(self.params.entry_logic, [check.holds(known) for check in self._entry])
        allowed = not self._filters or _together(Logic.ALL, [check.holds(known) for check in self._filters])
        out = _together(self.params.exit_logic, [check.holds(known) for check in self._exit])
        overdue = self._pass_time()
        began = self.enter.update(1.0 if entry and allowed and not out and not self.rest.value else -1.0) > 0
        ended = self.leave.update(1.0 if out else -1.0) > 0
        if ended or overdue:
            self.held.update(None)
            self.rest.update(self.params.cool_down)
            why = f"exit: {self._told(self.params.exit)}" if ended else f"held for {self.params.max_hold} candles"
            return Proposal(Action.SELL, self.params.confidence, why, dict(known))
        if began:
            self.held.update(0)
            why = f"entry: {self._told(self.params.entry)}"
            return Proposal(Action.BUY, self.params.confidence, why, dict(known), size_fraction=self.params.size_fraction)
        return None

    def _pass_time(self) -> bool:
        """Count this candle; whether the rule's own position is overdue."""
        if self.rest.value:
            self.rest.update(self.rest.value - 1)
        if self.held.value is None:
            return False
        self.held.update(self.held.value + 1)
        return self.params.max_hold is not None and self.held.value >= self.params.max_hold

    @staticmethod
    def _told(conditions: Sequence[Condition]) -> str:
        return "; ".join(map(str, conditions))


def _measured(params: ComposedParams) -> list[tuple[str, Measure, int]]:
    """Every indicator of the conditions once, by its name."""
    found: dict[str, tuple[str, Measure, int]] = {}
    for each in (*params.entry, *params.filters, *params.exit):
        found.setdefault(each.left, (each.left, each.indicator, each.period))
        if each.other is not None:
            found.setdefault(each.right, (each.right, each.other, each.other_period))
    return list(found.values())


def _together(logic: Logic, holding: Sequence[bool]) -> bool:
    """Nothing holds where there is no condition. A list, for each condition is asked at every candle: crosses remember."""
    return bool(holding) and (all(holding) if logic is Logic.ALL else any(holding))
