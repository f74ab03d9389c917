"""The memory of a run at its beginning: opened, filled with what is known, and caught up with the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from bot.core.portfolio import Portfolio
from bot.journal.queries import Queries
from bot.journal.records import ClosedLot
from bot.journal.run import BookKey
from bot.services.memory.live import Held, LiveMemory
from bot.services.memory.opening import open_memory, policy_of
from bot.services.memory.subjects import timeframe_of
from bot.settings import Settings
from sources.loading import LoadedSource

_LOTS = 1_000
_STORE_SECONDS = 2.0  # a stop waits for no longer than this


async def begin_memory(
    settings: Settings, book: BookKey, sources: Iterable[LoadedSource], portfolio: Portfolio, now: Callable[[], int]
) -> LiveMemory | None:
    """The memory for a run of this book, None where `memory.enabled` is false. The journal must be open, its lots all told.

    `portfolio` are the books as they are recovered. Raises `MemoryUnavailable` if the store cannot be opened, and whatever the
    journal raises; what the store cannot tell later is asked for again.
    """
    if not settings.memory.enabled:
        return None
    store = await open_memory(settings, settings.bot.data_dir, seconds=_STORE_SECONDS)
    try:
        name = f"{book.bot}/{book.mode}/{book.venue}/{book.world}"
        simulated = book.world.startswith("simulated")  # its seed and start follow
        live = LiveMemory(store, policy_of(settings.memory), now, book=name, simulated=simulated)
        for source in sources:
            live.know(source.config.source, timeframe_of(source), source.symbols(settings.exchange.symbols))
        await live.recall()
        lots = await asyncio.to_thread(_lots, settings.database_url, book)
        await live.catch_up(lots[::-1], held_in(portfolio), whole=len(lots) < _LOTS)
    except BaseException:
        await store.close()
        raise
    return live


def held_in(portfolio: Portfolio) -> Held:
    """The positions of the books: signed amount, and who opened the oldest lot."""
    return {
        symbol: (position.amount, position.lots[0].source if position.lots else None)
        for symbol, position in portfolio.positions.items()
    }


def _lots(url: str, book: BookKey) -> list[ClosedLot]:
    with Queries(url) as journal:
        return journal.lots(book=book, limit=_LOTS)
