"""What is remembered of the news: the newest items, each once, whoever repeats it.

An item is known by its feed's id and by its title: a title that says almost the same as a recent one is that item again, from
whomever. Copies are counted, and are no second voice: a wire's text in ten papers is one report.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bot.core.decision import derive_id
from sources.news.gate import Gate
from sources.news.items import Item, Raw, Reading
from sources.news.lexicon import Lexicon
from sources.news.reading import plausible
from sources.news.settings import FeedSettings

_RECENT = 500  # titles that a new one is compared with
_ALIKE = 0.8  # of the words of two titles, the part that is common to both
_SMALL = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "as",
        "and",
        "by",
        "is",
        "its",
        "with",
        "after",
        "amid",
        "from",
        "breaking",
    ]
)


class Archive:
    """At most `keep` items, by the time they came.

    `duplicates` counts copies by feed, `undated` what had no date when one was needed, `unread` what no model
    could read, `forgotten` what fell out.
    """

    def __init__(self, keep: int, lexicon: Lexicon, gate: Gate) -> None:
        self.gate = gate
        self.duplicates: Counter[str] = Counter()
        self.undated = 0
        self.unread = 0
        self.forgotten = 0
        self._lexicon = lexicon
        self._items: deque[Item] = deque(maxlen=keep)
        self._titles: deque[frozenset[str]] = deque(maxlen=min(keep, _RECENT))
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._most_seen = 8 * keep

    def __iter__(self) -> Iterator[Item]:
        """The items, oldest first."""
        return iter(self._items)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._items)

    def add(self, raws: Sequence[Raw], feed: FeedSettings, at: int, *, undated: bool = True) -> tuple[Item, ...]:
        """Take in what a feed said at a time (ms UTC); what is new of it. The same as `unseen`, `judged` and `stored`."""
        return self.stored(self.judged(self.unseen(raws, feed), feed), feed, at, undated=undated)

    def unseen(self, raws: Sequence[Raw], feed: FeedSettings) -> list[Raw]:
        """Those whose ids were never seen; from now on they were, dropped or not."""
        return [raw for raw in raws if not self._known(feed.id, raw.id)]

    def judged(self, raws: Sequence[Raw], feed: FeedSettings) -> list[tuple[Raw, Reading]]:
        """Those that pass the gate, with their numbers. The slow part: it may be done in a thread, one at a time."""
        admitted = (self.gate.admit(raw, feed.id) for raw in raws)
        return [(raw, self._lexicon.read(raw.title, feed.symbols)) for raw in admitted if isinstance(raw, Raw)]

    def stored(
        self, judged: Sequence[tuple[Raw, Reading]], feed: FeedSettings, at: int, *, undated: bool = True
    ) -> tuple[Item, ...]:
        """Remember them, first seen `at`, but for copies; without `undated`, only those with a date that can be true."""
        new = []
        for raw, reading in judged:
            words = wording(raw.title)
            published = plausible(raw.published, at)
            if any(alike(words, other) for other in self._titles):
                self.duplicates[feed.id] += 1
            elif published is None and not undated:
                self.undated += 1
            else:
                new.append(self._kept(raw, reading, words, feed, at, published))
        return tuple(new)

    def reread(self, readings: Mapping[str, Reading]) -> None:
        """Put better numbers in the place of those of the lexicon, by item id."""
        for at, item in enumerate(self._items):
            if (reading := readings.get(item.id)) is not None:
                self._items[at] = replace(item, reading=reading)

    def _known(self, feed: str, id_: str) -> bool:
        key = (feed, id_)
        known = key in self._seen
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > self._most_seen:
            self._seen.popitem(last=False)
        return known

    def _kept(
        self, raw: Raw, reading: Reading, words: frozenset[str], feed: FeedSettings, at: int, published: int | None
    ) -> Item:
        self.forgotten += len(self._items) == self._items.maxlen
        item = Item(
            id=f"n{derive_id(feed.id, raw.id, length=8)}",
            source=feed.id,
            group=feed.voice,
            kind=feed.kind,
            weight=feed.weight,
            title=raw.title,
            summary=raw.summary,
            available_at=at,
            published=published,
            reading=reading,
        )
        self._items.append(item)
        self._titles.append(words)
        return item


def wording(title: str) -> frozenset[str]:
    """The words of a title by which it is known."""
    words = "".join(one if one.isalnum() else " " for one in title.casefold()).split()
    return frozenset(words) - _SMALL or frozenset(words)


def alike(words: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two titles say almost the same in the same words."""
    if not words or not other:
        return False
    common = len(words & other)
    return common >= _ALIKE * max(len(words), len(other)) or (common >= 5 and common >= 0.95 * min(len(words), len(other)))
