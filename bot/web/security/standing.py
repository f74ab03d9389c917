"""What the gate needs of the control room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from starlette.requests import HTTPConnection

from bot.secrets import Secrets
from bot.settings import Loaded
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


def room_of(connection: HTTPConnection) -> Standing:
    """The control room that serves this connection."""
    return cast("Standing", connection.app.state.room)
