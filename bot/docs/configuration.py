"""What can be configured, from the pydantic models themselves: key, kind, default, meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bot.docs import markdown as md
from bot.settings import Settings
from bot.settings.kinds import duration_text, is_duration
from bot.settings.sizing import SizingSettings

_INTRO = """
All of it is optional: what is missing has the default shown. `bot.yaml` holds every section but `risk`, which is the whole of
`risk.yaml`; both are in `config/`, or where `--config DIR` says. Unknown keys are errors at every depth, and so are NaN and
infinity.

The last one that speaks wins: defaults, `*.yaml`, `*.local.yaml`, the overlay of the data directory (`python -m bot config set`
and the control room write it), the environment, the command line. In the environment a key is written
`ARBITER_SECTION__KEY`, such as `ARBITER_RISK__MAX_DRAWDOWN=0.1`; `null` there means none. `python -m bot config show --origin`
says where each value in force came from. One file per source is described in [sources](sources.md), secrets in
[how to configure](../how-to/configure.md#secrets).

A **duration** is written `250ms`, `30s`, `15m`, `2h`, `7d` or `2w`, or as a number of milliseconds. A **fraction** of 0.2
is 20 %. Fields that are amounts of money are in the book's accounting currency (`paper.currency`).
"""


def page() -> str:
    """The reference of all settings."""
    sections = [part for name in Settings.model_fields for part in _section(name)]
    return md.page("Configuration", _INTRO, *sections, *_sizings())


def _section(name: str) -> Iterator[str]:
    model = Settings.model_fields[name].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    file = "risk.yaml" if name == "risk" else "bot.yaml"
    yield f"## {name}"
    yield f"{md.paragraph(model.__doc__)} In `{file}`."
    yield md.table(["key", "kind", "default", "meaning"], _rows(model, ""))


def _rows(model: type[BaseModel], above: str) -> Iterator[list[str]]:
    """A row per value; those of a nested model follow with dotted keys."""
    schema = model.model_json_schema()
    properties, definitions = schema["properties"], schema.get("$defs", {})
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        about = field.description or ""
        if isinstance(default, BaseModel):
            if _optional(field):
                yield [md.code(f"{above}{name}"), "mapping or `null`", "", about]
            yield from _rows(type(default), f"{above}{name}.")
            continue
        kind = _kind(properties[name], definitions, field)
        shown = "see [below](#sizing-policies)" if name == "sizings" else md.code(_text(default, field))
        yield [md.code(f"{above}{name}"), kind, shown, about]


def _kind(node: object, definitions: Mapping[str, object], field: FieldInfo) -> str:
    if is_duration(field):
        return "duration or `null`" if _optional(field) else "duration"
    return "mapping of policies" if "sizing" in str(field.annotation).lower() else md.shape(node, definitions)


def _optional(field: FieldInfo) -> bool:
    return type(None) in get_args(field.annotation)


def _text(value: object, field: FieldInfo) -> str:
    """A default as YAML would say it."""
    if isinstance(value, int) and not isinstance(value, bool) and is_duration(field):
        return duration_text(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return f"[{', '.join(str(part) for part in value)}]"
    plain = {None: "null", True: "true", False: "false", "": '""'}
    if value is None or isinstance(value, (bool, str)):
        return plain.get(value, str(value))
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _sizings() -> Iterator[str]:
    yield "## Sizing policies"
    yield (
        "`desk.sizings` maps names to policies; a source names one by `sizing`, else `desk.sizing` is its own. The built-in "
        "names are those of the policies, and need only the parameters that differ. Whatever a policy answers is bounded by "
        "the source's capital (equity times its `capital`), and risk may shrink it further."
    )
    union, _ = get_args(SizingSettings)
    for model in get_args(union):
        yield f"### `{model.model_fields['policy'].default}`"
        yield md.paragraph(model.__doc__)
        yield md.table(["key", "kind", "default", "meaning"], (row for row in _rows(model, "") if row[0] != "`policy`"))
