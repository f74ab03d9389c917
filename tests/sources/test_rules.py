"""What each rule promises, against references written another way."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.decision import Action, Decision
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Protection, Rule, Strict
from sources.rules.atr_trend import AtrTrend
from sources.rules.bollinger import BollingerBreakout, BollingerReversion
from sources.rules.crossover import EmaCross, SmaCross
from sources.rules.dca import Dca
from sources.rules.donchian import DonchianBreakout
from sources.rules.factors import FactorScore
from sources.rules.macd import MacdCross
from sources.rules.momentum import Momentum
from sources.rules.rsi_reversion import RsiReversion
from tests.sources.source_factories import BTC, MINUTE, START, candle, candles, decisions, source_of, wave

TRADING: list[type[Rule]] = [
    SmaCross,
    EmaCross,
    RsiReversion,
    MacdCross,
    Momentum,
    BollingerBreakout,
    BollingerReversion,
    DonchianBreakout,
    AtrTrend,
    FactorScore,
]
BOTH_WAYS = {Action.BUY, Action.SELL}


def reference_crosses(ticks: list[int], fast: int, slow: int) -> list[tuple[int, str]]:
    """Crosses of moving averages in whole ticks, exactly: windows are compared by cross-multiplied sums."""
    sums = np.concatenate([[0], np.cumsum(np.asarray(ticks, dtype=np.int64))])
    at = np.arange(slow, len(ticks) + 1)
    gap = (sums[at] - sums[at - fast]) * slow - (sums[at] - sums[at - slow]) * fast
    buys = np.flatnonzero((gap[:-1] <= 0) & (gap[1:] > 0)) + slow
    sells = np.flatnonzero((gap[:-1] >= 0) & (gap[1:] < 0)) + slow
    return sorted([(int(i), "buy") for i in buys] + [(int(i), "sell") for i in sells])


def ticks_of(seed: int, count: int) -> list[int]:
    """A random walk in ticks with still stretches, so that the averages often touch."""
    draw = np.random.default_rng(seed)
    steps = draw.integers(-3, 4, count)
    steps[draw.random(count) < 0.3] = 0
    for begin in range(0, count, 1_000):
        steps[begin : begin + 120] = 0
    return [int(tick) for tick in 50_000 + np.cumsum(steps)]


def places(made: list[Decision]) -> list[tuple[int, str]]:
    return [((decision.created - START) // MINUTE - 1, decision.action.value) for decision in made]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_sma_crossover_agrees_trade_for_trade_with_the_reference(seed: int) -> None:
    ticks = ticks_of(seed, 30_000)
    made = decisions(source_of(SmaCross, fast=20, slow=50), candles(tick / 100 for tick in ticks))
    expected = reference_crosses(ticks, 20, 50)
    assert len(expected) > 300
    assert places(made) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(90, 110), max_size=60), st.integers(1, 4), st.integers(1, 5))
def test_a_crossover_of_any_prices_agrees_with_the_reference(ticks: list[int], fast: int, more: int) -> None:
    slow = fast + more
    made = decisions(source_of(SmaCross, fast=fast, slow=slow, rsi=1), candles(float(tick) for tick in ticks))
    expected = reference_crosses(ticks, fast, slow) if len(ticks) >= slow else []
    assert places(made) == expected


def test_a_crossover_filter_drops_the_cross_and_nothing_else() -> None:
    prices = wave(900, noise=0.004)
    free = decisions(source_of(EmaCross, fast=5, slow=20), candles(prices))
    kept = decisions(source_of(EmaCross, fast=5, slow=20, buy_below_rsi=55, sell_above_rsi=45), candles(prices))
    assert 0 < len(kept) < len(free)
    assert kept == [each for each in free if _allowed(each)]


def _allowed(decision: Decision) -> bool:
    rsi = float(decision.evidence["rsi"] or 0)
    return rsi < 55 if decision.action is Action.BUY else rsi > 45


def test_the_rsi_reversion_buys_after_a_fall_and_is_surer_after_a_deeper_one() -> None:
    def first(fall: float) -> Decision:
        prices = [100 + 0.1 * (at % 2) for at in range(30)] + [100 - fall * at for at in range(1, 8)] + [100 - 6 * fall] * 3
        prices += [100 - 6 * fall + fall * at for at in range(1, 9)]
        return decisions(source_of(RsiReversion), candles(prices))[0]

    mild, deep = first(0.2), first(3.0)
    assert (mild.action, deep.action) == (Action.BUY, Action.BUY)
    assert 0.5 <= mild.confidence < deep.confidence <= 1


def test_the_donchian_breakout_agrees_with_the_reference() -> None:
    prices = wave(1_500, noise=0.004)
    rows = list(candles(prices))
    made = places(decisions(source_of(DonchianBreakout, entry=20, exit=10, atr=5), rows))
    above = [False] * 20 + [rows[i].close > max(row.high for row in rows[i - 20 : i]) for i in range(20, len(rows))]
    below = [False] * 20 + [rows[i].close < min(row.low for row in rows[i - 10 : i]) for i in range(20, len(rows))]
    expected = [(i, "buy") for i in range(21, len(rows)) if above[i] and not above[i - 1]]
    expected += [(i, "sell") for i in range(21, len(rows)) if below[i] and not below[i - 1]]
    assert len(expected) > 40
    assert made == sorted(expected)


def test_the_bollinger_breakout_buys_outside_and_the_reversion_buys_on_the_way_back() -> None:
    rise = [100.0 + 0.1 * (at % 3) for at in range(40)] + [101.5, 103.0, 104.0]
    fall = [100.0 + 0.1 * (at % 3) for at in range(40)] + [98.0, 99.9]
    breakout = decisions(source_of(BollingerBreakout), candles(rise))
    reversion = decisions(source_of(BollingerReversion), candles(fall))
    assert [place for place, action in places(breakout) if action == "buy"] == [40]
    assert places(reversion) == [(41, "buy")]


def test_the_macd_agrees_with_the_signs_of_its_histogram() -> None:
    made = decisions(source_of(MacdCross, normal=5), candles(wave(800)))
    assert made
    for decision in made:
        assert (float(decision.evidence["histogram"] or 0) > 0) == (decision.action is Action.BUY)
        assert decision.confidence >= 0.5


def test_the_momentum_buys_a_rise_and_sells_where_it_has_ended() -> None:
    closes = wave(900, noise=0.002)
    made = decisions(source_of(Momentum, period=10, enter=0.02, leave=0.01), candles(closes))
    assert {decision.action for decision in made} == BOTH_WAYS
    for place, action in places(made):
        now, before = (closes[at] / closes[at - 10] - 1 for at in (place, place - 1))
        assert (now > 0.02 >= before) if action == "buy" else (now < -0.01 <= before)
    assert {decision.confidence > 0.5 for decision in made} == {True}


def test_the_atr_trend_carries_its_distance_as_a_trailing_stop() -> None:
    made = decisions(source_of(AtrTrend, period=7, adx=7, multiple=2.0), candles(wave(400)))
    buys = [decision for decision in made if decision.action is Action.BUY]
    assert buys
    for buy in buys:
        assert buy.trailing == pytest.approx(2.0 * float(buy.evidence["atr"] or 0) / buy.price)
    assert all(decision.trailing is None for decision in made if decision.action is Action.SELL)


def test_the_factor_score_is_surest_where_all_factors_agree() -> None:
    made = decisions(source_of(FactorScore, normal=20, slow=24), candles(wave(900, noise=0.003)))
    assert {decision.action for decision in made} == BOTH_WAYS
    for decision in made:
        factors = [float(decision.evidence[name] or 0) for name in ("momentum", "trend", "volatility", "volume")]
        assert all(-1 <= factor <= 1 for factor in factors)
        signs = {math.copysign(1, factor) for factor in factors if factor}
        assert (decision.confidence > 1 - 1e-9) == (len(signs) == 1)


@pytest.mark.parametrize("rule", TRADING)
def test_a_rule_proposes_both_ways_at_events_and_not_at_every_candle(rule: type[Rule]) -> None:
    made = decisions(source_of(rule), candles(wave(2_000, period=80, noise=0.002)))
    assert {decision.action for decision in made} == BOTH_WAYS
    assert len(made) < 500
    assert all(decision.reasoning and decision.evidence for decision in made)
    assert len({decision.id for decision in made}) == len(made)


@pytest.mark.parametrize("rule", TRADING)
def test_a_rule_is_silent_until_it_is_warm(rule: type[Rule]) -> None:
    source = source_of(rule)
    made = decisions(source, candles(wave(2_000, period=60, noise=0.003)))
    assert places(made)[0][0] >= source.warmup - 1


@pytest.mark.parametrize("rule", [*TRADING, Dca])
@pytest.mark.parametrize("cut", [1, 30, 111, 333])
def test_a_restored_source_decides_as_if_nothing_had_happened(rule: type[Rule], cut: int) -> None:
    rows = list(candles(wave(700, noise=0.003)))
    params: dict[str, Any] = {"schedule": {"every": "1h"}} if rule is Dca else {}
    whole, twin = source_of(rule, **params), source_of(rule, **params)
    decisions(whole, rows[:cut])
    twin.restore(json.loads(json.dumps(whole.snapshot())))
    made = decisions(twin, rows[cut:])
    assert made
    assert made == decisions(whole, rows[cut:])
    assert twin.snapshot() == whole.snapshot()


@pytest.mark.parametrize("rule", TRADING)
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(st.floats(1e-6, 1e7), st.floats(1e-6, 1e7), st.floats(0, 1), st.floats(0, 1e9)), max_size=150))
def test_no_candles_make_a_rule_fail_or_be_unsure_how_sure_it_is(
    rule: type[Rule], rows: list[tuple[float, float, float, float]]
) -> None:
    source = source_of(rule)
    made = decisions(
        source, (candle(at, close, opened, wick * 1e-6, volume) for at, (opened, close, wick, volume) in enumerate(rows))
    )
    assert all(0 <= decision.confidence <= 1 for decision in made)


def test_dca_buys_once_for_each_slot_and_names_the_buy_by_it() -> None:
    source = source_of(Dca, schedule={"every": "10m"}, size=0.2)
    made = decisions(source, candles(100.0 for _ in range(60)))
    assert [decision.evidence["slot"] for decision in made] == [
        at for at in range(START, START + 61 * MINUTE) if at % 600_000 == 0
    ]
    assert all(decision.size_fraction == 0.2 and decision.created == decision.evidence["slot"] for decision in made)


def test_dca_after_a_gap_buys_once_and_not_for_every_slot_it_missed() -> None:
    source = source_of(Dca, schedule={"every": "5m"})
    decisions(source, [candle(0, 100.0)])
    late = decisions(source, [candle(58, 100.0), candle(59, 100.0)])
    assert len(late) == 1
    assert late[0].evidence["slot"] == (START + 59 * MINUTE) // 300_000 * 300_000


def test_protection_belongs_to_buys_and_the_configuration_goes_first() -> None:
    levels = Protection(stop_loss=0.02, take_profit=0.05, trailing=0.01)
    made = decisions(source_of(AtrTrend, levels, period=7, adx=7), candles(wave(400)))
    buys = [decision for decision in made if decision.action is Action.BUY]
    sells = [decision for decision in made if decision.action is Action.SELL]
    assert buys
    assert sells
    for buy in buys:
        assert (buy.stop_loss, buy.take_profit, buy.trailing) == pytest.approx((buy.price * 0.98, buy.price * 1.05, 0.01))
    assert {(sell.stop_loss, sell.take_profit, sell.trailing) for sell in sells} == {(None, None, None)}


def test_a_candle_seen_twice_or_of_another_market_changes_nothing() -> None:
    source = source_of(SmaCross)
    rows = list(candles(wave(100)))
    decisions(source, rows)
    before = source.snapshot()
    other = Candle(BTC, "5m", START, START + 10**9, 1, 1, 1, 1, 1)
    assert decisions(source, [*rows[-10:], other, candle(500, 1.0, symbol="ETH/USDT")]) == []
    assert source.snapshot() == before


def test_each_symbol_has_a_rule_of_its_own() -> None:
    prices = wave(300)
    alone = decisions(source_of(SmaCross), candles(prices))
    pair = source_of(SmaCross, symbols=(BTC, "ETH/USDT"))
    mixed = [row for both in zip(candles(prices), candles(prices[::-1], symbol="ETH/USDT"), strict=True) for row in both]
    assert [decision for decision in decisions(pair, mixed) if decision.symbol == BTC] == alone
    assert pair.feeds == ((BTC, "1m"), ("ETH/USDT", "1m"))


def test_a_warmed_source_continues_where_its_history_ended() -> None:
    rows = list(candles(wave(300)))
    told, warmed = source_of(SmaCross), source_of(SmaCross)
    decisions(told, rows[:200])
    for row in rows[:200]:
        warmed.warm(row, MarketView())
    assert warmed.snapshot() == told.snapshot()


class Fragile(Rule):
    """Raises at a price of 13."""

    Params = Strict

    def __init__(self, params: Strict) -> None:
        self.seen = 0

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        if candle.close == 13:
            raise ZeroDivisionError
        return Proposal(Action.BUY, candle.close / 100)


def test_a_rule_that_raises_is_silenced_for_its_symbol_only() -> None:
    source = source_of(Fragile, symbols=(BTC, "ETH/USDT"))
    view = MarketView()
    assert source.on_candle(candle(0, 12), view) is not None
    assert source.on_candle(candle(1, 13), view) is None
    assert source.on_candle(candle(2, 14), view) is None
    assert source.on_candle(candle(2, 14, symbol="ETH/USDT"), view) is not None
    assert source.faults == 1


def test_a_source_whose_rule_is_silenced_says_so_by_symbol_and_error_until_it_ends() -> None:
    source = source_of(Fragile, symbols=(BTC, "ETH/USDT"))
    assert source.ailments == []
    source.on_candle(candle(1, 13), MarketView())
    source.on_candle(candle(2, 12), MarketView())
    (ailment,) = source.ailments
    assert ailment.startswith(f"{BTC} ")
    assert "ZeroDivisionError" in ailment


def test_a_confidence_outside_its_bounds_is_a_fault() -> None:
    source = source_of(Fragile)
    assert source.on_candle(candle(0, 101), MarketView()) is None
    assert source.faults == 1


def test_decision_ids_are_derived_from_what_is_decided() -> None:
    first, again = (decisions(source_of(SmaCross), candles(wave(300))) for _ in range(2))
    assert [decision.id for decision in first] == [decision.id for decision in again]


def _spoil(change: Callable[[dict[str, object]], None]) -> object:
    source = source_of(SmaCross)
    decisions(source, candles(wave(90)))
    state = json.loads(json.dumps(source.snapshot()))
    change(state)
    return state


SPOILT = [
    None,
    {},
    _spoil(lambda state: state.update(timeframe="5m")),
    _spoil(lambda state: state.update(symbols=[])),
    _spoil(lambda state: state.update(symbols={BTC: [1]})),
    _spoil(lambda state: state.update(symbols={BTC: [1, {"fast": []}]})),
    _spoil(lambda state: state.update(symbols={BTC: ["1", {}]})),
]


@pytest.mark.parametrize("state", SPOILT)
def test_a_snapshot_that_does_not_fit_changes_nothing(state: object) -> None:
    source = source_of(SmaCross)
    decisions(source, candles(wave(70)))
    before = source.snapshot()
    with pytest.raises(ValueError, match=r"snapshot|state"):
        source.restore(state)
    assert source.snapshot() == before


def test_a_snapshot_of_other_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="SMA"):
        source_of(SmaCross, fast=5).restore(source_of(SmaCross, fast=6).snapshot())
