"""Signals of QuantConnect: those that the bot has decided on, and those that the service holds, as the bot would take them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.core.briefing import Briefing
from bot.core.decision import Abstention, Claim, Decision, SourceSpec, Tier
from bot.core.inputs import TradingState
from bot.core.market import MarketView, timeframe_ms
from bot.journal.errors import JournalError
from bot.journal.queries import Queries
from bot.journal.records import JournaledDecision
from bot.runtime.jobs import Progress, Report
from bot.services.quantconnect.access import client_of
from bot.services.quantconnect.algorithms import algorithms
from bot.services.quantconnect.paper import sources_of
from bot.services.use_case import Ground
from sources.quantconnect.errors import QcError
from sources.quantconnect.insights import Signal, Terms
from sources.quantconnect.intake import Intake
from sources.quantconnect.mapping import SymbolMap, UnmappedSymbol
from sources.quantconnect.routes import Deployments, LiveInsights, RouteTrouble
from sources.quantconnect.settings import PollParams, QuantConnectParams

if TYPE_CHECKING:
    from sources.quantconnect.client import Client

UNCONFIGURED = "quantconnect:unconfigured"
"""Who would take the signals of a project that no source listens to."""
EMBEDDED_SOURCES = "demo/sources"
"""Where, below the configuration, the sources of an embedded world are."""
_HORIZON_MS = 3_600_000
_ALL = 10_000


@dataclass(frozen=True, slots=True)
class Listener:
    """A source as far as its opinion on a signal goes."""

    terms: Terms
    params: QuantConnectParams
    symbols: Sequence[str]


@dataclass(frozen=True, slots=True)
class Fresh:
    """A signal of the service and what the bot would make of it. Times are ms UTC.

    `verdict` is `new` (it would be proposed), `stale`, `unmapped`, `untraded` or `priceless`; `why` is the sentence to it.
    """

    project: int
    source: str
    signal: Signal
    verdict: str
    symbol: str = ""
    why: str = ""
    decision: Decision | None = None

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        signal, made = self.signal, self.decision
        return {
            "project": self.project,
            "source": self.source,
            "id": signal.id,
            "generated": signal.generated,
            "closes": signal.closes,
            "security": signal.sid or signal.ticker,
            "symbol": self.symbol or None,
            "heading": signal.heading.value,
            "action": None if made is None else made.action.value,
            "confidence": signal.confidence if made is None else made.confidence,
            "price": signal.price,
            "expires": made.expires if made is not None and self.verdict == "new" else None,
            "model": signal.model,
            "tag": signal.tag,
            "verdict": self.verdict,
            "why": self.why,
        }


@dataclass(slots=True)
class Signals:
    """What there is, newest first: decided on, and held by the service. None was not asked for, or is in `troubles`."""

    at: int
    journaled: Sequence[JournaledDecision] | None = None
    fresh: Sequence[Fresh] | None = None
    troubles: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "at": self.at,
            "journaled": None if self.journaled is None else [journaled_json(one) for one in self.journaled],
            "fresh": None if self.fresh is None else [one.as_json() for one in self.fresh],
            "troubles": dict(self.troubles),
        }


async def signals(
    ground: Ground, report: Report, *, limit: int = 50, project: int | None = None, journal: bool = True, service: bool = True
) -> Signals:
    """Both, or one of them; of one project if it is given. What cannot be read is in `troubles`, by name."""
    found = Signals(ground.now())
    if journal:
        report(Progress("journal"))
        try:
            url = ground.loaded.settings.database_url
            found.journaled = await asyncio.to_thread(_decided, url, limit, project)
        except JournalError as error:
            found.troubles["journal"] = str(error)
    if service:
        listeners = _listeners(ground)
        client = await client_of(ground)
        rows: list[Fresh] = []
        for number in await _projects(ground, listeners, project):
            report(Progress(f"insights of project {number}"))
            try:
                rows += await _fresh(ground, client, number, listeners)
            except (QcError, RouteTrouble) as error:
                found.troubles[f"project {number}"] = str(error)
        found.fresh = sorted(rows, key=lambda one: -(one.signal.generated or 0))[:limit]
    return found


def _decided(url: str, limit: int, project: int | None) -> Sequence[JournaledDecision]:
    with Queries(url) as queries:
        names = sorted(sources_of(queries))
        rows = [one for name in names for one in queries.decisions(source=name, limit=limit if project is None else _ALL)]
    kept = [one for one in rows if project is None or one.evidence.get("project") == project]
    return sorted(kept, key=lambda one: -one.row)[:limit]


def _listeners(ground: Ground) -> Sequence[Listener]:
    """The QuantConnect sources of the configuration, those that are on first; `SourceConfigError` where one is wrong."""
    loaded = ground.loaded
    directory = loaded.sources_directory
    if ground.simulated and loaded.directory is not None:
        directory = loaded.directory / EMBEDDED_SOURCES
    if directory is None or not directory.is_dir():
        return ()
    from sources.loading import load_sources  # noqa: PLC0415 - only where sources are configured

    traded = loaded.settings.exchange.symbols
    found = [
        _listener(source.spec, source.config.horizon, source.params, source.symbols(traded))
        for source in load_sources(directory)
        if isinstance(source.params, QuantConnectParams)
    ]
    return sorted(found, key=lambda one: one.terms.spec.paused)


def _listener(spec: SourceSpec, horizon: int, params: QuantConnectParams, symbols: Sequence[str]) -> Listener:
    kept = params.model_copy(update={"stale_kept": _ALL})
    return Listener(Terms(spec, horizon, timeframe_ms(params.longest), params.confidence), kept, tuple(symbols))


async def _projects(ground: Ground, listeners: Sequence[Listener], project: int | None) -> Sequence[int]:
    """The project that is asked for, else those that are listened to, else those that run."""
    if project is not None:
        return (project,)
    heard = dict.fromkeys(number for one in listeners for number in one.params.projects)
    if heard:
        return tuple(heard)
    running = (await algorithms(ground, active=True)).rows
    return tuple(one.summary.project_id for one in running if one.summary.project_id is not None)


async def fresh_of(ground: Ground, client: Client, project: int) -> Sequence[Fresh]:
    """What a project holds now; `QcError` or `RouteTrouble` where that cannot be read."""
    return await _fresh(ground, client, project, _listeners(ground))


async def _fresh(ground: Ground, client: Client, project: int, listeners: Sequence[Listener]) -> Sequence[Fresh]:
    """The live insights of a project, read once, and what its source would make of each."""
    listener = next((one for one in listeners if project in one.params.projects), None) or _default(ground, project)
    read = await LiveInsights(project, Deployments()).read(client, ground.now())
    port = _Port(ground.now())
    symbols = SymbolMap(listener.params.symbols, listener.symbols, listener.params.markets)
    await Intake(listener.terms, listener.params, symbols, listener.symbols, port).take(read)
    return [_judged(project, signal, listener, symbols, port.decisions) for signal in {one.id: one for one in read}.values()]


def _default(ground: Ground, project: int) -> Listener:
    params = QuantConnectParams(projects=(project,), insights=PollParams(enabled=True))
    spec = SourceSpec(UNCONFIGURED, Tier.QUANTCONNECT, settle_ms=0, hold_blocks=True)
    return _listener(spec, _HORIZON_MS, params, ground.loaded.settings.exchange.symbols)


def _judged(project: int, signal: Signal, listener: Listener, symbols: SymbolMap, decisions: Mapping[str, Decision]) -> Fresh:
    """What became of a signal at the intake, in a word and a sentence."""
    source = listener.terms.spec.name
    made = decisions.get(signal.id)
    if made is not None:
        stale = made.evidence.get("stale")
        return Fresh(project, source, signal, "stale" if stale else "new", made.symbol, str(stale or ""), made)
    try:
        symbol = signal.symbol or symbols.to_bot(signal.ticker, signal.sid, signal.market)
    except UnmappedSymbol as error:
        return Fresh(project, source, signal, "unmapped", why=str(error))
    if symbol not in listener.symbols:
        return Fresh(project, source, signal, "untraded", symbol, f"{symbol} is not among the symbols of {source}")
    return Fresh(project, source, signal, "priceless", symbol, "it names no price; a running bot takes the market's")


class _Port:
    """What the intake proposes to: kept by the id of the signal, and traded by nobody."""

    def __init__(self, now: int) -> None:
        self.decisions: dict[str, Decision] = {}
        self.view = MarketView()
        self._now = now

    async def propose(self, decision: Decision) -> None:
        """Keep it."""
        self.decisions[decision.external_id or decision.id] = decision

    async def claim(self, claim: Claim) -> None:
        """Nobody waits for it here."""

    async def abstain(self, abstention: Abstention) -> None:
        """That there is none shows by itself."""

    def briefing(self) -> Briefing:
        """Books that hold nothing."""
        return Briefing(self._now, "", 0.0, 0.0, 0.0, 0.0, 0.0, TradingState.ACTIVE)

    def now(self) -> int:
        """When it was asked."""
        return self._now


def journaled_json(one: JournaledDecision) -> dict[str, object]:
    """Plain values."""
    return {
        "at": one.at,
        "id": one.id,
        "source": one.source,
        "symbol": one.symbol,
        "action": one.action.value,
        "confidence": one.confidence,
        "price": one.price,
        "created": one.created,
        "expires": one.expires,
        "project": one.evidence.get("project"),
        "route": one.evidence.get("route"),
        "external_id": one.external_id,
        "reasoning": one.reasoning,
        "fate": None if one.fate is None else one.fate.value,
        "denial": one.denial,
        "why": one.fate_reason,
        "filled_fraction": one.filled_fraction,
    }
