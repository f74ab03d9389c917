"""What an answer holds, and careful hands for a body that somebody else wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from sources.llm.asking import Stop, ToolCall, Usage

_MOST_TOKENS = 10**9  # a count beyond it is no count


class Unreadable(ValueError):  # noqa: N818 - it names what the body is
    """A body is no answer of this protocol."""


class Failed(Exception):  # noqa: N818 - it names what happened to the request
    """The provider took the request and then failed at it; `body` is its error."""

    def __init__(self, body: object) -> None:
        super().__init__("the provider failed")
        self.body = body


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read. `usage` is None where the provider gave none; `native` is the turn as it wrote it, as JSON."""

    text: str
    stop: Stop
    usage: Usage | None
    tool_calls: tuple[ToolCall, ...] = ()
    native: str = ""
    reported_cost: Decimal | None = None


def part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part that is an object; empty where it is missing or something else."""
    value = body.get(name)
    return value if isinstance(value, Mapping) else {}


def parts(body: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a list; none where it is missing or something else."""
    value = body.get(name)
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else iter(())


def words(body: Mapping[str, Any], name: str) -> str:
    """A text; empty where it is missing or something else."""
    value = body.get(name)
    return value if isinstance(value, str) else ""


def tokens(body: Mapping[str, Any], name: str) -> int:
    """A count of tokens; 0 where it is missing or absurd."""
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else 0


def usage_of(total: int, output: int, *, cached: int = 0, written: int = 0, hour: int = 0, reasoning: int = 0) -> Usage | None:
    """Usage of which the parts fit the whole; None where there is nothing in it."""
    if total + output == 0:
        return None
    cached = min(cached, total)
    written = min(written, total - cached)
    return Usage(total, cached, written, output, min(reasoning, output), min(hour, written))


def object_of(text: str | bytes) -> Mapping[str, Any] | None:
    """The JSON object that a text is; None where it is none. NaN and infinities are no JSON."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def call_of(call_id: str, name: str, arguments: str) -> ToolCall:
    """A tool call whose arguments came as text."""
    return ToolCall(call_id, name, object_of(arguments or "{}"), arguments)


def told(schema: Mapping[str, Any]) -> str:
    """The words by which a model that takes no schema is held to one."""
    return f"Answer with one JSON object and nothing else, of this JSON schema: {orjson.dumps(dict(schema)).decode()}"
