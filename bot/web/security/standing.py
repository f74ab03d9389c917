"""What the gate needs of the control room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, cast

from starlette.requests import HTTPConnection

from bot.secrets import Secrets
from bot.settings import Loaded
from bot.web.security.principal import Principal
from bot.web.security.store import AccessStore


class Standing(Protocol):
    """The part of `bot.web.room.ControlRoom` that access is decided on."""

    @property
    def loaded(self) -> Loaded:
        """The settings."""
        ...

    @property
    def secrets(self) -> Secrets:
        """Where the password is, if there is one."""
        ...

    @property
    def access(self) -> AccessStore:
        """Who has access."""
        ...

    @property
    def now(self) -> Callable[[], int]:
        """The time (ms UTC)."""
        ...

    @property
    def running(self) -> str:
        """The run that the bot is in; empty while none runs."""
        ...

    async def note(
        self, principal: Principal, command: str, target: str, before: Mapping[str, object] | None, after: object
    ) -> None:
        """Write into the audit that it was done."""
        ...


def room_of(connection: HTTPConnection) -> Standing:
    """The control room that serves this connection."""
    return cast("Standing", connection.app.state.room)
