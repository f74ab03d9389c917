"""Asking the running bot for a part of a page that does without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.web.problems import Problem
from bot.web.room import ControlRoom
from bot.web.security.principal import Principal


async def asked(
    room: ControlRoom, name: str, principal: Principal, args: Mapping[str, object] | None = None
) -> Mapping[str, Any] | None:
    """What the running bot says, None while there is none."""
    try:
        return await room.ask(name, args or {}, principal)
    except Problem as problem:
        if problem.status != 503:
            raise
        return None


async def if_it_can(
    room: ControlRoom, name: str, principal: Principal, args: Mapping[str, object] | None = None
) -> Mapping[str, Any] | None:
    """The same, and None also where it cannot say as things are, such as without a table that is made by the first run."""
    try:
        return await asked(room, name, principal, args)
    except Problem as problem:
        if problem.status != 409:
            raise
        return None
