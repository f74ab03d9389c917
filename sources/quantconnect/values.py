"""Values as the service writes them, read with their units: money, percentages, moments and spans of time.

All functions take whatever JSON can hold and never raise: what cannot be read is None, as is what says that there is nothing.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

_NUMBER = re.compile(r"(?:\d[\d,]*(?:\.\d*)?|(?<![^\W\d_])\.\d+)(?:[eE][+-]?\d+)?")
_MINUS = re.compile(r"[-\u2212]")
_SPAN = re.compile(r"(-)?(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(\.\d+)?")
_SYMBOL = re.compile(r"[^\d\s.,%+\-\u2212]+")
_LATEST_S = 1e11
_LAST_MS = 253_402_300_799_999  # the end of the year 9999
"""Unix seconds stay below it until the year 5138; Unix milliseconds have been above it since 1973."""


def number(raw: object) -> float | None:
    """A finite number from a number or a text such as `$12,345.67`, `$-4.94`, `-$210.40` or `12.35 %`, which is 12.35."""
    if isinstance(raw, int | float):
        return _finite(raw)
    if not isinstance(raw, str):
        return None
    try:
        return _finite(float(raw))
    except ValueError:
        pass
    found = _NUMBER.search(raw)
    if found is None:
        return None
    value = _finite(float(found.group().replace(",", "")))
    outside = raw[: found.start()] + raw[found.end() :]
    return -value if value is not None and _MINUS.search(outside) else value


def percent(raw: object) -> float | None:
    """A fraction from a figure in percent, with or without its sign: `9.800%` is 0.098."""
    value = number(raw)
    return None if value is None else value / 100.0


def currency_symbol(raw: object) -> str | None:
    """The symbol before or after an amount, such as `$`."""
    found = _SYMBOL.search(raw) if isinstance(raw, str) and _NUMBER.search(raw) else None
    return None if found is None else found.group()


def moment_ms(raw: object) -> int | None:
    """Milliseconds UTC from Unix seconds (whole, float or as text), `YYYY-MM-DD HH:MM:SS` or ISO 8601; both dates are UTC.

    Zero and the year 1 stand for never.
    """
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    if isinstance(raw, str):
        text = raw.strip()
        if not text.replace(".", "", 1).isdecimal():
            return _date_ms(text)
        raw = float(text)
    if not math.isfinite(raw) or not 0 < raw <= _LAST_MS:
        return None
    return round(raw * 1_000) if raw < _LATEST_S else round(raw)


def _date_ms(text: str) -> int | None:
    try:
        date = datetime.fromisoformat(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return None if date.year < 1970 else round(date.timestamp() * 1_000)
    except (ValueError, OverflowError):
        return None


def span_s(raw: object) -> float | None:
    """Seconds from a .NET time span, `[d.]hh:mm:ss[.fffffff]`, or from a plain number of seconds."""
    found = _SPAN.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if found is None:
        return number(raw) if not isinstance(raw, str) or ":" not in raw else None
    sign, days, hours, minutes, seconds, rest = found.groups()
    total = int(days or 0) * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + int(seconds) + float(rest or 0)
    return -total if sign else total


def _finite(value: float) -> float | None:
    try:
        value = float(value)
    except OverflowError:  # an integer beyond all floats
        return None
    return value if math.isfinite(value) else None
