"""What people ask of the sources that hear QuantConnect, and of one signal: how they are, to look now, to decide on one now.

A signal that somebody wants decided goes through the door of its own source, which lets each in once: it becomes one proposal
like any other, which the desk may refuse, and never an order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bot.core.decision import derive_id
from bot.journal.errors import JournalError
from bot.journal.queries import Queries
from bot.runtime.jobs import Progress, Report, Result
from bot.services.quantconnect.access import client_of
from bot.services.quantconnect.paper import sources_of
from bot.services.quantconnect.signals import Fresh, fresh_of, journaled_json
from bot.services.running import running
from bot.services.use_case import Arguments, Ground, Missing, UseCase, UseCaseError
from sources.quantconnect.errors import QcError
from sources.quantconnect.polling import RouteState
from sources.quantconnect.routes import RouteTrouble

if TYPE_CHECKING:
    from sources.quantconnect.source import QuantConnectSource

FETCH_S = 120.0
"""Longest time for asking on all routes of all sources."""
_NAMES = ("QUANTCONNECT_USER_ID", "QUANTCONNECT_API_TOKEN", "QUANTCONNECT_WEBHOOK_SECRET")
_LOOKED_THROUGH = 2_000

Project = Annotated[int, Field(gt=0, le=2**53, description="id of the project that emitted it; absent: all that are listened to")]
SignalId = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.:#/-]+$", description="its id")]


class StatusArguments(Arguments):
    """`qc.status`: none."""


class FetchArguments(Arguments):
    """`qc.fetch`: all sources that hear QuantConnect, or one."""

    source: str | None = Field(None, max_length=200, description="a source's name, such as quantconnect:momentum")


class SignalArguments(Arguments):
    """`qc.signal` and `qc.process`: one."""

    id: SignalId
    project: Project | None = None


async def _status(ground: Ground, args: StatusArguments, report: Report) -> Result:
    del args, report
    who, budget = ground.quantconnect, ground.budget
    given = [name for name in _NAMES if ground.secrets.get(name) is not None]
    return {
        "at": ground.now(),
        "simulated": ground.simulated,
        "base_url": who.base_url,
        "configured": who.complete,
        "secrets": given,
        "organization": ground.loaded.settings.quantconnect.organization,
        "budget": None
        if budget is None
        else {
            "left": budget.left,
            "waiting": budget.waiting,
            "peace_s": round(budget.peace_s, 1),
            "requests": budget.tally.requests,
            "retries": budget.tally.retries,
            "outcomes": dict(budget.tally.outcomes),
        },
        "sources": [_source_json(name, source, ground.now()) for name, source in _sources(ground).items()],
    }


def _source_json(name: str, source: QuantConnectSource, now: int) -> dict[str, object]:
    return {
        "name": name,
        "paused": source.spec.paused,
        "projects": list(source.projects),
        "webhook_port": source.webhook_port,
        "routes": [_route_json(state, now) for state in source.states],
        "counts": dict(source.counts),
    }


def _route_json(state: RouteState, now: int) -> dict[str, object]:
    age = state.age_ms(now)
    return asdict(state) | {"age_ms": None if age is None else max(0, age)}


async def _fetch(ground: Ground, args: FetchArguments, report: Report) -> Result:
    """Ask now. What a route is in trouble with is in its state, as when it asks by itself."""
    found = _sources(ground)
    if args.source is not None and args.source not in found:
        message = f"qc.fetch: source: no running source that hears QuantConnect is called {args.source!r}; there are "
        raise Missing(message + (", ".join(found) or "none"))
    chosen = found if args.source is None else {args.source: found[args.source]}
    if not chosen:
        message = "no source that hears QuantConnect runs: switch one on, such as sources/quantconnect.yaml with its projects"
        raise UseCaseError(message)
    rows = []
    try:
        async with asyncio.timeout(FETCH_S):
            for done, (name, source) in enumerate(chosen.items()):
                report(Progress(f"asking for {name}", done, len(chosen)))
                rows.append(await _fetched(name, source, ground.now()))
    except TimeoutError as error:
        message = f"not all routes answered within {FETCH_S:g} s; what came was taken, ask again later"
        raise UseCaseError(message) from error
    return {"at": ground.now(), "sources": rows}


async def _fetched(name: str, source: QuantConnectSource, now: int) -> dict[str, object]:
    before = source.counts
    asked = await source.fetch()
    came = {what: count - before.get(what, 0) for what, count in source.counts.items() if count > before.get(what, 0)}
    return {"name": name, "asked": list(asked), "came": came, "routes": [_route_json(state, now) for state in source.states]}


async def _signal(ground: Ground, args: SignalArguments, report: Report) -> Result:
    """What the journal and the service know of one; both are None where neither knows it."""
    troubles: dict[str, str] = {}
    decided = await _decided(ground, args.id, troubles)
    project = args.project
    if project is None and decided is not None and isinstance(decided["project"], int):
        project = decided["project"]
    held = await _held(ground, args.id, _projects(ground, project), report, troubles)
    return {
        "at": ground.now(),
        "journaled": decided,
        "fresh": None if held is None else held.as_json(),
        "known": any(source.knows(args.id) for source in _sources(ground).values()),
        "troubles": troubles,
    }


async def _process(ground: Ground, args: SignalArguments, report: Report) -> Result:
    """Hand one to its source now; `UseCaseError` where none would take it."""
    if running(ground) is None:
        message = "only a running bot decides on a signal: start it, such as `python -m bot --paper`"
        raise UseCaseError(message)
    troubles: dict[str, str] = {}
    held = await _held(ground, args.id, _projects(ground, args.project), report, troubles)
    if held is None:
        why = "; ".join(f"{where}: {trouble}" for where, trouble in troubles.items())
        message = f"no project that is listened to holds a signal {args.id!r} now" + (f" ({why})" if why else "")
        raise Missing(message)
    source = next((one for one in _sources(ground).values() if one.hears(held.project)), None)
    if source is None:
        message = f"no running source goes by the insights of project {held.project}: name it in the projects of one"
        raise UseCaseError(message)
    if held.verdict in {"unmapped", "untraded"}:
        raise UseCaseError(held.why)
    report(Progress("deciding", note=source.spec.name))
    outcome, told, decision = await _decide(ground, source, held)
    return {
        "at": ground.now(),
        "outcome": outcome,
        "told": told,
        "decision": decision,
        "signal": held.as_json() | {"source": source.spec.name},
    }


async def _decide(ground: Ground, source: QuantConnectSource, held: Fresh) -> tuple[str, str, str | None]:
    """What became of it in a word and a sentence, and the id of the decision if there is one."""
    name = held.signal.id
    if source.knows(name):
        before = await _decided(ground, name, {})
        return "known", "the source had counted it already: it is not proposed twice", None if before is None else before["id"]
    if await source.take(held.signal):
        told = "proposed to the desk, which weighs it against the others and the limits"
        if held.verdict == "stale":
            told = f"it is stale ({held.why}): the journal has it, and nobody trades it"
        return "proposed", told, derive_id(source.spec.name, held.symbol, name)
    if source.knows(name):
        message = f"{source.spec.name} does not trade {held.symbol or held.signal.ticker}: name it among its symbols"
        raise UseCaseError(message)
    return "priceless", "the market has no price for it yet: it may be decided on once there is one", None


def _sources(ground: Ground) -> Mapping[str, QuantConnectSource]:
    """The sources of the running bot that hear QuantConnect, by name; none without a running bot."""
    from sources.quantconnect.source import QuantConnectSource  # noqa: PLC0415 - aiohttp comes with it

    bot = running(ground)
    if bot is None:
        return {}
    lives = {name: bot.source(name) for name in bot.names()}
    return {name: life for name, life in sorted(lives.items()) if isinstance(life, QuantConnectSource)}


def _projects(ground: Ground, project: int | None) -> Sequence[int]:
    if project is not None:
        return (project,)
    return tuple(dict.fromkeys(number for source in _sources(ground).values() for number in source.projects))


async def _held(ground: Ground, name: str, projects: Sequence[int], report: Report, troubles: dict[str, str]) -> Fresh | None:
    """The signal as the service has it, and what the bot would make of it; what cannot be read is in `troubles`."""
    if not projects:
        return None
    client = await client_of(ground)
    for number in projects:
        report(Progress(f"insights of project {number}"))
        try:
            rows = await fresh_of(ground, client, number)
        except (QcError, RouteTrouble) as error:
            troubles[f"project {number}"] = str(error)
            continue
        found = next((one for one in rows if one.signal.id == name), None)
        if found is not None:
            return found
    return None


async def _decided(ground: Ground, name: str, troubles: dict[str, str]) -> dict[str, Any] | None:
    """The newest decision on a signal; the id of the decision finds it too."""

    def read(url: str) -> dict[str, Any] | None:
        with Queries(url) as queries:
            found = list(queries.decisions(id=name, limit=1))
            if not found:
                names = sorted(sources_of(queries))
                rows = [one for each in names for one in queries.decisions(source=each, limit=_LOOKED_THROUGH)]
                found = sorted((one for one in rows if one.external_id == name), key=lambda one: -one.row)[:1]
        return journaled_json(found[0]) if found else None

    try:
        return await asyncio.to_thread(read, ground.loaded.settings.database_url)
    except JournalError as error:
        troubles["journal"] = str(error)
        return None


CASES: tuple[UseCase[Any], ...] = (
    UseCase("qc.status", "how QuantConnect is heard: access, budget, routes", StatusArguments, _status, quick=True),
    UseCase("qc.fetch", "have the sources ask QuantConnect now", FetchArguments, _fetch),
    UseCase("qc.signal", "show one signal, as decided on and as held by the service", SignalArguments, _signal),
    UseCase("qc.process", "decide on one signal now, through the door of its source", SignalArguments, _process),
)
