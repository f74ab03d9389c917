"""The YAML files that `config init` writes: every setting, its default, unit and meaning, from the models themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bot.settings.kinds import duration_text, is_duration
from bot.settings.models import RiskSettings, Settings

_COLUMN = 38
_BOT_HEAD = """\
# Arbiter. Everything here is optional: what is missing has the default shown. Unknown keys are errors.
# Private changes belong in bot.local.yaml (laid over this file), in ARBITER_SECTION__KEY variables, or on the command line.
# Durations are written 250ms, 30s, 15m, 2h, 7d. Keys and passwords never go here: `python -m bot secrets set NAME`.
"""
_RISK_HEAD = """\
# Risk limits. They shrink or refuse entries and never block an exit; null switches a check off.
# Fractions: 0.2 is 20 %. The venue's own minimums and precision always apply. Durations are written 250ms, 30s, 15m, 2h, 7d.
# Private changes belong in risk.local.yaml.
"""


def bot_yaml() -> str:
    """The text of `bot.yaml`."""
    lines = [_BOT_HEAD]
    defaults = Settings.model_construct()
    for name in Settings.model_fields:
        if name != "risk":
            section = getattr(defaults, name)
            assert isinstance(section, BaseModel)
            lines += [f"{name}:  # {_first(type(section).__doc__)}", *_lines(section, "  "), ""]
    return "\n".join(lines).rstrip() + "\n"


def risk_yaml() -> str:
    """The text of `risk.yaml`."""
    return "\n".join([_RISK_HEAD, *_lines(RiskSettings(), "")]) + "\n"


def _first(text: str | None) -> str:
    return (text or "").strip().splitlines()[0].rstrip(".")


def _lines(model: BaseModel, indent: str) -> Iterator[str]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        comment = f"  # {field.description}" if field.description else ""
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:{comment}"
            yield from _lines(value, indent + "  ")
        elif isinstance(value, dict) and any(isinstance(below, BaseModel) for below in value.values()):
            yield f"{indent}{name}:{comment}"
            for key, below in value.items():
                yield f"{indent}  {key}:"
                yield from _lines(below, indent + "    ")
        elif isinstance(value, tuple) and any(isinstance(below, BaseModel) for below in value):
            yield f"{indent}{name}:{comment}"
            yield from (f"{indent}  - {_row(each)}" for each in value)
        elif isinstance(value, dict) and any(isinstance(below, tuple) for below in value.values()):
            yield f"{indent}{name}:{comment}"
            for key, listed in value.items():
                yield f"{indent}  {key}:"
                yield from (f"{indent}    - {_row(each)}" for each in listed)
        else:
            text = f"{indent}{name}: {_text(value, field)}"
            yield f"{text:<{_COLUMN}}{comment}".rstrip()


def _row(model: BaseModel) -> str:
    """One of a list, in a line: what differs from its defaults."""
    said = model.model_dump(mode="json", exclude_defaults=True)
    return (
        "{"
        + ", ".join(f"{name}: {json.dumps(value) if isinstance(value, dict) else value}" for name, value in said.items())
        + "}"
    )


def _text(value: object, field: FieldInfo) -> str:
    """A value as YAML reads it back to the same."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and is_duration(field):
        return duration_text(value)
    if isinstance(value, tuple):
        return f"[{', '.join(str(part) for part in value)}]"
    if isinstance(value, dict):
        return json.dumps(value)
    text = str(value)
    return text if text and text not in {"off", "on", "yes", "no"} else json.dumps(text)
