"""A rule made of conditions: it does what is written, looks only back, and continues exactly after a restart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.core.decision import Action, Decision
from bot.core.market import Candle, MarketView
from sources.base import RuleSource
from sources.rules.composed import Composed, ComposedParams
from sources.rules.conditions import MEANINGS, Condition, Measure, Operator, Unit, unit_of
from sources.rules.crossover import SmaCross
from tests.sources.source_factories import MINUTE, START, candle, candles, decisions, source_of, wave

TREND: dict[str, Any] = {
    "entry": [{"indicator": "sma", "period": 5, "operator": ">", "other": "sma", "other_period": 20}],
    "exit": [{"indicator": "sma", "period": 5, "operator": "<", "other": "sma", "other_period": 20}],
}
TYPICAL = {Unit.SCALE: 50.0, Unit.FRACTION: 0.001, Unit.DEVIATIONS: 0.5, Unit.RATIO: 1.0, Unit.PRICE: 100.0, Unit.VOLUME: 1.0}


def places(made: list[Decision]) -> list[tuple[int, str]]:
    return [((decision.created - START) // MINUTE - 1, decision.action.value) for decision in made]


def rows_of(seed: int = 3, count: int = 700) -> list[Candle]:
    rows = list(candles(wave(count, noise=0.004, seed=seed)))
    for at, row in enumerate(rows):
        row.volume = 1.0 + (at * 7 % 13)
    return rows


def composed(**params: Any) -> RuleSource:
    return source_of(Composed, **params)


def test_averages_in_conditions_trade_as_the_crossover_does() -> None:
    prices = wave(900, noise=0.004)
    made = decisions(composed(**TREND), candles(prices))
    known = decisions(source_of(SmaCross, fast=5, slow=20), candles(prices))
    assert len(known) > 20
    assert places(made) == places(known)


def test_highest_is_of_the_candles_before_so_that_a_breakout_can_happen() -> None:
    rows = rows_of()
    made = decisions(
        composed(
            entry=[{"indicator": "close", "operator": ">", "other": "highest", "other_period": 20}],
            exit=[{"indicator": "close", "operator": "<", "other": "lowest", "other_period": 10}],
        ),
        rows,
    )
    above = [at >= 20 and rows[at].close > max(row.high for row in rows[at - 20 : at]) for at in range(len(rows))]
    buys = [at for at in range(21, len(rows)) if above[at] and not above[at - 1]]
    assert buys
    assert [at for at, action in places(made) if action == "buy"] == buys


@pytest.mark.parametrize("measure", list(Measure))
def test_no_indicator_sees_a_later_candle(measure: Measure) -> None:
    """What was proposed until a candle is the same whatever comes after it."""
    condition = {"indicator": measure.value, "period": 5, "value": TYPICAL[unit_of(measure)]}
    source = {"entry": [condition | {"operator": ">"}], "exit": [condition | {"operator": "<"}]}
    rows, other = rows_of(3), rows_of(99)
    whole = decisions(composed(**source), rows)
    for cut in (150, 400):
        replaced = [*rows[:cut], *other[cut:]]
        made = decisions(composed(**source), replaced)
        assert [each for each in made if each.created <= rows[cut - 1].at] == [
            each for each in whole if each.created <= rows[cut - 1].at
        ]
    assert measure in MEANINGS


@pytest.mark.parametrize("cut", [3, 25, 120, 333])
def test_a_restart_changes_nothing(cut: int) -> None:
    every = [{"indicator": each.value, "period": 5, "operator": "<", "value": 10 * TYPICAL[unit_of(each)]} for each in Measure]
    params: dict[str, Any] = TREND | {"max_hold": 12, "cool_down": 3, "filters": every[:7]}
    rows = rows_of()
    through = decisions(composed(**params), rows)
    before, after = composed(**params), composed(**params)
    first = decisions(before, rows[:cut])
    after.restore(json.loads(json.dumps(before.snapshot())))
    assert first + decisions(after, rows[cut:]) == through
    assert len(through) > 5


def test_a_snapshot_of_other_conditions_is_refused() -> None:
    source, other = (
        composed(**TREND),
        composed(**TREND | {"filters": [{"indicator": "rsi", "period": 9, "operator": "<", "value": 60}]}),
    )
    with pytest.raises(ValueError, match="snapshot"):
        other.restore(source.snapshot())


def test_it_leaves_after_max_hold_and_rests_before_it_buys_again() -> None:
    closes = [100.0, 100.0] + [101.0, 99.0] * 20
    up = {"indicator": "close", "operator": ">", "value": 100}
    made = places(decisions(composed(entry=[up], max_hold=3, cool_down=4), candles(closes)))
    assert made[:3] == [(2, "buy"), (4, "buy"), (6, "buy")]  # each rise begins it anew, and none is three candles old
    still = [100.0, 100.0, *[101.0] * 20]
    made = places(decisions(composed(entry=[up], max_hold=3, cool_down=4), candles(still)))
    assert made == [(2, "buy"), (5, "sell"), (9, "buy"), (12, "sell"), (16, "buy"), (19, "sell")]


def test_a_filter_only_takes_entries_away_and_the_exit_goes_first() -> None:
    rows = rows_of()
    free = decisions(composed(**TREND), rows)
    calm = decisions(composed(**TREND, filters=[{"indicator": "rsi", "period": 7, "operator": "<", "value": 60}]), rows)
    buys, kept = ([each.created for each in made if each.action is Action.BUY] for made in (free, calm))
    assert kept
    assert sorted(kept) != sorted(buys)
    always = [{"indicator": "close", "operator": ">", "value": 0}]
    both = decisions(composed(entry=TREND["entry"], exit=always, exit_logic="all"), rows)
    assert [each for each in both if each.action is Action.BUY] == []


def test_any_of_several_conditions_may_be_enough() -> None:
    rows = rows_of()
    two = [
        {"indicator": "rsi", "period": 7, "operator": "crosses_above", "value": 30},
        {"indicator": "close", "operator": "crosses_above", "other": "sma", "other_period": 20},
    ]
    alone = [{at for at, _ in places(decisions(composed(entry=[each], max_hold=9_000), rows))} for each in two]
    made = {at for at, _ in places(decisions(composed(entry=two, entry_logic="any", max_hold=9_000), rows))}
    late = 30  # both are warm
    assert {at for at in made if at > late} <= alone[0] | alone[1]
    assert len(made) > max(map(len, alone))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"exit": []}, "no way out"),
        ({"entry": []}, "at least 1"),
        ({"entry": [{"indicator": "rsi", "operator": "<", "value": 130}]}, "within 0 and 100"),
        ({"entry": [{"indicator": "rsi", "operator": "<", "other": "close"}]}, "not comparable"),
        ({"entry": [{"indicator": "ema", "period": 9, "operator": "<", "other": "ema", "other_period": 9}]}, "itself"),
        ({"entry": [{"indicator": "ema", "period": 9, "operator": "<"}]}, "either a value"),
        ({"entry": [{"indicator": "ema", "period": 501, "operator": "<", "value": 1}]}, "500"),
        ({"entry": [{"indicator": "zscore", "period": 1, "operator": "<", "value": 1}]}, "at least 2"),
        ({"entry": [{"indicator": "__import__('os')", "operator": "<", "value": 1}]}, "Input should be"),
        ({"entry": TREND["entry"] * 9}, "at most 8"),
        ({"entry": TREND["entry"] * 8, "filters": TREND["entry"] * 8, "exit": TREND["exit"] * 8}, "too many"),
        ({"entry": [{"indicator": "rsi", "operator": "<", "value": float("nan")}]}, "finite"),
    ],
)
def test_what_means_nothing_is_refused_by_name(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        ComposedParams.model_validate(TREND | change)


CONDITIONS = st.builds(
    lambda measure, period, operator, at: {
        "indicator": measure.value,
        "period": period,
        "operator": operator.value,
        "value": TYPICAL[unit_of(measure)] * at,
    },
    st.sampled_from(Measure),
    st.integers(2, 12),
    st.sampled_from(Operator),
    st.floats(0, 2),
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(CONDITIONS, min_size=1, max_size=4),
    st.lists(CONDITIONS, min_size=1, max_size=4),
    st.sampled_from(["all", "any"]),
    st.lists(st.floats(1, 1e6), min_size=1, max_size=60),
)
def test_no_conditions_and_no_prices_make_it_fail(
    entry: list[dict[str, Any]], leave: list[dict[str, Any]], logic: str, prices: list[float]
) -> None:
    source = composed(entry=entry, exit=leave, entry_logic=logic, max_hold=5)
    for row in candles(prices, volume=0.0):
        source.on_candle(row, MarketView())
    assert source.faults == 0
    json.dumps(source.snapshot())


def test_a_condition_reads_as_a_person_writes_it() -> None:
    told = Condition.model_validate(
        {"indicator": "ema", "period": 12, "operator": "crosses_above", "other": "ema", "other_period": 26}
    )
    assert str(told) == "ema_12 crosses above ema_26"
    assert decisions(composed(**TREND), [candle(0, 100.0)]) == []
