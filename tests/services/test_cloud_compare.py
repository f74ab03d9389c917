"""Backtests side by side: figures, curves from a common start, correlations."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.backtest.result import BacktestResult
from bot.services.backtesting import backtest
from bot.services.quantconnect.comparison import BASE, DAY_MS, FIGURES, Contender, compare
from bot.services.use_case import UseCaseError
from bot.settings import load
from bot.settings.run import BacktestOptions
from tests.backtest.candle_data import BTC, walk, write_csv

DAY = 20_000
FIGURE_NAMES = [figure.name for figure in FIGURES]


def contender(name: str, worth: list[float], start: float | None = None, **figures: float) -> Contender:
    first = worth[0] if start is None else start
    return Contender(name, "USDT", first, {"equity_start": first, **figures}, {DAY + day: each for day, each in enumerate(worth)})


def test_the_best_of_each_figure_is_marked_by_what_is_better() -> None:
    one = contender("one", [100.0, 110.0], sharpe=1.2, max_drawdown=0.3, trades=9)
    other = contender("other", [100.0, 105.0], sharpe=0.8, max_drawdown=0.1, trades=5)
    found = {row.name: row for row in compare([one, other]).rows}
    assert (found["sharpe"].values, found["sharpe"].best) == ((1.2, 0.8), (0,))
    assert found["max_drawdown"].best == (1,), "less is better"
    assert found["trades"].best == (), "more trades are not better"


def test_nobody_wins_where_all_are_equal_or_one_alone_has_the_figure() -> None:
    same = compare([contender("a", [1.0], sharpe=1.0), contender("b", [1.0], sharpe=1.0)])
    alone = compare([contender("a", [1.0], sharpe=1.0), contender("b", [1.0])])
    for found in (same, alone):
        assert next(row for row in found.rows if row.name == "sharpe").best == ()


def test_curves_begin_at_a_hundred_whatever_the_capital() -> None:
    found = compare([contender("small", [100.0, 120.0]), contender("large", [1e6, 1.1e6, 1.2e6])])
    first, second, third = (values for _, values in found.curves)
    assert first == (BASE, BASE)
    assert second == pytest.approx((120.0, 110.0))
    assert third[0] is None
    assert third[1] == pytest.approx(120.0)
    assert found.curves[0][0] == (DAY + 1) * DAY_MS
    assert any("different days" in notice for notice in found.notices)


def test_correlation_is_that_of_daily_returns_not_of_prices() -> None:
    rising, falling = [100.0, 110.0, 105.0, 120.0], [100.0]
    for before, now in pairwise(rising):
        falling.append(falling[-1] * (1 - (now / before - 1)))
    found = compare([contender("up", rising), contender("down", falling), contender("flat", [100.0] * 4)])
    assert found.correlation[0][0] == pytest.approx(1.0)
    assert found.correlation[0][1] == pytest.approx(-1.0)
    assert found.correlation[0][2] is None, "what never moves has none"


def test_few_common_days_give_no_correlation() -> None:
    assert compare([contender("a", [1.0, 2.0, 3.0]), contender("b", [1.0, 3.0, 2.0])]).correlation[0][1] is None


def test_currencies_and_missing_curves_are_said() -> None:
    other = Contender("b", "USD", None, {"sharpe": 1.0}, {})
    notices = compare([contender("a", [1.0, 2.0]), other]).notices
    assert any("currencies" in notice for notice in notices)
    assert any("b has no equity curve" in notice for notice in notices)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "no result of a backtest"),
        ({"sharpe": 1.0}, "no result of a backtest"),
        ({"sharpe": "high", "daily_equity": []}, "sharpe is 'high'"),
        ({"sharpe": 1.0, "daily_equity": [[1, None]]}, "daily_equity holds"),
        ({"sharpe": True, "daily_equity": []}, "sharpe is True"),
    ],
)
def test_what_is_no_result_is_refused_by_name(body: dict[str, object], said: str) -> None:
    with pytest.raises(UseCaseError, match=f"mine: .*{said}"):
        Contender.read("mine", body)


def test_a_local_backtest_is_the_same_from_memory_and_from_its_json(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "bot.yaml").write_text("paper: {starting_balance: 10000}\n")
    (tmp_path / "risk.yaml").write_text("max_drawdown: null\n")
    (tmp_path / "sources" / "fast.yaml").write_text("source: rules:fast\nkind: sma-cross\ntimeframe: 1h\n")
    options = BacktestOptions((write_csv(tmp_path / "made.csv", walk(BTC, 600, "1h")),), tmp_path)
    local = backtest(options, load(tmp_path), lambda done, total: None)
    assert isinstance(local, BacktestResult)
    direct, read = Contender.of(local, "mine"), Contender.read("mine", orjson.loads(orjson.dumps(local.as_json())))
    assert direct.days == read.days
    assert len(direct.days) == 25
    shown = compare([direct, read])
    assert all(row.values[0] == row.values[1] for row in shown.rows)
    assert {row.name for row in shown.rows if row.values[0] is not None} >= {"sharpe", "total_return", "exposure"}


worths = st.lists(st.floats(1.0, 1e6), min_size=4, max_size=30)


@given(one=worths, other=worths)
def test_correlation_is_symmetric_and_within_one(one: list[float], other: list[float]) -> None:
    found = compare([contender("a", one), contender("b", other)])
    assert found.correlation[0][1] == found.correlation[1][0]
    for row in found.correlation:
        assert all(value is None or (math.isfinite(value) and -1.0 <= value <= 1.0) for value in row)


@given(worth=worths, scale=st.floats(0.1, 1e3))
def test_a_comparison_does_not_depend_on_the_capital(worth: list[float], scale: float) -> None:
    found = compare([contender("a", worth), contender("b", [each * scale for each in worth])])
    for _, (first, second) in found.curves:
        assert first == pytest.approx(second)


def test_it_is_plain_json() -> None:
    body = compare([contender("a", [1.0, 2.0], sharpe=1.0), contender("b", [1.0, 3.0], sharpe=2.0)]).as_json()
    read = orjson.loads(orjson.dumps(body))
    assert read["names"] == ["a", "b"]
    assert {row["name"] for row in read["figures"]} == set(FIGURE_NAMES)
