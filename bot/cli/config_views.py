"""What `config set`, `unset`, `source` and `history` say to a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bot.cli.output import table
from bot.cli.screen import clean


def changed_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What was changed, and when it acts."""
    for row in found["changes"]:
        hidden = f"  (has no effect: {row['hidden_by']} goes before it)" if row["hidden_by"] else ""
        yield clean(f"{row['key']}: {_text(row['before'])} -> {_text(row['after'])}{hidden}")
    yield f"kept in {found['overlay']}; {found['told']}"


def source_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Whether the source is on from the next start."""
    state = "on" if found["enabled"] else "off"
    yield clean(f"{found['source']} is {state} from the next start; {found['told']}")


def history_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """A table of changes."""
    if not found["changes"]:
        yield "nothing was changed yet"
        return
    rows = [
        [
            datetime.fromtimestamp(row["at"] / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC"),
            clean(row["author"]),
            row["action"],
            clean(row["subject"]),
            clean(_text(row["before"])),
            clean(_text(row["after"])),
            clean(row["note"]),
        ]
        for row in found["changes"]
    ]
    yield from table(["at", "author", "action", "subject", "before", "after", "note"], rows)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
