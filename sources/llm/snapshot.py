"""The market snapshot: what an LLM is told of a symbol, the books and its own past, as canonical JSON.

It is a pure function of its inputs: no clock, no chance. Numbers are rounded, what is missing is null, and there are no ids, no
dates and, unless asked for, no amounts of the account, only ages and shares. Whatever somebody else wrote (news, and the words
of models) is made plain and kept apart, under the two keys that begin with `untrusted_`; the rest has numbers and short words of
code alone. The keys of `evidence` and the `id` of news, positions and decisions are what an answer may cite.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count, islice
from typing import Any

import orjson

from bot.core.briefing import Briefing, Held
from bot.core.decision import Action
from bot.core.market import MarketView
from sources.llm.frames import Frames, SnapshotError, step
from sources.llm.wording import is_code, plain, plain_json, tidy

__all__ = ["UNTRUSTED", "NewsState", "OwnDecision", "Sight", "Snapshot", "SnapshotError", "SnapshotSpec", "Thesis", "take"]

FORMAT = 1
UNTRUSTED = ("untrusted_news", "untrusted_words")
_LONGEST_WORDS, _LONGEST_INVALIDATION, _LONGEST_NEWS = 600, 200, 300
_LONGEST_TITLE, _LONGEST_SYMBOL = 200, 40
_NEWS_ID = re.compile(r"n[0-9]{1,6}")
_MOST_EXTRA_DEPTH = 6


class NewsState(StrEnum):
    """Why there are no news: nobody wants any, or they cannot be had."""

    OFF = "off"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class OwnDecision:
    """An earlier decision of the same source. `pnl` is a fraction of equity, None while it is not known; `at` is ms UTC.

    `fate` and `outcome` are words of code, such as executed and won.
    """

    at: int
    action: Action
    confidence: float
    reasoning: str
    fate: str
    pnl: float | None = None
    outcome: str = "open"


@dataclass(frozen=True, slots=True)
class Thesis:
    """Why a position was entered, and what would prove that wrong, in the words of whoever entered it."""

    text: str
    invalidation: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """All that a snapshot is made of.

    `timeframes` in the order of the configuration; `decisions` newest first; `theses` by the id of the decision that opened the
    position; `news` is JSON with `items` that have an `id` each, None where they cannot be had; `extra` holds numbers and words
    of code by the name of their block, `words` texts of any kind (lessons, say) by name. `source` tells own positions from those
    of others.
    """

    symbol: str
    view: MarketView
    briefing: Briefing
    timeframes: tuple[str, ...]
    decisions: Sequence[OwnDecision] = ()
    theses: Mapping[str, Thesis] = field(default_factory=dict)
    news: Mapping[str, Any] | NewsState | None = NewsState.OFF
    extra: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotSpec:
    """How much of it. Counts are at most; `digits` are significant ones; `money` shows the equity and the cash themselves."""

    closes: int = 24
    depth: int = 200
    digits: int = 6
    positions: int = 12
    decisions: int = 5
    news: int = 10
    money: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot. `at` is ms UTC and is not in the body; `canonical` is the body as canonical JSON and `hash` its SHA-256.

    `ids` are those that an answer may cite. `candle_id` names the newest closed candle of the `shortest` timeframe, empty where
    there is none. `dedupe_key` is the same while neither candles nor positions nor news have changed and the price hardly has.
    """

    symbol: str
    at: int
    price: float | None
    body: Mapping[str, Any] = field(repr=False)
    canonical: bytes = field(repr=False)
    hash: str
    ids: frozenset[str] = field(repr=False)
    candle_id: str = ""
    dedupe_key: str = ""
    shortest: str = ""

    @property
    def trusted(self) -> dict[str, Any]:
        """The body without other people's words."""
        return {key: value for key, value in self.body.items() if key not in UNTRUSTED}

    @property
    def untrusted(self) -> dict[str, Any]:
        """Other people's words, and those of models."""
        return {key: self.body[key] for key in UNTRUSTED}

    def without_news(self) -> Snapshot:
        """The same as if nobody had asked for news."""
        items = self.body["untrusted_news"] or {}
        gone = {str(item["id"]) for item in items.get("items", ())}
        body = {**self.body, "news_state": NewsState.OFF.value, "untrusted_news": None}
        canonical = _canonical(body)
        digest = hashlib.sha256(canonical).hexdigest()
        key = _key((self.dedupe_key, "without news"))
        return replace(self, body=body, canonical=canonical, hash=digest, ids=self.ids - gone, dedupe_key=key)


