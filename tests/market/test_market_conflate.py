"""The newest quote wins, no extreme is lost, no symbol starves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.core.market import Quote
from bot.market.conflate import Conflator


def quote(symbol: str, bid: float, ask: float = 1000.0, ts: int = 1) -> Quote:
    return Quote.of(symbol, ts, bid, ask)


def test_the_newest_quote_wins_and_carries_the_extremes() -> None:
    conflator = Conflator()
    assert [conflator.put(quote("A", bid, bid + 1)) for bid in (10.0, 7.0, 12.0, 11.0)] == [True, False, False, False]
    newest = conflator.pop()
    assert newest is not None
    assert (newest.bid, newest.bid_low, newest.bid_high) == (11.0, 7.0, 12.0)
    assert (newest.ask, newest.ask_low, newest.ask_high) == (12.0, 8.0, 13.0)
    assert (conflator.accepted, conflator.conflated) == (4, 3)
    assert conflator.pop() is None


def test_a_busy_symbol_does_not_starve_a_quiet_one() -> None:
    conflator = Conflator()
    conflator.put(quote("busy", 1.0))
    conflator.put(quote("quiet", 1.0))
    conflator.put(quote("busy", 2.0))
    first = conflator.pop()
    conflator.put(quote("busy", 3.0))
    second = conflator.pop()
    assert first is not None
    assert second is not None
    assert (first.symbol, first.bid, second.symbol) == ("busy", 2.0, "quiet")


def test_draining_takes_what_is_pending_now_and_no_more() -> None:
    conflator = Conflator()
    for symbol in "ABC":
        conflator.put(quote(symbol, 1.0))
    seen = []
    for taken in conflator.drain():
        seen.append(taken.symbol)
        conflator.put(quote(taken.symbol, 2.0))
    assert seen == ["A", "B", "C"]
    assert len(conflator) == 3


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.floats(1, 100), st.booleans())))
def test_no_extreme_is_ever_lost_and_never_more_waits_than_there_are_symbols(steps: list[tuple[str, float, bool]]) -> None:
    conflator = Conflator()
    waiting: dict[str, list[float]] = {}
    for symbol, bid, handle in steps:
        conflator.put(quote(symbol, bid))
        waiting.setdefault(symbol, []).append(bid)
        assert len(conflator) <= 3
        if handle:
            taken = conflator.pop()
            assert taken is not None
            bids = waiting.pop(taken.symbol)
            assert (taken.bid, taken.bid_low, taken.bid_high) == (bids[-1], min(bids), max(bids))
