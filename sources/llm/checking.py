"""Whether a key is good and a model answers: what `llm test` says of each provider."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sources.llm.asking import Ask, LlmError, Message, Provider, Role, Schema, Speaker, Trouble
from sources.llm.models import Candidate, Effort
from sources.llm.purse import Purse
from sources.llm.router import Router

_QUESTION = Ask(
    role=Role.ANALYSIS,
    instructions="You are asked whether you can be reached.",
    messages=(Message(Speaker.USER, 'Answer {"ready": true}.'),),
    schema=Schema(
        "ready",
        {"type": "object", "properties": {"ready": {"type": "boolean"}}, "required": ["ready"], "additionalProperties": False},
    ),
    max_output_tokens=2048,  # a thinking model needs the room, and uses little of it
    effort=Effort.LOW,
)


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """What a provider said to a key. `models` are those it may use; `trouble` and `detail` say what went wrong."""

    provider: str
    good: bool
    latency_ms: int
    models: tuple[str, ...] = ()
    trouble: Trouble | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ModelTest:
    """Whether a model answered a small question in the form that was asked for, and what that cost in USD."""

    provider: str
    model: str
    good: bool
    latency_ms: int
    cost: Decimal = Decimal(0)
    trouble: Trouble | None = None
    detail: str = ""


async def check_key(provider: Provider, deadline_s: float = 10.0) -> KeyCheck:
    """Ask for the list of models, which costs nothing."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    try:
        models = await provider.models(deadline_s)
    except LlmError as error:
        return KeyCheck(provider.name, False, round(1000 * (clock() - begun)), (), error.trouble, error.reason)
    return KeyCheck(provider.name, True, round(1000 * (clock() - begun)), models)


async def check_keys(providers: Sequence[Provider], deadline_s: float = 10.0) -> tuple[KeyCheck, ...]:
    """Check all at once, in the order given."""
    return tuple(await asyncio.gather(*(check_key(provider, deadline_s) for provider in providers)))


async def try_model(router: Router, candidate: Candidate, purse: Purse, deadline_s: float = 30.0) -> ModelTest:
    """Ask a model a small question, paid by `purse`; a fraction of a cent."""
    model = candidate.model
    clock = asyncio.get_running_loop().time
    begun = clock()
    try:
        reply = await router.ask(_QUESTION, purse, among=(candidate,), deadline_s=deadline_s)
    except LlmError as error:
        took = round(1000 * (clock() - begun))
        return ModelTest(model.provider, model.name, False, took, Decimal(0), error.trouble, error.reason)
    good = reply.fault is None
    return ModelTest(model.provider, model.name, good, reply.latency_ms, reply.cost, reply.fault, reply.fault_detail)
