"""Quotes through nautilus_trader's engine to a Python strategy that only counts them: `nautilus_quotes.py FOLDER RUNS`."""

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
from nautilus_trader.model.data import QuoteTick  # type: ignore[import-not-found, unused-ignore]
from nautilus_trader.model.objects import Price, Quantity  # type: ignore[import-not-found, unused-ignore]
from nautilus_trader.trading.strategy import Strategy  # type: ignore[import-not-found, unused-ignore]

START_NS = 1_600_000_000_000_000_000


class Counter(Strategy):  # type: ignore[misc, unused-ignore]
    """Counts."""

    def __init__(self, instrument: Any) -> None:
        super().__init__()
        self.instrument = instrument
        self.seen = 0

    def on_start(self) -> None:
        """Subscribe."""
        self.subscribe_quote_ticks(self.instrument.id)

    def on_quote_tick(self, tick: Any) -> None:
        """Count."""
        self.seen += 1


def main(folder: Path, runs: int) -> None:
    instrument = pair()
    events = [
        QuoteTick(instrument.id, Price(bid, 2), Price(ask, 2), Quantity(bought, 3), Quantity(sold, 3), ts, ts)
        for ts, (bid, ask, bought, sold) in (
            (START_NS + place * 1_000_000, row) for place, row in enumerate(np.load(folder / "quotes.npy").tolist())
        )
    ]
    seconds = []
    for _ in range(runs):
        made, strategy = engine(instrument, events), Counter(instrument)
        made.add_strategy(strategy)
        gc.collect()
        gc.freeze()
        began = time.perf_counter()
        made.run()
        seconds.append(time.perf_counter() - began)
        if strategy.seen != len(events):
            sys.exit(f"{strategy.seen} of {len(events)} quotes reached the strategy")
        made.dispose()
    print(json.dumps({"seconds": seconds, "trades": 0, "version": nautilus_trader.__version__}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
