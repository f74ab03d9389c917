"""A room's side tables on a ground: opened when they are first needed, held, and closed with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from bot.journal.errors import JournalError
from bot.services.look_up import database_to_read
from bot.services.use_case import Ground, UseCaseError
from bot.store.errors import StoreUnavailable
from research.memory.errors import ResearchError


class Closable(Protocol):
    """What holds connections."""

    async def close(self) -> None:
        """Release them."""
        ...


S = TypeVar("S", bound=Closable)


async def store_of(ground: Ground, name: str, opened: Callable[[str], Awaitable[S]]) -> S:
    """The store that the ground holds under this name, one however many ask at once; `opened` is given the journal's URL.

    Where there is no journal yet, it is made. `UseCaseError` if the database cannot be used.
    """
    from bot.journal.upgrade import upgrade  # noqa: PLC0415 - SQLAlchemy is slow to import

    async with ground.opening:
        held: S | None = ground.held.get(name)
        if held is not None:
            return held
        url = ground.loaded.settings.database_url
        try:
            await asyncio.to_thread(upgrade, url)
            store = await opened(url)
        except (StoreUnavailable, ResearchError, JournalError) as error:
            raise UseCaseError(str(error)) from error
        ground.closing.push_async_callback(store.close)
        ground.held[name] = store
        return store


async def store_to_read(ground: Ground, name: str, opened: Callable[[str], Awaitable[S]], table: str) -> S | None:
    """The same for a look-up: None where `table` was never made, for whoever only looks leaves a journal as it is."""
    from sqlalchemy import inspect  # noqa: PLC0415 - slow to import

    if ground.held.get(name) is None:
        database = await database_to_read(ground)
        try:
            there = database is not None and await database.run(lambda connection: inspect(connection).has_table(table))
        except StoreUnavailable as error:
            raise UseCaseError(str(error)) from error
        if not there:
            return None
    return await store_of(ground, name, opened)
