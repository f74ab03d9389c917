"""Asking for an idea: a sentence or a template goes out, a specification comes back, or the reason why there is none.

The call has no tools and no secrets; what comes back is data that is judged, never repaired by asking again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import orjson

from bot.services.ideas.answer import Template, form
from bot.services.ideas.specification import Bounds, IdeaRefused, Specification, built_in, specified
from bot.services.use_case import UseCaseError
from sources.llm.asking import Ask, Caching, Message, Role, Speaker
from sources.llm.ledger import Payer
from sources.llm.minds import About, Consultation, Minds
from sources.llm.wording import plain

PAYER = "copilot:ideas"
REFUSED = "refused"
LONGEST_SENTENCE = 1_000
_OUTPUT_TOKENS = 4_096
_DEADLINE_S = 60.0
_INSTRUCTIONS = """You write down trading strategies as data, in the form you are given.

The market is spot: a strategy buys and sells, never goes short. The user message is one JSON object: `idea` is what a person
wants, `template` the family to begin with, `timeframe` the candles to use where one is given. Write the simplest strategy that
says what is meant: few conditions, usual periods, always a stop-loss and always a way out. Compare only what has one unit.
Use a built-in rule only where the idea is exactly that rule; otherwise use composed. You never write code."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted: a sentence, a template or both, for these symbols, and on these candles where that is said."""

    sentence: str
    template: Template | None
    symbols: tuple[str, ...]
    timeframe: str | None = None


@dataclass(frozen=True, slots=True)
class Proposed:
    """An idea, who had it, and what asking cost in USD."""

    specification: Specification
    model: str
    cost: Decimal
    sentence: str


async def ask_for(minds: Minds, wish: Wish) -> Proposed:
    """The idea that a model has; `IdeaRefused` for one that means nothing, `UseCaseError` where nobody had one."""
    ask = question(wish)
    payer = Payer(PAYER, Role.COPILOT, ask.prompt_hash, minds.run)
    held = await minds.consult(ask, payer, About(), deadline_s=_DEADLINE_S)
    try:
        found = _judged(held, wish.symbols)
    except IdeaRefused as refused:
        await held.close(REFUSED, validation=str(refused))
        raise
    except UseCaseError as failed:
        await held.close(_reason(held), validation=str(failed))
        raise
    await held.close("proposed")
    assert held.reply is not None  # or it had been refused
    reply = held.reply
    return Proposed(found, f"{reply.provider}/{reply.model}", reply.cost, wish.sentence)


def question(wish: Wish) -> Ask:
    """What is asked."""
    told = {
        "idea": plain(wish.sentence, LONGEST_SENTENCE),
        "template": wish.template.about if wish.template is not None else None,
        "timeframe": wish.timeframe,
    }
    said = orjson.dumps({name: value for name, value in told.items() if value}).decode()
    return Ask(
        Role.COPILOT,
        _INSTRUCTIONS,
        (Message(Speaker.USER, said),),
        form(built_in(), wish.symbols),
        _OUTPUT_TOKENS,
        caching=Caching("ideas"),
    )


def _judged(held: Consultation, symbols: Sequence[str]) -> Specification:
    if held.error is not None:
        message = f"no model could be asked: {held.error}"
        raise UseCaseError(message) from held.error
    reply = held.reply
    if reply is None or reply.fault is not None or reply.parsed is None:
        why = "it gave none" if reply is None else reply.fault_detail or "it is not in the form"
        message = f"the answer cannot be used: {plain(why, 200)}"
        raise UseCaseError(message)
    return specified(reply.parsed, Bounds(tuple(symbols)))


def _reason(held: Consultation) -> str:
    if held.error is not None:
        return held.error.trouble.value
    return "schema" if held.reply is None or held.reply.fault is None else held.reply.fault.value
