"""Providers and models: are the keys good, who is asked for what, what does it cost, and how does all of it stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import Field

from bot.runtime.jobs import Progress, Report, Result
from bot.services.llm.access import minds_of
from bot.services.llm.figures import capabilities_json, price_json, usage_json, usd
from bot.services.use_case import Arguments, Ground, Missing, UseCase, UseCaseError
from bot.store.errors import StoreUnavailable
from sources.llm.asking import Role
from sources.llm.checking import KeyCheck, ModelTest, check_keys, try_model
from sources.llm.costs import CallRow
from sources.llm.health import CandidateView
from sources.llm.ledger import Payer
from sources.llm.minds import Minds
from sources.llm.models import Candidate
from sources.llm.prices import shipped
from sources.llm.settings import AccessSettings

T = TypeVar("T")

TESTING = "llm:test"
"""Who pays for the questions of `llm.test`."""

_DAY_MS = 86_400_000
_CALLS = 1_000


class TestArgs(Arguments):
    """What is tried."""

    __test__ = False  # it is no test of pytest's

    provider: str | None = Field(None, max_length=32, description="only this one; absent: all")
    call: bool = Field(False, description="also ask each model that some role asks a small question, which costs a little")
    deadline_s: float = Field(15.0, gt=0, le=120, description="longest that one provider may take (seconds)")


class PriceArgs(Arguments):
    """Which prices."""

    model: str | None = Field(None, max_length=128, description="only names that hold this; absent: all")


class StatusArgs(Arguments):
    """Whose limits."""

    source: str | None = Field(None, max_length=64, description="a source, for its own limit beside the common ones")


class NoArgs(Arguments):
    """Nothing to say."""


def access_settings(ground: Ground) -> AccessSettings:
    """Who answers in this world."""
    return ground.llm or ground.loaded.settings.llm


async def try_access(ground: Ground, args: TestArgs, report: Report) -> Result:
    """Check every key; with `call`, ask every model that some role asks."""
    settings, minds = access_settings(ground), await minds_of(ground)
    names = _chosen(settings, args.provider)
    report(Progress("keys", 0, len(names)))
    able = [minds.access.providers[name] for name in names if name in minds.access.providers]
    checks = {check.provider: check for check in await check_keys(able, args.deadline_s)}
    good = {name for name, check in checks.items() if check.good}
    for name in good:  # one that was left alone for its key or credit is asked again
        minds.router.enable(name)
    tests: dict[str, list[ModelTest]] = defaultdict(list)
    if args.call:
        async for provider, found in _asked(minds, good, args.deadline_s, report):
            tests[provider].append(found)
    asked = set(settings.asked)
    rows = [_tested(ground, settings, name, checks.get(name), tests[name], minds, name in asked) for name in names]
    wanted = [row for row in rows if row["state"] != "off"]
    return {
        "ok": bool(wanted) and all(row["state"] == "good" for row in wanted),
        "simulated": ground.simulated,
        "providers": rows,
    }


def _chosen(settings: AccessSettings, wanted: str | None) -> list[str]:
    if wanted is None:
        return list(settings.providers)
    if wanted not in settings.providers:
        message = f"no provider is called {wanted!r}; there are {', '.join(settings.providers)}: add it to llm.providers"
        raise Missing(message)
    return [wanted]


async def _asked(minds: Minds, good: set[str], deadline_s: float, report: Report) -> AsyncIterator[tuple[str, ModelTest]]:
    every = {str(one): one for role in Role for one in minds.router.candidates(role) if one.model.provider in good}
    purse = minds.ledger.purse(Payer(TESTING, Role.ANALYSIS, run=minds.run))
    for number, (name, candidate) in enumerate(every.items()):
        report(Progress("models", number, len(every), name))
        yield candidate.model.provider, await try_model(minds.router, candidate, purse, deadline_s)


def _tested(
    ground: Ground,
    settings: AccessSettings,
    name: str,
    check: KeyCheck | None,
    tests: Sequence[ModelTest],
    minds: Minds,
    asked: bool,
) -> dict[str, Any]:
    """A provider: `good`, `broken`, or `off`, where nobody gave a key."""
    one = settings.providers[name]
    row: dict[str, Any] = {
        "provider": name,
        "dialect": one.dialect.value,
        "base_url": one.base_url,
        "key": one.key,
        "asked": asked,
        "latency_ms": None,
        "models": [],
        "trouble": None,
        "detail": "",
        "remedy": "",
        "calls": [_call(found) for found in tests],
    }
    if check is None:
        detail = minds.disabled.get(name, "it cannot be asked")
        return row | {"state": "off", "detail": detail, "remedy": f"python -m bot secrets set {one.key}" if one.key else ""}
    row |= {"latency_ms": check.latency_ms, "models": list(check.models)}
    if not check.good:
        trouble = None if check.trouble is None else check.trouble.value
        return row | {"state": "broken", "trouble": trouble, "detail": check.detail, "remedy": _remedy(one.key, trouble)}
    failed = next((found for found in tests if not found.good), None)
    if failed is not None:
        trouble = None if failed.trouble is None else failed.trouble.value
        return row | {"state": "broken", "trouble": trouble, "detail": f"{failed.model}: {failed.detail}"}
    return row | {"state": "good"}


def _remedy(key: str | None, trouble: str | None) -> str:
    if trouble == "authentication":
        return f"put a good key in its place: python -m bot secrets set {key}" if key else "the server wants a key: give `key`"
    if trouble == "credit":
        return "the account has no credit: top it up at the provider"
    return "see whether its service answers, and llm.providers.*.base_url" if trouble in {"transport", "timeout"} else ""


def _call(found: ModelTest) -> dict[str, object]:
    return {
        "model": found.model,
        "good": found.good,
        "latency_ms": found.latency_ms,
        "usd": usd(found.cost),
        "trouble": None if found.trouble is None else found.trouble.value,
        "detail": found.detail,
    }


@dataclass(slots=True)
class _Ledgered:
    """What the ledger knows of a model's last calls."""

    calls: int = 0
    answered: int = 0
    latencies: list[int] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Latencies are ms of answers."""
        slow = sorted(self.latencies)
        return {
            "calls": self.calls,
            "answered": self.answered,
            "p50_ms": slow[len(slow) // 2] if slow else None,
            "p95_ms": slow[min(len(slow) - 1, len(slow) * 95 // 100)] if slow else None,
        }


async def models(ground: Ground, args: NoArgs, report: Report) -> Result:
    """The candidates of every role, with their prices and how they have done."""
    del args, report
    minds = await minds_of(ground)
    known = _by_model(await _read(minds.costs.calls(limit=_CALLS)))
    view = minds.router.view()
    roles = {
        role.value: [
            _candidate(one, seen, known) for one, seen in zip(minds.router.candidates(role), view.roles[role], strict=True)
        ]
        for role in view.roles
    }
    return {"at": ground.now(), "simulated": ground.simulated, "roles": roles, "calls_looked_at": _CALLS}


def _by_model(calls: Sequence[CallRow]) -> Mapping[str, _Ledgered]:
    found: dict[str, _Ledgered] = defaultdict(_Ledgered)
    for call in calls:
        if call.state not in {"settled", "lost"}:
            continue  # it was not sent, or has not ended
        one = found[f"{call.provider}/{call.model}"]
        one.calls += 1
        if call.state == "settled":
            one.answered += 1
            if call.latency_ms is not None:
                one.latencies.append(call.latency_ms)
    return found


def _candidate(one: Candidate, seen: CandidateView, known: Mapping[str, _Ledgered]) -> dict[str, object]:
    standing = seen.standing
    return {
        "provider": one.model.provider,
        "model": one.model.name,
        "rank": one.rank,
        "weight": one.weight,
        "effort": None if one.effort is None else one.effort.value,
        "price": price_json(one.model.price),
        "capabilities": capabilities_json(one.model.capabilities),
        "available": not seen.disabled and one.model.price is not None and seen.breaker.value != "open",
        "disabled": seen.disabled or ("" if one.model.price is not None else "no price is known: give it a `price`"),
        "breaker": seen.breaker.value,
        "breaker_until": seen.until,
        "since_start": {
            "calls": standing.calls,
            "answers": standing.answers,
            "recent_success": standing.recent_success,
            "p50_ms": standing.p50_ms,
            "p95_ms": standing.p95_ms,
            "usd": usd(standing.cost),
            "troubles": {trouble.value: number for trouble, number in standing.troubles.items()},
            "last_trouble": standing.last_trouble,
        },
        "ledger": known.get(str(one), _Ledgered()).as_json(),
    }


async def prices(ground: Ground, args: PriceArgs, report: Report) -> Result:
    """The shipped table, and what the configuration says otherwise; USD for one million tokens."""
    del report
    table, settings = shipped(), access_settings(ground)
    asked: dict[str, list[str]] = defaultdict(list)
    rows: list[dict[str, object]] = []
    for role, candidates in settings.roles.items():
        for one in candidates:
            asked[one.model].append(role.value)
            if one.price is not None or table.entry(one.model) is None:
                price = None if one.price is None else price_json(one.price.price)
                rows.append({"model": one.model, "provider": one.provider, "price": price, "configured": True})
    own = {row["model"] for row in rows}
    rows += [
        {"model": name, "provider": None, "price": price_json(entry.price), "configured": False}
        for name, entry in sorted(table.entries.items())
        if name not in own
    ]
    found = [row | {"roles": sorted(set(asked[str(row["model"])]))} for row in rows if (args.model or "") in str(row["model"])]
    return {"as_of": None if table.as_of is None else table.as_of.isoformat(), "prices": found}


async def status(ground: Ground, args: StatusArgs, report: Report) -> Result:
    """How the budget stands, what was used, who rests and who is disabled."""
    del report
    minds, now = await minds_of(ground), ground.now()
    standing = await _read(minds.ledger.standing(args.source or ""))
    today, month = now - now % _DAY_MS, _month(now)
    used = {"day": await _read(minds.costs.total(today, now + 1)), "month": await _read(minds.costs.total(month, now + 1))}
    view, counters, budget = minds.router.view(), minds.ledger.counters, minds.ledger.budget
    return {
        "at": now,
        "simulated": ground.simulated,
        "advice": (await minds.ledger.advice(args.source or "")).value,
        "limits": [
            {
                "limit": one.limit_name.value,
                "source": one.source,
                "period": one.period,
                "usd": usd(one.limit),
                "spent": usd(one.spent),
                "held": usd(one.held),
                "used": float(one.spent + one.held) / float(one.limit) if one.limit else 1.0,
            }
            for one in standing
        ],
        "per_call": usd(budget.per_call),
        "calls_per_minute": budget.calls_per_minute,
        "soft": float(budget.soft),
        "usage": {
            name: {"calls": line.calls, "usd": usd(line.usd), "lost": line.lost, "tokens": usage_json(line.usage)}
            for name, line in used.items()
        },
        "refused": counters.refused,
        "waiting": counters.deferred,
        "resting": [
            {"role": role.value, "until": rest.until, "failures": rest.failures, "detail": rest.detail}
            for role, rest in view.resting.items()
        ],
        "disabled": dict(minds.disabled) | dict(_disabled(view.roles.values())),
        "open": sorted({f"{one.provider}/{one.model}" for each in view.roles.values() for one in each if one.breaker == "open"}),
    }


def _disabled(roles: Iterable[Sequence[CandidateView]]) -> Iterator[tuple[str, str]]:
    for one in (view for each in roles for view in each):
        if one.disabled:
            yield f"{one.provider}/{one.model}", one.disabled


def _month(now: int) -> int:
    first = datetime.fromtimestamp(now / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return round(first.timestamp() * 1000)


async def _read(asking: Awaitable[T]) -> T:
    """What the database says; that it cannot be read is one line."""
    try:
        return await asking
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error


CASES: tuple[UseCase[Any], ...] = (
    UseCase("llm.test", "Check the keys of the providers; with `call` also their models.", TestArgs, try_access),
    UseCase("llm.models", "Who is asked for what: price, capabilities, availability, latency.", NoArgs, models, quick=True),
    UseCase("llm.prices", "What models cost.", PriceArgs, prices, quick=True, reads=True),
    UseCase("llm.status", "How the budget stands, and who rests or is disabled.", StatusArgs, status, quick=True),
)
