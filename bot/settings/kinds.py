"""Kinds of values that the settings are made of: fractions, amounts, durations, symbols. Each refuses what is absurd.

Durations are written `250ms`, `30s`, `15m`, `2h`, `7d` or as a number of milliseconds, and are integers of milliseconds inside.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

from bot.core.market import timeframe_ms

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_SYMBOL = re.compile(r"[A-Z0-9]{1,20}/[A-Z0-9]{1,20}(:[A-Z0-9-]{1,30})?")


class Strict(BaseModel):
    """Base of every section: unknown keys, NaN and infinities are errors, and nothing changes once loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


def parse_duration(value: object) -> int:
    """Milliseconds of `15m`, `250ms` or a bare number of milliseconds; `ValueError` says how to write one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = str(value).strip()
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    match = _DURATION.fullmatch(text)
    if match is None:
        message = "is not a duration; write a number and a unit, such as 250ms, 30s, 15m, 2h or 7d"
        raise ValueError(message)
    return round(float(match[1]) * _UNIT_MS[match[2]])


def duration_text(milliseconds: int) -> str:
    """The shortest way to write a duration: `15m` for 900000."""
    for unit in ("w", "d", "h", "m", "s"):
        if milliseconds and milliseconds % _UNIT_MS[unit] == 0:
            return f"{milliseconds // _UNIT_MS[unit]}{unit}"
    return f"{milliseconds}ms"


def is_duration(field: FieldInfo) -> bool:
    """Whether a field holds a duration, optional or not."""
    return "parse_duration" in str((field.metadata, field.annotation))


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        message = "must be a number, not yes or no; write digits"
        raise ValueError(message)
    return value


def _split(value: object) -> object:
    """A list, or one written with commas, as environment and command line do."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.strip("[] ").split(",") if part.strip())
    return value


def _symbol(value: object) -> str:
    text = str(value).strip().upper()
    if not _SYMBOL.fullmatch(text):
        message = "is not a unified symbol; write BASE/QUOTE, such as BTC/USDT"
        raise ValueError(message)
    return text


def _timeframe(value: object) -> str:
    try:
        timeframe_ms(str(value))
    except ValueError as error:
        message = "is not a timeframe; write a number and s, m, h, d or w, such as 5m"
        raise ValueError(message) from error
    return str(value)


def redact_url(url: str) -> str:
    """The URL with its password, if any, starred out."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return re.sub(r"://[^/@]*@", "://***@", url)
    if password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))


_DURATION_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ms|s|m|h|d|w)$"}]}
)
_NUMBER = BeforeValidator(_no_bool)

Duration = Annotated[int, Field(ge=0), BeforeValidator(parse_duration), _DURATION_SCHEMA]
Wait = Annotated[int, Field(gt=0), BeforeValidator(parse_duration), _DURATION_SCHEMA]
Fraction = Annotated[float, Field(gt=0.0, le=1.0), _NUMBER]
Share = Annotated[float, Field(ge=0.0, le=1.0), _NUMBER]
Part = Annotated[float, Field(ge=0.0, lt=1.0), _NUMBER]
Fee = Annotated[Decimal, Field(gt=-1, lt=1), _NUMBER]
NotNegative = Annotated[float, Field(ge=0.0), _NUMBER]
Positive = Annotated[float, Field(gt=0.0), _NUMBER]
Count = Annotated[int, Field(gt=0), _NUMBER]
Period = Annotated[int, Field(ge=2), _NUMBER]
Depth = Annotated[int, Field(ge=64, le=100_000), _NUMBER]
SegmentSize = Annotated[int, Field(ge=65_536), _NUMBER]
Size = Annotated[int, Field(ge=0), _NUMBER]
Multiple = Annotated[float, Field(gt=1.0), _NUMBER]
Money = Annotated[Decimal, Field(gt=0), _NUMBER]
Port = Annotated[int, Field(ge=0, le=65_535), _NUMBER]
Symbol = Annotated[str, BeforeValidator(_symbol)]
Timeframe = Annotated[str, BeforeValidator(_timeframe)]
Symbols = Annotated[tuple[Symbol, ...], NoDecode, BeforeValidator(_split)]
Timeframes = Annotated[tuple[Timeframe, ...], NoDecode, BeforeValidator(_split)]
Scalar = str | int | float | bool | None
