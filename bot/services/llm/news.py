"""News for the sources that ask language models: the feeds of a run, and who reads their headlines."""

from __future__ import annotations

from collections.abc import Sequence

from bot.services.llm.access import minds_of
from bot.services.use_case import Ground
from sources.llm.asking import Role
from sources.llm.ledger import Payer
from sources.news.extraction import Extractor
from sources.news.feeds import Feeds
from sources.news.items import Item

PAYER = "news"
"""Under whose name the ledger has what reading headlines costs."""


async def open_news(ground: Ground) -> Feeds:
    """The feeds of the settings, open until the ground is closed; `run` them. `UseCaseError` if no model can be asked to read."""
    settings = ground.loaded.settings
    if not settings.news.extraction:
        return await ground.closing.enter_async_context(Feeds(settings.news, ground.now))
    minds = await minds_of(ground)
    coins = [symbol.partition("/")[0] for symbol in settings.exchange.symbols]
    payer = Payer(PAYER, Role.ANALYSIS, run=ground.run)

    async def reread(items: Sequence[Item]) -> None:
        # A purse is of one question: it remembers its calls.
        await Extractor(minds.router, minds.ledger.purse(payer), coins).reread(feeds.archive, items)

    feeds = Feeds(settings.news, ground.now, on_new=reread)
    return await ground.closing.enter_async_context(feeds)
