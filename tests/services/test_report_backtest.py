"""A backtest on one page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bot.backtest.result import BacktestResult
from bot.services.backtesting import backtest
from bot.services.reporting import sheet_of_backtest
from bot.services.tearsheet.page import page
from bot.services.tearsheet.sheet import Candles, TearSheet, monthly, thinned
from bot.settings import load
from bot.settings.run import BacktestOptions
from tests.backtest.candle_data import BTC, ETH, walk, write_csv
from tests.services.tear_sheets import Page

SOURCE = "source: rules:fast\nkind: sma-cross\ntimeframe: 1h\nparams: {fast: 5, slow: 12, rsi: 4}\n"


@pytest.fixture
def found(tmp_path: Path) -> tuple[BacktestResult, TearSheet]:
    """Two symbols over three months of hourly candles."""
    (tmp_path / "sources").mkdir()
    (tmp_path / "bot.yaml").write_text("paper: {starting_balance: 10000}\n")
    (tmp_path / "risk.yaml").write_text("max_drawdown: null\n")
    (tmp_path / "sources" / "fast.yaml").write_text(SOURCE)
    bars = (walk(BTC, 2_100, "1h"), walk(ETH, 2_100, "1h", seed=4, price=1_500.0))
    options = BacktestOptions((write_csv(tmp_path / "made.csv", *bars),), tmp_path)
    result = backtest(options, load(tmp_path), lambda done, total: None)
    assert isinstance(result, BacktestResult)
    return result, sheet_of_backtest(result, options)


def test_the_sheet_says_what_the_backtest_said(found: tuple[BacktestResult, TearSheet]) -> None:
    result, sheet = found
    assert sheet.statistics == result.statistics
    assert {source.name: source.pnl for source in sheet.sources} == result.pnl
    assert {source.name: source.shadow for source in sheet.sources} == result.shadow_pnl
    assert len(sheet.marks) == len(result.fills)
    closing = {(trade.symbol, trade.at) for trade in result.trades}
    assert {(mark.symbol, mark.at) for mark in sheet.marks if mark.leg != "entry"} == closing
    assert sum(row.fills for row in sheet.slippage) == len(result.fills)
    assert len(sheet.candles[BTC]) == 2_100


def test_months_make_up_the_whole(found: tuple[BacktestResult, TearSheet]) -> None:
    _, sheet = found
    months = monthly(sheet)
    assert [(year, month) for year, month, _ in months] == [(2023, 1), (2023, 2), (2023, 3)]
    assert np.prod([1 + value for _, _, value in months]) == pytest.approx(1 + sheet.statistics.total_return)


def test_the_page_is_labelled_a_backtest_and_defines_its_figures(found: tuple[BacktestResult, TearSheet]) -> None:
    shown = Page(page(found[1]))
    assert "BACKTEST" in shown.text
    assert "what would have been, not what was" in shown.text
    for defined in ("Sharpe ratio", "Sortino ratio", "Max drawdown", "Profit factor", "Cost of an override", "Slippage"):
        assert defined in shown.text
    assert {"equity", "sources", "trades-0", "trades-1", "slippage"} <= shown.figures.keys()


def test_joined_candles_keep_every_extreme() -> None:
    rng = np.random.default_rng(1)
    close = 100 + np.cumsum(rng.normal(0, 1, 1_001))
    candles = Candles("1m", np.arange(1_001) * 60_000, close, close + 2, close - 2, close + 0.5)
    joined, each = candles.joined(100)
    assert (len(joined), each) == (91, 11)
    assert (joined.high.max(), joined.low.min()) == (candles.high.max(), candles.low.min())
    assert (joined.open[0], joined.close[-1]) == (candles.open[0], candles.close[-1])
    assert joined.close[0] == candles.close[10]


def test_a_thinned_curve_keeps_both_ends_and_the_deepest_point() -> None:
    values = np.sin(np.arange(10_000) / 300)
    values[4_321] = -9.0
    at, thin = thinned(np.arange(10_000, dtype=np.int64), values, 500)
    assert len(at) <= 502
    assert (at[0], at[-1], thin.min()) == (0, 9_999, -9.0)
    assert np.all(np.diff(at) > 0)
