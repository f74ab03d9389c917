"""SMA(20/50) crossover with RSI(14) filters on backtesting.py: `backtesting_sma.py FOLDER RUNS`."""

from __future__ import annotations

import gc
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import backtesting  # type: ignore[import-not-found, unused-ignore]
import numpy as np
import pandas as pd  # type: ignore[import-not-found, import-untyped, unused-ignore]
from backtesting.lib import crossover  # type: ignore[import-not-found, unused-ignore]


def sma(values: Any, period: int) -> Any:
    return pd.Series(values).rolling(period).mean()


def rsi(values: Any, period: int) -> Any:
    change = pd.Series(values).diff()
    gain = change.clip(lower=0).ewm(alpha=1 / period, adjust=False).mean()
    loss = (-change.clip(upper=0)).ewm(alpha=1 / period, adjust=False).mean()
    return 100 - 100 / (1 + gain / loss)


class SmaRsi(backtesting.Strategy):  # type: ignore[misc, unused-ignore]
    """Long from a cross up until a cross down."""

    def init(self) -> None:
        """Compute the indicators over all bars at once, as this engine does."""
        close = self.data.Close
        self.fast, self.slow, self.rsi = self.I(sma, close, 20), self.I(sma, close, 50), self.I(rsi, close, 14)

    def next(self) -> None:
        """Decide on a bar."""
        if crossover(self.fast, self.slow):
            if not self.position and self.rsi[-1] < 70:
                self.buy(size=0.1)
        elif crossover(self.slow, self.fast) and self.position and self.rsi[-1] > 30:
            self.position.close()


def main(folder: Path, runs: int) -> None:
    warnings.simplefilter("ignore")
    index = pd.to_datetime(np.load(folder / "ts.npy"), unit="ms")
    frame = pd.DataFrame(np.load(folder / "ohlcv.npy"), columns=["Open", "High", "Low", "Close", "Volume"], index=index)
    seconds, trades = [], 0
    for _ in range(runs):
        test = backtesting.Backtest(frame, SmaRsi, cash=1_000_000, commission=0.001)
        gc.collect()
        gc.freeze()
        began = time.perf_counter()
        outcome = test.run()
        seconds.append(time.perf_counter() - began)
        trades = int(outcome["# Trades"])
    print(json.dumps({"seconds": seconds, "trades": trades, "version": backtesting.__version__}))


if __name__ == "__main__":
    backtesting.backtesting._tqdm = lambda seq, **_: seq  # noqa: SLF001 - a progress bar is not the work
    main(Path(sys.argv[1]), int(sys.argv[2]))
