"""The book: against sums done by hand and by other means, and by the laws that such figures must keep."""

from __future__ import annotations

import math
from decimal import Decimal
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bot.core.briefing import Briefing, Held
from bot.core.inputs import TradingState
from sources.analysis.correlation import beta, correlation
from sources.analysis.portfolio import (
    PortfolioInputs,
    Thresholds,
    book_returns,
    concentration,
    drawdown,
    inputs_of,
    portfolio,
    portfolio_batch,
)
from sources.analysis.returns import ReturnTable, aligned, returns_of
from sources.analysis.scenarios import AllFall, SymbolFalls, Together, VolatilityTimes, WorstRun, scenarios
from sources.analysis.tails import Method, compounded, moments, tail_risk
from sources.analysis.values import AnalysisError, Floats
from tests.sources.analysis.analysis_factories import BTC, START, recorded_candles, walked

DAY = 86_400_000
ETH = "ETH/USDT"

weights_st = st.dictionaries(st.sampled_from(["A", "B", "C", "D", "E"]), st.floats(-2, 2), max_size=5)
returns_st = st.lists(st.floats(-0.5, 0.5), min_size=40, max_size=120).map(np.array)


def drawn(count: int, *columns: str, seed: int = 3, shared: float = 0.5) -> ReturnTable:
    random = np.random.default_rng(seed)
    market = random.standard_normal(count)
    values = np.column_stack([shared * market + (1 - shared) * random.standard_normal(count) for _ in columns]) * 0.02
    return ReturnTable(columns, values, DAY)


# Concentration.


def test_equal_positions_count_as_many_and_one_as_one() -> None:
    four = concentration(dict.fromkeys("ABCD", 0.2))
    assert four.index == pytest.approx(0.25)
    assert four.effective == pytest.approx(4.0)
    assert four.gross == pytest.approx(0.8)
    assert four.cash == pytest.approx(0.2)
    one = concentration({"A": 0.3})
    assert (one.index, one.largest) == (1.0, "A")
    assert concentration({}).index is None


@given(weights_st, st.floats(0.01, 100))
def test_shares_sum_to_one_and_do_not_depend_on_the_size_of_the_book(weights: dict[str, float], scale: float) -> None:
    assume(all(weight == 0 or abs(weight) > 1e-6 for weight in weights.values()))
    found, larger = concentration(weights), concentration({name: each * scale for name, each in weights.items()})
    if found.index is None:
        assert not any(weights.values())
        return
    assert math.fsum(found.shares.values()) == pytest.approx(1.0)
    assert 1 / len(found.shares) - 1e-9 <= found.index <= 1 + 1e-9
    assert larger.index == pytest.approx(found.index)


# Value at risk and expected shortfall.


def test_the_historical_figures_by_hand() -> None:
    returns = np.array([-0.10, -0.08, -0.05, *[0.01] * 37])
    found = tail_risk(returns, Method.HISTORICAL, 0.95)
    # 40 * 0.05 = 2 losses are the tail: the second largest, and the mean of both.
    assert found.value_at_risk == pytest.approx(0.08)
    assert found.expected_shortfall == pytest.approx(0.09)
    part = tail_risk(np.array([-0.10, -0.08, -0.05, *[0.01] * 47]), Method.HISTORICAL, 0.95)
    assert part.value_at_risk == pytest.approx(0.05)
    assert part.expected_shortfall == pytest.approx((0.10 + 0.08 + 0.5 * 0.05) / 2.5)


def test_the_normal_figures_by_integration() -> None:
    returns = np.random.default_rng(1).normal(0.001, 0.02, 500)
    found = tail_risk(returns, Method.NORMAL, 0.99)
    dist = NormalDist(float(returns.mean()), float(returns.std(ddof=1)))
    assert found.value_at_risk == pytest.approx(-dist.inv_cdf(0.01))
    quantiles = [-dist.inv_cdf((n + 0.5) / 200_000 * 0.01) for n in range(200_000)]
    assert found.expected_shortfall == pytest.approx(math.fsum(quantiles) / len(quantiles), rel=1e-4)


