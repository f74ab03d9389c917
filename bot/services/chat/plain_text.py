"""What a model says, made plain text for whoever shows it: no escapes, no control or formatting characters, bounded.

Line ends and tabs stay. It works on pieces as they come, so an escape sequence that is cut in two is taken out as well.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum

LONGEST_ANSWER = 20_000
_BLANKS = frozenset("\n\t")
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})
_LINES = frozenset("\u2028\u2029\x85\x0b\x0c")
_OF_STRINGS = frozenset("]PX^_")  # OSC, DCS, SOS, PM, APC: they last until a BEL or an ST
_LONGEST_SEQUENCE = 4_096
_MANY_LINES = re.compile(r"\n{3,}")


class _At(Enum):
    TEXT = 0
    ESCAPE = 1
    CSI = 2
    STRING = 3
    STRING_ESCAPE = 4


class PlainText:
    """One answer as it grows. `dropped` counts the characters beyond its bound."""

    def __init__(self, longest: int = LONGEST_ANSWER) -> None:
        self._longest = longest
        self._at = _At.TEXT
        self._within = 0
        self._parts: list[str] = []
        self.length = 0
        self.dropped = 0

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self._parts)

    def feed(self, piece: str) -> str:
        """What of a piece may be shown."""
        shown = "".join(one for one in piece if self._takes(one))
        shown = "".join("\n" if one in _LINES else one for one in shown)
        kept = shown[: self._longest - self.length]
        self.dropped += len(shown) - len(kept)
        self.length += len(kept)
        if kept:
            self._parts.append(kept)
        return kept

    def apart(self) -> str:
        """A blank line between what was said before and what comes; nothing at the beginning."""
        self._at = _At.TEXT
        return self.feed("\n\n") if self.length and not self.text.endswith("\n\n") else ""

    def _takes(self, one: str) -> bool:
        """Whether a character is shown; keeps track of escape sequences."""
        if self._at is _At.TEXT:
            return self._begins(one)
        self._within += 1
        if self._within > _LONGEST_SEQUENCE:  # that was no sequence: nobody may hide a whole answer in one
            self._at = _At.TEXT
            return self._begins(one)
        if self._at is _At.ESCAPE:
            self._at = _At.CSI if one == "[" else _At.STRING if one in _OF_STRINGS else _At.TEXT
        elif self._at is _At.CSI:
            self._at = _At.TEXT if "@" <= one <= "~" or one == "\n" else _At.CSI
        elif self._at is _At.STRING:
            self._at = _At.TEXT if one in "\x07\x9c" else _At.STRING_ESCAPE if one == "\x1b" else _At.STRING
        else:
            self._at = _At.TEXT if one == "\\" else _At.STRING
        return False

    def _begins(self, one: str) -> bool:
        if one in "\x1b\x9b\x9d\x90":
            self._within = 0
            self._at = {"\x1b": _At.ESCAPE, "\x9b": _At.CSI}.get(one, _At.STRING)
            return False
        if one in _BLANKS or one in _LINES:
            return True
        return unicodedata.category(one) not in _INVISIBLE and not "\ufe00" <= one <= "\ufe0f"


def plain_words(text: str, longest: int) -> str:
    """A whole text made plain, its lines kept, without runs of empty ones."""
    cleaner = PlainText(longest)
    cleaner.feed(text[: 4 * longest])
    return _MANY_LINES.sub("\n\n", cleaner.text).strip()
