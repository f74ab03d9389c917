"""The promise of the generator: an algorithm trades as the local rule would, candle by candle."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.decision import Action
from sources.loading import RULES
from sources.quantconnect.lean.strategies import TEMPLATES, UNCARRIED
from tests.sources.quantconnect.lean_twins import BEGIN, config_of, local, ran, said, said_locally, walk

SHORT: dict[str, dict[str, Any]] = {
    "sma-rsi": {"fast": 3, "slow": 9, "rsi": 5},
    "momentum": {"period": 6, "enter": 0.01, "leave": 0.005},
    "mean-reversion": {"period": 12, "width": 1.5},
    "breakout": {"entry": 12, "exit": 6, "atr": 7},
    "sma-cross": {"fast": 4, "slow": 11, "rsi": 5, "sell_above_rsi": 20},
    "ema-cross": {"fast": 4, "slow": 11, "rsi": 5},
    "rsi-reversion": {"period": 5, "oversold": 35, "overbought": 65},
    "macd": {"fast": 4, "slow": 9, "signal": 4, "normal": 12},
    "bollinger-breakout": {"period": 10, "width": 1.2},
    "bollinger-reversion": {"period": 10, "width": 1.2},
    "donchian": {"entry": 9, "exit": 5, "atr": 5},
    "atr-trend": {"period": 7, "multiple": 1.5, "adx": 5},
    "factors": {"momentum": 8, "fast": 4, "slow": 10, "atr": 6, "normal": 12, "volume": 6, "enter": 0.2, "leave": 0.1},
    "dca": {"schedule": {"every": "1d", "offset": "6h"}, "size": 0.1},
}


def test_every_template_and_every_rule_is_put_to_the_test() -> None:
    assert set(SHORT) == (set(TEMPLATES) | set(RULES)) - set(UNCARRIED)


@pytest.mark.parametrize("kind", SHORT)
@pytest.mark.parametrize(
    ("timeframe", "days", "seed"), [("1h", 20, 1), ("1m", 1, 2), ("4h", 60, 3), ("15m", 1, 4), ("1d", 300, 5), ("7h", 80, 6)]
)
def test_the_algorithm_proposes_what_the_rule_proposes_at_the_same_candles(
    kind: str, timeframe: str, days: int, seed: int
) -> None:
    config = config_of(kind, timeframe, days, params=SHORT[kind])
    candles = walk(config, seed)
    expected = said_locally(config, candles)
    assert said(ran(config, candles)) == expected
    assert expected


@pytest.mark.parametrize("kind", SHORT)
def test_the_defaults_agree_as_well(kind: str) -> None:
    config = config_of(kind, "1h", 60)
    candles = walk(config, 11)
    expected = said_locally(config, candles)
    assert said(ran(config, candles)) == expected
    assert expected


@pytest.mark.parametrize("kind", [kind for kind in SHORT if kind not in {"dca", "atr-trend"}])
def test_it_enters_at_buys_while_flat_and_leaves_at_sells_while_long(kind: str) -> None:
    config = config_of(kind, "1h", 20, params=SHORT[kind])
    candles = walk(config, 7)
    held, expected = False, []
    for at, proposal, _ in local(config, candles):
        wanted = proposal.action is Action.BUY
        if wanted is not held:
            expected.append((at, wanted))
            held = wanted
    orders = ran(config, candles).ledger.orders
    assert [(order.created_ms, order.quantity > 0) for order in orders] == expected
    assert expected


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(sorted(SHORT)), st.integers(0, 10_000), st.sampled_from(["1h", "2h", "30m"]), st.floats(0, 0.9))
def test_no_walk_tells_them_apart(kind: str, seed: int, timeframe: str, still: float) -> None:
    config = config_of(kind, timeframe, 6, params=SHORT[kind])
    candles = walk(config, seed, still)
    assert said(ran(config, candles)) == said_locally(config, candles)


def test_no_insight_and_no_order_comes_out_of_the_warm_up() -> None:
    config = config_of("rsi-reversion", "1h", 20, params=SHORT["rsi-reversion"])
    run = ran(config, walk(config, 3))
    assert min(one.generated_ms for one in run.insights) > BEGIN
    assert min(order.created_ms for order in run.ledger.orders) > BEGIN
