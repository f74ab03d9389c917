"""What language models have cost, and whether what they said was worth it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import Field

from bot.runtime.jobs import Report, Result
from bot.services.llm.figures import usage_json, usd
from bot.services.llm.kept import Kept, kept_of
from bot.services.llm.profits import realised
from bot.services.use_case import Arguments, Ground, UseCase, UseCaseError
from bot.store.errors import StoreUnavailable
from sources.llm.costs import By, CostLine, DecisionCost, Earned

LAST_MS = 2**53
_DAY_MS = 86_400_000
_DAYS_SHOWN = 30


class CostsBy(StrEnum):
    """What costs can be told by."""

    DAY = "day"
    MONTH = "month"
    MODEL = "model"
    PROVIDER = "provider"
    SOURCE = "source"
    ROLE = "role"
    DECISION = "decision"


class CostArgs(Arguments):
    """Which costs, over which time."""

    by: CostsBy = Field(CostsBy.DAY, description="day, month, model, provider, source, role or decision")
    since: int | None = Field(None, ge=0, le=LAST_MS, description="first moment (ms UTC); absent: 30 days before the last")
    until: int | None = Field(None, ge=0, le=LAST_MS, description="first moment after the last (ms UTC); absent: now")
    limit: int = Field(100, ge=1, le=1_000, description="lines, at most")
    after: str | None = Field(None, max_length=200, description="the key of the last line of the page before")


async def costs(ground: Ground, args: CostArgs, report: Report) -> Result:
    """Lines by what was asked, the total, and by source and model what the decisions brought beside it."""
    del report
    until = ground.now() + 1 if args.until is None else args.until
    since = max(0, until - _DAYS_SHOWN * _DAY_MS) if args.since is None else args.since
    if since >= until:
        message = f"llm.costs: since: {since} is not before {until}; give an earlier moment"
        raise UseCaseError(message)
    kept = await kept_of(ground)
    pnl = await realised(ground.loaded.settings.database_url, since, until)
    try:
        lines = await _lines(kept, args, since, until, pnl)
        total, earned = await kept.costs.total(since, until), await kept.costs.earned(pnl)
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error
    profit = sum(pnl.values(), Decimal(0))
    return {
        "by": args.by.value,
        "since": since,
        "until": until,
        "simulated": ground.simulated,
        "currency": ground.loaded.settings.paper.currency,
        "lines": lines,
        "total": _line(total),
        "earned": [_earned(one) for one in earned],
        "realised": {"decisions": len(pnl), "pnl": usd(profit), "usd": usd(total.usd), "net": usd(profit - total.usd)},
    }


async def _lines(
    kept: Kept, args: CostArgs, since: int, until: int, pnl: Mapping[str, Decimal]
) -> Sequence[Mapping[str, object]]:
    if args.by is CostsBy.DECISION:
        found = await kept.costs.decisions(since, until, limit=args.limit, after=args.after)
        return [_decision(one, pnl) for one in found]
    return [_line(one) for one in await kept.costs.by(By(args.by.value), since, until, limit=args.limit, after=args.after)]


def _line(line: CostLine) -> dict[str, object]:
    return {
        "key": line.key,
        "calls": line.calls,
        "usd": usd(line.usd),
        "held": usd(line.held),
        "lost": line.lost,
        "fallbacks": line.fallbacks,
        "tokens": usage_json(line.usage),
    }


def _decision(one: DecisionCost, pnl: Mapping[str, Decimal]) -> dict[str, object]:
    profit = pnl.get(one.decision)
    return {
        "key": one.decision,
        "source": one.source,
        "calls": one.calls,
        "usd": usd(one.usd),
        "pnl": usd(profit),
        "net": None if profit is None else usd(profit - one.usd),
    }


def _earned(one: Earned) -> dict[str, object]:
    return {
        "source": one.source,
        "model": one.model,
        "decisions": one.decisions,
        "pnl": usd(one.pnl),
        "usd": usd(one.usd),
        "net": usd(one.net),
    }


CASES: tuple[UseCase[Any], ...] = (
    UseCase(
        "llm.costs", "What language models cost, beside what their decisions brought.", CostArgs, costs, quick=True, reads=True
    ),
)
