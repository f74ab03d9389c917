"""The veto: whatever the news say, they never add to what would be held."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.decision import Action, Decision, Tier
from sources.news.veto import settle, target_exposure

BUY, SELL, HOLD = Action.BUY, Action.SELL, Action.HOLD


def a_decision(action: Action, **more: Any) -> Decision:
    """A decision of an LLM source."""
    plain = Decision("d", "llm:a", Tier.LLM, "BTC/USDT", action, 0.7, 1_000, 61_000, 60_000.0, stop_loss=58_000.0)
    return replace(plain, **more)


SIZES = st.one_of(st.none(), st.floats(0.01, 1.0), st.sampled_from([0.0, -1.0, 2.0, 1e308, math.nan, math.inf]))
DECISIONS = st.one_of(
    st.none(),
    st.builds(
        a_decision,
        st.sampled_from(Action),
        size_fraction=SIZES,
        target=SIZES,
        confidence=st.one_of(st.floats(0, 1), st.sampled_from([math.nan, 7.0])),
        expires=st.integers(0, 10**6),
        stop_loss=st.one_of(st.none(), st.floats(1, 59_000)),
    ),
)
EXPOSURES = st.one_of(st.floats(0, 1.5), st.just(0.0), st.just(math.nan))


@settings(max_examples=500)
@given(DECISIONS, DECISIONS, EXPOSURES)
def test_exposure_with_news_is_never_above_that_without(without: Decision | None, with_: Decision | None, held: float) -> None:
    settled = settle(without, with_, held)
    base, came = target_exposure(without, held), target_exposure(settled.decision, held)
    if settled.decision is not without:
        assert came < base
    assert settled.vetoed is (settled.decision is not without)
    assert settled.why


@settings(max_examples=300)
@given(DECISIONS, DECISIONS, EXPOSURES)
def test_what_stands_is_no_surer_lives_no_longer_and_loosens_no_stop(
    without: Decision | None, with_: Decision | None, held: float
) -> None:
    decision = settle(without, with_, held).decision
    if decision is None or without is None or decision is without:
        return
    assert decision.expires <= without.expires
    if decision.action is BUY:
        assert decision.stop_loss == without.stop_loss
        assert decision.confidence <= without.confidence
    else:
        assert (decision.stop_loss, decision.take_profit, decision.trailing) == (None, None, None)


@pytest.mark.parametrize(
    ("without", "with_", "held", "vetoed"),
    [
        (a_decision(BUY), a_decision(HOLD), 0.0, True),
        (a_decision(BUY), a_decision(SELL), 0.5, True),
        (a_decision(HOLD), a_decision(SELL), 0.5, True),
        (None, a_decision(SELL), 0.5, True),
        (a_decision(BUY, size_fraction=0.8), a_decision(BUY, size_fraction=0.3), 0.0, True),
        (a_decision(SELL, target=0.5), a_decision(SELL), 0.8, True),
        (a_decision(HOLD), a_decision(BUY), 0.0, False),
        (None, a_decision(BUY), 0.0, False),
        (a_decision(SELL), a_decision(HOLD), 0.5, False),
        (a_decision(SELL), a_decision(BUY), 0.5, False),
        (a_decision(SELL), a_decision(SELL, target=0.4), 0.5, False),
        (a_decision(BUY, size_fraction=0.3), a_decision(BUY, size_fraction=0.8), 0.0, False),
        (a_decision(BUY), None, 0.0, False),
        (a_decision(BUY), a_decision(SELL, symbol="ETH/USDT"), 0.5, False),
        (a_decision(BUY), a_decision(SELL, source="llm:b"), 0.5, False),
        (a_decision(BUY, target=0.5), a_decision(BUY, size_fraction=0.1), 0.0, False),
    ],
)
def test_news_may_lower_and_what_would_raise_is_refused(
    without: Decision | None, with_: Decision | None, held: float, vetoed: bool
) -> None:
    settled = settle(without, with_, held)
    assert settled.vetoed is vetoed
    if not vetoed:
        assert settled.decision is without


def test_talking_the_bot_out_of_a_sell_counts_as_raising() -> None:
    sell = a_decision(SELL)
    settled = settle(sell, a_decision(HOLD), 0.6)
    assert settled.decision is sell
    assert "raise exposure from 0 to 0.6" in settled.why


def test_a_smaller_buy_keeps_everything_but_its_size() -> None:
    without = a_decision(BUY, size_fraction=0.8, confidence=0.7)
    with_ = a_decision(BUY, size_fraction=0.3, confidence=0.99, stop_loss=None, expires=10**9, reasoning="news")
    decision = settle(without, with_, 0.0).decision
    assert decision == replace(without, size_fraction=0.3)


def test_the_same_exposure_leaves_the_decision_without_news() -> None:
    without = a_decision(BUY, stop_loss=58_000.0)
    assert settle(without, a_decision(BUY, stop_loss=None), 0.0).decision is without
