"""Sentiment: what was said, by how many, how long ago, and what silence means."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.analysis.sentiment import ScoredItem, SentimentPolicy, SentimentState, sentiment, sentiment_batch
from sources.analysis.values import AnalysisError

AT = 1_700_000_000_000
HOUR = 3_600_000
BTC = "BTC/USDT"


def item(number: int, score: float, *, source: str = "a", age: int = 0, symbols: tuple[str, ...] = (BTC,)) -> ScoredItem:
    return ScoredItem(f"n{number}", source, AT - age, score, symbols)


items = st.builds(
    ScoredItem,
    st.text("abc", min_size=1, max_size=3),
    st.sampled_from(["a", "b", "c"]),
    st.integers(AT - 72 * HOUR, AT + HOUR),
    st.floats(-1, 1),
    st.sampled_from([(), (BTC,), ("BTC",), ("ETH",)]),
    st.floats(0, 1),
)


def test_a_feed_that_is_down_is_not_one_that_is_quiet() -> None:
    down, quiet = sentiment(BTC, None, AT, reason="the feed timed out"), sentiment(BTC, [], AT)
    assert (down.state, quiet.state) == (SentimentState.UNAVAILABLE, SentimentState.QUIET)
    assert down.score is None
    assert quiet.score is None
    assert "the feed timed out" in down.words


def test_few_items_are_thin_and_several_are_available() -> None:
    assert sentiment(BTC, [item(1, 0.5)], AT).state is SentimentState.THIN
    assert sentiment(BTC, [item(n, 0.5) for n in range(3)], AT).state is SentimentState.AVAILABLE


def test_an_item_loses_half_its_weight_in_a_half_life() -> None:
    found = sentiment(BTC, [item(1, 1.0), item(2, -1.0, age=6 * HOUR)], AT)
    assert found.score == pytest.approx((1.0 - 0.5) / 1.5)
    assert found.newest == 0
    assert found.ids == ("n1", "n2")


def test_what_was_not_yet_available_counts_for_nothing() -> None:
    known = [item(1, 0.5), item(2, 0.1)]
    future = replace(item(3, -1.0), available_at=AT + 1)
    found = sentiment(BTC, [*known, future], AT)
    assert found.score == sentiment(BTC, known, AT).score
    assert (found.later, found.count) == (1, 2)


def test_an_item_past_the_window_is_forgotten() -> None:
    assert sentiment(BTC, [item(1, 1.0, age=48 * HOUR)], AT).state is SentimentState.QUIET
    assert sentiment(BTC, [item(1, 1.0, age=48 * HOUR - 1)], AT).state is SentimentState.THIN


def test_a_source_that_floods_does_not_outshout_two_others() -> None:
    flood = [item(n, -1.0, source="loud") for n in range(500)]
    found = sentiment(BTC, [*flood, item(501, 1.0, source="b"), item(502, 1.0, source="c")], AT)
    # The flood's voice is full (1), the others' one item each (1/2).
    assert found.score == pytest.approx(0.0)
    assert found.voices[0].source == "loud"
    assert found.voices[0].share == pytest.approx(0.5)


def test_the_weight_of_a_source_is_its_share() -> None:
    policy = SentimentPolicy(weights={"a": 3.0, "mute": 0.0})
    found = sentiment(BTC, [item(1, 1.0), item(2, -1.0, source="b"), item(3, -1.0, source="mute")], AT, policy)
    assert found.score == pytest.approx((3 - 1) / 4)
    assert [voice.source for voice in found.voices] == ["a", "b"]


def test_news_of_another_symbol_is_not_heard_and_of_the_market_half() -> None:
    assert sentiment(BTC, [item(1, 1.0, symbols=("ETH/USDT",))], AT).state is SentimentState.QUIET
    assert sentiment(BTC, [item(1, 1.0, symbols=("BTC",))], AT).count == 1
    found = sentiment(BTC, [item(1, 1.0), item(2, -1.0, symbols=())], AT)
    assert found.score == pytest.approx((1 - 0.5) / 1.5)


def test_disagreement_is_none_of_one_voice_and_full_of_two_extremes() -> None:
    assert sentiment(BTC, [item(n, 0.3) for n in range(4)], AT).disagreement == pytest.approx(0.0)
    split = sentiment(BTC, [item(1, 1.0), item(2, -1.0, source="b")], AT)
    assert split.disagreement == pytest.approx(1.0)
    assert "divided" in split.words


def test_coverage_grows_with_independent_sources() -> None:
    one = sentiment(BTC, [item(n, 0.5) for n in range(3)], AT)
    three = sentiment(BTC, [item(n, 0.5, source=f"s{n}") for n in range(3)], AT)
    assert one.coverage == pytest.approx((1 - 2**-3) / 3)
    assert three.coverage == pytest.approx(0.5)


@pytest.mark.parametrize("score", [math.nan, math.inf, 1.01, -7.0])
def test_an_impossible_score_is_refused_and_counted(score: float) -> None:
    found = sentiment(BTC, [item(1, score), item(2, 0.5)], AT)
    assert (found.refused, found.count) == (1, 1)
    assert found.score == pytest.approx(0.5)


def test_an_item_told_twice_counts_once() -> None:
    assert sentiment(BTC, [item(1, 0.5), item(1, 0.5)], AT) == sentiment(BTC, [item(1, 0.5)], AT)


@given(st.lists(items, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_items_does_not_matter_and_all_is_bounded(some: list[ScoredItem], random: object) -> None:
    unique = list({each.id: each for each in some}.values())
    found = sentiment(BTC, unique, AT)
    assert found.score is None or -1 <= found.score <= 1
    assert 0 <= found.coverage <= 1
    assert found.disagreement is None or 0 <= found.disagreement <= 1
    assert (found.score is None) == (found.state in {SentimentState.QUIET, SentimentState.UNAVAILABLE})
    assert not found.voices or math.fsum(voice.share for voice in found.voices) == pytest.approx(1.0)
    assert sentiment(BTC, unique[::-1], AT) == found
    random.shuffle(unique)  # type: ignore[attr-defined]  # hypothesis' own Random
    assert sentiment(BTC, unique, AT) == found


def test_a_batch_is_each_alone() -> None:
    some = [item(1, 0.5), item(2, -0.5, symbols=("ETH/USDT",))]
    found = sentiment_batch([BTC, "ETH/USDT"], some, AT)
    assert found == {symbol: sentiment(symbol, some, AT) for symbol in (BTC, "ETH/USDT")}


def test_an_impossible_policy_is_refused() -> None:
    with pytest.raises(AnalysisError, match="half_life"):
        SentimentPolicy(half_life=0)
    with pytest.raises(AnalysisError, match="weight of x"):
        SentimentPolicy(weights={"x": -1.0})
