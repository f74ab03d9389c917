"""The line to the running bot: how it is, and what it is told once a person has confirmed it.

It is the line that every client has, the local feed; also a use case that the bot itself performs goes through it, so that a
confirmed proposal is audited and carried out exactly as the same command typed by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bot.outlets.command import CommandResult
from bot.outlets.errors import Disconnected, NotRunning, Refused
from bot.services.use_case import Ground

HELD = "chat.desk"
"""Where a ground may hold another line than the local feed."""

ACTOR = "chat"
_STATUS_SECONDS = 5.0


class Desk(Protocol):
    """The running bot, if there is one."""

    async def status(self) -> Mapping[str, Any] | None:
        """How it is, as the command `status` says; None where none runs or none answers."""
        ...

    async def command(self, name: str, args: Mapping[str, object]) -> CommandResult:
        """Have a command carried out; a failure is a result that is not `ok`."""
        ...


@dataclass(frozen=True, slots=True)
class LocalDesk:
    """The bot of a data directory, by its local feed; one connection for each call."""

    data_dir: Path

    async def status(self) -> Mapping[str, Any] | None:
        """How it is; None where none runs or none answers."""
        from bot.outlets.local_client import LocalClient  # noqa: PLC0415 - only where somebody asks

        try:
            async with await LocalClient.connect(self.data_dir, actor=ACTOR) as client:
                told = await client.command("status", timeout=_STATUS_SECONDS)
        except (NotRunning, Refused, Disconnected, TimeoutError):
            return None
        return told.result if told.ok else None

    async def command(self, name: str, args: Mapping[str, object]) -> CommandResult:
        """Have a command carried out."""
        from bot.outlets.local_client import LocalClient  # noqa: PLC0415 - only where somebody asks

        try:
            async with await LocalClient.connect(self.data_dir, actor=ACTOR) as client:
                return await client.command(name, args)
        except (NotRunning, Refused) as error:
            return CommandResult(False, f"{error}; nothing was done")
        except (Disconnected, TimeoutError) as error:
            return CommandResult(False, f"{error or 'no answer in time'}; `{name}` may have been carried out: look at the status")


def desk_of(ground: Ground) -> Desk:
    """The line of this ground."""
    held: Desk | None = ground.held.get(HELD)
    return LocalDesk(ground.loaded.settings.bot.data_dir) if held is None else held
