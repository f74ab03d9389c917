"""The form of a decision as a model gives it: a flat schema that every provider takes, and its strict reading.

The schema asks; the reading decides. What it admits has the right types and finite numbers within their plain bounds and nothing
besides; whether it makes sense in this market is for `sources.llm.deciding`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bot.core.decision import Action
from sources.llm.asking import Reply, Schema, Trouble

VERSION = "decision-1"
LONGEST_REASONING, LONGEST_INVALIDATION, MOST_EVIDENCE = 600, 200, 12
_LONGEST_TEXT = 20_000  # what is longer is no answer
_MOST_IDS = 200


def decision_schema(symbols: Sequence[str]) -> Schema:
    """The form of an answer about one of these symbols; bounds are told in words, as providers do not take them otherwise."""
    told: dict[str, dict[str, Any]] = {
        "symbol": {"type": "string", "enum": list(symbols), "description": "the market this is about"},
        "reasoning": {"type": "string", "description": f"why, from the figures; at most {LONGEST_REASONING} characters"},
        "evidence": {
            "type": "array",
            "items": {"type": "string"},
            "description": f"ids of the snapshot that this rests on, at most {MOST_EVIDENCE}",
        },
        "action": {
            "type": "string",
            "enum": [action.value for action in Action],
            "description": "buy opens or adds, sell closes the whole position, hold leaves everything as it is",
        },
        "confidence": {"type": "number", "description": "0 to 1"},
        "size_fraction": {"type": "number", "description": "0 to 1 of the most that the risk checks admit; 0 for hold"},
        "stop_loss": {"anyOf": [{"type": "number"}, {"type": "null"}], "description": "a price below for a buy, else null"},
        "take_profit": {"anyOf": [{"type": "number"}, {"type": "null"}], "description": "a price above for a buy, else null"},
        "horizon_minutes": {"type": "integer", "description": "how long this opinion holds, at least 1"},
        "invalidation": {
            "type": "string",
            "description": f"what would prove it wrong; at most {LONGEST_INVALIDATION} characters",
        },
    }
    body = {"type": "object", "properties": told, "required": list(told), "additionalProperties": False}
    return Schema("decision", body)


def in_words(schema: Schema) -> str:
    """The fields of a schema, one a line, as a prompt tells them."""
    lines = []
    for name, part in schema.body["properties"].items():
        kinds = [one["type"] for one in part.get("anyOf", (part,))]
        what = " | ".join(map(str, part["enum"])) if "enum" in part else " or ".join(kinds)
        lines.append(f"- {name} ({what}): {part['description']}")
    return "\n".join(lines)


def _whole(value: object) -> object:
    """60.0 is an integer in JSON schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Answer(BaseModel):
    """What a model answered. Prices are in the quote currency, fractions are of 1."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    symbol: str = Field(max_length=64)
    action: Annotated[Action, BeforeValidator(lambda value: Action(value) if isinstance(value, str) else value)]
    confidence: float = Field(ge=0, le=1)
    size_fraction: float = Field(ge=0, le=1e6)
    stop_loss: float | None
    take_profit: float | None
    horizon_minutes: Annotated[int, BeforeValidator(_whole), Field(ge=0)]
    invalidation: str = Field(max_length=_LONGEST_TEXT)
    reasoning: str = Field(max_length=_LONGEST_TEXT)
    evidence: list[str] = Field(max_length=_MOST_IDS)


class Unusable(ValueError):  # noqa: N818 - it names what an answer is
    """An answer that is no decision: `reason` is the code of the abstention, the message the sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def read(reply: Reply) -> Answer:
    """The answer in a reply, or `Unusable`: refused, cut off, or not in the form."""
    if reply.fault is not None:
        detail = reply.fault_detail or f"{reply.provider}/{reply.model} gave nothing to use"
        raise Unusable(reply.fault.value, detail)
    if reply.parsed is None:
        raise Unusable(Trouble.SCHEMA.value, "the reply has no JSON of the decision's form")
    return read_fields(reply.parsed)


def read_fields(fields: Mapping[str, Any]) -> Answer:
    """The answer that these fields are, or `Unusable`."""
    try:
        return Answer.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:40] for part in first["loc"]) or "answer"
        raise Unusable(Trouble.SCHEMA.value, f"{where}: {first['msg'][:160]}") from error
