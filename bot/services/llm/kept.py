"""What language models were asked and cost, and what they are asked with: the tables, to read.

Nobody is asked here and nothing is paid, so that no provider is opened and no ledger is begun: any process may look.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.journal.errors import JournalError
from bot.journal.upgrade import upgrade
from bot.logs import Redactor
from bot.services.llm.access import HELD as MINDS
from bot.services.use_case import Ground, UseCaseError
from bot.store.errors import StoreUnavailable

if TYPE_CHECKING:
    from sources.llm.costs import Costs
    from sources.llm.minds import Minds
    from sources.llm.prompt_store import PromptStore
    from sources.llm.records import Records

HELD = "llm.kept"


@dataclass(frozen=True, slots=True)
class Kept:
    """The tables by what they hold."""

    records: Records
    prompts: PromptStore
    costs: Costs


async def kept_of(ground: Ground) -> Kept:
    """The tables of this ground, those of its minds where it has some; closed with it.

    Where there is no journal yet, it is made. `UseCaseError` if its database cannot be used.
    """
    minds: Minds | None = ground.held.get(MINDS)
    if minds is not None:
        return Kept(minds.records, minds.prompts, minds.costs)
    held: Kept | None = ground.held.get(HELD)
    if held is None:
        held = ground.held[HELD] = await _opened(ground)
    return held


async def _opened(ground: Ground) -> Kept:
    from sources.llm.costs import Costs  # noqa: PLC0415 - SQLAlchemy is slow to import
    from sources.llm.prompt_store import PromptStore  # noqa: PLC0415
    from sources.llm.records import Records  # noqa: PLC0415
    from sources.llm.tables import open_tables  # noqa: PLC0415

    url = ground.loaded.settings.database_url
    try:
        await asyncio.to_thread(upgrade, url)
        database = await open_tables(url)
    except (StoreUnavailable, JournalError) as error:
        raise UseCaseError(str(error)) from error
    ground.closing.push_async_callback(database.close)
    redact = Redactor(ground.secrets.values()).text
    return Kept(Records(database, redact), PromptStore(database, ground.now), Costs(database, simulated=ground.simulated))
