"""A template looked at before it is saved: what is wrong with it, what it will cost, and what it looks like.

Saving goes through a review, so that nothing is saved that cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from sources.llm.asking import Ask, Schema
from sources.llm.leaks import Guard
from sources.llm.models import Model
from sources.llm.prices import most
from sources.llm.prompts.example import bare_snapshot
from sources.llm.prompts.placeholders import Terms
from sources.llm.prompts.template import PromptLeak, Rendered, Template, TemplateError, parse
from sources.llm.snapshot import Snapshot
from sources.llm.tokens import TokenScale, count, count_ask


class Saved(Protocol):
    """What a store says of a version that it keeps."""

    @property
    def name(self) -> str:
        """Of the template."""
        ...

    @property
    def version(self) -> int:
        """From 1."""
        ...


class Store(Protocol):
    """What keeps versions: `sources.llm.prompt_store.PromptStore`."""

    async def save(self, name: str, body: str, *, author: str, note: str = "") -> Saved:
        """Keep the next version."""
        ...


@dataclass(frozen=True, slots=True)
class Bench:
    """What a template is tried on: a snapshot, the terms and the schema of a source, the models it would ask, the time (ms UTC).

    `max_output_tokens` is what an answer may take, by which the cost is estimated.
    """

    snapshot: Snapshot
    terms: Terms
    schema: Schema
    at: int
    models: Sequence[Model] = ()
    scale: TokenScale | None = None
    max_output_tokens: int = 4096
    guard: Guard | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one call would take of a model: tokens of the prompt, and the most it may cost in USD; None where it has no price."""

    model: Model
    prompt_tokens: int
    usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Review:
    """What was found. With `faults` a template cannot be saved; `remarks` are worth a thought.

    `tokens` are those of the whole question, its schema included, `stable_tokens` those of the system part, which a provider may
    cache; both before any model's own scale. `preview` is None where it could not be rendered.
    """

    name: str
    body: str
    faults: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    placeholders: frozenset[str] = frozenset()
    tokens: int = 0
    stable_tokens: int = 0
    estimates: tuple[Estimate, ...] = ()
    preview: Rendered | None = None
    template: Template | None = None


def review(name: str, body: str, bench: Bench) -> Review:
    """Look at a template; never raises for what is wrong with it."""
    try:
        template = parse(name, body)
        rendered = template.render(bench.snapshot, bench.terms)
        rendered.check(bench.guard or Guard())
    except TemplateError as error:
        return Review(name, body, error.faults)
    except PromptLeak as error:
        return Review(name, body, (str(error),))
    ask = rendered.ask(bench.schema, max_output_tokens=bench.max_output_tokens)
    tokens, estimates = count_ask(ask), estimate(ask, bench)
    return Review(
        name=name,
        body=body,
        faults=(),
        remarks=(*template.remarks, *_remarks(tokens, bench), *_bare_remarks(template, bench)),
        placeholders=template.placeholders,
        tokens=tokens,
        stable_tokens=count(rendered.system),
        estimates=estimates,
        preview=rendered,
        template=template,
    )


def estimate(ask: Ask, bench: Bench) -> tuple[Estimate, ...]:
    """What a question would take of each model."""
    scale, counted = bench.scale or TokenScale(), count_ask(ask)
    found = []
    for model in bench.models:
        tokens = scale.stretched(counted, model)
        output = model.capabilities.output_for(bench.max_output_tokens)
        usd = None if model.price is None else most(tokens, output, model.price, bench.at, caches=ask.caching is not None)
        found.append(Estimate(model, tokens, usd))
    return tuple(found)


async def save(store: Store, found: Review, *, author: str, note: str = "") -> Saved:
    """Keep a reviewed template as its next version; `TemplateError` if anything is wrong with it."""
    if found.faults:
        raise TemplateError(found.name, found.faults)
    return await store.save(found.name, found.body, author=author, note=note)


def _remarks(tokens: int, bench: Bench) -> list[str]:
    found = []
    for model in bench.models:
        room = model.capabilities.context
        if room is not None and tokens + bench.max_output_tokens > room:
            found.append(f"{model} has room for {room} tokens: prompt and answer may take {tokens + bench.max_output_tokens}")
        if model.price is None:
            found.append(f"{model} has no price and is not asked")
    return found


def _bare_remarks(template: Template, bench: Bench) -> list[str]:
    """Whether it also works before there is a price."""
    try:
        template.render(bare_snapshot(bench.snapshot.symbol), bench.terms)
    except TemplateError as error:
        return [f"while there is no price, {'; '.join(error.faults)}: ask `price is not none` first"]
    return []
