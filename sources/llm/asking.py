"""What is asked of an LLM and what comes back, whatever the provider.

An answer that arrived is a `Reply`, also one that is refused, cut off or no valid JSON: it has been paid for, so its usage and
its raw text are never lost; its `fault` says why there is nothing to use in it. A call that brought no answer is an `LlmError`,
which says whether it may have been billed all the same. Neither holds a key or an account id.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

import orjson

from sources.llm.models import Effort, Model

LARGEST_REPLY = 1 << 20  # bytes of an answer, as it comes from the wire


class Role(StrEnum):
    """What an LLM is asked for; each has candidates of its own."""

    DECISION = "decision"
    CHAT = "chat"
    ANALYSIS = "analysis"
    COPILOT = "copilot"


class Speaker(StrEnum):
    """Who said it."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Stop(StrEnum):
    """Why a model stopped."""

    DONE = "done"
    LENGTH = "length"
    REFUSAL = "refusal"
    TOOLS = "tools"  # it waits for the results of its tool calls
    OTHER = "other"


class Trouble(StrEnum):
    """What went wrong; the values serve as reason codes of abstentions."""

    # of a call
    AUTHENTICATION = "authentication"
    CREDIT = "credit"
    RATE_LIMIT = "rate_limit"
    OVERLOAD = "overload"
    SERVER = "server"
    TRANSPORT = "transport"
    TIMEOUT = "timeout"
    BAD_REQUEST = "bad_request"
    UNREADABLE = "unreadable"  # what came back is no answer of this protocol
    TOO_LARGE = "too_large"  # the reply was cut off at its cap in bytes
    # of an answer
    REFUSAL = "refusal"
    TRUNCATED = "length"
    SCHEMA = "schema"  # no JSON, or JSON that breaks the schema
    # before a call
    BUDGET = "budget"
    UNPRICED = "unpriced"
    BREAKER = "breaker"  # every candidate's breaker is open
    RESTING = "resting"
    DISABLED = "disabled"  # no candidate is left: keys are wrong or missing


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model wants a tool used. `arguments` is None where what it gave is no JSON object; `text` is what it gave."""

    id: str
    name: str
    arguments: Mapping[str, Any] | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Native:
    """A model's turn as its provider wrote it (JSON): with tools, the same model wants it back whole, its thoughts included."""

    provider: str
    model: str
    content: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. An assistant's may hold tool calls; a tool's answers the call `answers`."""

    speaker: Speaker
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    answers: str = ""
    native: Native | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Tool:
    """What a model may ask to have used; `parameters` is a portable schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Schema:
    """The form an answer must have: a portable JSON schema (see `sources.llm.schemas`) and its name."""

    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Caching:
    """What is known of how a prompt's beginning (the instructions) comes again.

    `key` groups calls with the same beginning, such as the name and version of a template; `every_s` is how far apart they are,
    by which the life of a cache entry is chosen, or none at all.
    """

    key: str
    every_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One question. Stable text belongs into `instructions`, what changes into the messages; sizes are tokens.

    `max_output_tokens` includes what a model thinks: below some 2,000 an answer may be cut off and paid for. `temperature` is
    sent only to models that are known to take it.
    """

    role: Role
    instructions: str
    messages: tuple[Message, ...]
    schema: Schema | None = None
    max_output_tokens: int = 4096
    effort: Effort | None = None
    tools: tuple[Tool, ...] = ()
    caching: Caching | None = None
    temperature: float | None = None

    @property
    def prompt_hash(self) -> str:
        """SHA-256 of all that the model is told: the same prompt has the same hash at every provider."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def canonical(self) -> bytes:
        """Canonical JSON of the prompt: instructions, messages, schema and tools."""
        turns = [(turn.speaker, turn.text, turn.tool_calls, turn.answers) for turn in self.messages]
        return orjson.dumps((self.instructions, turns, self.schema, self.tools), option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, the same way for every provider.

    `input` is the whole prompt, `cached` and `cache_write` (and its part `cache_write_1h`) are parts of it; `output` is all that
    is billed as output and `reasoning` a part of that.
    """

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cache_write_1h: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that arrived. With a `fault` it is of no use, but it is paid for.

    `parsed` is there when a schema was asked for and kept to. `cost` is USD by our own price table; `reported_cost` what the
    provider says, where it says it. `raw` is what came over the wire, of at most `LARGEST_REPLY` bytes. `fallback` says how many
    candidates had failed before this one was asked. Where the provider gave no usage, it is our estimate.
    """

    text: str
    parsed: Mapping[str, Any] | None
    usage: Usage
    cost: Decimal
    latency_ms: int
    request_id: str
    stop: Stop
    provider: str
    model: str
    prompt_hash: str
    raw: bytes = field(default=b"", repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    fallback: int = 0
    fault: Trouble | None = None
    fault_detail: str = ""
    effort: Effort | None = None
    reported_cost: Decimal | None = None
    usage_estimated: bool = False
    native: Native | None = field(default=None, repr=False)

    @property
    def turn(self) -> Message:
        """The answer as a turn of a conversation that goes on."""
        return Message(Speaker.ASSISTANT, self.text, self.tool_calls, native=self.native)


class LlmError(Exception):
    """A call that brought no answer, or was not made.

    `may_have_been_billed` is True where the provider may have worked for us though no answer came: its reservation stays spent.
    `tried` holds the failures of each candidate when a whole chain failed, in order.
    """

    def __init__(
        self,
        trouble: Trouble,
        reason: str,
        *,
        provider: str = "",
        model: str = "",
        may_have_been_billed: bool = False,
        retry_after_s: float | None = None,
        status: int | None = None,
        request_id: str = "",
        tried: tuple[LlmError, ...] = (),
    ) -> None:
        where = f"{provider}/{model}: " if model else f"{provider}: " if provider else ""
        super().__init__(f"{where}{reason}")
        self.trouble = trouble
        self.reason = reason
        self.provider = provider
        self.model = model
        self.may_have_been_billed = may_have_been_billed
        self.retry_after_s = retry_after_s
        self.status = status
        self.request_id = request_id
        self.tried = tried


class Provider(Protocol):
    """Somebody who answers. Closed by whoever opened it."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        ...

    async def open(self) -> None:
        """Load its SDK now and not in the middle of the first call; calls do it where it was not done."""
        ...

    async def ask(self, ask: Ask, model: Model, deadline_s: float) -> Reply:
        """The answer within `deadline_s` seconds, or `LlmError`."""
        ...

    def stream(self, ask: Ask, model: Model, deadline_s: float) -> AsyncIterator[str | Reply]:
        """Pieces of text as they come, and as the last item the `Reply`; `LlmError` where it breaks off."""
        ...

    async def models(self, deadline_s: float) -> tuple[str, ...]:
        """Names of the models that the key may use; costs nothing and proves the key."""
        ...

    async def close(self) -> None:
        """Let go of its connections."""
        ...
