"""The state of risk: what is admitted now and why, how full each limit is, and what is wrong with the market or the account."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from bot.core.inputs import TradingState
from bot.core.market import Health
from bot.core.risk import RiskState
from bot.journal.errors import JournalError
from bot.journal.queries import Queries
from bot.journal.run import BookKey
from bot.services.trading.at_desk import AtDesk
from bot.services.trading.copies import copied
from bot.services.trading.limits import limits_of, switched_off
from bot.services.use_case import Ground

log = structlog.get_logger(__name__)

_CHANGES_READ = 100
_HELD = "trading.since"
_KEPT_MS = 5_000
_LIMITS = "risk"  # who speaks by this name tells of a loss limit in force; the state is as it was


@dataclass(frozen=True, slots=True)
class _Known:
    """What the journal said at `at` of a state and its reason."""

    state: TradingState
    reason: str
    at: int
    since: int | None


async def state_json(ground: Ground, where: AtDesk) -> dict[str, object]:
    """All of it. `since` is the journal's word: null while it says nothing, for this must be told without it too."""
    desk = where.desk
    risk, book = desk.state.risk, copied(desk, where.now)
    limits = limits_of(desk, book)
    symbols = sorted({*desk.state.instruments, *risk.health})
    return {
        "now": where.now,
        "state": risk.state.value,
        "reason": risk.reason,
        "since": await _since(ground, risk, where.now),
        "flattening": risk.flattening,
        "limits": [limit.as_json() for limit in limits],
        "off": switched_off(desk),
        "allowed_symbols": list(desk.config.limits.allowed_symbols),
        "frozen": [{"symbol": symbol, "order": order} for symbol, order in risk.frozen.items()],
        "health": [
            {"symbol": symbol, "health": risk.health.get(symbol, Health.FRESH).value, "seen": risk.seen.get(symbol)}
            for symbol in symbols
        ],
        "backlog": risk.backlog,
        "unread": risk.unread,
        "unexplained": list(risk.unexplained),
    }


async def _since(ground: Ground, risk: RiskState, now: int) -> int | None:
    """When the trading state became what it is; the journal is asked again only where it may have something new to say."""
    known: _Known | None = ground.held.get(_HELD)
    if known is None or (known.state, known.reason) != (risk.state, risk.reason) or now - known.at > _KEPT_MS:
        state, reason = risk.state, risk.reason
        known = _Known(state, reason, now, await asyncio.to_thread(_journaled, ground, state))
        ground.held[_HELD] = known
    return known.since


def _journaled(ground: Ground, state: TradingState) -> int | None:
    """When the trading state became what it is, in these books; None where that is not journaled, or cannot be read."""
    if not ground.run:
        return None
    try:
        with Queries(ground.loaded.settings.database_url) as queries:
            run = queries.run(ground.run)
            if run is None:
                return None
            book = BookKey(run.bot, run.mode, run.venue, run.world)
            told = queries.risk_states(book=book, limit=_CHANGES_READ)
    except JournalError as error:
        log.warning("state_of_risk_without_journal", error=str(error))
        return None
    since = run.started
    for change in (each for each in told if each.actor != _LIMITS):
        if change.state is not state:
            break
        since = change.at
    return since
