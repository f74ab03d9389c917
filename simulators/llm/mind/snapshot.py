"""Reading a market snapshot by common names, whatever its exact format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulators.llm.mind.finding import Path, number, trusted, untrusted_texts, walk

_TIMEFRAME = re.compile(r"^(\d{1,3})(s|m|h|d|w|M)$")
_UNIT_MINUTES = {"s": 1 / 60, "m": 1.0, "h": 60.0, "d": 1_440.0, "w": 10_080.0, "M": 43_200.0}
_CLOSES = ("close", "closes", "c")
_ROWS = ("candles", "ohlcv", "bars", "rows", "klines")
_PRICES = ("price", "last", "mid", "mark", "last_price", "close")
_POSITIONS = ("positions", "position", "holdings", "open_positions")
_AMOUNTS = ("amount", "quantity", "qty", "size", "units", "base")
_LISTS_OF_IDS = re.compile(r"(^|_)ids$|^evidence")


@dataclass(slots=True)
class Frame:
    """One timeframe: closes, oldest first, and whatever numbers and words stand beside them, by lower-case name."""

    minutes: float
    closes: list[float] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class View:
    """What was understood. `held` is the amount in the position, None where the snapshot says nothing of positions.

    `ids` are those that may serve as evidence: what is listed as such, or else the ids of whatever has one (`loose_ids`).
    """

    symbol: str = ""
    price: float | None = None
    frames: dict[str, Frame] = field(default_factory=dict)
    held: float | None = None
    ids: list[str] = field(default_factory=list)
    loose_ids: list[str] = field(default_factory=list)
    untrusted: list[str] = field(default_factory=list)


def read(document: Mapping[str, Any]) -> View:
    """The view of a document; what it does not say stays empty."""
    view = View(untrusted=untrusted_texts(document))
    for path, node in walk(document):
        if trusted(path):
            _note(view, path, node)
    frame = min((one for one in view.frames.values() if one.closes), key=lambda one: one.minutes, default=None)
    if view.price is None and frame is not None:
        view.price = frame.closes[-1]
    bid, ask = _scalar(document, "bid"), _scalar(document, "ask")
    if bid and ask:
        view.price = (bid + ask) / 2
    view.held = _held(document, view.symbol)
    view.ids = list(dict.fromkeys(view.ids or view.loose_ids))
    return view


def _note(view: View, path: Path, node: Any) -> None:
    name = path[-1].lower() if path else ""
    within = next((key for key in path if _TIMEFRAME.match(key)), "")
    if isinstance(node, Mapping):
        _note_mapping(view, within, node)
    if name == "symbol" and isinstance(node, str) and not view.symbol:
        view.symbol = node
    if (
        name in _PRICES
        and not within
        and view.price is None
        and not set(path) & {"positions", "position", "decisions", "history"}
    ):
        view.price = number(node)
    if within:
        _fill(view.frames.setdefault(within, Frame(minutes_of(within))), name, node)
    if _LISTS_OF_IDS.search(name):
        view.ids += _ids(node)
    if name == "id" and isinstance(node, str):
        view.loose_ids.append(node)


def _note_mapping(view: View, within: str, node: Mapping[str, Any]) -> None:
    """An object that names its timeframe, or has an id."""
    timeframe = str(node.get("timeframe", node.get("tf", "")))
    if _TIMEFRAME.match(timeframe) and not within:
        frame = view.frames.setdefault(timeframe, Frame(minutes_of(timeframe)))
        for path, below in walk(node):
            _fill(frame, path[-1].lower() if path else "", below)


def _fill(frame: Frame, name: str, node: Any) -> None:
    if isinstance(node, list):
        if not frame.closes:
            frame.closes = _closes(name, node)
        elif name not in (*_CLOSES, *_ROWS) and node and (last := number(node[-1])) is not None:
            frame.figures.setdefault(name, last)  # a series of an indicator: its newest value
    elif (found := number(node)) is not None and not name.isdigit():
        frame.figures.setdefault(name, found)
    elif isinstance(node, str):
        frame.words.setdefault(name, node.lower())


def _closes(name: str, node: list[Any]) -> list[float]:
    if name in _CLOSES:
        return [value for value in map(number, node) if value]
    if not node or not (name in _ROWS or _TIMEFRAME.match(name)):
        return []
    if isinstance(node[0], Mapping):
        return [value for row in node if isinstance(row, Mapping) for value in [number(row.get("close", row.get("c")))] if value]
    if isinstance(node[0], list):  # [ts, o, h, l, c, v], or without the time
        at = 4 if len(node[0]) >= 6 else 3
        return [value for row in node if isinstance(row, list) and len(row) > at for value in [number(row[at])] if value]
    return []


def _ids(node: Any) -> list[str]:
    if isinstance(node, Mapping):
        return [str(key) for key in node]
    rows = node if isinstance(node, list) else []
    given = [one.get("id") if isinstance(one, Mapping) else one for one in rows]
    return [one for one in given if isinstance(one, str)]


def _scalar(document: Mapping[str, Any], name: str) -> float | None:
    return next((found for path, node in walk(document) if path[-1:] == (name,) and (found := number(node)) is not None), None)


def _held(document: Mapping[str, Any], symbol: str) -> float | None:
    """The amount held of a symbol; 0 when there are positions but none of it."""
    for path, node in walk(document):
        if not path or path[-1].lower() not in _POSITIONS:
            continue
        if node is None:
            return 0.0
        rows = node if isinstance(node, list) else [node] if isinstance(node, Mapping) else []
        if isinstance(node, Mapping) and isinstance(node.get(symbol), Mapping):
            return _amount(node[symbol])
        for row in rows:
            if isinstance(row, Mapping) and row and row.get("symbol", symbol) == symbol:
                return _amount(row)
        return 0.0
    return None


def _amount(row: Mapping[str, Any]) -> float:
    given = [number(row[name]) for name in _AMOUNTS if name in row]
    known = [value for value in given if value is not None]
    return known[0] if known else 1.0 if row else 0.0


def minutes_of(timeframe: str) -> float:
    """Minutes of `15m`, `1h` and their like."""
    found = _TIMEFRAME.match(timeframe)
    return int(found[1]) * _UNIT_MINUTES[found[2]] if found else 60.0
