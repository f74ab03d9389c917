"""Cursors: what was given out is taken back, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.web.api.trading import order_cursor
from bot.web.paging import decoded, encoded, page_of, row_of
from bot.web.problems import Problem


@given(st.integers(0, 10**17))
def test_a_row_survives_its_cursor(row: int) -> None:
    assert row_of(encoded(row)) == row


@given(st.text())
def test_rubbish_is_refused_and_never_a_defect(text: str) -> None:
    refused = []
    for read in (row_of, order_cursor, decoded):
        try:
            read(text)
        except Problem as problem:
            refused.append(problem.status)
    assert set(refused) <= {400}


def test_no_cursor_is_the_first_page() -> None:
    assert (row_of(None), order_cursor(None), decoded(None)) == (None, None, None)


@pytest.mark.parametrize("key", ["-1", "1.5", "٣", "1" * 19, "", "x:y"])
def test_what_is_no_row_is_no_cursor(key: str) -> None:
    with pytest.raises(Problem):
        row_of(encoded(key))


def test_an_order_is_found_again_by_its_time_and_id() -> None:
    assert order_cursor(encoded("1700:arb:1")) == (1700, "arb:1")


def test_a_page_has_a_next_one_only_if_there_is_more() -> None:
    whole = page_of([3, 2, 1], 3, lambda row: row)
    part = page_of([3, 2, 1], 2, lambda row: row)
    assert (whole.items, whole.next) == ([3, 2, 1], None)
    assert (part.items, row_of(part.next)) == ([3, 2], 2)
