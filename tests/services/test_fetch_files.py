"""Spans, pieces and holes: arithmetic that must not lose a candle."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.services.candle_files import PIECE, Span, holes

LENGTH = 60_000
numbers = st.integers(0, 4 * PIECE)
spans = st.tuples(numbers, numbers).filter(lambda two: two[0] < two[1]).map(lambda two: Span(two[0] * LENGTH, two[1] * LENGTH))


@given(spans)
def test_pieces_cover_a_span_once_and_cut_it_where_every_fetch_does(span: Span) -> None:
    pieces = list(span.pieces(LENGTH))
    assert (pieces[0].start, pieces[-1].end) == (span.start, span.end)
    assert [piece.end for piece in pieces[:-1]] == [piece.start for piece in pieces[1:]]
    assert all(cut.end % (PIECE * LENGTH) == 0 for cut in pieces[:-1])
    assert all(0 < piece.end - piece.start <= PIECE * LENGTH for piece in pieces)


@given(spans, spans)
def test_what_is_fetched_and_what_was_there_make_one_span(wanted: Span, covered: Span) -> None:
    parts = sorted([covered, *wanted.without(covered)], key=lambda part: part.start)
    assert [part.end for part in parts[:-1]] == [part.start for part in parts[1:]], "neither a hole nor a candle twice"
    assert parts[0].start == min(wanted.start, covered.start)
    assert parts[-1].end == max(wanted.end, covered.end)


@given(st.sets(st.integers(0, 200)), st.integers(1, 201))
def test_candles_and_holes_together_fill_the_span(present: set[int], end: int) -> None:
    there = sorted(number for number in present if number < end)
    found = holes("BTC/USDT", "1m", [number * LENGTH for number in there], Span(0, end * LENGTH))
    missing = [number for hole in found for number in range(hole.first // LENGTH, hole.last // LENGTH + 1)]
    assert sorted([*there, *missing]) == list(range(end))
    assert sum(hole.count for hole in found) == len(missing)
