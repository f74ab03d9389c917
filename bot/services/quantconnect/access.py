"""Access to QuantConnect: who asks, within which budget, on which client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.secrets import Secrets
from bot.services.use_case import Ground, UseCaseError
from bot.settings import Settings
from sources.quantconnect.budget import Budget
from sources.quantconnect.limits import Limits
from sources.quantconnect.settings import Credentials

if TYPE_CHECKING:
    from sources.quantconnect.client import Client

_HELD = "quantconnect.client"
_NAMES = ("QUANTCONNECT_USER_ID", "QUANTCONNECT_API_TOKEN", "QUANTCONNECT_WEBHOOK_SECRET")


def credentials_of(settings: Settings, secrets: Secrets) -> Credentials:
    """Who asks, as the environment or the encrypted file says; empty where neither does."""
    user, token, webhook = (found.value if (found := secrets.get(name)) else "" for name in _NAMES)
    return Credentials(user, token, webhook, settings.quantconnect.base_url)


def limits_of(settings: Settings) -> Limits:
    """What a client of the bot allows itself."""
    asked = settings.quantconnect
    return Limits(requests=asked.calls, window_s=asked.window / 1_000)


def budget_of(settings: Settings) -> Budget:
    """One request budget for all clients of the bot."""
    return Budget(limits_of(settings))


async def client_of(ground: Ground) -> Client:
    """The client of the use cases, opened when it is first needed; it is closed with the ground.

    `UseCaseError` where nobody said who asks.
    """
    held: Client | None = ground.held.get(_HELD)
    if held is not None:
        return held
    who = ground.quantconnect
    if not who.complete:
        message = "nobody said who asks QuantConnect: set QUANTCONNECT_USER_ID and QUANTCONNECT_API_TOKEN, or store them with "
        raise UseCaseError(message + "`python -m bot secrets set`")
    from sources.quantconnect.client import Client  # noqa: PLC0415 - heavy

    try:
        client = Client(
            who.user_id, who.token, base_url=who.base_url, limits=limits_of(ground.loaded.settings), budget=ground.budget
        )
    except ValueError as error:
        raise UseCaseError(str(error)) from error
    ground.held[_HELD] = await ground.closing.enter_async_context(client)
    return client