def test_the_cornish_fisher_figures_by_integration() -> None:
    random = np.random.default_rng(5)
    returns = random.standard_normal(2_000) * 0.02 + random.standard_gamma(4.0, 2_000) * -0.005
    found = tail_risk(returns, Method.CORNISH_FISHER, 0.95)
    off = (returns - returns.mean()) / returns.std()
    skew, kurtosis = float((off**3).mean()), float((off**4).mean()) - 3
    assert moments(returns) == pytest.approx((skew, kurtosis))

    def loss(p: float) -> float:
        z = NormalDist().inv_cdf(p)
        bent = z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * kurtosis / 24 - (2 * z**3 - 5 * z) * skew**2 / 36
        return -(float(returns.mean()) + float(returns.std(ddof=1)) * bent)

    assert found.value_at_risk == pytest.approx(loss(0.05))
    mean = math.fsum(loss((n + 0.5) / 100_000 * 0.05) for n in range(100_000)) / 100_000
    assert found.expected_shortfall == pytest.approx(mean, rel=1e-4)


def test_without_skewness_and_kurtosis_the_expansion_is_normal() -> None:
    grid = np.array([NormalDist().inv_cdf((n + 0.5) / 4_000) for n in range(4_000)])
    grid /= grid.std()
    normal, bent = tail_risk(grid, Method.NORMAL), tail_risk(grid, Method.CORNISH_FISHER)
    assert bent.value_at_risk == pytest.approx(normal.value_at_risk, rel=1e-3)
    assert bent.expected_shortfall == pytest.approx(normal.expected_shortfall, rel=1e-2)


def test_returns_near_nothing_have_moments_all_the_same() -> None:
    returns = np.array([*[0.0] * 39, 1.0])
    assert moments(returns * 1e-100) == pytest.approx(moments(returns))
    assert moments(returns * 1e-200) == (0.0, 0.0)


def test_where_the_expansion_is_no_quantile_there_is_no_figure() -> None:
    returns = np.concatenate([np.full(500, 0.001), np.full(2, -0.6)])
    found = tail_risk(returns, Method.CORNISH_FISHER)
    assert found.value_at_risk is None
    assert "outside what the expansion holds for" in found.reason


@pytest.mark.parametrize("method", Method)
@settings(max_examples=60, deadline=None)
@given(returns=returns_st, level=st.sampled_from([0.9, 0.95, 0.975]), horizon=st.sampled_from([1, 5]))
def test_the_shortfall_is_never_below_the_value_at_risk(method: Method, returns: Floats, level: float, horizon: int) -> None:
    found = tail_risk(returns, method, level, horizon)
    if found.value_at_risk is None:
        assert found.reason
        assert found.expected_shortfall is None
    else:
        assert found.expected_shortfall is not None
        assert found.expected_shortfall >= found.value_at_risk - 1e-12


