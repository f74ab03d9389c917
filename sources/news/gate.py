"""The gate: what others wrote is made plain, and what looks like an order to a machine is turned away.

A filter lowers the rate of attacks and ends none of them; what they can do is bounded elsewhere (`veto`, the risk limits). So it
errs towards turning away: an item that is lost costs little, and is counted. A flagged item is dropped whole and never mended,
because what is left of an attack is still the attacker's. The texts are looked at as they are, as a model would understand them
(without invisible characters, with look-alike letters and odd spacing undone), and as a decoder would.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from sources.llm.wording import plain
from sources.news.items import Raw
from sources.news.patterns import shipped

LONGEST_TITLE = 200
LONGEST_SUMMARY = 300
MOST_ITEMS = 10
_LONGEST_RAW = 4_000  # characters that are looked at, and of which anything can be kept

_OSC = re.compile(r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,2000}(?:\x07|\x1b\\|\x9c|$)")
_CSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]{0,40}[ -/]{0,10}[@-~]?")
_ESCAPE = re.compile(r"\x1b[ -/]{0,4}[0-~]?")
_UNSEEN = re.compile("[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufff0-\ufffc]|[\U000e0000-\U000e0fff]")
_BLOCK = re.compile(
    r"<(script|style|iframe|object|svg)\b.{0,4000}?(?:</\1\s*>|$)|<!--.{0,4000}?(?:-->|$)", re.IGNORECASE | re.DOTALL
)
_IMAGE = re.compile(r"!\[[^\[\]]{0,300}\]\([^()]{0,500}\)|!?\[[^\[\]]{0,300}\]\[[^\[\]]{0,100}\]")
_LINK = re.compile(r"\[([^\[\]]{0,300})\]\([^()]{0,500}\)")
_BARE = re.compile(r"(?:\bwww\.|//)\S+|\b[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,3}\.[a-z]{2,10}/\S*", re.IGNORECASE)
_MARKS = re.compile(r"[*_~`#|]{2,}|`|^\s{0,3}(?:#+|>)\s")
_STACKED = re.compile(r"((?:[^\W\d_])[\u0300-\u036f]{0,2})[\u0300-\u036f]+")

_TAGS = re.compile("[\U000e0000-\U000e007f]")
_FLAG_OF_A_LAND = re.compile("\U0001f3f4[\U000e0061-\U000e007a]{2,6}\U000e007f")
_OVERRIDE = re.compile("[\u202d\u202e]")
_INVISIBLE_RUN = re.compile("[\u200b-\u200f\u2060-\u2069\ufe00-\ufe0f\U000e0100-\U000e01ef]{8,}")
_LETTERS_APART = re.compile(r"\b(?:\w[ ._\-*]){4,}\w\b")
_LOOK_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u0501\u043a\u043c\u0442\u043d\u0432\u0433"
    "\u03b1\u03b5\u03bf\u03c1\u03c5\u03b9\u03ba\u03bd\u03c4\u0131\u0261\u026a\u1d0f",
    "aeopcyxisjdkmthbraeopuikvtigio",
)
_DIGITS = str.maketrans("01345@$7l", "oieasasti")  # l as well: a 1 may be either
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_ROT13 = str.maketrans(_ALPHABET, _ALPHABET[13:] + _ALPHABET[:13])
_LETTER = re.compile(r"\w")
_ADDRESS = re.compile(r"\b[a-z]{2,10}://\S+")


class Flag(StrEnum):
    """Why an item was turned away."""

    HIDDEN = "hidden"  # characters that nobody sees and a model reads
    ENCODED = "encoded"  # base64 and other wrappings
    ROLE = "role"  # the marks of a conversation with a model
    ORDER = "order"  # an instruction to a model
    FIELDS = "fields"  # names of the answer that a model is to give
    ADVERT = "advert"  # a call to trade
    EMPTY = "empty"  # nothing is left, or no title was there


_GROUPS = (
    ("role", Flag.ROLE),
    ("order", Flag.ORDER),
    ("tongues", Flag.ORDER),
    ("fields", Flag.FIELDS),
    ("advert", Flag.ADVERT),
)


@dataclass(slots=True)
class Gate:
    """Lets items in and counts what it turned away, by feed and flag. `summaries` off: headlines only."""

    summaries: bool = False
    passed: Counter[str] = field(default_factory=Counter)
    dropped: Counter[tuple[str, Flag]] = field(default_factory=Counter)

    def admit(self, raw: Raw, feed: str) -> Raw | Flag:
        """The item made plain, or why it is dropped."""
        flag = flag_of(raw.title) or (flag_of(raw.summary) if self.summaries else None)
        title, summary = clean(raw.title, LONGEST_TITLE), clean(raw.summary, LONGEST_SUMMARY) if self.summaries else ""
        if flag is None:
            flag = flag_of_plain(title, summary)  # what is taken out may leave an attack behind
        if flag is not None:
            self.dropped[feed, flag] += 1
            return flag
        self.passed[feed] += 1
        return Raw(raw.id, title, summary, raw.published)


@lru_cache(maxsize=8192)
def flag_of_plain(title: str, summary: str) -> Flag | None:
    """Why an item that was made plain would be turned away, None for one that may be shown."""
    return (None if _LETTER.search(title) else Flag.EMPTY) or flag_of(title) or flag_of(summary)


def clean(text: str, longest: int) -> str:
    """The text in one plain line: no escapes of terminals, markup, links or invisible characters. Done twice it is the same."""
    text = text[:_LONGEST_RAW]
    for _ in range(6):
        before = text
        text = plain(_stripped(text), longest)
        if text == before:
            break
    return text


def _stripped(text: str) -> str:
    """Without what `plain` does not know of: escapes, entities, blocks of code, images, bare addresses, marks of markdown."""
    if "\x1b" in text or not text.isascii():
        text = _ESCAPE.sub("", _CSI.sub("", _OSC.sub("", text)))
        text = _STACKED.sub(r"\1", _UNSEEN.sub("", text))
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _BLOCK.sub(" ", text)
    if "](" in text or "][" in text:
        text = _LINK.sub(r"\1", _IMAGE.sub(" ", text))
    if "/" in text or "www." in text:
        text = _BARE.sub(" ", text)
    return _MARKS.sub(" ", text.replace("](", "] (").replace("://", " "))


def flag_of(text: str) -> Flag | None:
    """Why a text is turned away, None for one that may pass."""
    text = text[:_LONGEST_RAW]
    if _hides(text):
        return Flag.HIDDEN
    seen, patterns = _seen(text), shipped()
    if patterns.finds("encoded", _BARE.sub(" ", _ADDRESS.sub(" ", seen))):
        return Flag.ENCODED
    for version in _versions(seen):
        for group, flag in _GROUPS:
            if patterns.finds(group, version):
                return flag
    squeezed = _squeezed(seen)
    for letters in (squeezed, squeezed[::-1], _squeezed(seen.translate(_ROT13))):
        if any(phrase.translate(_DIGITS) in letters for phrase in patterns.squeezed):
            return Flag.ORDER
    return None


def _hides(text: str) -> bool:
    """Whether somebody took pains to write what nobody sees."""
    if text.isascii():
        return False
    plainly = _FLAG_OF_A_LAND.sub("", text)
    return any(pattern.search(plainly) for pattern in (_TAGS, _OVERRIDE, _INVISIBLE_RUN))


def _seen(text: str) -> str:
    """What a reader sees, in one case and one line, markup and addresses kept."""
    text = _ESCAPE.sub("", _CSI.sub("", _OSC.sub(" ", text)))
    for _ in range(3):
        text = html.unescape(text)
    text = unicodedata.normalize("NFKC", text)
    text = "".join(" " if one.isspace() else one for one in text if one.isspace() or unicodedata.category(one)[0] != "C")
    return re.sub(r"\s+", " ", _UNSEEN.sub("", text)).casefold()


def _versions(seen: str) -> tuple[str, ...]:
    """The text as it is, and with disguises undone where it wears any."""
    bare = "".join(one for one in unicodedata.normalize("NFKD", seen) if not unicodedata.combining(one))
    undone = _LETTERS_APART.sub(lambda found: re.sub(r"[ ._\-*]", "", found[0]), bare.translate(_LOOK_ALIKE))
    without_tags = re.sub(r"<[^<>]{0,200}>|[*_~`]", "", undone)
    return tuple(dict.fromkeys((seen, bare, undone, without_tags)))


def _squeezed(seen: str) -> str:
    """Letters only, look-alikes undone: what is left when spacing, points and digits for letters are no disguise."""
    bare = "".join(one for one in unicodedata.normalize("NFKD", seen) if not unicodedata.combining(one))
    return re.sub(r"[^a-z]+", "", bare.translate(_LOOK_ALIKE).translate(_DIGITS))
