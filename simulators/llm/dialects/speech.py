"""What every dialect can do, and which is which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from simulators.llm.catalogue import Catalogue, Model
from simulators.llm.dialects import chat, messages, responses
from simulators.llm.prompt import Dialect, Json, Prompt, Refusal, Row
from simulators.llm.reply import Reply


class Speech(Protocol):
    """A module of a dialect."""

    def read(self, body: Json, catalogue: Catalogue, headers: Mapping[str, str], /) -> tuple[Prompt, Model]:
        """The prompt and its model; `Refusal` where the real service refuses."""
        ...

    def write(self, reply: Reply, prompt: Prompt, model: Model, /) -> Row:
        """The whole answer."""
        ...

    def stream(self, reply: Reply, prompt: Prompt, model: Model, /) -> Iterator[bytes]:
        """The answer as server-sent events."""
        ...

    def error(self, refusal: Refusal, request_id: str, /) -> Row:
        """The body of an error."""
        ...

    def stream_error(self, refusal: Refusal, request_id: str, /) -> bytes:
        """An error inside a stream."""
        ...


def speech_of(dialect: Dialect) -> Speech:
    """How to speak a dialect."""
    match dialect:
        case Dialect.RESPONSES:
            return responses
        case Dialect.CHAT:
            return chat
        case Dialect.MESSAGES:
            return messages


def request_id_header(dialect: Dialect) -> str:
    """The header that names a request."""
    return "request-id" if dialect is Dialect.MESSAGES else "x-request-id"
