"""The crossover, trade for trade, against a reference that knows nothing of the desk: numpy for signals, sums for money."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_UP, Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bot.backtest.result import BacktestResult
from bot.core.market import timeframe_ms
from bot.market.recorded import RecordedMarket, RecordedSeries
from bot.services.backtesting import backtest
from bot.settings import load
from bot.settings.run import BacktestOptions
from tests.backtest.candle_data import BTC, ETH, walk, write_csv

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
FRACTION = 0.1
HALF_SPREAD = Decimal("0.0002") / 2
FEE = Decimal("0.001")
CENT = Decimal("0.01")
SOURCE = """\
source: rules:sma-cross
kind: sma-cross
timeframe: {timeframe}
expiry: 7d
params: {{fast: 20, slow: 50, rsi: 14}}
"""


@dataclass(frozen=True)
class Trip:
    """A round trip: when each side filled (the end of that bar), at what price, how much, and what it earned after fees."""

    opened: int
    closed: int
    entry: Decimal
    exit: Decimal
    amount: Decimal
    pnl: Decimal


def crossings(close: Floats) -> Ints:
    """+1 where the 20-bar mean comes above the 50-bar mean, -1 where it comes below, else 0."""

    def mean(period: int) -> Floats:
        means: Floats = np.lib.stride_tricks.sliding_window_view(close, period).mean(axis=1)
        return means

    slow = mean(50)
    gap = mean(20)[30:] - slow
    side = np.where(np.abs(gap) <= 1e-12 * slow, 0, np.sign(gap)).astype(int)
    turns = np.where(np.diff(side) != 0, side[1:], 0)
    return np.concatenate([np.zeros(50, int), turns])


def fee(amount: Decimal, price: Decimal) -> Decimal:
    return (amount * price * FEE).quantize(Decimal("1e-10"), ROUND_CEILING)


def reference(series: RecordedSeries, step: Decimal) -> list[Trip]:
    """Buy a tenth of the equity at the open after a cross up, sell all at the open after a cross down."""
    length = timeframe_ms(series.timeframe)
    cash, held, entry, opened, paid = Decimal(10_000), Decimal(0), Decimal(0), 0, Decimal(0)
    trips: list[Trip] = []
    turns = crossings(series.close)
    for i in np.flatnonzero(turns[:-1]).tolist():
        seen = Decimal(repr(float(series.open[i + 1])))
        at = int(series.ts[i + 1]) + length
        if turns[i] > 0 and not held:
            wanted = Decimal(repr(FRACTION * float(cash) / float(series.close[i])))
            held = (wanted / step).to_integral_value(ROUND_DOWN) * step
            entry, opened = (seen * (1 + HALF_SPREAD)).quantize(CENT, ROUND_UP), at
            paid = fee(held, entry)
            cash -= held * entry + paid
        elif turns[i] < 0 and held:
            price = (seen * (1 - HALF_SPREAD)).quantize(CENT, ROUND_DOWN)
            charged = fee(held, price)
            cash += held * price - charged
            trips.append(Trip(opened, at, entry, price, held, held * (price - entry) - paid - charged))
            held = Decimal(0)
    return trips


def desk(path: Path, symbol: str, timeframe: str, configured: Path) -> BacktestResult:
    (configured / "sources" / "sma.yaml").write_text(SOURCE.format(timeframe=timeframe))
    found = backtest(BacktestOptions((path,), configured, (symbol,)), load(configured), lambda done, total: None)
    assert isinstance(found, BacktestResult)
    return found


@pytest.mark.parametrize(("symbol", "step"), [(BTC, "0.00001"), (ETH, "0.0001")])
def test_the_crossover_agrees_with_numpy_trade_for_trade(symbol: str, step: str, configured: Path, tmp_path: Path) -> None:
    shared = sorted(SHARED.glob("*_5m_*.parquet"))
    path = shared[0] if shared else write_csv(tmp_path / "made.csv", walk(BTC, 5_000), walk(ETH, 5_000, seed=4, price=1_500.0))
    found = desk(path, symbol, "5m", configured)
    series = RecordedMarket.read(path, symbols=[symbol]).series[symbol]
    expected = reference(series, Decimal(step))
    trades = [Trip(trade.opened, trade.at, trade.entry, trade.exit, trade.amount, trade.pnl) for trade in found.trades]
    assert len(expected) > 30
    assert trades == expected
    assert found.statistics.trades == len(expected)
    assert sum(trade.pnl for trade in expected) == sum(trade.pnl for trade in found.trades)
    won = [trip.pnl for trip in expected if trip.pnl > 0]
    lost = [trip.pnl for trip in expected if trip.pnl < 0]
    assert found.statistics.win_rate == pytest.approx(len(won) / len(expected))
    assert found.statistics.profit_factor == pytest.approx(float(sum(won) / -sum(lost)))
