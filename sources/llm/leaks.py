"""What must not be in a prompt, nor stay in a record: keys, tokens, addresses of accounts, and the secrets of this bot.

Two nets: the configured secrets, whatever they look like, and whatever looks like a key, whoever it belongs to. A prompt in which
the first finds something is not sent; texts from outside lose what the second finds before they get into a prompt, so that
nobody can stop the bot with a headline that has a key in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

STARS = "***"
_SHORTEST = 6  # shorter values would star out half of any text
_KINDS: tuple[tuple[str, str], ...] = (
    ("private key", r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"),
    (
        "api key",
        r"\b(?:sk|rk|pk|xai|gsk)-[A-Za-z0-9_-]{17,}|\bAIza[0-9A-Za-z_-]{30,}|\bAKIA[0-9A-Z]{16}\b|\bgh[a-z]_[A-Za-z0-9]{30,}",
    ),
    ("token", r"\beyJ[\w-]{17,}\.[\w-]{10,}\.[\w-]{5,}|\b[Bb]earer\s+[A-Za-z0-9._~+/=-]{16,}"),
    ("hexadecimal key", r"\b(?:0x)?[0-9a-fA-F]{64}\b"),
    ("random key", r"\b(?=[A-Za-z]*\d)(?=[a-z0-9]*[A-Z])(?=[A-Z0-9]*[a-z])[A-Za-z0-9]{40,}\b"),
    (
        "address",
        r"\b0x[0-9a-fA-F]{40}\b|\bbc1[a-z0-9]{25,60}\b|\b(?=[1-9A-Z]*[a-z])(?=[1-9a-z]*[A-Z])[13][a-km-zA-HJ-NP-Z1-9]{25,34}\b",
    ),
)
_PATTERN = re.compile("|".join(f"(?P<{name.replace(' ', '_')}>{pattern})" for name, pattern in _KINDS))
# Every key has a run of at least so many of these signs, or goes by one of two names; most texts have no such run, and searching
# for the runs takes a tenth of the time.
_RUN = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{20,}+")
_BEGINNINGS = ("sk-", "rk-", "pk-", "xai-", "gsk-", "AIza", "eyJ")


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that must not leave: what it is, and where it begins. Never what it says."""

    kind: str
    at: int

    def __str__(self) -> str:
        """As an error may show it."""
        return f"{self.kind} at character {self.at}"


def redact_keys(text: str) -> str:
    """The text with stars for whatever looks like a key, a token or an address."""
    return _PATTERN.sub(STARS, text) if _may_hold(text) else text


def _may_hold(text: str) -> bool:
    if "PRIVATE KEY" in text or "earer" in text:
        return True
    runs = (run.group() for run in _RUN.finditer(text)) if len(text) >= 20 else ()
    return any(not run.replace("_", "").replace("-", "").isalpha() or any(one in run for one in _BEGINNINGS) for run in runs)


class Guard:
    """Knows the secrets of this bot; `also` is a further redaction that knows some of its own."""

    def __init__(self, secrets: Iterable[str] = (), also: Callable[[str], str] | None = None) -> None:
        known: set[str] = set()
        for value in secrets:
            if len(value) >= _SHORTEST:
                # In JSON they may be written with escapes.
                known |= {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
        longest_first = sorted(known, key=lambda value: (-len(value), value))
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._also = also

    def leaks(self, text: str) -> tuple[Leak, ...]:
        """What must not be in a prompt, in the order of the text."""
        found = [] if self._known is None else [Leak("configured secret", one.start()) for one in self._known.finditer(text)]
        if _may_hold(text):
            found += [Leak(str(one.lastgroup).replace("_", " "), one.start()) for one in _PATTERN.finditer(text)]
        return tuple(sorted(found, key=lambda leak: leak.at))

    def redact(self, text: str) -> str:
        """The text as a record may keep it."""
        if self._also is not None:
            text = self._also(text)
        if self._known is not None:
            text = self._known.sub(STARS, text)
        return redact_keys(text)
