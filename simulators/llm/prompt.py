"""A request whatever its dialect: what the mind is told, and the terms of the answer.

Nothing here knows how a dialect spells it; `dialects` read requests into a `Prompt` and raise `Refusal` where the real service
would refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

Json = Mapping[str, Any]
Row = dict[str, Any]
Role = Literal["system", "user", "assistant", "tool"]


class Dialect(StrEnum):
    """The three protocols."""

    RESPONSES = "responses"
    CHAT = "chat"
    MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class Call:
    """The model wants a tool used, with these arguments."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. `answers` is the id of the call whose result a tool's turn is."""

    role: Role
    text: str
    calls: tuple[Call, ...] = ()
    answers: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool on offer; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Json


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request. `choice` is auto, none, required or a tool's name; `max_tokens` counts reasoning, too.

    `cache_marked` is the length in characters of what a Claude prompt marks for caching, for an hour or five minutes; elsewhere
    the provider caches unasked unless `cache_implicit` is False.
    """

    dialect: Dialect
    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    schema: Json | None = None
    wants_json: bool = False
    max_tokens: int | None = None
    effort: str | None = None
    thinks: bool = True
    stream: bool = False
    stream_usage: bool = True
    cache_marked: int | None = None
    cache_hour: bool = False
    cache_implicit: bool = True

    @property
    def instructions(self) -> str:
        """Everything said by the system."""
        return "\n".join(turn.text for turn in self.turns if turn.role == "system")

    @property
    def question(self) -> str:
        """The user's last message."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def since_question(self) -> tuple[Turn, ...]:
        """What followed the user's last message: tool calls and their results."""
        last = max((at for at, turn in enumerate(self.turns) if turn.role == "user"), default=-1)
        return self.turns[last + 1 :]


class Refusal(Exception):  # noqa: N818 - it is an answer, not a defect
    """The request is answered with an HTTP status and an error body instead.

    `kind` and `code` are OpenAI's words (`invalid_request_error`, `model_not_found`); Anthropic's are derived from the status.
    """

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.code, self.param = status, message, kind, code, param
        self.headers = dict(headers or {})
