"""Words from outside made plain, as they may stand in a prompt: news, and what models wrote earlier.

Plain is one line of visible characters: no control, formatting or tag characters, no markup, no addresses, bounded in length.
It is done when a text comes in and again when it goes into a prompt; done twice, it is as done once.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from sources.llm.leaks import redact_keys

_MARKUP = re.compile(r"<[A-Za-z/!?][^<>]{0,400}>")
_LINK = re.compile(r"!?\[([^\[\]]{0,300})\]\([^()\s]{0,500}\)")
_ADDRESS = re.compile(r"\b(?:https?|ftp|file|data|javascript):\S*", re.IGNORECASE)
_WHITE = re.compile(r"\s+")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,39}")
_BRACKETS = str.maketrans("<>[]()", "      ")
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})
_ROUNDS = 5  # what is taken out may leave new markup behind
_FORMATS = tuple(f"%.{digits}g" for digits in range(18))
_DEEPEST, _MOST_KEYS, _LONGEST_KEY = 4, 40, 40


def plain(text: str, longest: int) -> str:
    """The text in one plain line of at most `longest` characters."""
    text = text[: 4 * longest + 400]  # far more than is kept: nobody's megabyte is read to its end
    for _ in range(_ROUNDS):
        before = text
        text = _once(text)
        if text == before:
            break
    else:
        text = _once(text.translate(_BRACKETS))  # nobody nests markup so deep in good faith
    return text if len(text) <= longest else text[:longest].rstrip()


def _once(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFKC", text)
        text = "".join(" " if one.isspace() else one for one in text if one.isspace() or _visible(one))
    if "<" in text:
        text = _MARKUP.sub(" ", text)
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if ":" in text:
        text = _ADDRESS.sub(" ", text)
    return _WHITE.sub(" ", redact_keys(text)).strip()


def _visible(one: str) -> bool:
    return unicodedata.category(one) not in _INVISIBLE and not (
        "\ufe00" <= one <= "\ufe0f" or "\U000e0000" <= one <= "\U000e0fff"
    )


def is_code(text: str) -> bool:
    """Whether a text is a short word of code, such as a name or an id, that cannot be a sentence."""
    return _CODE.fullmatch(text) is not None


def tidy(number: float | None, digits: int = 6) -> float | None:
    """A number of that many significant digits; None for none and for what is not finite."""
    if number is None or not math.isfinite(number):
        return None
    return float(_FORMATS[digits] % number) + 0.0  # no negative zero


def plain_json(value: object, *, longest: int = 300, most: int = 20, depth: int = 0) -> Any:
    """A value from outside as bounded plain JSON: texts made plain, numbers tidied, what JSON has no word for null."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return plain(value, longest)
    if isinstance(value, int):
        return value if abs(value) < 2**53 else None
    if isinstance(value, float):
        return tidy(value)
    if depth >= _DEEPEST:
        return None
    if isinstance(value, Mapping):
        kept = list(value.items())[:_MOST_KEYS]
        return {
            plain(str(key), _LONGEST_KEY): plain_json(each, longest=longest, most=most, depth=depth + 1) for key, each in kept
        }
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain_json(each, longest=longest, most=most, depth=depth + 1) for each in value[:most]]
    return None
