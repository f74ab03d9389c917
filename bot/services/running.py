"""The running bot as its use cases see it: the market and the books of its desk, and its sources by name.

A command that performs a use case by itself has none of this; each use case says what it does then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bot.core.decision import SourceSpec
from bot.core.desk import TradingDesk
from bot.core.protocols import SourcePort
from bot.runtime.hosting import SourceHost
from bot.services.use_case import Ground

HELD = "bot.running"
"""Where the ground of a running bot holds it."""


def _nobody(name: str) -> Any:
    del name


@dataclass(frozen=True, slots=True)
class Described:
    """A source as its file describes it, in a few words, and why it is `off` in this run: None where it was let in."""

    spec: SourceSpec
    about: str
    off: str | None


@dataclass(frozen=True, slots=True)
class Running:
    """`port` looks at the desk, `source` gives a source with a life of its own by its name (None: there is none).

    `names` are all of them; `items` the news items that the bot has, None where it reads no news.
    `desk` is read and never written, `host` has the sources by name; `described` are all that the configuration has.
    """

    port: SourcePort
    source: Callable[[str], Any] = _nobody
    names: Callable[[], Iterable[str]] = tuple
    items: Callable[[], Iterable[Any] | None] = lambda: None
    desk: TradingDesk | None = None
    host: SourceHost | None = None
    described: Callable[[], Iterable[Described]] = tuple


def running(ground: Ground) -> Running | None:
    """The bot that this ground belongs to, None in a command that stands alone."""
    found: Running | None = ground.held.get(HELD)
    return found
