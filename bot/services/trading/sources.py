"""Every source that the bot knows, also those that are off: its settings, what ails it, what it earned and would have earned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from bot.core.decision import SourceSpec
from bot.core.desk import TradingDesk
from bot.services.running import Described
from bot.services.trading.at_desk import AtDesk, digits
from bot.services.use_case import Missing, UseCaseError

_TAKEN_SECONDS = 2.0
_LOOK_SECONDS = 0.01


def sources_json(where: AtDesk) -> dict[str, object]:
    """All of them, the highest tier first; P&L is in the book's currency."""
    desk, host = where.desk, where.host
    described = {each.spec.name: each for each in where.bot.described()}
    specs = {name: desk.state.sources.get(name, spec) for name, spec in host.specs.items()}
    troubles, earned = host.troubles, desk.portfolio.attribution()
    rows = []
    for name, spec in {**{name: each.spec for name, each in described.items()}, **specs}.items():
        state, why = _state(spec, name in specs, described.get(name))
        row = {
            **_settings(desk, spec),
            "state": state,
            "off": why,
            "about": described[name].about if name in described else None,
            "troubles": troubles.get(name, []),
            "shadow": _shadow(desk, name),
            "pnl": digits(earned.get(name, 0.0)),
            "waiting": sum(decision.source == name for decision in desk.state.queue),
            "standing": sum(
                bench.standing is not None and bench.standing.source == name for bench in desk.state.benches.values()
            ),
            "last_decision": max(_times(desk, name), default=None),
        }
        rows.append((spec.tier, name, row))
    rows.sort(key=lambda row: row[:2])
    return {"now": where.now, "currency": desk.portfolio.currency, "sources": [row for _, _, row in rows]}


async def set_threshold(where: AtDesk, source: str, threshold: float, author: str) -> dict[str, object]:
    """Hear a source from another confidence on; answers when the desk does so. `UseCaseError` where it does not exist."""
    desk, host = where.desk, where.host
    if source not in host.specs:
        message = f"no source is called {source!r}; there are {', '.join(sorted(host.specs)) or 'none'}"
        raise Missing(message)
    known = desk.state.sources.get(source, host.specs[source])
    host.set_threshold(source, threshold, author)
    try:
        async with asyncio.timeout(_TAKEN_SECONDS):
            while (spec := desk.state.sources.get(source)) is None or spec.threshold != threshold:  # noqa: ASYNC110 - the desk is plain code and signals nobody
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        message = f"the desk has not taken {source}'s threshold within {_TAKEN_SECONDS:g} s; see `python -m bot status`"
        raise UseCaseError(message) from None
    return {"source": source, "before": known.threshold, "after": threshold, "author": author}


def _state(spec: SourceSpec, hosted: bool, described: Described | None) -> tuple[str, str | None]:
    """On, paused or off, and why it is off."""
    if hosted:
        return ("paused" if spec.paused else "on"), None
    off = None if described is None else described.off
    return "off", off or "it was removed while the bot runs"


def _settings(desk: TradingDesk, spec: SourceSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "tier": int(spec.tier),
        "tier_name": spec.tier.label,
        "threshold": spec.threshold,
        "capital": digits(spec.capital),
        "adds": spec.adds,
        "hold_blocks": spec.hold_blocks,
        "on_expiry": spec.on_expiry.value,
        "sizing": spec.sizing or desk.config.targets.default_sizing,
        "settle_ms": spec.settle_ms,
        "max_claim_ms": spec.max_claim_ms,
        "symbols": list(spec.symbols),
    }


def _shadow(desk: TradingDesk, name: str) -> dict[str, object] | None:
    """What it would be worth had it traded alone."""
    ledger = desk.state.shadows.get(name)
    if ledger is None:
        return None
    books = ledger.portfolio
    return {
        "equity": digits(books.equity),
        "pnl": digits(float(books.realised) + books.unrealised),
        "realised": digits(books.realised),
        "unrealised": digits(books.unrealised),
        "fees": digits(books.fees),
        "trades": ledger.trades,
        "wins": ledger.wins,
    }


def _times(desk: TradingDesk, name: str) -> Iterator[int]:
    """When it was last known to decide, as far as the desk remembers: what is in the air, and what is held."""
    for bench in desk.state.benches.values():
        opinion = bench.opinions.get(name)
        if opinion is not None:
            yield opinion.created
        if bench.standing is not None and bench.standing.source == name:
            yield bench.standing.created
    for order in desk.state.orders.values():
        if order.request.source == name and order.request.decision_id is not None:
            yield order.request.created
    for position in desk.portfolio.positions.values():
        yield from (lot.opened for lot in position.lots if lot.source == name)