@pytest.mark.parametrize("method", Method)
@settings(max_examples=40, deadline=None)
@given(returns=returns_st, scale=st.sampled_from([0.125, 0.5, 2.0]))
def test_a_smaller_book_of_the_same_mix_risks_less_in_proportion(method: Method, returns: Floats, scale: float) -> None:
    whole, part = tail_risk(returns, method), tail_risk(returns * scale, method)
    if whole.value_at_risk is None or whole.expected_shortfall is None:
        assert part.value_at_risk is None
    else:
        assert part.value_at_risk == pytest.approx(scale * whole.value_at_risk, abs=1e-12)
        assert part.expected_shortfall == pytest.approx(scale * whole.expected_shortfall, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(returns=returns_st)
def test_a_higher_level_never_risks_less(returns: Floats) -> None:
    for method in (Method.HISTORICAL, Method.NORMAL):
        at = [tail_risk(returns, method, level).value_at_risk for level in (0.9, 0.95, 0.975)]
        assert at == sorted(at, key=lambda each: each or 0.0)


def test_a_horizon_compounds_the_past_and_scales_the_normal() -> None:
    returns = np.random.default_rng(2).normal(0.0, 0.02, 400)
    assert compounded(np.array([0.1, -0.5, 1.0]), 2).tolist() == pytest.approx([-0.45, 0.0])
    one, four = (tail_risk(returns - returns.mean(), Method.NORMAL, horizon=each).value_at_risk or 0.0 for each in (1, 4))
    assert four == pytest.approx(2 * one)
    assert tail_risk(returns, Method.HISTORICAL, horizon=4).samples == 397


@pytest.mark.parametrize("method", Method)
def test_too_few_returns_are_unknown(method: Method) -> None:
    found = tail_risk(np.array([0.01, -0.02]), method)
    assert found.value_at_risk is None
    assert "few" in found.reason
    assert tail_risk(np.zeros(0), method, horizon=3).value_at_risk is None


@pytest.mark.parametrize(("level", "horizon"), [(1.0, 1), (0.3, 1), (0.95, 0)])
def test_an_impossible_level_or_horizon_is_refused(level: float, horizon: int) -> None:
    with pytest.raises(AnalysisError):
        tail_risk(np.zeros(100), Method.NORMAL, level, horizon)


# Correlation and beta.


def test_correlations_are_numpys_shrunk_by_schaefer_and_strimmers_formula() -> None:
    table = drawn(60, "A", "B", "C")
    found = correlation(table)
    assert found is not None
    raw, count = np.asarray(np.corrcoef(table.values.T)), len(table)
    scaled = (table.values - table.values.mean(axis=0)) / table.values.std(axis=0, ddof=1)
    top = bottom = 0.0
    for i in range(3):
        for j in range(3):
            if i != j:
                products = scaled[:, i] * scaled[:, j]
                top += count / (count - 1) ** 3 * float(((products - products.mean()) ** 2).sum())
                bottom += raw[i, j] ** 2
    assert found.shrinkage == pytest.approx(top / bottom)
    np.testing.assert_allclose(np.array(found.matrix), raw * (1 - found.shrinkage) + np.eye(3) * found.shrinkage)
    assert found.mean == pytest.approx((found.matrix[0][1] + found.matrix[0][2] + found.matrix[1][2]) / 3)


def test_fewer_samples_are_shrunk_more() -> None:
    few, many = correlation(drawn(10, "A", "B", "C")), correlation(drawn(2_000, "A", "B", "C"))
    assert few is not None
    assert many is not None
    assert few.shrinkage > 5 * many.shrinkage


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 12), st.integers(2, 8), st.integers(0, 99))
def test_a_matrix_of_few_samples_is_still_positive_and_bounded(count: int, size: int, seed: int) -> None:
    found = correlation(drawn(count, *(f"S{n}" for n in range(size)), seed=seed))
    assert found is not None
    matrix = np.array(found.matrix)
    assert np.linalg.eigvalsh(matrix).min() > -1e-9
    assert (np.abs(matrix) <= 1.0).all()
    assert (np.diag(matrix) == 1.0).all()


def test_what_never_moves_is_left_out_of_the_matrix() -> None:
    table = ReturnTable(("A", "B"), np.column_stack([drawn(40, "A").values[:, 0], np.zeros(40)]), DAY)
    found = correlation(table)
    assert found is not None
    assert (found.symbols, found.still, found.mean) == (("A",), ("B",), None)
    assert correlation(ReturnTable(("A",), np.zeros((40, 1)), DAY)) is None


def test_beta_is_the_slope_of_least_squares() -> None:
    market = np.random.default_rng(1).normal(0, 0.02, 300)
    own = 1.5 * market + np.random.default_rng(2).normal(0.001, 0.01, 300)
    found = beta("A", own, market)
    assert found is not None
    assert found.beta == pytest.approx(float(np.polyfit(market, own, 1)[0]))
    assert found.fit == pytest.approx(float(np.corrcoef(market, own)[0, 1]) ** 2)
    assert beta("A", own, np.zeros(300)) is None


# Drawdown.


def test_drawdown_by_hand() -> None:
    found = drawdown([100, 120, 90, 110, 96])
    assert found is not None
    assert found.now == pytest.approx(0.2)
    assert found.worst == pytest.approx(0.25)
    assert found.under == 3
    assert found.needed == pytest.approx(0.25)
    assert drawdown([100]) is None
    high = drawdown([1, 2, 3])
    assert high is not None
    assert (high.now, high.under) == (0.0, 0)


