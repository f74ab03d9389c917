"""One line of the audit, without anything that must stay secret.

Values whose key may hold a secret are starred out, and so is every secret that the bot knows, wherever it stands; then long texts
are cut. What is kept of one line is bounded, whatever was asked.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import orjson

STARS = "***"
LONGEST_DETAIL = 500
LONGEST_TARGET = 200

_HIDES = re.compile(
    r"secret|token|passw|passphrase|credential|authori[sz]ation|cookie|signature|private|api_?key|url|dsn|webhook|^key$|^value$",
    re.IGNORECASE,
)
_LONGEST_TEXT = 200
_LONGEST_KEY = 80
_MOST_ITEMS = 50
_DEEPEST = 5
_MOST_BYTES = 8_192
_LONGEST_READ = 10_000
_NAMING = ("source", "name", "proposal", "decision", "id", "project", "session", "symbol", "file", "template", "run")

Redact = Callable[[bytes], bytes]


class Outcome(StrEnum):
    """What became of it: done; turned down before anything was tried; or tried, and not done."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Entry:
    """Who (`actor`) had what done (`command`, the name of a command or use case), to what (`target`), and what became of it.

    `at` is ms UTC. `args`, `before` and `after` are plain JSON, fit to be shown; null where nothing is known.
    """

    at: int
    actor: str
    command: str
    target: str
    args: object
    before: object
    after: object
    outcome: Outcome
    detail: str
    nonce: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))


class Scribe:
    """Makes what is told fit to be kept. `redact` takes the known secrets out of JSON bytes."""

    def __init__(self, redact: Redact) -> None:
        self._redact = redact

    def shown(self, told: object) -> object:
        """Plain JSON without secrets, cut to what may be kept; a line that says so where it is too much even then."""
        try:
            clean = orjson.loads(self._redact(orjson.dumps(told, default=str)))
        except (TypeError, ValueError):
            return f"{STARS} (not JSON)"
        cut = _cut(clean, _DEEPEST)
        return cut if len(orjson.dumps(cut)) <= _MOST_BYTES else f"{STARS} (longer than {_MOST_BYTES} bytes)"

    def text(self, told: str, longest: int) -> str:
        """One printable line of text without secrets."""
        line = " ".join("".join(mark if mark.isprintable() else " " for mark in told[:_LONGEST_READ]).split())
        try:
            clean = orjson.loads(self._redact(orjson.dumps(line)))
        except (TypeError, ValueError):
            return STARS
        return _short(str(clean), longest)


def target_of(args: Mapping[str, object]) -> str:
    """What a command is about: the first of its arguments that names something."""
    for name in _NAMING:
        value = args.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    return ""


def _cut(value: object, deep: int) -> object:
    if isinstance(value, str):
        return _short(value, _LONGEST_TEXT)
    if isinstance(value, Mapping):
        if not deep:
            return "…"
        kept = list(value.items())[:_MOST_ITEMS]
        return {_short(name, _LONGEST_KEY): _hidden(name, inner, deep) for name, inner in kept}
    if isinstance(value, Sequence):
        return [_cut(inner, deep - 1) for inner in value[:_MOST_ITEMS]] if deep else "…"
    return value


def _hidden(name: str, value: object, deep: int) -> object:
    """Nothing of a value that may be secret, not even how long it is; whether there is one may be known."""
    if _HIDES.search(name):
        return value if value is None or isinstance(value, bool) else STARS
    return _cut(value, deep - 1)


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
