"""Lessons, estimates and parameters: what a record teaches, and how little of it is promised."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from research.memory.errors import EvidenceError
from research.memory.estimates import credibility, expected_return, expected_sharpe, student_t
from research.memory.evidence import BacktestEvidence, Subject, TradeEvidence
from research.memory.figures import Figures, figures_of_trades
from research.memory.lessons import Rating, Risk, lesson_of_backtest, lesson_of_trades
from research.memory.parameters import robust_parameters
from research.memory.policy import MemoryPolicy
from research.memory.store import recall
from tests.research.memory_evidence import DAY, YEAR, backtest, backtests, trade, trades


@pytest.mark.parametrize(
    ("figures", "rating", "risk"),
    [
        ({"sharpe": 2.2, "win_rate": 0.6, "max_drawdown": 0.06, "profit_factor": 2.5}, Rating.EXCELLENT, Risk.LOW),
        ({"sharpe": 1.5, "win_rate": 0.5, "max_drawdown": 0.12, "profit_factor": 1.6}, Rating.GOOD, Risk.MEDIUM),
        ({"sharpe": 0.8, "win_rate": 0.45, "max_drawdown": 0.2, "profit_factor": 1.3}, Rating.FAIR, Risk.MEDIUM),
        ({"sharpe": -0.5, "win_rate": 0.3, "max_drawdown": 0.5, "profit_factor": 0.7}, Rating.POOR, Risk.HIGH),
        (
            {"sharpe": 2.2, "win_rate": 0.6, "max_drawdown": 0.06, "profit_factor": 2.5, "trades": 29},
            Rating.UNPROVEN,
            Risk.MEDIUM,
        ),
        (
            {"sharpe": None, "win_rate": None, "max_drawdown": None, "profit_factor": None, "trades": 0},
            Rating.UNPROVEN,
            Risk.HIGH,
        ),
    ],
)
def test_a_record_is_rated_by_all_five_figures(figures: dict[str, Any], rating: Rating, risk: Risk) -> None:
    lesson = lesson_of_backtest(backtest(**figures))
    assert (lesson.rating, lesson.risk) == (rating, risk)


GOOD: dict[str, Any] = {"sharpe": 2.0, "win_rate": 0.6, "max_drawdown": 0.06, "profit_factor": 2.0, "trades": 200}


@pytest.mark.parametrize(
    ("worse", "rating"),
    [
        ({"sharpe": 1.0}, Rating.GOOD),
        ({"win_rate": 0.45}, Rating.GOOD),
        ({"max_drawdown": 0.2}, Rating.GOOD),
        ({"profit_factor": 1.5}, Rating.GOOD),
        ({"trades": 29}, Rating.UNPROVEN),
    ],
)
def test_each_of_the_five_figures_can_cost_the_best_rating(worse: dict[str, Any], rating: Rating) -> None:
    just = GOOD | {"sharpe": 1.5, "win_rate": 0.54, "max_drawdown": 0.12, "profit_factor": 1.8}
    assert lesson_of_backtest(backtest(**just)).rating is Rating.EXCELLENT
    assert lesson_of_backtest(backtest(**(just | worse))).rating is rating


@pytest.mark.parametrize("worse", [{"sharpe": 1.0}, {"win_rate": 0.5}, {"max_drawdown": 0.2}, {"profit_factor": 1.5}])
def test_each_figure_counts_in_the_score(worse: dict[str, Any]) -> None:
    assert lesson_of_backtest(backtest(**(GOOD | worse))).score < lesson_of_backtest(backtest(**GOOD)).score - 0.04


@given(backtests, st.floats(0, 1), st.floats(-5, 5))
def test_no_deeper_drawdown_and_no_lower_sharpe_ever_looks_less_risky(
    each: BacktestEvidence, deeper: float, lower: float
) -> None:
    if each.max_drawdown is None or each.sharpe is None:
        return
    order = list(Risk)
    risk = lesson_of_backtest(each).risk
    worse = replace(each, max_drawdown=each.max_drawdown + deeper, sharpe=min(each.sharpe, lower))
    assert order.index(lesson_of_backtest(worse).risk) >= order.index(risk)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"trades": 12}, "12 trades prove little: at least 30 are needed."),
        ({"sharpe": None}, "too few or too even for a Sharpe ratio"),
        ({"sharpe": -0.5}, "the risk was not paid for"),
        ({"sharpe": 0.5}, "modest for the risk taken"),
        ({"sharpe": 1.5}, "strong for the risk taken"),
        ({"sharpe": 3.5}, "rarely kept"),
        ({"profit_factor": 0.8}, "it loses money after fees"),
        ({"profit_factor": 1.8}, "It gains 1.80 for each 1 it loses."),
        ({"profit_factor": None, "win_rate": 1.0}, "No trade lost, so nothing is known yet of how it loses."),
        ({"profit_factor": 1.5, "win_rate": 0.25}, "each winner must be let run"),
        ({"profit_factor": 0.9, "win_rate": 0.7}, "the losers are too large"),
        ({"max_drawdown": None}, "The drawdown is not known."),
        ({"max_drawdown": 0.4}, "more than most would sit through"),
        ({"max_drawdown": 0.05}, "The drawdown stayed at 5.0%."),
    ],
)
def test_what_a_figure_says_is_said_in_words(figures: dict[str, Any], said: str) -> None:
    insights = lesson_of_backtest(backtest(**figures)).insights
    assert any(said in insight for insight in insights), insights


@pytest.mark.parametrize(
    ("figures", "entries"),
    [
        ({"trades": 0, "total_return": 0.0}, "Loosen the entry conditions"),
        ({"profit_factor": 0.8}, "Tighten the entries"),
        ({"win_rate": 0.3}, "Add a confirmation"),
        ({"max_drawdown": 0.3}, "stop them out earlier"),
        ({}, "Keep the entries as they are."),
    ],
)
def test_what_to_do_about_entries_follows_from_what_fails(figures: dict[str, Any], entries: str) -> None:
    assert entries in lesson_of_backtest(backtest(**figures)).recommendations.entries


@pytest.mark.parametrize(
    ("figures", "overall", "fraction"),
    [
        (GOOD, "Trade it, and watch", 0.85),
        ({}, "Trade it at the recommended size.", 0.5),
        ({"sharpe": 0.8, "profit_factor": 1.3}, "Trade it on paper", 0.35),
        ({"sharpe": -1.0, "profit_factor": 0.5, "win_rate": 0.2, "max_drawdown": 0.6}, "Do not trade it.", 0.0),
        ({"trades": 10}, "Gather more trades", 0.15),
        ({"max_drawdown": 0.3}, "The risk is high: bound the loss first.", 0.25),
    ],
)
def test_how_much_to_stake_follows_from_belief_and_risk(figures: dict[str, Any], overall: str, fraction: float) -> None:
    said = lesson_of_backtest(backtest(**figures)).recommendations
    assert overall in said.overall
    assert said.size_fraction == pytest.approx(fraction, abs=0.051)
    assert said.position_size == (
        "Take no position." if not said.size_fraction else f"Use {said.size_fraction:.0%} of the usual position size."
    )


@given(st.lists(backtests, max_size=12), st.lists(trades, max_size=5), st.integers(-1, 15))
def test_fewer_lessons_are_the_newest_of_all_of_them(
    history: list[BacktestEvidence], closed: list[TradeEvidence], limit: int
) -> None:
    known = recall([*history, *(each for each in closed if each.strategy == "breakout")], 9 * YEAR)
    assert known.lessons(limit) == known.lessons(10_000)[: max(0, limit)]


def test_a_strategy_that_never_trades_says_so_and_takes_no_position() -> None:
    lesson = lesson_of_backtest(backtest(trades=0, total_return=0.0, sharpe=None, win_rate=None, profit_factor=None))
    assert "did not trade" in lesson.insights[0]
    assert lesson.recommendations.size_fraction == 0
    assert lesson.expected_return is None
    assert lesson.expected_sharpe is None


def test_a_losing_record_with_many_winners_is_told_that_its_losers_are_too_large() -> None:
    lesson = lesson_of_backtest(backtest(win_rate=0.7, profit_factor=0.8, sharpe=-0.4))
    assert any("losers are too large" in insight for insight in lesson.insights)
    assert "Tighten the entries" in lesson.recommendations.entries


def test_a_gain_that_may_be_luck_is_called_so() -> None:
    lucky = lesson_of_trades([trade(day, 0.05 if day % 2 else -0.04) for day in range(40)])
    steady = lesson_of_trades([trade(day, 0.012 if day % 2 else 0.01) for day in range(40)])
    assert any("may be luck" in insight for insight in lucky.insights)
    assert not any("may be luck" in insight for insight in steady.insights)


def test_a_freak_sharpe_is_doubted() -> None:
    assert any("look-ahead" in insight for insight in lesson_of_backtest(backtest(sharpe=7.0)).insights)


@given(backtests)
def test_every_backtest_teaches_something_of_bounded_size(each: BacktestEvidence) -> None:
    lesson = lesson_of_backtest(each)
    assert lesson.insights
    assert 0.0 <= lesson.recommendations.size_fraction <= 1.0
    assert all((lesson.recommendations.position_size, lesson.recommendations.entries, lesson.recommendations.overall))
    if lesson.rating is Rating.UNPROVEN:
        assert lesson.recommendations.size_fraction <= 0.5


@given(st.lists(trades.map(lambda each: replace(each, strategy="sma-cross")), min_size=1, max_size=20))
def test_the_order_in_which_trades_are_told_teaches_nothing(closed: list[TradeEvidence]) -> None:
    assert lesson_of_trades(closed) == lesson_of_trades(closed[::-1])


def test_a_lesson_is_of_one_subject() -> None:
    with pytest.raises(ValueError, match="2"):
        lesson_of_trades([trade(1), trade(2, strategy="breakout")])


def test_figures_of_trades_are_those_of_the_field() -> None:
    figures = figures_of_trades([trade(0, 0.10), trade(1, -0.20), trade(2, 0.05)])
    assert figures.win_rate == pytest.approx(2 / 3)
    assert figures.profit_factor == pytest.approx(0.15 / 0.20)
    assert figures.max_drawdown == pytest.approx(0.20)
    mean, spread = -0.05 / 3, 0.16072751268321591
    assert figures.sharpe == pytest.approx(mean / spread * math.sqrt(3 / (2.5 / 365)))


def test_ruin_is_a_whole_drawdown() -> None:
    assert figures_of_trades([trade(0, 0.5), trade(1, -3.0), trade(2, 9.0)]).max_drawdown == 1.0


@given(st.integers(1, 500), st.floats(-0.5, 0.5), st.floats(0, 100))
def test_the_fewer_the_trades_the_less_is_expected(count: int, mean: float, prior: float) -> None:
    policy = MemoryPolicy(prior_trades=prior)
    few = expected_return(Figures(trades=count, mean_return=mean), policy)
    more = expected_return(Figures(trades=count + 1, mean_return=mean), policy)
    assert few is not None
    assert more is not None
    assert abs(few.value) <= abs(more.value) <= abs(mean)
    assert few.observed == mean


def test_an_interval_narrows_with_trades_and_holds_the_estimate() -> None:
    chance = random.Random(7)
    returns = tuple(chance.gauss(0.01, 0.05) for _ in range(400))
    widths = []
    for count in (5, 50, 400):
        some = returns[:count]
        found = expected_return(Figures(trades=count, mean_return=sum(some) / count, returns=some))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def test_the_interval_of_a_mean_holds_the_truth_about_as_often_as_it_says() -> None:
    chance = random.Random(11)
    policy, held = MemoryPolicy(prior_trades=0), 0
    for _ in range(600):
        returns = tuple(chance.gauss(0.01, 0.05) for _ in range(12))
        found = expected_return(Figures(trades=12, mean_return=sum(returns) / 12, returns=returns), policy)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.01 <= found.high
    assert 0.92 <= held / 600 <= 0.98


def test_the_error_of_a_sharpe_ratio_is_los() -> None:
    found = expected_sharpe(Figures(trades=100, sharpe=2.0, years=4.0))
    assert found is not None
    assert found.high is not None
    assert found.value == pytest.approx(2.0 * 100 / 130)
    assert found.high - found.value == pytest.approx(student_t(99) * math.sqrt(1 / 4 + 4 / 200))


@pytest.mark.parametrize(
    ("degrees", "exact"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (5, 2.57058), (10, 2.22814), (30, 2.04227), (1000, 1.96234)]
)
def test_students_quantile_is_that_of_the_tables(degrees: int, exact: float) -> None:
    assert student_t(degrees) == pytest.approx(exact, rel=3e-3)


def test_nothing_seen_is_nothing_believed() -> None:
    assert credibility(0) == 0.0
    assert credibility(0, MemoryPolicy(prior_trades=0)) == 0.0


def swept(reached: dict[tuple[int, int], float]) -> list[BacktestEvidence]:
    return [backtest({"fast": fast, "slow": slow}, sharpe=sharpe) for (fast, slow), sharpe in reached.items()]


def test_a_plateau_is_recommended_over_a_lone_peak() -> None:
    grid = {(fast, slow): 0.2 for fast in range(1, 8) for slow in range(10, 17)}
    plateau = {(fast, slow): 1.5 for fast in (2, 3, 4) for slow in (11, 12, 13)}
    found = robust_parameters(swept({**grid, **plateau, (7, 16): 2.0}))
    assert found is not None
    assert found.parameters == {"fast": 3, "slow": 12}
    assert found.neighbours == 8
    assert found.own_score < found.best_score


def test_scattered_runs_recommend_nothing() -> None:
    assert robust_parameters([]) is None
    assert robust_parameters([backtest(), backtest()]) is None
    assert robust_parameters(swept({(1, 10): 1.0, (2, 11): 2.0})) is None


def test_sets_that_differ_in_kind_are_no_neighbours() -> None:
    runs = [
        backtest({"exit": kind, "fast": fast}, sharpe=sharpe)
        for kind, sharpe in (("trail", 0.5), ("stop", 1.5))
        for fast in (1, 2, 3)
    ]
    found = robust_parameters([*runs, backtest({"other": 1}, sharpe=1.9), backtest({"exit": True, "fast": 2}, sharpe=1.9)])
    assert found is not None
    assert found.parameters == {"exit": "stop", "fast": 2}
    assert found.neighbours == 2


@given(st.lists(backtests, max_size=15), st.randoms(use_true_random=False))
def test_parameters_do_not_depend_on_the_order_of_the_history(history: list[BacktestEvidence], chance: random.Random) -> None:
    shuffled = list(history)
    chance.shuffle(shuffled)
    first, second = robust_parameters(history), robust_parameters(shuffled)
    assert (first and first.parameters) == (second and second.parameters)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"known_at": YEAR}, "known_at"),
        ({"known_at": 1_800_000_000_000_000_000}, "known_at"),
        ({"sharpe": math.nan}, "sharpe"),
        ({"win_rate": 55.0}, "win_rate"),
        ({"max_drawdown": -0.1}, "max_drawdown"),
        ({"trades": -1}, "trades"),
        ({"total_return": math.inf}, "total_return"),
        ({"returns": (0.1,)}, "returns"),
        ({"parameters": {"fast": math.nan}}, "parameters.fast"),
        ({"parameters": {"a\nb": 1}}, "parameters"),
        ({"strategy": "x\x00y"}, "strategy"),
        ({"strategy": ""}, "strategy"),
        ({"symbol": "B" * 201}, "symbol"),
        ({"reference": "a\u202eb"}, "reference"),
    ],
)
def test_evidence_that_cannot_be_is_refused_by_name(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(EvidenceError, match=f"^{named}:"):
        backtest(**changed)


def test_a_trade_is_not_known_before_it_closed() -> None:
    with pytest.raises(EvidenceError, match="known_at"):
        trade(5, known_at=DAY)


def test_evidence_does_not_change_with_the_callers_parameters() -> None:
    given_ = {"fast": 1}
    each = backtest(given_)
    before = each.id
    given_["fast"] = 2
    assert each.id == before


def test_a_subject_reads_as_a_sentence_would_have_it() -> None:
    assert str(Subject("BTC/USDT", "sma-cross", "1h")) == "sma-cross on BTC/USDT at 1h"
