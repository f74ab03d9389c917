"""Colours, words and numbers of charts."""

from __future__ import annotations

import math
import subprocess
import sys
from decimal import Decimal
from itertools import combinations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.web.charts.chart import MOST_ROWS, excerpt
from bot.web.charts.numbers import joined, number, thinned
from bot.web.charts.theme import DASHES, PATTERNS, SYMBOLS, Theme, colours, faded
from bot.web.charts.words import moment, percent, plain, price, prose, safe, signed, span

GROUNDS = {Theme.LIGHT: ("#ffffff", "#f5f6f8"), Theme.DARK: ("#171e28", "#0f141b")}
Linear = tuple[float, float, float]


def linear(colour: str) -> Linear:
    """A colour in linear light, as WCAG 2 has it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return red, green, blue


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colours, 1..21."""
    high, low = sorted(sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear(each), strict=True)) for each in (one, other))[
        ::-1
    ]
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", Theme)
def test_text_is_readable_on_the_page_and_on_cards(theme: Theme) -> None:
    ink = colours(theme)
    for ground in (*GROUNDS[theme], ink.card, *ink.scale):
        assert contrast(ink.ink, ground) >= 4.5
    for ground in (*GROUNDS[theme], ink.card):
        assert contrast(ink.faint, ground) >= 4.5


@pytest.mark.parametrize("theme", Theme)
def test_marks_are_seen_on_the_page_and_on_cards(theme: Theme) -> None:
    ink = colours(theme)
    for ground in GROUNDS[theme]:
        assert all(contrast(each, ground) >= 3 for each in (*ink.series, ink.gain, ink.loss, ink.accent, ink.warn, ink.shadow))


@pytest.mark.parametrize("theme", Theme)
@pytest.mark.parametrize(
    "seen",
    [
        ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
        ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    ],
    ids=["protanopia", "deuteranopia"],
)
def test_gain_and_loss_and_the_first_series_differ_for_the_colour_blind(theme: Theme, seen: tuple[Linear, ...]) -> None:
    """By the matrices of Machado, Oliveira and Fernandes (2009); distances are of perceived lightness and hue, 0..1 a channel."""
    ink = colours(theme)

    def perceived(colour: str) -> list[float]:
        rows = (sum(w * v for w, v in zip(row, linear(colour), strict=True)) for row in seen)
        return [max(0.0, each) ** (1 / 2.2) for each in rows]

    for group in ((ink.gain, ink.loss), ink.series[:3]):
        for one, other in combinations(group, 2):
            assert math.dist(perceived(one), perceived(other)) > 0.15


def test_no_series_is_told_by_colour_alone() -> None:
    ink = colours(Theme.LIGHT)
    assert len(set(ink.series)) == len(ink.series)
    assert len(set(SYMBOLS)) == len(set(PATTERNS)) == 8
    assert len({(ink.of(place), DASHES[place % len(DASHES)]) for place in range(24)}) == 24


def test_a_faded_colour_keeps_its_parts() -> None:
    assert faded("#0a62b0", 0.25) == "rgba(10,98,176,0.25)"


@pytest.mark.parametrize(
    ("given", "expected"),
    [(1, 1.0), (Decimal("2.5"), 2.5), ("3.25", 3.25), (None, None), (True, None), (math.nan, None), ("-inf", None), ("x", None),
     (Decimal("NaN"), None), (10**400, None), ([1], None)],
)  # fmt: skip
def test_only_finite_numbers_are_numbers(given: object, expected: float | None) -> None:
    assert number(given) == expected


@given(
    st.lists(st.none() | st.floats(-1e6, 1e6), max_size=400),
    st.integers(10, 60),
)
def test_a_thinned_curve_keeps_its_ends_its_order_and_its_extremes(values: list[float | None], most: int) -> None:
    at = list(range(len(values)))
    when, kept = thinned(at, values, most)
    assert len(when) == len(kept) <= max(most, 0)
    assert when == sorted(set(when))
    assert all(values[place] == value for place, value in zip(when, kept, strict=True))
    known = [value for value in values if value is not None]
    if values:
        assert (when[0], when[-1]) == (0, len(values) - 1)
    if known:
        left = [value for value in kept if value is not None]
        assert (min(left), max(left)) == (min(known), max(known))


@given(st.integers(0, 500), st.integers(1, 60))
def test_joined_candles_keep_the_first_open_the_extremes_and_the_last_close(count: int, most: int) -> None:
    prices = [(float(n), float(n + 2), float(n - 2), float(n + 1)) for n in range(count)]
    at, shown, each = joined(list(range(count)), prices, most)
    assert len(at) == len(shown) <= most or not count
    assert each >= 1
    if count:
        assert shown[0][0] == 0.0
        assert shown[-1][3] == float(count)
        assert max(one[1] or 0.0 for one in shown) == float(count + 1)


def test_words_lose_what_cannot_be_seen_and_half_characters() -> None:
    said = plain("a\x00b\u202ec\ud800d\u200be\nf\t g")
    assert said == "a b c d e f g"
    assert orjson.dumps(said)


@given(st.text(), st.integers(1, 50))
def test_words_are_never_longer_than_allowed(text: str, most: int) -> None:
    assert len(plain(text, most)) <= most


def test_foreign_words_are_escaped_and_hold_no_variable_of_a_template() -> None:
    assert safe('<img onerror="x">&%{y}') == "&lt;img onerror=&quot;x&quot;&gt;&amp;% {y}"


@given(st.text())
def test_prose_is_cut_broken_into_lines_and_escaped(text: str) -> None:
    lines = prose(f"{text} <script>", most=200, width=40).split("<br>")
    assert all("<" not in line and ">" not in line for line in lines)
    assert len(lines) <= 12


def test_numbers_carry_their_sign_and_unit() -> None:
    assert (signed(1234.5), signed(-2), signed(-0.001), signed(None)) == ("+1,234.50", "-2.00", "+0.00", "–")
    assert (percent(0.1234), percent(None)) == ("12.3 %", "–")
    assert (price(0.00001234), price(65000.5)) == ("0.00001234", "65,000.5")
    assert [span(each) for each in (0.25, 1500, 90_000, 7_200_000, None)] == ["0.25 ms", "1.5 s", "1.5 min", "2.0 h", "–"]
    assert moment(1_760_000_000_000) == "2025-10-09 08:53:20 UTC"
    assert moment(-1) == moment(10**18) == moment(None) == "–"


def test_a_long_table_is_cut_in_equal_steps_and_says_so() -> None:
    cut = excerpt(("place",), range(1_000), lambda place: (str(place),))
    assert len(cut.rows) == MOST_ROWS
    assert (cut.rows[0], cut.rows[-1]) == (("0",), ("999",))
    assert "of 1,000" in cut.note


def test_charts_are_imported_without_plotly_and_without_numpy() -> None:
    rooms = ("backtests", "candles", "costs", "equity", "gauges", "learning", "monitoring", "sources")
    named = ", ".join(f"bot.web.charts.{room}" for room in rooms)
    asked = f"import sys, {named}; print([name for name in ('plotly', 'numpy', 'orjson', 'sqlalchemy') if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.strip() == "[]"
