"""What commands print: JSON for programs, plain aligned text for people. Colour and boxes only on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from bot.cli.screen import clean


def wants_colour(stream: TextIO) -> bool:
    """Whether ANSI colours may go to this stream."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(*lines: str) -> None:
    """Lines on stdout, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def say_json(value: object) -> None:
    """One JSON value on one line of stdout."""
    import orjson

    say(orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode())


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Aligned columns; numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(name), *(len(row[column]) for row in cells)) if cells else len(name) for column, name in enumerate(head)]
    numeric = [bool(cells) and all(_is_number(row[column]) for row in cells) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        parts = (f"{text:>{w}}" if right else f"{text:<{w}}" for text, w, right in zip(row, widths, numeric, strict=True))
        return "  ".join(parts).rstrip()

    return [line([name.upper() for name in head]), *(line(row) for row in cells)]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else clean(str(value))


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(",", "").replace(".", "", 1).replace("%", "").lstrip("+-").isdigit()


def report(values: Mapping[str, object], title: str = "") -> list[str]:
    """A nested mapping as text: scalars as name and value, mappings of mappings and lists of mappings as tables below."""
    lines = [title] if title else []
    plain = {name: value for name, value in values.items() if not isinstance(value, (Mapping, list))}
    wide = max((len(name) for name in plain), default=0)
    lines += [f"  {_words(name):<{wide}}  {_cell(value)}" for name, value in plain.items()]
    for name, value in values.items():
        if name not in plain and value:
            lines += ["", *_section(_words(name), value)]
    return lines


def _section(name: str, value: object) -> list[str]:
    if isinstance(value, list):
        if all(isinstance(row, Mapping) for row in value):
            head = list(dict.fromkeys(key for row in value for key in row))
            return [name, *table(head, [[row.get(key) for key in head] for row in value])]
        return [f"{name}: {', '.join(_cell(part) for part in value)}"]
    assert isinstance(value, Mapping)
    if all(isinstance(row, Mapping) for row in value.values()):
        head = list(dict.fromkeys(key for row in value.values() for key in row))
        return [name, *table(["", *head], [[label, *(row.get(key) for key in head)] for label, row in value.items()])]
    return report(value, name)


def _words(name: str) -> str:
    return name.replace("_", " ")
