"""Finding JSON in a text, and things in JSON, whatever the exact format."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

_DECODER = json.JSONDecoder()
_MOST_TRIES = 200
_MOST_NODES = 200_000
_UNTRUSTED = re.compile(r"untrusted|news|headline|social|posts?$")
_SYMBOL = re.compile(r"\b[A-Z0-9]{2,10}/[A-Z0-9]{2,10}\b")

Path = tuple[str, ...]


def documents(text: str) -> Iterator[tuple[int, int, Any]]:
    """Every JSON object or array of objects in a text, outermost only, with its start and end."""
    at = tries = 0
    while tries < _MOST_TRIES and (found := _next(text, at)) >= 0:
        tries += 1
        try:
            value, end = _DECODER.raw_decode(text, found)
        except (ValueError, RecursionError):
            at = found + 1
            continue
        if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict) for one in value)):
            yield found, end, value
        at = end


def _next(text: str, at: int) -> int:
    starts = [found for found in (text.find("{", at), text.find("[", at)) if found >= 0]
    return min(starts, default=-1)


def first_object(text: str) -> dict[str, Any] | None:
    """The first JSON object in a text."""
    return next((value for _, _, value in documents(text) if isinstance(value, dict)), None)


def prose(text: str) -> str:
    """The text without its JSON."""
    kept, at = [], 0
    for start, end, _ in documents(text):
        kept.append(text[at:start])
        at = end
    return " ".join([*kept, text[at:]])


def walk(value: Any) -> Iterator[tuple[Path, Any]]:
    """Every node with its path, the shallow ones first."""
    waiting: deque[tuple[Path, Any]] = deque([((), value)])
    for _ in range(_MOST_NODES):
        if not waiting:
            return
        path, node = waiting.popleft()
        yield path, node
        if isinstance(node, Mapping):
            waiting.extend(((*path, str(key)), below) for key, below in node.items())
        elif isinstance(node, list) and not (node and isinstance(node[0], int | float)):
            waiting.extend(((*path, str(index)), below) for index, below in enumerate(node))


def trusted(path: Path) -> bool:
    """Whether a node is outside of news and other people's words."""
    return not any(_UNTRUSTED.search(key.lower()) for key in path)


def untrusted_texts(value: Any) -> list[str]:
    """What other people say in a document."""
    return [node for path, node in walk(value) if isinstance(node, str) and not trusted(path)]


def number(value: Any) -> float | None:
    """The value as a finite number, where it is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < 1e15 else None  # also false of NaN


def symbols_in(text: str) -> list[str]:
    """Symbols such as `BTC/USDT` in a text, each once."""
    return list(dict.fromkeys(_SYMBOL.findall(text)))
