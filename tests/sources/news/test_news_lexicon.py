"""The lexicon: the words of the trade in numbers, always the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.news.items import Event, Scorer
from sources.news.lexicon import EVERY, Lexicon
from tests.sources.news.news_world import LEXICON, headlines

HEADLINES = headlines()
_CLEAR = 0.15


@pytest.mark.parametrize(("title", "mood", "event", "symbols"), HEADLINES, ids=lambda value: str(value)[:60])
def test_a_headline_gets_its_mood_event_and_symbols(title: str, mood: str, event: str, symbols: list[str]) -> None:
    read = LEXICON.read(title)
    assert ("+" if read.sentiment >= _CLEAR else "-" if read.sentiment <= -_CLEAR else "0") == mood, read
    assert (read.event, list(read.symbols)) == (Event(event), symbols)
    assert read.scorer is Scorer.LEXICON


def test_there_are_enough_headlines_of_each_mood() -> None:
    moods = [row[1] for row in HEADLINES]
    assert len(moods) >= 60
    assert all(moods.count(mood) >= 10 for mood in "+-0")


def test_it_has_the_terms_that_are_promised() -> None:
    assert LEXICON.size >= 150


def test_where_a_general_lexicon_is_wrong_this_one_is_clear() -> None:
    wrong = {
        "Bitcoin plunges below $60K as liquidations top $1 billion": -0.5,
        "Ethereum surges to new all-time high": 0.5,
        "Protocol exploit drains $30M": -0.5,
    }
    for title, least in wrong.items():
        sentiment = LEXICON.read(title).sentiment
        assert sentiment * least > 0
        assert abs(sentiment) >= abs(least)


@pytest.mark.parametrize(
    ("plain", "turned"),
    [
        ("Exchange hacked", "Exchange not hacked"),
        ("SEC approves ETF", "SEC fails to approve ETF"),
        ("Protocol insolvent", "Protocol avoids insolvency"),
        ("Ban on mining", "No ban on mining"),
    ],
)
def test_a_negation_turns_what_follows_and_weakens_it(plain: str, turned: str) -> None:
    first, second = LEXICON.read(plain).sentiment, LEXICON.read(turned).sentiment
    assert first * second < 0
    assert abs(second) < abs(first)


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        ("Bitcoin slightly falls", "Bitcoin falls"),
        ("Bitcoin falls", "Bitcoin sharply falls"),
        ("Bitcoin falls 1%", "Bitcoin falls 8%"),
        ("Bitcoin falls 8%", "Bitcoin falls 30%"),
        ("Could bitcoin fall?", "Bitcoin falls"),
        ("Bank may launch custody", "Bank launches custody"),
    ],
)
def test_degree_size_and_doubt_change_how_much_is_said(weaker: str, stronger: str) -> None:
    assert abs(LEXICON.read(weaker).sentiment) < abs(LEXICON.read(stronger).sentiment)


def test_the_longer_term_goes_before_the_shorter() -> None:
    assert LEXICON.read("Price at record high").sentiment > 0 > LEXICON.read("Price at record low").sentiment
    assert LEXICON.read("Bull market").sentiment > 0 > LEXICON.read("Bull trap").sentiment


def test_a_headline_without_a_known_word_says_that_it_says_nothing() -> None:
    read = LEXICON.read("Conference opens in Lisbon")
    assert (read.sentiment, read.known) == (0.0, False)


def test_tickers_count_in_capitals_or_after_a_dollar_and_words_that_look_like_them_do_not() -> None:
    assert LEXICON.read("Near misses and a link to the dot").symbols == ()
    assert LEXICON.read("NEAR and LINK rise").symbols == ("NEAR", "LINK")
    assert LEXICON.read("$sol rises").symbols == ("SOL",)
    assert LEXICON.read("EVERYTHING NEAR THE LINK IS SOLD").symbols == ()
    assert LEXICON.read("Crypto markets rise").symbols == (EVERY,)


def test_names_of_the_configuration_and_of_the_feed_are_known() -> None:
    own = Lexicon({"KAS": ("kaspa",)})
    assert own.read("Kaspa rises").symbols == ("KAS",)
    assert own.read("KAS rises").symbols == ("KAS",)
    assert LEXICON.read("It rises", ("XLM",)).symbols == ("XLM",)


@given(st.text(max_size=300))
def test_every_text_is_read_within_bounds_and_twice_the_same(text: str) -> None:
    first = LEXICON.read(text)
    assert -1.0 <= first.sentiment <= 1.0
    assert len(first.symbols) <= 5
    assert LEXICON.read(text) == first
