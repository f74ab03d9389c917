"""An answer whatever its dialect."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from simulators.llm.prompt import Call


class Stop(StrEnum):
    """Why the model stopped."""

    DONE = "done"
    LENGTH = "length"
    TOOLS = "tools"
    REFUSAL = "refusal"
    FAILED = "failed"  # the Responses protocol's own word for an answer that went wrong half way


@dataclass(frozen=True, slots=True)
class Thought:
    """What the mind wants to say: a text, or tools to use, or that it will not."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. `cached` and `written` are parts of `input`, `reasoning` is a part of `output`."""

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; `id` is without a prefix, `created` in seconds UTC.

    `thinks` shows a block of thinking first; `cache_hour` says that what was written to the cache stays for an hour.
    """

    id: str
    created: int
    model: str
    thought: Thought
    stop: Stop
    usage: Usage
    thinks: bool = False
    cache_hour: bool = False
