"""Values of a configuration as text of a program: always a literal, never a piece of the text itself.

Everything is plain ASCII, so that no editor, archive or compiler can read it another way.
"""

from __future__ import annotations

import math
from decimal import Decimal

from sources.quantconnect.lean.errors import LeanError


def python(value: object) -> str:
    """A text, number, truth value or None as Python writes it; `LeanError` for anything else."""
    if isinstance(value, Decimal):
        return python(int(value) if value == value.to_integral_value() else float(value))
    if isinstance(value, str):
        text = ascii(str(value))
        return f'"{text[1:-1]}"' if text[0] == "'" and '"' not in text else text
    if value is None or isinstance(value, bool | int):
        return repr(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    raise LeanError("backtest", "value", value, "cannot be written into an algorithm; give a text or a finite number")


def csharp(value: object) -> str:
    """The same in C#: numbers as `int`, `double` or, of a `Decimal`, `decimal`."""
    if isinstance(value, Decimal):
        return f"{value:f}m"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value!r}d" if "e" in repr(value) or "." in repr(value) else f"{value!r}.0d"
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    raise LeanError("backtest", "value", value, "cannot be written into an algorithm; give a text or a finite number")


def _escaped(letter: str) -> str:
    if letter in '\\"' or not " " <= letter <= "~":
        number = ord(letter)
        return f"\\U{number:08x}" if number > 0xFFFF else f"\\u{number:04x}"
    return letter
