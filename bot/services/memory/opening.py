"""The memory opened as the settings say: where it is kept, how it weighs, and its mirror for people."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.journal.errors import JournalError
from bot.journal.upgrade import upgrade
from bot.services.use_case import Ground, UseCaseError
from bot.settings import Settings
from bot.settings.models import MemorySettings
from research.memory.errors import ResearchError
from research.memory.policy import MemoryPolicy
from research.memory.store import MemoryStore

SQL = "sql"
FOLDER = "mem"
HELD = "memory.store"
"""Where a ground holds the store: a bot that has one open puts it there, so that all that is learnt reaches its decisions."""

_HELD_TO_READ = "memory.store.read"


def policy_of(settings: MemorySettings) -> MemoryPolicy:
    """How the memory weighs what it knows."""
    return MemoryPolicy(
        min_trades=settings.min_trades,
        prior_trades=settings.prior_trades,
        backtest_weight=settings.backtest_weight,
        window=settings.window,
        strength=settings.strength,
    )


async def open_memory(settings: Settings, data_dir: Path, *, seconds: float = 10.0) -> MemoryStore:
    """The store of these settings, with its files under `data_dir`/mem if they are wanted; close it. A call waits `seconds`.

    The journal must be there already: a database with tables and no journal is refused by it. `MemoryUnavailable` if the store
    cannot be used.
    """
    return _mirrored(await _opened(settings, data_dir, seconds), settings.memory, data_dir)


async def memory_of(ground: Ground) -> MemoryStore:
    """The store of the use cases, opened when it is first needed; it is closed with the ground.

    Where there is no journal yet, it is made: its database is the memory's. `UseCaseError` if the store cannot be used.
    """
    held: MemoryStore | None = ground.held.get(HELD)
    if held is not None:
        return held
    settings = ground.loaded.settings
    try:
        if settings.memory.store == SQL:
            await asyncio.to_thread(upgrade, settings.database_url)
        store = await open_memory(settings, settings.bot.data_dir)
    except (ResearchError, JournalError) as error:
        raise UseCaseError(str(error)) from error
    ground.closing.push_async_callback(store.close)
    ground.held[HELD] = store
    return store


async def memory_to_read(ground: Ground) -> MemoryStore:
    """The store for look-ups only: nothing is made where nothing was remembered yet, which is a `UseCaseError` that says so."""
    held: MemoryStore | None = ground.held.get(HELD) or ground.held.get(_HELD_TO_READ)
    if held is not None:
        return held
    settings = ground.loaded.settings
    try:
        store = await _opened(settings, settings.bot.data_dir, 10.0, to_read=True)
    except ResearchError as error:
        raise UseCaseError(str(error)) from error
    ground.closing.push_async_callback(store.close)
    ground.held[_HELD_TO_READ] = store
    return store


async def _opened(settings: Settings, data_dir: Path, seconds: float, *, to_read: bool = False) -> MemoryStore:
    policy = policy_of(settings.memory)
    if settings.memory.store != SQL:
        from research.memory.outside import open_outside  # noqa: PLC0415 - only where one is plugged in

        return await open_outside(settings.memory.store, policy, data_dir, seconds=seconds)
    from research.memory.sql import SqlMemory  # noqa: PLC0415 - SQLAlchemy is slow to import

    opened = SqlMemory.open_to_read if to_read else SqlMemory.open
    return await opened(settings.database_url, policy, seconds=seconds)


def _mirrored(store: MemoryStore, settings: MemorySettings, data_dir: Path) -> MemoryStore:
    if not settings.files:
        return store
    from research.memory.files import MemoryFiles, MirroredMemory  # noqa: PLC0415 - only where they are wanted

    return MirroredMemory(store, MemoryFiles(data_dir / FOLDER, limit=settings.file_bytes, kept=settings.files_kept))
