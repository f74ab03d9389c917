"""What a decision may know of the news at a time: what was here by then, bounded, and never one voice's alone.

A feed that does not answer is not a quiet one: without a feed that answered of late the news are `Unavailable`, and the prompt
says so. An event counts when two voices that have nothing to do with one another report it in words of their own; all forums
together are one voice. What one voice says alone moves the sentiment by little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from bot.core.values import value
from sources.analysis.sentiment import ScoredItem, Sentiment, SentimentPolicy, sentiment
from sources.news.gate import LONGEST_SUMMARY, LONGEST_TITLE, MOST_ITEMS, clean, flag_of_plain
from sources.news.items import Event, Item, Kind, Unavailable
from sources.news.lexicon import EVERY

ALONE = 0.3  # the most that a single voice moves the sentiment
MOST_CONSIDERED = 200  # the newest ones, of one symbol
_HALF_LIFE_MS = 3 * 3_600_000
_ELSEWHERE = 0.5  # the weight of what is said of the whole market
_FORUMS = "*forums"


@value
class Shown:
    """An item as a prompt shows it: `n1` is the newest. Nothing but title and summary was written by others."""

    id: str
    source: str
    age_min: int
    title: str
    sentiment: float
    event: Event
    confirmed: bool
    summary: str = ""


@value
class Coverage:
    """How much of the news is there: feeds that answered of late, all feeds, items considered, and voices heard in them."""

    fresh: int
    feeds: int
    items: int
    voices: int
    withheld: int  # items that the gate would turn away today


@value
class NewsView:
    """The news for a symbol at a time, newest first.

    `aggregate` is the sentiment -1..1, None when nothing was said; `said` is what it is made of, before it was held down.
    """

    symbol: str
    at: int
    items: tuple[Shown, ...]
    aggregate: float | None
    confirmed: tuple[Event, ...]
    coverage: Coverage
    said: Sentiment


News: TypeAlias = NewsView | Unavailable


def look(
    items: Iterable[Item], symbol: str, at: int, window_ms: int, fresh: int, feeds: int, since: int = 0, reason: str = ""
) -> News:
    """The news for `symbol` (`BTC/USDT`) at `at` (ms UTC): only items with `available_at` by then and dated in the window.

    `fresh` of `feeds` answered of late; with none the news are unavailable `since` then for that `reason`.
    """
    if not fresh:
        return Unavailable(reason or "no feed has answered", since)
    base = symbol.partition("/")[0]
    known = [item for item in items if item.available_at <= at and at - window_ms < item.dated]
    about = [item for item in known if {base, EVERY} & set(item.reading.symbols)]
    about = sorted(about, key=lambda item: (-item.dated, item.id))[:MOST_CONSIDERED]
    seen = [item for item in about if passes(item)]
    confirmed = confirmed_events(seen)
    said = spoken(seen, symbol, at, window_ms)
    coverage = Coverage(fresh, feeds, len(seen), len({voice(item) for item in seen}), len(about) - len(seen))
    shown = tuple(_shown(f"n{number}", item, at, confirmed) for number, item in enumerate(seen[:MOST_ITEMS], 1))
    return NewsView(symbol, at, shown, _held_down(said), confirmed, coverage, said)


def passes(item: Item) -> bool:
    """Whether the gate would let it in today: it may come from a record, and the patterns may have grown since."""
    return flag_of_plain(item.title, item.summary) is None


def confirmed_events(items: Sequence[Item]) -> tuple[Event, ...]:
    """The events that two voices at least report, in the order of the enum."""
    voices: dict[Event, set[str]] = {}
    for item in items:
        voices.setdefault(item.reading.event, set()).add(voice(item))
    return tuple(event for event in Event if event is not Event.OTHER and len(voices.get(event, ())) >= 2)


def voice(item: Item) -> str:
    """Whose voice an item is: all forums are one, where anybody may write under any name."""
    return _FORUMS if item.kind is Kind.SOCIAL else item.group


def spoken(items: Sequence[Item], symbol: str, at: int, window_ms: int) -> Sentiment:
    """The sentiment of items of which any word was known, each voice once and by its weight; half-life three hours."""
    weights: dict[str, float] = {}
    for item in items:
        weights[voice(item)] = max(weights.get(voice(item), 0.0), item.weight)
    scored = [
        ScoredItem(item.id, voice(item), item.dated, item.reading.sentiment, () if EVERY in item.reading.symbols else (symbol,))
        for item in items
        if item.reading.known
    ]
    return sentiment(symbol, scored, at, SentimentPolicy(_HALF_LIFE_MS, window_ms, weights, market=_ELSEWHERE))


def _held_down(said: Sentiment) -> float | None:
    if said.score is None:
        return None
    limit = ALONE if len(said.voices) < 2 else 1.0
    return round(max(-limit, min(limit, said.score)), 3) + 0.0


def _shown(id_: str, item: Item, at: int, confirmed: Sequence[Event]) -> Shown:
    """The item, made plain once more."""
    reading = item.reading
    return Shown(
        id=id_,
        source=item.source,
        age_min=(at - item.dated) // 60_000,
        title=clean(item.title, LONGEST_TITLE),
        sentiment=reading.sentiment,
        event=reading.event,
        confirmed=reading.event in confirmed,
        summary=clean(item.summary, LONGEST_SUMMARY),
    )


def block(news: News, *, titles: bool = True) -> dict[str, Any] | None:
    """What `sources.llm.snapshot.Sight.news` takes, None for news that cannot be had. Without `titles`, numbers alone."""
    if isinstance(news, Unavailable):
        return None
    rows: list[Mapping[str, Any]] = []
    for one in news.items:
        row: dict[str, Any] = {"id": one.id, "source": one.source, "age_min": one.age_min}
        row |= {"sentiment": one.sentiment, "event": one.event.value, "confirmed": one.confirmed}
        if titles:
            row |= {"title": one.title} | ({"summary": one.summary} if one.summary else {})
        rows.append(row)
    return {
        "items": rows,
        "sentiment": news.aggregate,
        "confirmed_events": [event.value for event in news.confirmed],
        "feeds": {"fresh": news.coverage.fresh, "all": news.coverage.feeds},
    }
