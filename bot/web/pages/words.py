"""How values look on a page. Numbers that cannot be shown are a dash, never an invention; a sign stands beside every colour."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from markupsafe import Markup, escape

DASH = "–"
MINUS = "\N{MINUS SIGN}"
_MOMENT = re.compile(r"\b1[0-9]{12}\b")
_MOST_PLACES = 8
_CUTS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def number(value: object, places: int | None = None) -> str:
    """A number with groups of three; with `places` rounded to so many, else as many as it has, at most 8."""
    made = _decimal(value)
    if made is None:
        return DASH
    if places is None:
        made = _rounded(made, _MOST_PLACES).normalize()
        places = min(_MOST_PLACES, max(0, -int(made.as_tuple().exponent)))
    return f"{_rounded(made, places):,.{places}f}".replace("-", MINUS)


def signed(value: object, places: int = 2) -> str:
    """A number with its sign, + as well as −; nothing has none."""
    made = _decimal(value)
    if made is None:
        return DASH
    shown = _rounded(made, places)
    return f"{'+' if shown > 0 else ''}{number(shown, places)}"


def money(value: object, currency: str = "") -> str:
    """A sum of money: two places, more below 1 in size."""
    made = _decimal(value)
    if made is None:
        return DASH
    places = 2 if abs(made) >= 1 or made == 0 else 4
    return f"{number(made, places)} {currency}".rstrip()


def price(value: object) -> str:
    """A price: as many places as its size asks for."""
    made = _decimal(value)
    if made is None:
        return DASH
    size = abs(made)
    return number(made, 2 if size >= 100 else 4 if size >= 1 else 8)


def percent(value: object, places: int = 1) -> str:
    """A fraction as percent."""
    made = _decimal(value)
    return DASH if made is None else f"{number(made * 100, places)} %"


def signed_percent(value: object, places: int = 2) -> str:
    """A fraction as percent, with its sign."""
    made = _decimal(value)
    return DASH if made is None else f"{signed(made * 100, places)} %"


def tone(value: object) -> str:
    """The CSS class of a gain, a loss, or neither."""
    made = _decimal(value)
    return "flat" if not made else "gain" if made > 0 else "loss"


def utc(ms: int | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time in UTC."""
    return DASH if ms is None else datetime.fromtimestamp(ms / 1_000, UTC).strftime(form)


def moment(ms: int | None, form: str = "%H:%M:%S") -> Markup:
    """A `<time>`: shown in UTC, its full date and the reader's own time on hover (the script adds the latter)."""
    if ms is None:
        return escape(DASH)
    at = datetime.fromtimestamp(ms / 1_000, UTC)
    iso, full = at.isoformat(timespec="milliseconds"), at.isoformat(" ", "seconds")[:19]
    # Digits by themselves; a page has hundreds of them, and `Markup.format` takes longer than all the rest of a row.
    return Markup(f'<time datetime="{iso}" title="{full} UTC">{escape(at.strftime(form))}</time>')  # noqa: S704


def dated(text: object) -> str:
    """A text of the desk's, with the moments in it (ms UTC) as times."""
    return _MOMENT.sub(lambda found: f"{utc(int(found[0]), '%H:%M:%S')} UTC", str(text or ""))


def duration(ms: float | None) -> str:
    """A length of time in its largest unit, such as `1.5 h` or `12 min`; cut, never rounded up to more than it is."""
    if ms is None:
        return DASH
    size, unit = _unit(ms)
    length = ms / size
    return f"{math.floor(length) if length >= 10 else math.floor(10 * length) / 10:g} {unit}"


def ago(ms: int | None, now: int) -> str:
    """How long ago in whole units, such as `3 min ago`."""
    if ms is None:
        return "never"
    size, unit = _unit(max(0, now - ms))
    return f"{max(0, now - ms) // size} {unit} ago"


def _unit(ms: float) -> tuple[int, str]:
    return next(((size, unit) for size, unit in _CUTS if ms >= size), (1, "ms"))


def cut(text: object, length: int = 120) -> str:
    """A text in one line of at most so many characters."""
    line = " ".join(str(text or "").split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


def words(name: object) -> str:
    """A name of the code as words: `already-at-target` to `already at target`."""
    return str(getattr(name, "value", name)).replace("-", " ").replace("_", " ")


def slug(name: object) -> str:
    """A name as part of an identifier in HTML."""
    return "".join(sign if sign.isalnum() else "-" for sign in str(name).lower())


def lines(text: object) -> Markup:
    """A text of somebody else's, escaped, its line breaks kept."""
    return Markup("<br>").join(escape(line) for line in str(text or "").splitlines())


def _rounded(value: Decimal, places: int) -> Decimal:
    """As people round, whatever the context says; a number too long for that stays as it is."""
    try:
        return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    except InvalidOperation:
        return value


def _decimal(value: object) -> Decimal | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    try:
        made = Decimal(str(value))
    except InvalidOperation:
        return None
    return made if made.is_finite() else None


FILTERS: Mapping[str, Callable[..., Any]] = {
    "number": number,
    "signed": signed,
    "money": money,
    "price": price,
    "percent": percent,
    "signed_percent": signed_percent,
    "tone": tone,
    "utc": utc,
    "moment": moment,
    "dated": dated,
    "duration": duration,
    "ago": ago,
    "cut": cut,
    "words": words,
    "slug": slug,
    "lines": lines,
}
TESTS: Mapping[str, Callable[..., bool]] = {"shown": lambda value: _decimal(value) is not None}
