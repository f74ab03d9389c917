"""The tools of the assistant: nine that read, and one that writes a proposal for a person. There is no other.

Names, symbols and sources are enumerations made here; what a model writes in their place is refused, never looked up. Every
answer is one JSON object of bounded size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog

from bot.journal.errors import JournalError
from bot.services.chat.proposals import Kind, Proposal, ProposalRefused, propose
from bot.services.chat.readings import READERS, Look, Sights
from bot.services.use_case import UseCaseError
from bot.store.errors import StoreUnavailable
from sources.llm.asking import Tool, ToolCall
from sources.llm.costs import By
from sources.llm.wording import plain

log = structlog.get_logger(__name__)

PROPOSE = "propose"
MOST_PROPOSALS = 3
LARGEST_RESULT = 12_000  # characters of one answer
ALL = "all"
_NO_SOURCE = "none"
_MOST_NAMES = 100
_SECONDS = 20.0

_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "positions": ("symbol",),
    "decisions": ("symbol", "source", "limit"),
    "orders": ("symbol", "limit"),
    "market": ("symbol",),
    "performance": ("symbol", "limit"),
    "costs": ("by", "days", "limit"),
    "sources": ("source",),
    "risk": ("limit",),
    "analysis": ("symbol",),
}
_ABOUT: Mapping[str, str] = {
    "positions": "Open positions of the portfolio with entry, price, profit, stop and target; cash and equity.",
    "decisions": "Recent decisions of the sources: action, confidence, fate and why.",
    "orders": "Recent orders and their state.",
    "market": "Current price, spread and last candles.",
    "performance": "Equity curve, drawdown, closed trades and profit by source.",
    "costs": "What language models cost, and the budget.",
    "sources": "The strategies (sources): on or paused, their troubles, what became of their decisions.",
    "risk": "Trading state, risk limits, and recent changes of the state.",
    "analysis": "Technical analysis: trend, momentum, support and resistance, patterns.",
}
_ABOUT_PROPOSE = (
    "Write a proposal that a person may confirm; it does nothing by itself. Only where the person asks for it. "
    "kill: halt trading. reduce: only close positions. resume: trade again. pause, unpause: one source. "
    "flatten: also close every position, for kill and reduce; source: for pause and unpause, else none."
)


@dataclass(slots=True)
class Toolbox:
    """The tools of one answer. What was proposed is in `proposals`; `redact` takes secrets out of what is told."""

    sights: Sights
    session: str
    symbols: Sequence[str]
    sources: Mapping[str, str]
    redact: Callable[[str], str] = str
    proposals: list[Proposal] = field(default_factory=list)

    def tools(self) -> tuple[Tool, ...]:
        """As a model is told of them."""
        reading = [Tool(name, about, self._parameters(name)) for name, about in _ABOUT.items()]
        return (*reading, Tool(PROPOSE, _ABOUT_PROPOSE, self._proposing()))

    async def use(self, call: ToolCall) -> tuple[str, bool]:
        """The answer to a call, as JSON, and whether it is one; an error is told to the model in a line."""
        try:
            async with asyncio.timeout(_SECONDS):
                found = await self._found(call)
        except (UseCaseError, JournalError, StoreUnavailable) as error:
            return self._json({"error": plain(str(error), 200)}), False
        except TimeoutError:
            return self._json({"error": "it took too long"}), False
        return self._fitting(found), True

    async def _found(self, call: ToolCall) -> dict[str, Any]:
        if call.arguments is None:
            message = "the arguments are no JSON object"
            raise UseCaseError(message)
        if call.name == PROPOSE:
            return self._propose(call.arguments)
        reader = READERS.get(call.name)
        if reader is None:
            message = f"there is no such tool; there are {', '.join([*READERS, PROPOSE])}"
            raise UseCaseError(message)
        found: dict[str, Any] = await reader(self.sights, self._look(call.arguments))
        return found | {"asked_at": self.sights.ground.now()}

    def _propose(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if self.sights.status is None:
            message = "no bot runs here: there is nothing to change"
            raise ProposalRefused(message)
        if len(self.proposals) >= MOST_PROPOSALS:
            message = f"{MOST_PROPOSALS} proposals are enough for one answer"
            raise ProposalRefused(message)
        made = propose(self.session, given, self.sources, self.sights.ground.now())
        if any(each.hash == made.hash for each in self.proposals):
            message = "that is proposed already"
            raise ProposalRefused(message)
        self.proposals.append(made)
        log.info("chat_proposed", session=self.session, proposal=made.id, kind=made.kind.value)
        return {"proposed": made.rendered, "note": "Nothing is done unless the person confirms it; you cannot."}

    def _look(self, given: Mapping[str, Any]) -> Look:
        """What is asked for; numbers are brought within their bounds, names must be among those offered."""
        by = given.get("by")
        return Look(
            symbol=_chosen(given.get("symbol"), self.symbols, "symbol"),
            source=_chosen(given.get("source"), tuple(self.sources), "source"),
            by=by if isinstance(by, str) else By.MODEL.value,
            limit=_within(given.get("limit"), 10, 30),
            days=_within(given.get("days"), 7, 366),
        )

    def _parameters(self, name: str) -> dict[str, Any]:
        known: Mapping[str, Any] = {
            "symbol": _enum([ALL, *self.symbols], "one symbol, or all"),
            "source": _enum([ALL, *self.sources], "one source, or all"),
            "by": _enum([each.value for each in By], "what costs are told by"),
            "limit": {"type": "integer", "description": "rows, 1 to 30"},
            "days": {"type": "integer", "description": "days back, 1 to 366"},
        }
        return _object({each: known[each] for each in _PARAMETERS[name]})

    def _proposing(self) -> dict[str, Any]:
        return _object(
            {
                "kind": _enum([each.value for each in Kind], "what is proposed"),
                "source": _enum([_NO_SOURCE, *self.sources], "the source to pause or unpause, else none"),
                "flatten": {"type": "boolean", "description": "close every position too"},
            }
        )

    def _fitting(self, found: Mapping[str, Any]) -> str:
        """As JSON of bounded size: rows are left out, and counted, until it fits."""
        told = dict(found)
        while len(text := self._json(told)) > LARGEST_RESULT:
            rows = told.get("rows")
            if not isinstance(rows, list) or not rows:
                return self._json({"error": "the answer is too large; ask for less"})
            kept = rows[: len(rows) // 2]
            told |= {"rows": kept, "rows_left_out": told.get("rows_left_out", 0) + len(rows) - len(kept)}
        return text

    def _json(self, told: Mapping[str, Any]) -> str:
        return self.redact(orjson.dumps(dict(told), default=str, option=orjson.OPT_NON_STR_KEYS).decode())


def _chosen(given: object, among: Sequence[str], what: str) -> str | None:
    if given in (None, "", ALL):
        return None
    if not isinstance(given, str) or given not in among:
        message = f"no such {what}; there are {', '.join(list(among)[:20]) or 'none'}"
        raise UseCaseError(message)
    return given


def _within(given: object, otherwise: int, most: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int | float) or given < 1:
        return otherwise
    return int(min(given, most))


def _enum(values: Sequence[str], about: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(dict.fromkeys(values))[:_MOST_NAMES], "description": about}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties), "additionalProperties": False}
