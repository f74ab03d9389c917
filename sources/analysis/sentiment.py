"""Sentiment: items that someone has scored already, joined into one figure with what is behind it.

An item's weight halves every `half_life`; within a source the weighted mean of its items speaks, and the source's own voice grows
with what it has said lately, but never above its weight:

    m_s = sum 2^(-age / half_life)        v_s = w_s * (1 - 2^-m_s)        score = sum v_s * mean_s / sum v_s

so one source that floods cannot outshout the others. Coverage is how much of a full voice (`full` sources' worth) was heard.
Disagreement is the weighted standard deviation of the items, 0 if all say the same and 1 if half say +1 and half -1. No news is
three different things: a feed that is down (unavailable), a feed that has nothing (quiet), and too little to go by (thin).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sources.analysis.values import AnalysisError, Told, clip


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """One item: `score` -1..1, `available_at` (ms UTC) when the bot could first have known it.

    `symbols` are those it is about; none means the whole market. `certainty` 0..1 is how sure its scorer was.
    """

    id: str
    source: str
    available_at: int
    score: float
    symbols: tuple[str, ...] = ()
    certainty: float = 1.0


@dataclass(frozen=True, slots=True)
class SentimentPolicy:
    """How items are weighed. Times in ms; `market` is the weight of an item about the whole market, `least` the fewest items.

    Raises `AnalysisError` if a number cannot be used.
    """

    half_life: int = 6 * 3_600_000
    window: int = 48 * 3_600_000
    weights: Mapping[str, float] = field(default_factory=dict)
    default_weight: float = 1.0
    market: float = 0.5
    least: int = 3
    full: float = 3.0

    def __post_init__(self) -> None:
        for name, number in (("half_life", self.half_life), ("window", self.window), ("full", self.full)):
            if not number > 0:
                message = f"{name} is {number}; it must be above 0"
                raise AnalysisError(message)
        for source, weight in (*self.weights.items(), ("default_weight", self.default_weight), ("market", self.market)):
            if not (math.isfinite(weight) and weight >= 0):
                message = f"the weight of {source} is {weight}; it must be 0 or more"
                raise AnalysisError(message)


class SentimentState(StrEnum):
    """Whether there is anything to go by."""

    AVAILABLE = "available"
    THIN = "thin"
    QUIET = "quiet"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class SourceVoice(Told):
    """What one source says: the mean of its `count` items, and its share of the whole (shares sum to 1)."""

    source: str
    score: float
    share: float
    count: int


@dataclass(frozen=True, slots=True)
class Sentiment(Told):
    """The sentiment about a symbol at `at` (ms UTC).

    `score` is -1..1 and None unless something was said; `coverage` and `disagreement` are 0..1; `newest` is the age of the newest
    item in ms. `ids` are the items that count, newest first; `refused` counts unusable ones, `later` those not yet known at `at`.
    """

    symbol: str
    at: int
    state: SentimentState
    words: str
    score: float | None = None
    coverage: float = 0.0
    disagreement: float | None = None
    count: int = 0
    newest: int | None = None
    voices: tuple[SourceVoice, ...] = ()
    ids: tuple[str, ...] = ()
    refused: int = 0
    later: int = 0


DEFAULT_POLICY = SentimentPolicy()


def sentiment(
    symbol: str,
    items: Sequence[ScoredItem] | None,
    at: int,
    policy: SentimentPolicy = DEFAULT_POLICY,
    *,
    reason: str = "no feed of news is there",
) -> Sentiment:
    """Join the items about a symbol (`BTC/USDT`; an item may also name the base alone) as known at `at`.

    `items` None means that the feed is not to be had, for `reason`: nothing is known then, not even that it is quiet.
    """
    if items is None:
        return Sentiment(symbol, at, SentimentState.UNAVAILABLE, f"{symbol}: sentiment unavailable ({reason})")
    sound = [item for item in items if _sound(item)]
    refused, later = len(items) - len(sound), sum(item.available_at > at for item in sound)
    told = _unique(item for item in sound if item.available_at <= at < item.available_at + policy.window)
    heard = [(item, weight) for item in told if (weight := _weight(item, symbol, at, policy)) > 0.0]
    if not heard:
        words = f"{symbol}: nothing was said within {policy.window / 3_600_000:g} h"
        return Sentiment(symbol, at, SentimentState.QUIET, words, refused=refused, later=later)
    return _joined(symbol, at, heard, policy, refused, later)


def sentiment_batch(
    symbols: Sequence[str], items: Sequence[ScoredItem] | None, at: int, policy: SentimentPolicy = DEFAULT_POLICY
) -> dict[str, Sentiment]:
    """The sentiment about each of several symbols, from the same items."""
    return {symbol: sentiment(symbol, items, at, policy) for symbol in symbols}


def _sound(item: ScoredItem) -> bool:
    numbers = math.isfinite(item.score) and abs(item.score) <= 1.0 and math.isfinite(item.certainty)
    return numbers and 0.0 <= item.certainty <= 1.0


def _unique(items: Iterable[ScoredItem]) -> list[ScoredItem]:
    """One item of each id, the first that was available; oldest first."""
    found: dict[str, ScoredItem] = {}
    for item in sorted(items, key=lambda each: (each.available_at, each.id)):
        found.setdefault(item.id, item)
    return list(found.values())


def _weight(item: ScoredItem, symbol: str, at: int, policy: SentimentPolicy) -> float:
    """What an item weighs for a symbol, before its source's weight."""
    if item.symbols and not {symbol, symbol.partition("/")[0]} & set(item.symbols):
        return 0.0
    about = 1.0 if item.symbols else policy.market
    if policy.weights.get(item.source, policy.default_weight) == 0.0:
        return 0.0
    return float(about * item.certainty * 2.0 ** (-(at - item.available_at) / policy.half_life))


