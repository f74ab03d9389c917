"""Promises of queue, arbiter and sizing, and the law that the highest admissible tier's standing decision always wins."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.arbiter import Arbiter, Policy
from bot.core.decision import Action, Decision, Tier
from bot.core.facts import Verdict
from bot.core.queue import DecisionQueue, priority
from bot.core.sizing import (
    CappedKelly,
    ConfidenceScaled,
    FixedFraction,
    Sizing,
    SizingContext,
    TrackRecord,
    VolatilityTarget,
    average_true_range,
    target_notional,
)
from tests.factories import LLM, QC, RULE, T0, DeskHarness, a_candle, a_config, a_decision, a_model, a_source

BUY, SELL, HOLD = Action.BUY, Action.SELL, Action.HOLD
RSI = "rules:rsi"
NAMES = (QC, LLM, RULE, RSI)

Turn = tuple[int, Action, float, int, int]
TURNS: st.SearchStrategy[list[Turn]] = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(Action),
        st.sampled_from([0.2, 0.5, 0.5, 0.9]),
        st.sampled_from([500, 3_000, 60_000]),
        st.sampled_from([0, 1, 400, 2_000]),
    ),
    min_size=1,
    max_size=40,
)


def expected(standing: Decision | None, new: Decision, now: int) -> Decision | None:
    """Who stands after a proposal, as DESIGN says it: nothing but rank, expiry and replacement count."""
    if standing is not None and standing.expires <= now:
        standing = None
    if standing is not None and standing.source != new.source and priority(standing) < priority(new):
        return standing
    if new.action is HOLD and new.tier is not Tier.QUANTCONNECT:
        return None if standing is not None and standing.source == new.source else standing
    return new


@settings(max_examples=150, deadline=None)
@given(TURNS)
def test_the_highest_admissible_tiers_standing_decision_always_wins(turns: list[Turn]) -> None:
    desk = DeskHarness(a_config(fills=a_model()), [a_source(name) for name in NAMES], paper=True)
    desk.quote(100)
    standing: Decision | None = None
    for who, action, confidence, lasts, gap in turns:
        desk.wait(gap)
        if standing is not None and standing.expires <= desk.now:
            standing = None
        bench = desk.desk.state.bench("BTC/USDT")
        assert (bench.standing and bench.standing.id) == (standing and standing.id)
        new = desk.propose(action, NAMES[who], confidence=confidence, lasts=lasts)
        standing = expected(standing, new, desk.now)
        assert (bench.standing and bench.standing.id) == (standing and standing.id)
        if standing is new:
            assert desk.of(Verdict)[-1].winner == new.id
        if action is not HOLD and standing is new:
            assert desk.position() == (10 if action is BUY else 0)


@settings(max_examples=100, deadline=None)
@given(TURNS, st.sampled_from(Policy))
def test_whoever_meets_in_a_window_the_verdict_does_not_depend_on_who_came_first(turns: list[Turn], policy: Policy) -> None:
    decisions = {who: a_decision(action, NAMES[who], T0, f"d{who}", confidence=c) for who, action, c, _, _ in turns}
    ranked = [decisions[who] for who in sorted(decisions)]
    arbiter = Arbiter(policy)
    assert arbiter.rank(ranked, ranked) == arbiter.rank(ranked[::-1], ranked[::-1])
    if policy is Policy.PRIORITY:
        assert arbiter.rank(ranked, []).candidates[0].tier == min(decision.tier for decision in ranked)


# The queue.


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.floats(0, 1)), max_size=60), st.integers(1, 6))
def test_the_queue_holds_one_per_source_and_symbol_and_drops_its_lowest(puts: list[tuple[int, int, float]], bound: int) -> None:
    queue = DecisionQueue(bound)
    for number, (who, where, confidence) in enumerate(puts):
        new = a_decision(BUY, NAMES[who], T0 + number, f"d{number}", symbol=f"S{where}/USDT", confidence=confidence)
        before = list(queue)
        superseded, dropped = queue.put(new)
        assert superseded in [*[d for d in before if (d.source, d.symbol) == (new.source, new.symbol)], None]
        if dropped is not None:
            assert all(priority(kept) <= priority(dropped) for kept in queue)
        kept = list(queue)
        assert len(kept) == len(queue) == queue.size <= bound
        assert len({(decision.source, decision.symbol) for decision in kept}) == len(kept)
        assert queue.on(new.symbol) == sorted(queue.on(new.symbol), key=priority)


def test_removing_what_does_not_wait_changes_nothing() -> None:
    queue = DecisionQueue()
    queue.put(a_decision(name="a"))
    assert not queue.remove(a_decision(name="b"))
    assert not queue.remove(a_decision(name="a", symbol="X/USDT"))
    assert queue.ids("BTC/USDT") == ["a"]
    assert queue.remove(a_decision(name="a"))
    assert len(queue) == 0


# Policies.


def test_the_confidence_policy_weighs_confidence_by_tier() -> None:
    arbiter = Arbiter(Policy.CONFIDENCE)
    llm, rule = a_decision(BUY, LLM, confidence=0.6), a_decision(SELL, RULE, confidence=0.8)
    assert arbiter.rank([rule, llm], []).candidates[0] is llm
    strong = a_decision(SELL, RULE, confidence=0.9)
    assert arbiter.rank([strong, llm], []).candidates[0] is strong


def test_a_consensus_is_one_vote_per_source() -> None:
    arbiter = Arbiter(Policy.CONSENSUS)
    votes = [a_decision(SELL, QC), a_decision(BUY, LLM), a_decision(BUY, RULE)]
    ranking = arbiter.rank(votes, votes)
    assert ranking.candidates[0].source == LLM
    assert ranking.outvoted_by is None
    assert "buy 2" in ranking.reason


def test_a_tie_in_a_consensus_goes_to_the_higher_tier() -> None:
    ranking = Arbiter(Policy.CONSENSUS).rank([a_decision(BUY, RULE), a_decision(SELL, LLM)], [])
    assert ranking.candidates[0].source == LLM


def test_a_majority_that_nobody_can_act_for_outvotes_everyone() -> None:
    holds = [a_decision(HOLD, QC), a_decision(HOLD, LLM)]
    ranking = Arbiter(Policy.CONSENSUS).rank([a_decision(BUY, RULE)], holds)
    assert ranking.outvoted_by is holds[0]


# Sizing.


def context(
    capital: float = 1_000.0, price: float = 100.0, closes: tuple[float, ...] = (), record: TrackRecord | None = None
) -> SizingContext:
    """What a policy may know."""
    candles = [a_candle(close, high=close + 1, low=close - 1) for close in closes]
    return SizingContext(capital, price, candles, record or TrackRecord())


WON = TrackRecord(trades=40, wins=24, mean_win=0.02, mean_loss=0.015)


@pytest.mark.parametrize(
    ("sizing", "given_context", "notional"),
    [
        (FixedFraction(0.10), context(), 100.0),
        (ConfidenceScaled(0.02, 0.20), context(), 1_000 * (0.02 + 0.18 * 0.6)),
        (VolatilityTarget(risk=0.005, multiple=2, period=3), context(closes=(100,) * 5), 1_000 * 0.005 * 100 / (2 * 2)),
        (VolatilityTarget(period=3, fallback=0.07), context(closes=(100,) * 3), 70.0),
        (CappedKelly(cap=1.0, share=0.01), context(record=WON), 1_000 * 0.01 * (0.6 / 0.015 - 0.4 / 0.02)),
        (CappedKelly(cap=0.25, share=0.5), context(record=WON), 250.0),
        (CappedKelly(fallback=0.05), context(record=TrackRecord(trades=29, wins=29, mean_win=1.0)), 50.0),
        (CappedKelly(), context(record=TrackRecord(trades=40, wins=0, mean_loss=0.01)), 0.0),
        (CappedKelly(), context(record=TrackRecord(trades=40, wins=10, mean_win=0.01, mean_loss=0.02)), 0.0),
        (CappedKelly(cap=0.2), context(record=TrackRecord(trades=40, wins=40, mean_win=0.01)), 200.0),
    ],
)
def test_a_sizing_policy_gives_its_formulas_figure(sizing: Sizing, given_context: SizingContext, notional: float) -> None:
    assert target_notional(sizing, a_decision(), given_context) == pytest.approx(notional)


def test_a_decisions_own_size_scales_the_desks() -> None:
    assert target_notional(FixedFraction(0.10), a_decision(size_fraction=0.5), context()) == 50.0


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        [FixedFraction(3.0), ConfidenceScaled(0.5, 9.0), VolatilityTarget(period=2), CappedKelly(cap=5.0, share=9.0)]
    ),
    st.floats(0, 1),
    st.none() | st.floats(0.01, 1),
    st.floats(-1_000, 1e9),
    st.floats(1e-6, 1e6),
    st.lists(st.floats(2, 1e6), max_size=5),
    st.builds(TrackRecord, st.integers(30, 99), st.integers(0, 30), st.floats(0, 1), st.floats(0, 1)),
)
def test_no_sizing_exceeds_the_capital_of_its_source(
    sizing: Sizing,
    confidence: float,
    fraction: float | None,
    capital: float,
    price: float,
    closes: list[float],
    record: TrackRecord,
) -> None:
    decision = a_decision(confidence=confidence, size_fraction=fraction)
    notional = target_notional(sizing, decision, context(capital, price, tuple(closes), record))
    assert 0.0 <= notional <= max(0.0, capital)


def test_the_average_true_range_counts_gaps() -> None:
    candles = [a_candle(100, high=101.0, low=99.0), a_candle(110, high=111.0, low=109.0, opened=110.0)]
    assert average_true_range(candles, 1) == 11.0
    assert average_true_range(candles, 2) is None


def test_capital_bounds_the_position_of_a_source() -> None:
    desk = DeskHarness(a_config(sizing=FixedFraction(1.0)), [a_source(RULE, capital=Decimal("0.25"))])
    desk.quote(100)
    desk.propose()
    assert desk.order.amount == 25
