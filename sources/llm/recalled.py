"""A snapshot as it was recorded with an answer: enough to ask the same question again, and to judge what is answered to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bot.core.market import timeframe_ms
from sources.llm.snapshot import FORMAT, UNTRUSTED, Snapshot

_PARTS = (
    "account",
    "limits",
    "news_state",
    "positions",
    "price",
    "quote",
    "recent_decisions",
    "symbol",
    "timeframes",
    *UNTRUSTED,
)


class NotRecallable(ValueError):  # noqa: N818 - a state of what was recorded
    """A recorded market state that this version cannot read; the message says what it lacks."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A recorded snapshot with the market of its moment: `bid` and `ask`, and the `share` of equity held of its symbol."""

    snapshot: Snapshot
    bid: float
    ask: float
    share: float


def recalled(state: str, at: int) -> Recalled:
    """The snapshot of a market state (canonical JSON) that was recorded at `at`, ms UTC. `NotRecallable` if it cannot be read."""
    try:
        body: Any = orjson.loads(state)
    except orjson.JSONDecodeError as error:
        message = f"the recorded market state is no JSON: {error}"
        raise NotRecallable(message) from error
    lacking = [part for part in _PARTS if not isinstance(body, dict) or part not in body]
    if lacking or body.get("format") != FORMAT:
        message = f"the recorded market state is of another format: it lacks {', '.join(lacking) or f'format {FORMAT}'}"
        raise NotRecallable(message)
    canonical = state.encode()
    # Canonical JSON has sorted them by name; a configuration lists them from the shortest on.
    body["timeframes"] = dict(sorted(body["timeframes"].items(), key=lambda frame: timeframe_ms(frame[0])))
    shortest = next(iter(body["timeframes"]), "")
    snapshot = Snapshot(
        symbol=str(body["symbol"]),
        at=at,
        price=body["price"],
        body=body,
        canonical=canonical,
        hash=hashlib.sha256(canonical).hexdigest(),
        ids=frozenset(_ids(body)),
        shortest=shortest,
    )
    quote, price = body["quote"], float(body["price"] or 0.0)
    bid, ask = (quote["bid"] or price, quote["ask"] or price) if quote["bid"] and quote["ask"] else (price, price)
    return Recalled(snapshot, float(bid), float(ask), float(body["account"].get("held_of_symbol") or 0.0))


def _ids(body: Mapping[str, Any]) -> list[str]:
    figures = [name for frame in body["timeframes"].values() for name, value in frame["evidence"].items() if value is not None]
    news = body["untrusted_news"] or {}
    rows = [*body["positions"], *body["recent_decisions"], *news.get("items", ())]
    return [*figures, *(str(row["id"]) for row in rows)]