def take(sight: Sight, spec: SnapshotSpec | None = None) -> Snapshot:
    """The snapshot of what is seen. `SnapshotError` for an `extra` with sentences in it and for what is no timeframe."""
    spec = spec or SnapshotSpec()
    at, price = sight.briefing.at, tidy(sight.view.price(sight.symbol), spec.digits)
    frames = Frames(sight.symbol, sight.timeframes)
    frames.read(sight.view, at, depth=spec.depth, closes=spec.closes, digits=spec.digits)
    words: dict[str, Any] = {}
    positions = _positions(sight, spec, words)
    decisions = _decisions(sight, spec, words)
    news, state = _news(sight.news, spec)
    if sight.words:
        words["notes"] = plain_json(sight.words, longest=_LONGEST_WORDS)
    body: dict[str, Any] = {
        "account": _account(sight, spec),
        "extra": {name: _extra(value, f"extra.{name}", spec.digits) for name, value in sight.extra.items()},
        "format": FORMAT,
        "limits": _limits(sight.briefing),
        "news_state": state,
        "positions": positions,
        "price": price,
        "quote": _quote(sight, spec),
        "recent_decisions": decisions,
        "symbol": sight.symbol,
        "timeframes": frames.told,
        "untrusted_news": news,
        "untrusted_words": words,
    }
    canonical = _canonical(body)
    return Snapshot(
        symbol=sight.symbol,
        at=at,
        price=price,
        body=body,
        canonical=canonical,
        hash=hashlib.sha256(canonical).hexdigest(),
        ids=frozenset(_ids(frames, positions, decisions, news)),
        candle_id=frames.candle_id,
        dedupe_key=_dedupe_key(sight, frames, price, news),
        shortest=frames.shortest,
    )


def _quote(sight: Sight, spec: SnapshotSpec) -> dict[str, float | int | None]:
    quote = sight.view.quotes.get(sight.symbol)
    if quote is None:
        return {"age_s": None, "ask": None, "bid": None, "spread_bps": None}
    mid = quote.mid
    return {
        "age_s": max(0, sight.briefing.at - quote.at) // 1000,
        "ask": tidy(quote.ask, spec.digits),
        "bid": tidy(quote.bid, spec.digits),
        "spread_bps": tidy((quote.ask - quote.bid) / mid * 1e4, 3) if mid else None,
    }


def _account(sight: Sight, spec: SnapshotSpec) -> dict[str, Any]:
    books = sight.briefing
    told: dict[str, Any] = {
        "cash_share": tidy(books.cash / books.equity, 4) if books.equity > 0 else None,
        "day_change": tidy(books.day_change, 4),
        "drawdown": tidy(books.drawdown, 4),
        "exposure": tidy(books.exposure, 4),
        "held_of_symbol": tidy(books.share(sight.symbol), 4),
        "state": books.state.value,
    }
    if spec.money:
        told |= {
            "cash": tidy(books.cash, spec.digits),
            "currency": _code(books.currency),
            "equity": tidy(books.equity, spec.digits),
        }
    return told


def _limits(books: Briefing) -> dict[str, Any]:
    return {
        use.name: {"left": tidy(max(0.0, use.limit - use.used), 4), "limit": tidy(use.limit, 4), "used": tidy(use.used, 4)}
        for use in books.limits
    }


def _positions(sight: Sight, spec: SnapshotSpec, words: dict[str, Any]) -> list[dict[str, Any]]:
    """This symbol's first, then the largest; the words about them go into `words` under the same id."""
    held = sorted(sight.briefing.held, key=lambda one: (one.symbol != sight.symbol, -abs(one.share), one.symbol))
    told = []
    for number, one in enumerate(held[: spec.positions], 1):
        id_ = f"p{number}"
        told.append(_position(sight, spec, one, id_))
        thesis = sight.theses.get(one.decision_id or "")
        if thesis is not None:
            words[id_] = {
                "invalidation": plain(thesis.invalidation, _LONGEST_INVALIDATION),
                "thesis": plain(thesis.text, _LONGEST_WORDS),
            }
    return told


