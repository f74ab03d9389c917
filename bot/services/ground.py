"""The ground of a command that performs a use case by itself, because no bot runs that would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from bot.secrets import Secrets
from bot.services.quantconnect.access import budget_of, credentials_of
from bot.services.use_case import Ground
from bot.settings import Loaded


@asynccontextmanager
async def own_ground(loaded: Loaded, secrets: Secrets, now: Callable[[], int]) -> AsyncIterator[Ground]:
    """A ground that is closed at the end, with all that was opened on it; `now` is in ms."""
    settings = loaded.settings
    async with AsyncExitStack() as closing:
        who = credentials_of(settings, secrets)
        yield Ground(loaded, secrets, now, who, budget=budget_of(settings), closing=closing)
