"""How values look: rounded, signed, grouped; what cannot be shown is a dash; what others wrote is escaped."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.web.pages import words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("1234567.5"), "1,234,567.5"),
        ("0.00310", "0.0031"),
        (-2, "−2"),
        (0, "0"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
        ("no number", "–"),
        (True, "–"),
        (Decimal("1E-9"), "0"),
    ],
)
def test_a_number_is_grouped_and_never_an_invention(value: object, shown: str) -> None:
    assert words.number(value) == shown


def test_gains_and_losses_carry_their_sign_beside_their_colour() -> None:
    assert [words.signed(value) for value in (1.5, -1.5, 0.001, 0)] == ["+1.50", "−1.50", "0.00", "0.00"]
    assert [words.tone(value) for value in (1, -1, 0, None)] == ["gain", "loss", "flat", "flat"]
    assert words.signed_percent(-0.0123) == "−1.23 %"


def test_prices_have_the_places_that_their_size_asks_for() -> None:
    assert [words.price(value) for value in (60_512.345, 2.5, 0.00001234)] == ["60,512.35", "2.5000", "0.00001234"]


def test_a_moment_is_utc_and_machine_readable() -> None:
    assert 'datetime="2023-11-14T22:13:20.000+00:00"' in words.moment(1_700_000_000_000)
    assert words.moment(None) == "–"


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (None, "–"), (0, "0 ms"), (250, "250 ms"), (1_000, "1 s"), (1_500, "1.5 s"), (2_990, "2.9 s"), (90_000, "1.5 min"),
        (3_590_000, "59 min"), (3_600_000, "1 h"), (5_400_000, "1.5 h"), (129_600_000, "1.5 d"), (864_000_000, "10 d"),
    ],
)  # fmt: skip
def test_a_length_of_time_is_never_shown_as_longer_than_it_is(ms: float | None, shown: str) -> None:
    assert words.duration(ms) == shown


@pytest.mark.parametrize(("ms", "shown"), [(None, "never"), (10_000, "0 ms ago"), (8_010, "1 s ago"), (0, "10 s ago")])
def test_how_long_ago_is_told_in_whole_units(ms: int | None, shown: str) -> None:
    assert words.ago(ms, 10_000) == shown


@given(st.text())
def test_what_others_wrote_is_never_markup(text: str) -> None:
    shown = str(words.lines(f"<img src=x onerror=alert(1)>{text}"))
    assert "<img" not in shown
    assert shown.replace("<br>", "").count("<") == 0


@given(st.text(), st.integers(2, 200))
def test_a_cut_text_is_one_line_of_at_most_its_length(text: str, length: int) -> None:
    cut = words.cut(text, length)
    assert len(cut) <= length
    assert "\n" not in cut
