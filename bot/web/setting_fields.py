"""What there is to say of a setting, from the settings' own models: its meaning, how it is written, and if it is changed here."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bot.settings import Settings
from bot.settings.kinds import duration_text, is_duration
from bot.settings.overlay import refused

_NUMBERS = {"int": "whole number", "float": "number", "Decimal": "number"}


@dataclass(frozen=True, slots=True)
class SettingField:
    """`kind`: yes or no, choice, duration, number, whole number, text, list or mapping; `fixed` says why not here."""

    key: str
    section: str
    about: str
    kind: str
    choices: tuple[str, ...]
    nullable: bool
    default: str
    fixed: str


@cache
def setting_field(key: str) -> SettingField:
    """What is known of a dotted key; of one inside a mapping whose members are free, less."""
    found = _found(key)
    section = key.partition(".")[0]
    fixed = _fixed(key)
    if found is None:
        return SettingField(key, section, "", "text", (), True, "", fixed)
    annotation, nullable = _bare(found.annotation)
    choices = _choices(annotation)
    return SettingField(
        key, section, found.description or "", _kind(found, annotation, choices), choices, nullable, _default(found), fixed
    )


def section_about(section: str) -> str:
    """What a section is about."""
    model = Settings.model_fields[section].annotation
    return " ".join(((model.__doc__ if isinstance(model, type) else "") or "").split())


def _fixed(key: str) -> str:
    reason = refused(key, "")
    return "" if reason is None else reason.partition(": ")[2] or reason


def _found(key: str) -> FieldInfo | None:
    node: Any = Settings
    field: FieldInfo | None = None
    for name in key.split("."):
        if isinstance(node, type) and issubclass(node, BaseModel):
            field = node.model_fields.get(name)
            if field is None:
                return None
            node, _ = _bare(field.annotation)
        elif get_origin(node) in {dict, Mapping}:
            field, (node, _) = None, _bare(get_args(node)[1])
        else:
            return None
    return field


def _bare(annotation: Any) -> tuple[Any, bool]:
    """The annotation without what is around it, and whether null is allowed."""
    nullable = False
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in {Union, types.UnionType} and type(None) in get_args(annotation):
            nullable = True
            left = [each for each in get_args(annotation) if each is not type(None)]
            if len(left) > 1:
                return annotation, nullable
            annotation = left[0]
        else:
            return annotation, nullable


def _choices(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(map(str, get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(str(each.value) for each in annotation)
    return ()


def _kind(field: FieldInfo, annotation: Any, choices: tuple[str, ...]) -> str:
    if is_duration(field):
        return "duration"
    if choices:
        return "choice"
    if annotation is bool:
        return "yes or no"
    origin = get_origin(annotation)
    if origin in {tuple, list, set, frozenset}:
        return "list"
    if origin in {dict, Mapping} or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "mapping"
    return _NUMBERS.get(getattr(annotation, "__name__", ""), "text")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, int) and not isinstance(value, bool) and is_duration(field):
        return duration_text(value)
    if isinstance(value, BaseModel | Mapping | tuple | list) or repr(value) == "PydanticUndefined":
        return ""
    plain: dict[object, str] = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return plain[value]
    return str(value.value if isinstance(value, Enum) else value)
