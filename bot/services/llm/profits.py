"""What decisions brought, as the journal tells it: the realised result of every lot, credited to the decision that opened it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal

from bot.core.decision import Tier
from bot.journal.errors import JournalError
from bot.journal.queries import Queries
from bot.journal.records import JournaledDecision
from bot.services.use_case import UseCaseError

MOST = 10_000
"""Decisions whose profits are told at once: what one comparison takes."""

_MOST_LOTS = 100_000
_EVER = 2**53


async def realised(url: str, since: int = 0, until: int = _EVER) -> Mapping[str, Decimal]:
    """Net result by decision in the accounting currency, of LLM lots that closed from `since` to before `until` (ms UTC).

    At most `MOST` decisions, those of the newest lots. `UseCaseError` where the journal cannot be read.
    """
    try:
        return await asyncio.to_thread(_realised, url, since, until)
    except JournalError as error:
        raise UseCaseError(str(error)) from error


async def journaled(url: str, ids: Sequence[str]) -> Mapping[str, JournaledDecision]:
    """Decisions as the journal has them, with their fates; what it does not have is left out. `UseCaseError` as above."""
    try:
        return await asyncio.to_thread(_journaled, url, ids)
    except JournalError as error:
        raise UseCaseError(str(error)) from error


def _realised(url: str, since: int, until: int) -> Mapping[str, Decimal]:
    found: dict[str, Decimal] = {}
    with Queries(url) as queries:
        for decision, pnl in queries.results(Tier.LLM, since, until, _MOST_LOTS):
            if decision in found or len(found) < MOST:
                found[decision] = found.get(decision, Decimal(0)) + pnl
    return found


def _journaled(url: str, ids: Sequence[str]) -> Mapping[str, JournaledDecision]:
    with Queries(url) as queries:
        return queries.decisions_named(dict.fromkeys(ids))