def _joined(
    symbol: str, at: int, heard: Sequence[tuple[ScoredItem, float]], policy: SentimentPolicy, refused: int, later: int
) -> Sentiment:
    by_source: dict[str, list[tuple[ScoredItem, float]]] = {}
    for item, weight in heard:
        by_source.setdefault(item.source, []).append((item, weight))
    volume, means, masses = {}, {}, {}
    for source in sorted(by_source):
        masses[source] = mass = math.fsum(weight for _, weight in by_source[source])
        means[source] = math.fsum(item.score * weight for item, weight in by_source[source]) / mass
        volume[source] = policy.weights.get(source, policy.default_weight) * (1.0 - 2.0**-mass)
    total = math.fsum(volume.values())
    shares = {source: each / total for source, each in volume.items()} if total > 0 else dict.fromkeys(volume, 1 / len(volume))
    score = clip(math.fsum(shares[source] * means[source] for source in shares))
    spread = math.fsum(shares[item.source] * weight / masses[item.source] * (item.score - score) ** 2 for item, weight in heard)
    state = SentimentState.AVAILABLE if len(heard) >= policy.least else SentimentState.THIN
    voices = tuple(SourceVoice(source, clip(means[source]), shares[source], len(by_source[source])) for source in shares)
    found = Sentiment(
        symbol,
        at,
        state,
        "",
        score,
        clip(total / policy.full, 0.0, 1.0),
        clip(math.sqrt(spread), 0.0, 1.0),
        len(heard),
        at - heard[-1][0].available_at,
        tuple(sorted(voices, key=lambda voice: (-voice.share, voice.source))),
        tuple(item.id for item, _ in reversed(heard)),
        refused,
        later,
    )
    return _told(found)


def _told(found: Sentiment) -> Sentiment:
    assert found.score is not None  # something was said
    assert found.disagreement is not None
    mood = "positive" if found.score >= 0.15 else "negative" if found.score <= -0.15 else "neutral"
    thin = ", too little to go by" if found.state is SentimentState.THIN else ""
    split = ", divided" if found.disagreement >= 0.6 else ""
    sources = f"{len(found.voices)} source{'s' if len(found.voices) != 1 else ''}"
    words = f"{found.symbol}: {mood} ({found.score:+.2f}) from {found.count} items of {sources}{split}{thin}"
    return replace(found, words=words)
