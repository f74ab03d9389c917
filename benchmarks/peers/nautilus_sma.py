"""SMA(20/50) crossover with RSI(14) filters on nautilus_trader: `nautilus_sma.py FOLDER RUNS`."""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import nautilus_trader  # type: ignore[import-not-found, unused-ignore]
import numpy as np
from nautilus import engine, pair  # type: ignore[import-not-found, unused-ignore]
from nautilus_trader.indicators import (  # type: ignore[import-not-found, unused-ignore]
    MovingAverageType,
    RelativeStrengthIndex,
    SimpleMovingAverage,
)
from nautilus_trader.model.data import Bar, BarType  # type: ignore[import-not-found, unused-ignore]
from nautilus_trader.model.enums import OrderSide  # type: ignore[import-not-found, unused-ignore]
from nautilus_trader.model.objects import Price, Quantity  # type: ignore[import-not-found, unused-ignore]
from nautilus_trader.trading.strategy import Strategy  # type: ignore[import-not-found, unused-ignore]

BARS = "BTCUSDT.SIM-1-MINUTE-LAST-EXTERNAL"


class SmaRsi(Strategy):  # type: ignore[misc, unused-ignore]
    """Long from a cross up until a cross down, with nautilus's own compiled indicators."""

    def __init__(self, instrument: Any) -> None:
        super().__init__()
        self.instrument = instrument
        self.bar_type = BarType.from_str(BARS)
        self.fast, self.slow = SimpleMovingAverage(20), SimpleMovingAverage(50)
        self.rsi = RelativeStrengthIndex(14, MovingAverageType.WILDER)
        self.above: bool | None = None
        self.fills = self.seen = 0

    def on_start(self) -> None:
        """Subscribe."""
        for indicator in (self.fast, self.slow, self.rsi):
            self.register_indicator_for_bars(self.bar_type, indicator)
        self.subscribe_bars(self.bar_type)

    def on_bar(self, bar: Any) -> None:
        """Decide on a bar."""
        self.seen += 1
        if not self.slow.initialized:
            return
        above, before = self.fast.value > self.slow.value, self.above
        self.above = above
        if before is None or above is before:
            return
        if above:
            if self.portfolio.is_flat(self.instrument.id) and self.rsi.value < 0.7:
                quantity = self.instrument.make_qty(100.0)
                self.submit_order(self.order_factory.market(self.instrument.id, OrderSide.BUY, quantity))
        elif self.rsi.value > 0.3 and not self.portfolio.is_flat(self.instrument.id):
            self.close_all_positions(self.instrument.id)

    def on_order_filled(self, event: Any) -> None:
        """Count."""
        self.fills += 1


def bars(folder: Path) -> list[Any]:
    kind = BarType.from_str(BARS)
    rows = zip(np.load(folder / "ts.npy").tolist(), np.load(folder / "ohlcv.npy").tolist(), strict=True)
    made = []
    for ts, (opened, high, low, close, volume) in rows:
        end = (ts + 60_000) * 1_000_000
        prices = (Price(opened, 2), Price(high, 2), Price(low, 2), Price(close, 2))
        # The displayed size must take the whole order, as it does for the others.
        made.append(Bar(kind, *prices, Quantity(volume * 1_000, 3), end, end))
    return made


def main(folder: Path, runs: int) -> None:
    instrument, events = pair(), bars(folder)
    seconds, trades = [], 0
    for _ in range(runs):
        made, strategy = engine(instrument, events), SmaRsi(instrument)
        made.add_strategy(strategy)
        gc.collect()
        gc.freeze()
        began = time.perf_counter()
        made.run()
        seconds.append(time.perf_counter() - began)
        if strategy.seen != len(events):
            sys.exit(f"{strategy.seen} of {len(events)} bars reached the strategy")  # it stops, for instance, without cash
        trades = strategy.fills // 2
        made.dispose()
    print(json.dumps({"seconds": seconds, "trades": trades, "version": nautilus_trader.__version__}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
