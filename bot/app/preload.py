"""What enabled sources need is imported before the market comes in: an SDK takes a second, in which candles would pile up."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable, Iterator

from bot.settings.llm import LlmSettings
from sources.llm import params as llm
from sources.llm.asking import Role
from sources.llm.models import Dialect
from sources.llm.settings import ProviderSettings
from sources.loading import LoadedSource
from sources.quantconnect import settings as quantconnect

_MODULES = {
    quantconnect.KIND: ("sources.quantconnect.source",),
    llm.KIND: ("sources.llm.considering", "sources.llm.minds", "sources.llm.templates", "sources.llm.source"),
}
# With each SDK that part of it which it loads by itself only with the first question.
_SDKS = {
    Dialect.MESSAGES: ("anthropic", "anthropic.resources.messages"),
    Dialect.RESPONSES: ("openai", "openai.resources.responses"),
    Dialect.CHAT: ("openai", "openai.resources.chat"),
}


async def preload(sources: Iterable[LoadedSource], settings: LlmSettings, keyed: Callable[[str], bool]) -> None:
    """Import it, aside from the loop; `keyed` says whether there is a secret of that name."""
    wanted = {
        name
        for source in sources
        if source.config.enabled and source.service is not None
        for name in _needed(source, settings, keyed)
    }
    for name in sorted(wanted):
        await asyncio.to_thread(importlib.import_module, name)


def _needed(source: LoadedSource, settings: LlmSettings, keyed: Callable[[str], bool]) -> Iterator[str]:
    """The modules of its kind, and the SDK of whom it asks first."""
    yield from _MODULES.get(str(source.config.kind), ())
    if isinstance(source.params, llm.LlmParams):
        asked = source.params.candidates or settings.roles.get(Role.DECISION, ())
        able = (settings.providers[one.provider] for one in asked if _has_key(settings.providers.get(one.provider), keyed))
        first = next(able, None)
        if first is not None:
            yield from _SDKS[first.dialect]


def _has_key(provider: ProviderSettings | None, keyed: Callable[[str], bool]) -> bool:
    return provider is not None and (provider.key is None or keyed(provider.key))