def _position(sight: Sight, spec: SnapshotSpec, one: Held, id_: str) -> dict[str, Any]:
    entry, equity = float(one.average), sight.briefing.equity
    sign = 1.0 if one.amount >= 0 else -1.0
    return {
        "entry": tidy(entry, spec.digits),
        "held_min": max(0, sight.briefing.at - one.opened) // 60_000,
        "id": id_,
        "opened_by": "self" if one.source == sight.source else "other",
        "price": tidy(one.price, spec.digits),
        "return": tidy(sign * (one.price / entry - 1.0), 4) if entry else None,
        "share": tidy(one.share, 4),
        "stop_loss": tidy(one.stop_loss, spec.digits),
        "symbol": plain(one.symbol, _LONGEST_SYMBOL),  # a venue may name a market as it likes
        "take_profit": tidy(one.take_profit, spec.digits),
        "trailing_stop": tidy(one.trailing_stop, spec.digits),
        "unrealised": tidy(one.unrealised / equity, 4) if equity > 0 else None,
    }


def _decisions(sight: Sight, spec: SnapshotSpec, words: dict[str, Any]) -> list[dict[str, Any]]:
    told = []
    for number, one in enumerate(islice(sight.decisions, spec.decisions), 1):
        id_ = f"d{number}"
        told.append(
            {
                "action": one.action.value,
                "age_min": max(0, sight.briefing.at - one.at) // 60_000,
                "confidence": tidy(one.confidence, 3),
                "fate": _code(one.fate),
                "id": id_,
                "outcome": _code(one.outcome),
                "pnl": tidy(one.pnl, 4),
            }
        )
        words[id_] = {"reasoning": plain(one.reasoning, _LONGEST_WORDS)}
    return told


def _news(news: Mapping[str, Any] | NewsState | None, spec: SnapshotSpec) -> tuple[dict[str, Any] | None, str]:
    """The news as they may be told, every item with an id of its own, and their state."""
    if news is None or isinstance(news, NewsState):
        return None, (news or NewsState.UNAVAILABLE).value
    items, taken = [], set[str]()
    given = news.get("items", ())
    for number, item in enumerate(islice(given, spec.news), 1):
        if not isinstance(item, Mapping):
            continue
        id_ = str(item.get("id", ""))
        # An id stands among what is trusted: it is a number or it is replaced.
        if not _NEWS_ID.fullmatch(id_) or id_ in taken:
            id_ = next(f"n{free}" for free in count(number) if f"n{free}" not in taken)
        taken.add(id_)
        told = plain_json({**item, "id": None}, longest=_LONGEST_NEWS)
        if isinstance(told.get("title"), str):
            told["title"] = plain(told["title"], _LONGEST_TITLE)
        items.append({**told, "id": id_})
    rest = {key: value for key, value in news.items() if key != "items"}
    return {**plain_json(rest, longest=_LONGEST_NEWS), "items": items}, "given"


def _extra(value: object, where: str, digits: int, depth: int = 0) -> Any:
    """A block of ours: numbers and words of code, never sentences."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return tidy(float(value), digits)
    if isinstance(value, str) and is_code(value):
        return str(value)
    if isinstance(value, Mapping) and depth < _MOST_EXTRA_DEPTH and all(isinstance(key, str) and is_code(key) for key in value):
        return {key: _extra(each, f"{where}.{key}", digits, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple) and depth < _MOST_EXTRA_DEPTH:
        return [_extra(each, f"{where}[{at}]", digits, depth + 1) for at, each in enumerate(value)]
    message = f"{where} is {str(value)[:60]!r}: give numbers and words of code, and texts as `words`"
    raise SnapshotError(message)


def _code(word: str) -> str | None:
    return word if is_code(word) else None


def _ids(frames: Frames, positions: Sequence[Any], decisions: Sequence[Any], news: Mapping[str, Any] | None) -> list[str]:
    rows = [*positions, *decisions, *(news["items"] if news else ())]
    return [*frames.ids, *(str(row["id"]) for row in rows)]


def _dedupe_key(sight: Sight, frames: Frames, price: float | None, news: Mapping[str, Any] | None) -> str:
    held = sorted((one.symbol, str(one.amount)) for one in sight.briefing.held)
    # Within a candle the price moves: half of its usual range is another state.
    moved = None if price is None else step(price - frames.close, frames.reach / 2)
    items = [(item["id"], item.get("title")) for item in news["items"]] if news else None
    return _key((sight.symbol, frames.candle_id, frames.coarse, moved, held, sight.briefing.state.value, items))


def _key(parts: object) -> str:
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()


def _canonical(body: Mapping[str, Any]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
