"""The audit of what the control room does by itself: keys to it, and who is logged in. Whatever else is done, the bot audits."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from bot.services.audit.entry import Entry, Outcome
from bot.services.audit.store import Scene
from bot.services.audit.use_cases import audit_of
from bot.services.use_case import UseCaseError
from bot.store.errors import StoreUnavailable
from bot.web.problems import Problem
from bot.web.room import ControlRoom
from bot.web.security.principal import Principal

log = structlog.get_logger(__name__)


async def noted(
    room: ControlRoom, principal: Principal, command: str, target: str, before: Mapping[str, object] | None, after: object
) -> None:
    """Write that it was done. It was: an audit that cannot be written is a line in the log, not a refusal."""
    entry = Entry(room.now(), principal.actor, command, target, {}, before, after, Outcome.OK, "", "")
    try:
        world = await room.world()
        store = await audit_of(await room.ground())
        await store.keep(Scene(world.bot, world.run, world.mode, world.simulated), [entry])
    except (StoreUnavailable, UseCaseError, Problem) as error:
        log.error("audit_not_written", command=command, actor=principal.actor, target=target, error=str(error))