# Scenarios.


def test_falls_by_hand() -> None:
    weights = {"A": 0.5, "B": -0.1}
    one, other, every = scenarios(weights, 1_000.0, drawn(50, "A"), [SymbolFalls("A", 0.2), SymbolFalls("B", 0.5), AllFall(0.1)])
    assert one.impact == pytest.approx(-0.1)
    assert one.money == pytest.approx(-100.0)
    assert other.impact == pytest.approx(0.05)
    assert every.impact == pytest.approx(-0.05 + 0.01)
    assert "A -20% costs 10.0% of equity" in one.words
    assert scenarios(weights, 1.0, drawn(50, "A"), [SymbolFalls("Z", 0.2)])[0].words == "Z -20% changes nothing"


def test_correlation_one_is_worse_than_what_was_and_twice_the_volatility_is_twice_the_risk() -> None:
    weights, table = {"A": 0.4, "B": 0.4}, drawn(400, "A", "B", shared=0.3)
    one, same, twice = scenarios(weights, 100.0, table, [Together(), VolatilityTimes(1.0), VolatilityTimes(2.0)])
    sigmas = table.values.std(axis=0, ddof=1)
    assert one.impact == pytest.approx(NormalDist().inv_cdf(0.05) * 0.4 * float(sigmas.sum()))
    assert same.impact is not None
    assert one.impact is not None
    assert one.impact < same.impact < 0
    assert twice.impact == pytest.approx(2 * same.impact)
    assert math.fsum(twice.by_symbol.values()) == pytest.approx(twice.impact)


def test_the_worst_day_is_the_worst_of_the_whole_book() -> None:
    values = np.zeros((40, 2))
    values[7], values[9] = (-0.3, 0.4), (-0.2, -0.2)
    (found,) = scenarios({"A": 0.5, "B": 0.5}, 100.0, ReturnTable(("A", "B"), values, DAY), [WorstRun()])
    assert found.impact == pytest.approx(-0.2)
    assert found.by_symbol == {"A": pytest.approx(-0.1), "B": pytest.approx(-0.1)}


def test_a_scenario_without_returns_is_unknown() -> None:
    for found in scenarios({"Z": 0.5}, 100.0, drawn(40, "A"), [Together(), VolatilityTimes(), WorstRun()]):
        assert found.impact is None
        assert "no returns of Z" in found.words


@pytest.mark.parametrize("shock", [SymbolFalls("A", 1.5), AllFall(-0.1), VolatilityTimes(0.0), VolatilityTimes(math.nan)])
def test_an_impossible_shock_is_refused(shock: SymbolFalls | AllFall | VolatilityTimes) -> None:
    with pytest.raises(AnalysisError):
        scenarios({"A": 1.0}, 1.0, drawn(40, "A"), [shock])


# The whole.


def test_the_book_is_the_weighted_sum_of_its_symbols() -> None:
    table = drawn(50, "A", "B")
    np.testing.assert_allclose(
        np.asarray(book_returns({"A": 0.3, "B": -0.2}, table)), 0.3 * table.values[:, 0] - 0.2 * table.values[:, 1]
    )
    assert book_returns({"Z": 0.1}, table) is None


def test_a_whole_analysis_with_words_and_suggestions() -> None:
    inputs = PortfolioInputs(
        START, "USDT", 10_000.0, {"A": 0.9, "B": 0.08}, drawn(300, "A", "B", "M", shared=0.9), "M", [100, 120, 100]
    )
    found = portfolio(inputs)
    assert {each.method for each in found.tails if each.value_at_risk is not None} == set(Method)
    assert [each.symbol for each in found.betas] == ["A", "B"]
    assert found.book_beta is not None
    assert found.unknown == {}
    said = " ".join(found.suggestions)
    for words in ("A is 90% of equity", "move together", "below its peak", "only 2% of equity is cash"):
        assert words in said
    assert "2 positions, 98% of 10,000.00 USDT invested" in found.words
    assert "at 95% over 1 d" in found.words
    assert "nan" not in repr(found)
    assert found.as_plain()["equity"] == 10_000.0


