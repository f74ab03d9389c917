"""What every answer has in common: a base of models that survive how the service writes, and the types of their fields.

Its back end sends an empty map as a list and a list as a map with numbers for keys, numbers as text, nulls anywhere, and has
changed the case of its keys over the years. So keys are matched by their letters, a null is the same as nothing, and what is
unknown is ignored. Only what makes a row useless when it is missing, an id, is required.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from operator import itemgetter
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AllowInfNan, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic.alias_generators import to_camel, to_pascal

from sources.quantconnect.values import moment_ms, number, percent, span_s

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Also:
    """Other keys under which a field is known, best first; the field's own name goes before them."""

    keys: tuple[str, ...]

    @classmethod
    def of(cls, *keys: str) -> Self:
        """The keys; case and separators do not matter."""
        return cls(keys)


class Shape(BaseModel):
    """Base of everything read. A field is found under its name in any case and with any separators, then under its `Also`.

    Where `rest_field` names a field, that receives what no other field takes.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    rest_field: ClassVar[str | None] = None
    spellings: ClassVar[Mapping[str, tuple[str, int]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.spellings = dict(_spellings(cls))

    @model_validator(mode="before")
    @classmethod
    def _respelled(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            return _respell(raw, cls.spellings, cls.rest_field)
        return {} if raw == [] else raw


def _spellings(model: type[BaseModel]) -> list[tuple[str, tuple[str, int]]]:
    """Key -> (field, rank) for every usual spelling, so that the usual key costs one look-up. A field's own goes last."""
    found: list[tuple[str, tuple[str, int]]] = []
    for name, info in model.model_fields.items():
        also = [key for part in info.metadata if isinstance(part, Also) for key in part.keys]
        for rank, key in reversed(list(enumerate((name, *also)))):
            snake = key.replace("-", "_").replace(" ", "_")
            usual = {key, letters(key), to_camel(snake), to_pascal(snake), snake, snake.replace("_", "-")}
            found += [(spelling, (name, rank)) for spelling in sorted(usual)]
    return sorted(found, key=lambda entry: -entry[1][1])


def _respell(raw: Mapping[str, Any], spellings: Mapping[str, tuple[str, int]], rest_field: str | None) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    others: list[tuple[int, str, Any]] = []
    rest: dict[str, Any] = {}
    for key, value in raw.items():
        if value is None:
            continue
        found = spellings.get(key) or spellings.get(letters(key))
        if found is None:
            rest[key] = value
        elif found[1]:
            others.append((found[1], found[0], value))
        else:
            fields[found[0]] = value
    for _, name, value in sorted(others, key=itemgetter(0)):
        fields.setdefault(name, value)
    if rest_field is not None:
        fields[rest_field] = rest
    return fields


def letters(key: str) -> str:
    """A key without case and separators."""
    return key.replace("_", "").replace("-", "").replace(" ", "").lower()


def as_map(raw: object) -> object:
    """A map, where an empty one is written as a list; nulls in it are left out."""
    if raw is None:
        return {}
    if isinstance(raw, list):
        raw = {str(index): entry for index, entry in enumerate(raw)}
    return {key: entry for key, entry in raw.items() if entry is not None} if isinstance(raw, dict) else raw


def as_list(raw: object) -> object:
    """A list, where one may be written as a map with numbers for keys; nulls in it are left out."""
    if raw is None:
        return []
    if isinstance(raw, dict):
        numbered = all(key.isdecimal() for key in raw)
        raw = [raw[key] for key in sorted(raw, key=int)] if numbered else list(raw.values())
    return [entry for entry in raw if entry is not None] if isinstance(raw, list) else raw


def _absent_if_empty(raw: object) -> object:
    return raw or None


def _absent_if_no_map(raw: object) -> object:
    return None if isinstance(raw, list) and not raw else raw


def _text(raw: object) -> str:
    if isinstance(raw, str):
        return raw
    return str(raw) if isinstance(raw, int | float) else ""


def _whole(raw: object) -> int | None:
    value = number(raw)
    return None if value is None else math.trunc(value)


def _flag(raw: object) -> bool:
    if isinstance(raw, str):
        return raw.strip().lower() not in {"", "0", "false", "no"}
    return bool(raw)


_FIRST = Field(union_mode="left_to_right")
"""What already is what it should be is let through by pydantic itself: that costs half of a validator written in Python."""
Plain = Annotated[float, Strict(), AllowInfNan(False)]
Text = Annotated[Annotated[str, Strict()] | Annotated[str, BeforeValidator(_text)], _FIRST]
Number = Annotated[Plain | Annotated[float | None, BeforeValidator(number)], _FIRST]
Amount = Annotated[Plain | Annotated[float, BeforeValidator(lambda raw: number(raw) or 0.0)], _FIRST]
"""A number whose absence means zero."""
Percent = Annotated[float | None, BeforeValidator(percent)]
"""A fraction, written in percent."""
Whole = Annotated[int | None, BeforeValidator(_whole)]
Flag = Annotated[Annotated[bool, Strict()] | Annotated[bool, BeforeValidator(_flag)], _FIRST]
Moment = Annotated[int | None, BeforeValidator(moment_ms)]
"""Milliseconds UTC."""
Price = Annotated[float | None, BeforeValidator(lambda raw: number(raw) or None)]
"""A price, where zero means that there was none yet."""
Span = Annotated[float | None, BeforeValidator(span_s)]
"""Seconds."""
Id = Annotated[int, BeforeValidator(lambda raw: _whole(raw) if isinstance(raw, str) else raw)]
"""A number that is a name."""
Keyed = Annotated[dict[str, T], BeforeValidator(as_map)]
Many = Annotated[tuple[T, ...], BeforeValidator(as_list)]
Maybe = Annotated[T | None, BeforeValidator(_absent_if_empty)]
"""An object, or None where it is empty, whichever way that is written."""
MaybeMap = Annotated[T | None, BeforeValidator(_absent_if_no_map)]
"""An object, or None where a list stands in its place; an empty map is a map."""


class Code(IntEnum):
    """Base of enums that come as a number, as a number in a text, or as a name in any case. What is unknown becomes `UNKNOWN`."""


class Word(StrEnum):
    """Base of enums that come as a word in any case. What is unknown becomes `UNKNOWN`."""


def one_of(choices: type[Enum]) -> BeforeValidator:
    """Reads a member by its value, or by its value or name as text in any case; `UNKNOWN` is for all the rest."""
    known: dict[object, Enum] = {}
    for member in choices:
        spelt = {member.value, str(member.value), member.name, letters(member.name), letters(str(member.value))}
        known.update(dict.fromkeys(spelt, member))
    unknown = choices["UNKNOWN"]

    def read(raw: object) -> Enum:
        if not isinstance(raw, str | int | float):
            return unknown
        found = known.get(raw)
        if found is None:
            found = known.get(letters(raw.strip())) if isinstance(raw, str) else None
        return unknown if found is None else found

    return BeforeValidator(read)
