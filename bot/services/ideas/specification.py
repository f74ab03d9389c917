"""The judge of ideas: an answer becomes a specification that a rule of the bot interprets, or is refused with its faults by name.

A specification is data: a built-in rule with its parameters, or conditions over indicators. Equal strategies have one canonical
form, whatever they are called and in whatever order their conditions come, and the id is a hash of that.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Self

import orjson
from pydantic import Field, ValidationError, model_validator

from bot.core.market import timeframe_ms
from bot.services.ideas.answer import COMPOSED, NO_OTHER, TIMEFRAMES
from bot.services.use_case import Arguments, UseCaseError
from sources.base import Strict
from sources.llm.wording import plain
from sources.loading import RULES

_LONGEST_NAME, _LONGEST_THESIS = 40, 300
_MOST_FAULTS = 10
_NO_WAY_OUT = frozenset({"dca"})
"""Built-in rules that never sell."""

Fraction = Annotated[float, Field(gt=0, lt=1)]


class IdeaRefused(UseCaseError):  # noqa: N818 - what happened to it
    """A strategy that means nothing, or too much; `faults` names what is wrong with it."""

    def __init__(self, faults: Sequence[str]) -> None:
        more = f" (and {len(faults) - _MOST_FAULTS} more)" if len(faults) > _MOST_FAULTS else ""
        super().__init__(f"the strategy is refused: {'; '.join(faults[:_MOST_FAULTS])}{more}")
        self.faults = tuple(faults)


class Guard(Arguments):
    """Protection of its entries. There is always a stop."""

    stop_loss: float = Field(ge=0.001, le=0.5, description="below the entry, as a fraction of its price")
    take_profit: float | None = Field(None, ge=0.001, le=5, description="above the entry, as a fraction of its price")
    trailing: float | None = Field(None, ge=0.001, le=0.5, description="distance of a trailing stop, as a fraction of the price")


class Specification(Arguments):
    """A strategy as data. `params` are those of the rule; `symbols` empty means all that the bot trades."""

    name: str = Field(min_length=1, max_length=_LONGEST_NAME)
    thesis: str = Field("", max_length=_LONGEST_THESIS, description="why it should earn; a model's words")
    rule: str = Field(description="composed, or a built-in rule")
    params: dict[str, Any]
    symbols: tuple[str, ...] = Field((), max_length=50)
    timeframe: str
    protection: Guard

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.rule not in built_in() and self.rule != COMPOSED:
            message = f"rule {self.rule[:40]!r} is none of {', '.join([COMPOSED, *built_in()])}"
            raise ValueError(message)
        if self.timeframe not in TIMEFRAMES:
            message = f"timeframe {self.timeframe[:10]!r} is none of {', '.join(TIMEFRAMES)}"
            raise ValueError(message)
        return self

    @property
    def canonical(self) -> bytes:
        """Canonical JSON of what it does; what it is called and why does not count."""
        return canonical_of(self.rule, self.params, self.symbols, self.timeframe, self.protection.model_dump(mode="json"))

    @property
    def id(self) -> str:
        """Twelve letters of the hash of its canonical form."""
        return id_of(self.canonical)

    @property
    def slug(self) -> str:
        """The name as a file and a source may have it."""
        found = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:24].strip("-")
        return f"{found or 'strategy'}-{self.id[:8]}"

    @property
    def source(self) -> str:
        """The name of the source that it becomes."""
        return f"idea:{self.slug}"

    def yaml(self) -> dict[str, object]:
        """The content of its source's file: switched off."""
        guard = self.protection.model_dump(mode="json", exclude_none=True)
        found: dict[str, object] = {"source": self.source, "kind": self.rule, "enabled": False}
        if self.symbols:
            found["symbols"] = list(self.symbols)
        return found | {
            "timeframe": self.timeframe, "capital": 0.1, "expiry": 3, "protection": guard, "params": dict(self.params)
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an idea may trade."""

    symbols: tuple[str, ...]


def built_in() -> tuple[str, ...]:
    """Rules that an idea may use by name: those that also sell, with plain numbers as parameters."""
    return tuple(kind for kind in RULES if kind != COMPOSED and kind not in _NO_WAY_OUT)


def checked(given: Mapping[str, Any], bounds: Bounds | None = None) -> Specification:
    """A specification that was written down; `IdeaRefused` with every fault."""
    try:
        found = Specification.model_validate(dict(given))
    except ValidationError as error:
        raise IdeaRefused(faults_of(error)) from error
    strange = [] if bounds is None else [each for each in found.symbols if each not in bounds.symbols]
    if strange and bounds is not None:
        raise IdeaRefused([f"symbols: {', '.join(strange)[:80]}: not among {', '.join(bounds.symbols)}"])
    return found.model_copy(
        update={
            "name": plain(found.name, _LONGEST_NAME) or "strategy",
            "thesis": plain(found.thesis, _LONGEST_THESIS),
            "params": _normal(found.rule, found.params),
            "symbols": tuple(sorted(set(found.symbols))),
        }
    )


def specified(answer: Mapping[str, Any], bounds: Bounds) -> Specification:
    """The specification in a model's answer, which has the form of `bot.services.ideas.answer`; `IdeaRefused` with its faults."""
    rule = str(answer["rule"])
    guard = {name: answer[name] for name in ("stop_loss", "take_profit", "trailing") if answer[name]}
    return checked(
        {
            "name": plain(str(answer["name"]), _LONGEST_NAME) or "strategy",
            "thesis": plain(str(answer["description"]), _LONGEST_THESIS),
            "rule": rule,
            "params": _composed(answer) if rule == COMPOSED else _settings(answer["settings"]),
            "symbols": list(dict.fromkeys(answer["symbols"])),
            "timeframe": answer["timeframe"],
            "protection": guard,
        },
        bounds,
    )


def _composed(answer: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: [_condition(each) for each in answer[name]] for name in ("entry", "filters", "exit")}
    found |= {name: answer[name] for name in ("entry_logic", "exit_logic", "confidence", "size_fraction")}
    return found | {"max_hold": answer["max_hold_candles"] or None, "cool_down": answer["cooldown_candles"]}


def _condition(given: Mapping[str, Any]) -> dict[str, Any]:
    """A condition of the answer without the words for nothing."""
    found = {name: given[name] for name in ("indicator", "operator")} | {"period": given["period"] or 1}
    if given["other"] != NO_OTHER:
        found |= {"other": given["other"], "other_period": given["other_period"] or 1}
    return found | ({} if given["value"] is None else {"value": given["value"]})


def _settings(given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {str(each["name"]): each["value"] for each in given}


def _normal(rule: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the rule reads them, as plain JSON without what is left open; `IdeaRefused` if it cannot."""
    try:
        read = params_of(rule).model_validate(dict(params))
    except ValidationError as error:
        raise IdeaRefused(faults_of(error)) from error
    found = read.model_dump(mode="json", exclude_none=True)
    if rule != COMPOSED:
        return found
    for name in ("entry", "filters", "exit"):
        found[name] = _once(found.get(name, ()))
    if found["entry_logic"] == "all":
        found["filters"] = [each for each in found["filters"] if each not in found["entry"]]
    return found


def _once(conditions: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each condition once, without the period of an other side that is not there."""
    found: list[dict[str, Any]] = []
    for each in conditions:
        kept = {key: value for key, value in each.items() if key != "other_period" or "other" in each}
        if kept not in found:
            found.append(kept)
    return found


@cache
def params_of(rule: str) -> type[Strict]:
    """The parameters that a built-in rule has."""
    module, _, name = RULES[rule].partition(":")
    found: type[Strict] = getattr(importlib.import_module(module), name).Params
    return found


def canonical_of(
    rule: str, params: Mapping[str, Any], symbols: Iterable[str], timeframe: str, protection: Mapping[str, Any]
) -> bytes:
    """Canonical JSON: conditions in an order of their own, nothing that is left open, symbols and keys sorted."""
    read = _normal(rule, params)
    for name in ("entry", "filters", "exit"):
        if rule == COMPOSED:
            read[name] = sorted(read[name], key=lambda each: orjson.dumps(each, option=orjson.OPT_SORT_KEYS))
            if len(read[name]) < 2:
                read.pop(f"{name}_logic", None)  # of one condition, all and any are the same
    guard = {name: value for name, value in protection.items() if value is not None}
    whole = {"rule": rule, "params": read, "symbols": sorted(symbols), "ms": timeframe_ms(timeframe), "protection": guard}
    return orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)


def id_of(canonical: bytes) -> str:
    """Twelve letters of its hash."""
    return hashlib.sha256(canonical).hexdigest()[:12]


def faults_of(error: ValidationError) -> list[str]:
    """Every fault in a few plain words, with the place it is at."""
    found = []
    for each in error.errors():
        where = ".".join(map(str, each["loc"]))
        said = str(each["msg"]).removeprefix("Value error, ")
        found.append(plain(f"{where}: {said}" if where else said, 160))
    return found
