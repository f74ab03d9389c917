"""Language models in a backtest: recorded answers, and only where a leak is allowed live ones.

Used by one thread in which no event loop runs; what is opened is closed with its block.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager

from bot.journal.errors import JournalError
from bot.journal.upgrade import upgrade
from bot.logs import Redactor
from bot.secrets import Secrets
from bot.services.llm.access import budget_of
from bot.services.use_case import UseCaseError
from bot.settings import Loaded
from bot.settings.run import BacktestOptions
from bot.store.errors import StoreUnavailable
from sources.llm.backtesting import PastMinds, Rooms, from_the_records, open_rooms, with_records
from sources.llm.leaks import Guard
from sources.llm.minds import Minds, open_minds

ANY = "any"
"""In the place of a run: answers of all of them."""


@contextmanager
def past_minds(options: BacktestOptions, loaded: Loaded) -> Iterator[Rooms | None]:
    """The minds that these options ask for, None if they ask for none. `UseCaseError` if the records cannot be used."""
    if options.llm_replies is None and not options.allow_leak:
        yield None
        return
    run = None if options.llm_replies in {None, ANY} else options.llm_replies
    secrets = Secrets(loaded.settings.bot.data_dir)
    prompts = None if loaded.directory is None else loaded.directory / "prompts"
    guard = Guard(value for value in secrets.values() if value)

    @asynccontextmanager
    async def opening() -> AsyncIterator[PastMinds]:
        if not options.allow_leak:
            async with from_the_records(loaded.settings.llm, loaded.settings.database_url, _now, run) as minds:
                yield minds
            return
        async with AsyncExitStack() as closing:
            yield with_records(await closing.enter_async_context(_live(loaded, secrets)), run)

    try:
        upgrade(loaded.settings.database_url)
        with open_rooms(opening, prompts=prompts, guard=guard, cutoff=options.llm_cutoff) as rooms:
            yield rooms
    except (StoreUnavailable, JournalError) as error:
        raise UseCaseError(str(error)) from error


def _live(loaded: Loaded, secrets: Secrets) -> AbstractAsyncContextManager[Minds]:
    """Minds that can be asked, under a run of their own; the ledger logs what it alerts."""
    settings = loaded.settings
    return open_minds(
        settings.llm,
        budget_of(settings.llm),
        settings.database_url,
        lambda name: None if (found := secrets.get(name)) is None else found.value,
        _now,
        redact=Redactor(secrets.values()).text,
        alert=lambda alert: None,
        run=f"backtest-{_now()}",
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
