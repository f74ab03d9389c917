"""Numbers, moments and foreign words as charts write them.

plotly draws a part of HTML in its texts, so whatever a model, a venue or a person wrote passes `safe` before it is in a figure.
Words for tables and summaries pass `plain`: the page escapes those.
"""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime

LABEL, PROSE = 60, 400
"""Characters of a name, and of a text that is read in a hover."""
NONE = "–"
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_FIRST_MS, _LAST_MS = 0, 253_402_300_799_999
_SECOND_MS, _MINUTE_MS, _HOUR_MS = 1_000, 60_000, 3_600_000


def plain(text: object, most: int = LABEL) -> str:
    """Text on one line, cut to `most` characters: no control characters, none that turn the line around, no half characters."""
    said = " ".join(_UNSEEN.sub(" ", str(text)[: 2 * most]).split())
    return said if len(said) <= most else said[: most - 1].rstrip() + "…"


def safe(text: object, most: int = LABEL) -> str:
    """`plain` text that plotly draws as it stands: `<`, `>`, `&` and quotes escaped, and no variable of a template in it."""
    return html.escape(plain(text, most)).replace("%{", "% {")


def prose(text: object, most: int = PROSE, width: int = 64) -> str:
    """A longer text for a hover: cut, broken into lines, each escaped; the only markup in it is `<br>`."""
    lines = [""]
    for word in plain(text, most).split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word[:width]}".lstrip()
    return "<br>".join(html.escape(line) for line in lines)


def moment(at: int | None) -> str:
    """Milliseconds as a moment in UTC."""
    if at is None or not _FIRST_MS <= at <= _LAST_MS:
        return NONE
    return f"{datetime.fromtimestamp(at / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def amount(value: float | None, digits: int = 2) -> str:
    """A number with thousands apart."""
    return NONE if value is None else f"{_unsigned(value, digits):,.{digits}f}"


def signed(value: float | None, digits: int = 2) -> str:
    """A number with its sign, as it is never told by colour alone."""
    return NONE if value is None else f"{_unsigned(value, digits):+,.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in percent."""
    return NONE if value is None else f"{_unsigned(100.0 * value, digits):,.{digits}f} %"


def price(value: float | None) -> str:
    """A price with as many digits as it has, ten at most."""
    if value is None:
        return NONE
    said = f"{value:,.10g}"
    return said if "e" not in said else f"{value:,.12f}".rstrip("0").rstrip(".")


def span(ms: float | None) -> str:
    """A length of time in the unit that fits."""
    if ms is None:
        return NONE
    for unit, length in (("h", _HOUR_MS), ("min", _MINUTE_MS), ("s", _SECOND_MS)):
        if abs(ms) >= length:
            return f"{ms / length:,.1f} {unit}"
    return f"{ms:,.3g} ms"


def counted(count: int, one: str, many: str = "") -> str:
    """`1 fill`, `2 fills`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _unsigned(value: float, digits: int) -> float:
    """Without the sign of what is rounded to nothing."""
    return 0.0 if round(value, digits) == 0 else value
