"""The last requests, bodies kept and keys not, and counts of everything; bounded."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from simulators.llm.gate import redacted
from simulators.llm.prompt import Row

_SECRET = ("authorization", "x-api-key", "cookie", "proxy-authorization")
_MOST_MODELS = 200


@dataclass(slots=True)
class Record:
    """One request and what became of it. `at` is ms UTC; `fault` the mode that struck it; usage is None where none was billed."""

    number: int
    at: int
    path: str
    headers: Mapping[str, str]
    body: bytes
    key: str = ""
    dialect: str = ""
    model: str = ""
    stream: bool = False
    status: int = 0
    fault: str = ""
    usage: Mapping[str, int] | None = None
    request_id: str = ""
    ended: str = ""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def as_row(self) -> Row:
        """For JSON: the body parsed, where it can be."""
        try:
            body: Any = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            body = self.text
        told = {name: getattr(self, name) for name in self.__slots__ if name not in ("body", "headers")}
        return {**told, "headers": dict(self.headers), "body": body}


class Records:
    """At most `most` requests and `most_bytes` of bodies; `dropped` counts those that had to go."""

    def __init__(self, most: int = 500, most_bytes: int = 32 << 20) -> None:
        self._kept: deque[Record] = deque()
        self._most, self._most_bytes, self._bytes, self._number = most, most_bytes, 0, 0
        self.dropped = 0
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in ("dialects", "models", "statuses", "tokens", "ended")}

    def open(self, at: int, path: str, headers: Mapping[str, str], body: bytes, key: str) -> Record:
        """A request came in."""
        self._number += 1
        shown = {f"{name}": "[redacted]" if name.lower() in _SECRET else value for name, value in headers.items()}
        record = Record(self._number, at, path, shown, body, redacted(key))
        self._kept.append(record)
        self._bytes += len(body)
        while len(self._kept) > self._most or (self._bytes > self._most_bytes and len(self._kept) > 1):
            self._bytes -= len(self._kept.popleft().body)
            self.dropped += 1
        return record

    def close(self, record: Record, ended: str) -> None:
        """It was answered, cut off or left."""
        record.ended = ended
        models = self.counts["models"]
        name = record.model if record.model in models or len(models) < _MOST_MODELS else "others"
        for counts, value in (("dialects", record.dialect), ("models", name), ("statuses", str(record.status)), ("ended", ended)):
            if value:
                self.counts[counts][value] += 1
        self.counts["tokens"].update(record.usage or {})

    def last(self, count: int | None = None) -> list[Record]:
        """The newest ones, oldest first."""
        kept = list(self._kept)
        return kept if count is None else kept[max(0, len(kept) - count) :]
