"""Which template a source asks with: the version that is used, else a person's file, else the one that comes with the bot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from bot.store.errors import StoreUnavailable
from sources.llm.prompt_store import PromptError, PromptStore
from sources.llm.prompts.files import SUFFIX, load
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
        self._files: dict[str, tuple[int, Template]] = {}  # with the time of their last change; to compile one takes long

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
            return self._from_file(name)
        except StoreUnavailable:
            log.warning("llm_template_from_file", template=name)
            return self._from_file(name)
        known = self._found.get(name)
        if known is not None and known[1].version == saved.version:
            return known[1]
        return parse(name, saved.body, saved.version)

    def _from_file(self, name: str) -> Template:
        """The template of a file, read again where it has changed."""
        changed = _changed(self._folder, name)
        known = self._files.get(name)
        if known is None or known[0] != changed:
            known = self._files[name] = changed, load(name, self._folder)
        return known[1]


def _changed(folder: Path | None, name: str) -> int:
    """When a person's own file was changed (ns); 0 where there is none, for those that come with the bot never change."""
    try:
        return 0 if folder is None else (folder / f"{name}{SUFFIX}").stat().st_mtime_ns
    except OSError:
        return 0
