"""Colours, dashes and symbols of charts, for light and for dark ground.

Text has a contrast of 4.5:1 or more on the page and on its cards, marks of 3:1. The colours of series are told apart by those who
do not see all colours (after Okabe and Ito, darkened or lightened for the ground), and never stand alone: each comes with a dash,
a symbol and a pattern of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Theme(StrEnum):
    """The ground that a chart is drawn on."""

    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Colours:
    """`ink` and `faint` are text, `rule` the grid, `card` what hover texts stand on, `series` one each in their order.

    `scale` runs from the least over the middle to the most; `ink` is read on all of it.
    """

    ink: str
    faint: str
    rule: str
    card: str
    gain: str
    loss: str
    accent: str
    warn: str
    shadow: str
    series: tuple[str, ...]
    scale: tuple[str, str, str]

    def of(self, place: int) -> str:
        """The colour of the series at that place."""
        return self.series[place % len(self.series)]


_LIGHT = Colours(
    ink="#18202b", faint="#4f5a69", rule="#dfe3e9", card="#ffffff",
    gain="#00735a", loss="#b3401f", accent="#0a62b0", warn="#8a5a00", shadow="#66717f",
    series=("#0a62b0", "#b35900", "#00735a", "#a0447e", "#3d3d8f", "#8a6d00", "#117a8b", "#7a3b10"),
    scale=("#f0a48c", "#f3f4f6", "#8fbdea"),
)  # fmt: skip
_DARK = Colours(
    ink="#e7ebf1", faint="#a6b2c2", rule="#2b3542", card="#171e28",
    gain="#3ccf9f", loss="#ff8a5c", accent="#62b0ff", warn="#ffd479", shadow="#8b98a9",
    series=("#62b0ff", "#f0a030", "#2fc497", "#e79bc9", "#a9a4ff", "#f0e442", "#5fd4e6", "#d9956a"),
    scale=("#8a3d1f", "#262f3b", "#1d4f86"),
)  # fmt: skip

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "pentagon", "star")
PATTERNS = ("", "/", "x", ".", "\\", "+", "-", "|")

FONT = '"Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
"""Families whose digits are of one width, as numbers under each other must be."""


def colours(theme: Theme) -> Colours:
    """The colours of a ground."""
    return _DARK if theme is Theme.DARK else _LIGHT


def dash(place: int) -> str:
    """The dash of the series at that place."""
    return DASHES[place % len(DASHES)]


def symbol(place: int) -> str:
    """The marker of the series at that place."""
    return SYMBOLS[place % len(SYMBOLS)]


def pattern(place: int) -> str:
    """The pattern of the bars of the series at that place."""
    return PATTERNS[place % len(PATTERNS)]


def faded(colour: str, opacity: float) -> str:
    """A colour written `#rrggbb`, seen through."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
