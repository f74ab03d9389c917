"""What a model says cannot command a terminal, however it is cut into pieces."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.services.chat.plain_text import PlainText, plain_words

EVIL = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from(
            ["\x1b[31m", "\x1b]0;t\x07", "\x1b]8;;x\x1b\\", "\x9b2J", "\x1b", "\x1bP", "\u202e", "\u200b", "\r", "\x85"]
        ),
    ),
    max_size=12,
).map("".join)


@given(EVIL, st.lists(st.integers(0, 60), max_size=5))
def test_only_visible_characters_and_line_ends_come_out_and_pieces_change_nothing(text: str, cuts: list[int]) -> None:
    whole = PlainText()
    shown = whole.feed(text)
    pieces, last = PlainText(), 0
    for cut in [*sorted(cuts), len(text)]:
        pieces.feed(text[last:cut])
        last = max(last, cut)
    assert pieces.text == shown == whole.text
    assert all(one in "\n\t" or unicodedata.category(one) not in {"Cc", "Cf", "Co", "Cs", "Cn"} for one in shown)
    assert PlainText().feed(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with ümlaut and 漢字\tand\nlines", "plain, with ümlaut and 漢字\tand\nlines"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("a\x1b]52;c;ZXZpbA==\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1bPq#0\x1b\\b", "ab"),
        ("a\x9b31mb\u2028c", "ab\nc"),
        ("bi\u202edi\u2069", "bidi"),
    ],
)
def test_escape_sequences_go_and_words_stay(text: str, shown: str) -> None:
    assert PlainText().feed(text) == shown


def test_an_answer_is_bounded_and_what_is_dropped_is_counted() -> None:
    words = PlainText(10)
    assert words.feed("x" * 8) + words.feed("y" * 8) == "x" * 8 + "yy"
    assert (words.length, words.dropped) == (10, 6)
    assert words.feed("z") == ""


def test_a_whole_answer_cannot_hide_in_a_sequence_that_never_ends() -> None:
    words = PlainText()
    words.feed("\x1b]" + "x" * 10_000)
    assert words.length > 5_000


def test_words_are_parted_by_a_blank_line_and_a_question_keeps_its_lines() -> None:
    words = PlainText()
    assert words.apart() == ""
    words.feed("one")
    assert words.apart() == "\n\n"
    assert words.apart() == ""
    assert plain_words("  a\n\n\n\n\nb\x00 c ", 20) == "a\n\nb c"
    assert len(plain_words("c" * 50, 10)) == 10
