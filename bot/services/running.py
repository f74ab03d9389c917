"""The running bot as its use cases see it: the market and the books of its desk, and its sources by name.

A command that performs a use case by itself has none of this; each use case says what it does then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bot.core.protocols import SourcePort
from bot.services.use_case import Ground

HELD = "bot.running"
"""Where the ground of a running bot holds it."""


def _nobody(name: str) -> Any:
    del name


@dataclass(frozen=True, slots=True)
class Running:
    """`port` looks at the desk, `source` gives a source with a life of its own by its name (None: there is none).

    `names` are all of them; `items` the news items that the bot has, None where it reads no news.
    """

    port: SourcePort
    source: Callable[[str], Any] = _nobody
    names: Callable[[], Iterable[str]] = tuple
    items: Callable[[], Iterable[Any] | None] = lambda: None


def running(ground: Ground) -> Running | None:
    """The bot that this ground belongs to, None in a command that stands alone."""
    found: Running | None = ground.held.get(HELD)
    return found
