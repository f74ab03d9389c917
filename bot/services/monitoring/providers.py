"""Services outside: how the language models and QuantConnect answer, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.latency import LatencyHistogram
from bot.services.llm.access import minds_of
from bot.services.llm.figures import usd
from bot.services.llm.provider_cases import NoArgs, models
from bot.services.use_case import Ground, UseCaseError
from bot.store.errors import StoreUnavailable
from sources.llm.costs import By

_DAY_MS = 86_400_000
_MOST = 1_000


async def language_models(ground: Ground) -> list[Mapping[str, object]]:
    """Every model that some role asks: its newest calls in the ledger, its circuit, and what it cost in 24 h (USD)."""
    asked = await models(ground, NoArgs(), lambda progress: None)
    minds, now = await minds_of(ground), ground.now()
    try:
        lines = await minds.costs.by(By.MODEL, now - _DAY_MS, now + 1, limit=_MOST)
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error
    cost = {line.key: usd(line.usd) for line in lines}
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for role, candidates in asked["roles"].items():  # type: ignore[attr-defined]
        for one in candidates:
            key = (one["provider"], one["model"])
            row = rows.setdefault(key, _row(one, cost))
            row["roles"] = [*row["roles"], role]  # type: ignore[misc]
    return list(rows.values())


def _row(one: Mapping[str, Any], cost: Mapping[str, object]) -> dict[str, object]:
    kept = one["ledger"]
    names = (f"{one['provider']}/{one['model']}", one["model"])
    return {
        "provider": one["provider"],
        "model": one["model"],
        "roles": [],
        "calls": kept["calls"],
        "errors": kept["calls"] - kept["answered"],
        "p50_ms": kept["p50_ms"],
        "p95_ms": kept["p95_ms"],
        "usd_day": next((cost[name] for name in names if name in cost), "0"),
        "circuit": one["breaker"],
        "circuit_until": one["breaker_until"],
        "disabled": one["disabled"],
        "available": one["available"],
        "last_trouble": one["since_start"]["last_trouble"],
    }


def quantconnect(ground: Ground) -> Mapping[str, object]:
    """The calls of this process, since it began, and what is left of the budget."""
    asked, budget = ground.loaded.settings.quantconnect, ground.budget
    told: dict[str, object] = {
        "configured": ground.quantconnect.complete,
        "limit": asked.calls,
        "window_ms": asked.window,
        "simulated": ground.simulated,
    }
    if budget is None:
        return told
    tally = budget.tally
    troubles = {what: number for what, number in tally.outcomes.items() if what != "answered"}
    return told | {
        "calls": tally.outcomes.total(),
        "errors": sum(troubles.values()),
        "troubles": troubles,
        "requests": tally.requests,
        "retries": tally.retries,
        "waiting": budget.waiting,
        "left": budget.left,
        "peace_ms": round(budget.peace_s * 1_000),
        **_percentiles(tally.took),
    }


def _percentiles(took: LatencyHistogram) -> dict[str, float | None]:
    return {f"p{share}_ms": _ms(took, share / 100) for share in (50, 95)}


def _ms(took: LatencyHistogram, share: float) -> float | None:
    return round(took.percentile(share) * 1_000, 3) if took.count else None
