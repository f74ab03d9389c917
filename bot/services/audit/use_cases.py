"""Looking at the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from bot.runtime.jobs import Report, Result
from bot.services.side_store import store_of, store_to_read
from bot.services.use_case import Arguments, Ground, UseCase, UseCaseError
from bot.store.errors import StoreUnavailable

if TYPE_CHECKING:
    from bot.services.audit.store import AuditStore

HELD = "audit.store"
_LAST_MS = 2**53


class ListArgs(Arguments):
    """Which lines."""

    actor: str | None = Field(None, max_length=64, description="who, such as cli or web:anna")
    command: str | None = Field(None, max_length=64, description="a command or a use case, such as kill or llm.prompt-save")
    since: int | None = Field(None, ge=0, le=_LAST_MS, description="first moment (ms UTC)")
    until: int | None = Field(None, ge=0, le=_LAST_MS, description="first moment after the last (ms UTC)")
    simulated: bool | None = Field(None, description="only of simulated worlds, or only of the real one; absent: all, each named")
    limit: int = Field(50, ge=1, le=500, description="lines, the newest first")
    before: int | None = Field(None, ge=0, le=2**62, description="number of the last line of the page before")


async def audit_of(ground: Ground) -> AuditStore:
    """The store of this ground, opened when it is first needed; closed with it. `UseCaseError` if it cannot be used."""
    from bot.services.audit.store import AuditStore  # noqa: PLC0415 - SQLAlchemy is slow to import

    return await store_of(ground, HELD, AuditStore.open)


async def lines(ground: Ground, args: ListArgs, report: Report) -> Result:
    """Lines of the audit, and `next`: what to give as `before` for the page after, null on the last."""
    from bot.services.audit.store import AuditStore, Wanted  # noqa: PLC0415

    del report  # it is over before anyone could look
    store = await store_to_read(ground, HELD, AuditStore.open, "audit")
    if store is None:
        return {"lines": [], "next": None}
    wanted = Wanted(args.actor, args.command, args.since, args.until, args.simulated, args.before)
    try:
        found = await store.newest(wanted, args.limit)
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error
    return {"lines": found, "next": found[-1]["number"] if len(found) == args.limit else None}


USE_CASES: tuple[UseCase[Any], ...] = (
    UseCase("audit.list", "Who changed what, with how it was before and after.", ListArgs, lines, quick=True, reads=True),
)
