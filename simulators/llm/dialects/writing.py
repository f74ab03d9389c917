"""Writing answers: server-sent events, and texts in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

_PIECE = 24
_MOST_PIECES = 400  # a huge text comes in larger pieces


def event(body: Any, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + orjson.dumps(body) + b"\n\n"


def pieces(text: str) -> Iterator[str]:
    """A text as it trickles in."""
    size = max(_PIECE, -(-len(text) // _MOST_PIECES))
    for start in range(0, len(text), size):
        yield text[start : start + size]


def dumps(value: Any) -> str:
    """Compact JSON."""
    return orjson.dumps(value).decode()
