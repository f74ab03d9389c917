"""Which template a source asks with: the version that is used, else a person's file, else the one that comes with the bot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from bot.store.errors import StoreUnavailable
from sources.llm.prompt_store import PromptError, PromptStore
from sources.llm.prompts.files import load
from sources.llm.prompts.template import Template, TemplateError, parse

log = structlog.get_logger(__name__)

_FRESH_MS = 15_000


class Templates:
    """Finds a template by its name, and asks the database for a newer version now and then. `now` gives ms UTC."""

    def __init__(self, store: PromptStore, now: Callable[[], int], folder: Path | None = None) -> None:
        self._store = store
        self._now = now
        self._folder = folder
        self._found: dict[str, tuple[int, Template]] = {}  # as many as sources name

    async def get(self, name: str) -> Template:
        """The template; `TemplateError` where there is none that can be used, and none was found before."""
        at, known = self._found.get(name, (0, None))
        if known is not None and self._now() - at < _FRESH_MS:
            return known
        try:
            found = await self._newest(name)
        except (StoreUnavailable, TemplateError) as error:
            if known is None:
                raise
            log.warning("llm_template_unread", template=name, error=str(error))
            found = known
        self._found[name] = self._now(), found
        return found

    async def _newest(self, name: str) -> Template:
        try:
            saved = await self._store.get(name)
        except PromptError:  # no version of it is used
            return load(name, self._folder)
        except StoreUnavailable:
            log.warning("llm_template_from_file", template=name)
            return load(name, self._folder)
        known = self._found.get(name)
        if known is not None and known[1].version == saved.version:
            return known[1]
        return parse(name, saved.body, saved.version)
