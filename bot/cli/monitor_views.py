"""What `errors` and `components` say to a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bot.cli.output import table
from bot.cli.screen import clean

_LONGEST = 100


def error_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """A table of errors, and how many there are."""
    rows = [
        [
            one["fingerprint"],
            one["level"],
            str(one["count"]),
            _moment(one["last"]),
            clean(one["event"]),
            clean(one["exception"] or "-"),
            clean(one["sample"])[:_LONGEST],
        ]
        for one in found["errors"]
    ]
    if rows:
        yield from table(["fingerprint", "level", "count", "last", "event", "exception", "sample"], rows)
    lost = f", {found['dropped']} found no room" if found["dropped"] else ""
    yield f"{found['open']} open, {found['resolved']} resolved{lost}"


def resolved_line(found: Mapping[str, Any]) -> Iterator[str]:
    """That it is settled."""
    one = found["error"]
    yield clean(f"{one['fingerprint']} {one['event']} is resolved, until it happens again")


def component_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """A table of parts, and the whole."""
    rows = [
        [clean(one["name"]), one["state"], _moment(one["since"]), str(one["restarts"]), clean(one["detail"])[:_LONGEST]]
        for one in found["components"]
    ]
    yield from table(["part", "state", "since", "restarts", "detail"], rows)
    yield f"the bot is {found['state']}"


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000, UTC).strftime("%m-%d %H:%M:%S UTC")
