"""What may be spent on LLMs, and the words for what happens when it is: limits, refusals, advice, alerts.

A limit counts what was spent and what is reserved for calls under way. Days and months are those of UTC. Money is USD.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from sources.llm.purse import PurseEmpty

# Sums are kept in whole pico-dollars, so that both engines add exactly: a token of the cheapest models costs thousands of them.
PICO = Decimal("1e-12")
LARGEST = Decimal(1_000_000)  # nothing that is sold per call costs as much: such an amount is an error


class Limit(StrEnum):
    """What a call may be refused for."""

    UNPRICED = "unpriced"
    PER_CALL = "per-call"
    RATE = "rate"
    SOURCE_DAY = "source-day"
    DAY = "day"
    MONTH = "month"
    UNAVAILABLE = "unavailable"  # what was spent cannot be read or written


class Advice(StrEnum):
    """What is left to do: ask as configured, ask the cheaper model, or ask none."""

    NORMAL = "normal"
    CHEAPER = "cheaper"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits for all sources together, in USD, and one for the calls of any minute.

    `per_source_day` holds for each source by itself. From the share `soft` of any limit on, the advice is the cheaper model; an
    alert is given at each share of `alerts`, once per period. A reservation that nobody settled for `overdue_ms` counts as spent.
    Raises `ValueError` for what is no limit; there is no way to say "unlimited".
    """

    per_call: Decimal = Decimal("0.25")
    per_source_day: Decimal = Decimal(2)
    per_day: Decimal = Decimal(5)
    per_month: Decimal = Decimal(50)
    calls_per_minute: int = 20
    soft: Decimal = Decimal("0.8")
    alerts: tuple[Decimal, ...] = (Decimal("0.5"), Decimal("0.8"), Decimal(1))
    overdue_ms: int = 600_000

    def __post_init__(self) -> None:
        for name in ("per_call", "per_source_day", "per_day", "per_month"):
            _check_limit(f"budget.{name}", getattr(self, name))
        if self.calls_per_minute < 0 or self.overdue_ms <= 0:
            message = (
                f"budget: {self.calls_per_minute} calls per minute, overdue after {self.overdue_ms} ms: give numbers above 0"
            )
            raise ValueError(message)
        if not all(share.is_finite() and 0 < share <= 1 for share in (self.soft, *self.alerts)):
            message = f"budget: soft {self.soft}, alerts {self.alerts}: give shares of a limit, above 0 and at most 1"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class SourceBudget:
    """What one source's own configuration says, in USD; it can only narrow the common budget. None: nothing of its own."""

    per_call: Decimal | None = None
    per_day: Decimal | None = None

    def __post_init__(self) -> None:
        for name, limit in (("per_call", self.per_call), ("per_day", self.per_day)):
            if limit is not None:
                _check_limit(f"budget of the source: {name}", limit)

    def narrowing(self, budget: Budget) -> tuple[Decimal, Decimal]:
        """The limits per call and per day of the source that hold."""
        per_call = budget.per_call if self.per_call is None else min(self.per_call, budget.per_call)
        per_day = budget.per_source_day if self.per_day is None else min(self.per_day, budget.per_source_day)
        return per_call, per_day


NO_LIMITS_OF_ITS_OWN = SourceBudget()


class BudgetRefused(PurseEmpty):
    """A call that was not made; `limit` says which limit forbade it, and how much room it left."""

    def __init__(self, limit: Limit, reason: str) -> None:
        super().__init__(reason)
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Alert:
    """A share of a limit was reached: `percent` of `limit` USD. At 100, calls are refused until the period ends.

    `kind` is SOURCE_DAY, DAY or MONTH, `source` empty for the latter two, `period` 2026-11-21 or 2026-11, `at` ms.
    """

    kind: Limit
    source: str
    period: str
    percent: int
    spent: Decimal
    limit: Decimal
    at: int

    def __str__(self) -> str:
        whose = f"{self.source} on" if self.source else "all sources in"
        spent, limit = (f"{each:.4f}".rstrip("0").rstrip(".") for each in (self.spent, self.limit))
        return f"LLM budget: {whose} {self.period} at {self.percent} % ({spent} of {limit} USD)"


def utc_day(ts: int) -> str:
    """The day of a moment in ms, such as 2026-11-21; its first seven letters are the month."""
    return datetime.fromtimestamp(ts / 1000, UTC).date().isoformat()


def _check_limit(name: str, limit: Decimal) -> None:
    if not limit.is_finite() or not 0 <= limit <= LARGEST:
        message = f"{name} is {limit}: give USD from 0 to {LARGEST}"
        raise ValueError(message)
