"""The journal's database for look-ups of whole tables: nothing is made where there is none, and nothing is brought up to date."""

from __future__ import annotations

import asyncio

from bot.journal.address import is_postgres, sqlite_path
from bot.services.use_case import Ground, UseCaseError
from bot.store.database import Database, open_database
from bot.store.errors import StoreUnavailable

_HELD = "look-up.database"
_SECONDS = 5.0


async def database_to_read(ground: Ground) -> Database | None:
    """The database of this ground, closed with it; None where no file is there yet. `UseCaseError` for a URL of another kind."""
    held: Database | None = ground.held.get(_HELD)
    if held is not None:
        return held
    url = ground.loaded.settings.database_url
    if not is_postgres(url) and not await asyncio.to_thread(sqlite_path(url).exists):
        return None
    try:
        database = open_database(url, _SECONDS)
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error
    ground.closing.push_async_callback(database.close)
    ground.held[_HELD] = database
    return database
