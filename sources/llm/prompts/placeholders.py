"""What a template may name, and what stands there when it is rendered.

Placeholders are texts, numbers and short lists, never objects: there is nothing to reach into. Those of the system part change
only with the configuration, so that a provider can cache it; whatever changes with the market belongs to the user part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import orjson

from sources.llm.snapshot import Snapshot

Value: TypeAlias = "str | float | tuple[str, ...] | None"


class Kind(StrEnum):
    """What a placeholder is. Only lists may be looped over; a block of JSON is written as it is, and once."""

    TEXT = "text"
    NUMBER = "number"
    LIST = "list"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One name. `stable`: it may stand in the system part as well. `most` is how many items a list has at most."""

    name: str
    description: str
    kind: Kind = Kind.TEXT
    required: bool = False
    stable: bool = False
    most: int = 0


UNTRUSTED = "untrusted"
SNAPSHOT = "snapshot"
PLACEHOLDERS: Mapping[str, Placeholder] = {
    one.name: one
    for one in (
        Placeholder("schema", "the fields of the answer, in words", required=True, stable=True),
        Placeholder("limits", "what the limits of the risk checks let through, in words", required=True, stable=True),
        Placeholder("symbol", "the market, such as BTC/USDT", required=True, stable=True),
        Placeholder("actions", "what may be done", Kind.LIST, stable=True, most=8),
        Placeholder("timeframes", "the timeframes of the snapshot", Kind.LIST, stable=True, most=12),
        Placeholder(SNAPSHOT, "the market, the books and the source's own past, as JSON", Kind.JSON, required=True),
        Placeholder("price", "the newest price; none while there is none", Kind.NUMBER),
        Placeholder("trend", "the trend of the shortest timeframe: up, down, flat or unknown"),
        Placeholder("volatility", "that of the shortest timeframe: low, normal, high or unknown"),
        Placeholder("held", "what is held of the symbol, as a fraction of equity", Kind.NUMBER),
        Placeholder("trading_state", "active, reducing or halted"),
        Placeholder("news_state", "given, unavailable or off"),
        Placeholder("evidence", "the ids that an answer may cite", Kind.LIST, most=256),
        Placeholder(
            UNTRUSTED,
            "news and the words of models, as JSON; it stands once, at the very end of the user part",
            Kind.JSON,
            required=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What the configuration says, in words of our own: the fields of the answer, the limits, and what may be done."""

    schema: str
    limits: str
    actions: tuple[str, ...] = ("buy", "sell", "hold")


def values(snapshot: Snapshot, terms: Terms) -> dict[str, Value]:
    """What stands for each placeholder."""
    body = snapshot.body
    frame = _shortest(body["timeframes"], snapshot.shortest)
    given: dict[str, Value] = {
        "schema": terms.schema,
        "limits": terms.limits,
        "symbol": snapshot.symbol,
        "actions": terms.actions,
        "timeframes": tuple(body["timeframes"]),
        SNAPSHOT: orjson.dumps(snapshot.trusted, option=orjson.OPT_SORT_KEYS).decode(),
        "price": snapshot.price,
        "trend": frame.get("trend", "unknown"),
        "volatility": frame.get("volatility", "unknown"),
        "held": body["account"]["held_of_symbol"],
        "trading_state": body["account"]["state"],
        "news_state": body["news_state"],
        "evidence": tuple(sorted(snapshot.ids)),
        UNTRUSTED: data(snapshot.untrusted),
    }
    return {name: _bounded(name, value) for name, value in given.items()}


def data(value: Mapping[str, Any]) -> str:
    """JSON that cannot be taken for markup: no angle bracket, ampersand or backtick in it is written as itself."""
    told = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    # None of these is ever part of JSON outside of a string, where an escape means the same.
    return told.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("`", "\\u0060")


def _shortest(frames: Mapping[str, Any], timeframe: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = frames.get(timeframe, {})
    return found


def _bounded(name: str, value: Value) -> Value:
    return value[: PLACEHOLDERS[name].most] if isinstance(value, tuple) else value