def test_a_flat_book_is_said_to_be_flat() -> None:
    found = portfolio(PortfolioInputs(START, "USDT", 500.0, {"A": 0.0}))
    assert found.words == "the book is flat: 500.00 USDT in cash"
    assert found.suggestions == ()
    assert found.tails == ()
    assert set(found.unknown) == {"tails", "correlation", "beta", "drawdown"}


def test_a_position_without_returns_makes_the_risk_unknown_and_not_smaller() -> None:
    found = portfolio(PortfolioInputs(START, "USDT", 1.0, {"A": 0.5, "NEW": 0.5}, drawn(100, "A")))
    assert found.tails == ()
    assert found.unknown["tails"] == "no returns of NEW"


def test_a_quiet_book_gets_no_suggestion() -> None:
    inputs = PortfolioInputs(START, "USDT", 1.0, {"A": 0.1, "B": 0.1}, drawn(300, "A", "B", shared=0.1))
    assert portfolio(inputs).suggestions == ()
    strict = PortfolioInputs(START, "USDT", 1.0, {"A": 0.1}, thresholds=Thresholds(largest=0.05))
    assert portfolio(strict).suggestions


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_impossible_books_are_refused(bad: float) -> None:
    with pytest.raises(AnalysisError):
        PortfolioInputs(START, "USDT", bad, {})
    with pytest.raises(AnalysisError):
        PortfolioInputs(START, "USDT", 1.0, {"A": bad})
    with pytest.raises(AnalysisError):
        PortfolioInputs(START, "USDT", 1.0, {}, curve=[1.0, bad])
    with pytest.raises(AnalysisError):
        returns_of({"A": [0.1, bad]}, DAY)


def test_returns_need_one_length_and_one_timeframe() -> None:
    with pytest.raises(AnalysisError, match="equal length"):
        returns_of({"A": [0.1], "B": [0.1, 0.2]}, DAY)
    with pytest.raises(AnalysisError, match="one timeframe"):
        aligned({BTC: walked(3), ETH: walked(3, timeframe="4h", symbol=ETH)})
    with pytest.raises(AnalysisError, match="one timeframe"):
        aligned({})


def test_returns_are_aligned_and_no_hole_makes_a_long_one() -> None:
    btc, eth = walked(10), walked(10, seed=2, symbol=ETH)
    table = aligned({BTC: btc, ETH: [*eth[:4], *eth[5:]]})
    assert len(table) == 7
    assert btc[5].at not in table.ends
    assert table.of(BTC) is not None
    first = table.values[0]
    assert first == pytest.approx([btc[1].close / btc[0].close - 1, eth[1].close / eth[0].close - 1])
    assert aligned({BTC: btc}, btc[5].at).ends == tuple(each.at for each in btc[1:6])


def test_recorded_hours_make_a_table_and_an_analysis() -> None:
    table = aligned({BTC: recorded_candles(1_000), ETH: recorded_candles(1_000, ETH)})
    found = portfolio(PortfolioInputs(START, "USDT", 1.0, {BTC: 0.4, ETH: 0.4}, table, BTC))
    assert found.correlation is not None
    assert found.correlation.highest is not None
    assert found.correlation.highest[2] > 0.5
    assert [each.name for each in found.scenarios][-1] == "worst 1 d of the past"


def test_the_desks_briefing_is_enough_and_a_batch_is_each_alone() -> None:
    held = Held(BTC, Decimal("0.1"), Decimal(30_000), 31_000.0, 0.31, 100.0, START, "rules:x", None)
    briefing = Briefing(START, "USDT", 10_000.0, 6_900.0, 0.31, 0.0, 0.0, TradingState.ACTIVE, (held,))
    inputs = inputs_of(briefing, drawn(100, BTC))
    assert inputs.weights == {BTC: 0.31}
    assert portfolio_batch({"main": inputs}) == {"main": portfolio(inputs)}
