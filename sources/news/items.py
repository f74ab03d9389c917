"""What the room is about: an item of news, how it was read, and the state of having none.

Times are milliseconds UTC. `available_at` is when this bot first saw an item, and the only time by which anything is decided; the
publisher's own date is kept beside it, and proves nothing.
"""

from __future__ import annotations

from enum import StrEnum

from bot.core.values import value


class Event(StrEnum):
    """What an item is about; the order says which is meant where several fit."""

    HACK = "hack"
    INSOLVENCY = "insolvency"
    DEPEG = "depeg"
    DELISTING = "delisting"
    LISTING = "listing"
    REGULATION = "regulation"
    OUTAGE = "outage"
    FLOWS = "flows"
    UPGRADE = "upgrade"
    PARTNERSHIP = "partnership"
    MACRO = "macro"
    MARKET = "market"
    OTHER = "other"


class Kind(StrEnum):
    """Who speaks: an editor, or anybody."""

    PRESS = "press"
    SOCIAL = "social"


class Scorer(StrEnum):
    """Who made the numbers."""

    LEXICON = "lexicon"
    MODEL = "model"


@value
class Raw:
    """An item as a feed has it, before the gate: nothing here may be shown to anybody."""

    id: str
    title: str
    summary: str = ""
    published: int | None = None


@value
class Reading:
    """An item in numbers: `sentiment` -1..1, the base currencies it names, and whether any word of it was known."""

    sentiment: float
    event: Event
    symbols: tuple[str, ...]
    scorer: Scorer = Scorer.LEXICON
    known: bool = True


@value
class Item:
    """An item that passed the gate. `id` is derived, `source` the feed's; `group` is whose voice it is, `weight` 0..1.

    `published` is the publisher's date, None where it gave none that is plausible.
    """

    id: str
    source: str
    group: str
    kind: Kind
    weight: float
    title: str
    summary: str
    available_at: int
    published: int | None
    reading: Reading

    @property
    def dated(self) -> int:
        """How old it counts: from the publisher's date, which may only make it older, else from when it was seen."""
        return self.available_at if self.published is None else min(self.published, self.available_at)


@value
class Unavailable:
    """There is no news, which is not the same as nothing having happened; `since` is when that began."""

    reason: str
    since: int
