"""What a run's own recorded inputs add to its tear sheet: the candles it saw, and the quotes that the paper model needs."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bot.core.market import Candle, Quote, timeframe_ms
from bot.journal.errors import JournalCorrupt
from bot.journal.reading import SegmentReader, segment_paths
from bot.services.tearsheet.sheet import Candles
from bot.services.tearsheet.slippage import PaperModel

Progress = Callable[[int, int], None]

_PROGRESS = 0x3FFF


@dataclass(slots=True)
class _Columns:
    ts: array[int] = field(default_factory=lambda: array("q"))
    prices: tuple[array[float], ...] = field(default_factory=lambda: tuple(array("d") for _ in range(4)))

    def add(self, candle: Candle) -> None:
        if not self.ts or candle.ts > self.ts[-1]:
            self.ts.append(candle.ts)
            for column, price in zip(self.prices, (candle.open, candle.high, candle.low, candle.close), strict=True):
                column.append(price)

    def candles(self, timeframe: str) -> Candles:
        return Candles(timeframe, np.asarray(self.ts, np.int64), *(np.asarray(column, np.float64) for column in self.prices))


def read_inputs(
    data_dir: Path, run: str, expected: int, model: PaperModel, progress: Progress
) -> tuple[dict[str, Candles], str | None]:
    """The finest candles of each symbol, and what is the matter with the inputs, if anything is; `model` sees every quote."""
    found: dict[tuple[str, str], _Columns] = {}
    paths = segment_paths(data_dir, run)
    if not paths:
        gone = "are gone (retired, or on another machine): there are no candles, and no quotes to hold fills against"
        return {}, gone if expected else None
    fault = None
    try:
        for number, recorded in enumerate(SegmentReader(paths), 1):
            event = recorded.event
            if isinstance(event, Quote):
                model.see(event)
            elif isinstance(event, Candle):
                found.setdefault((event.symbol, event.timeframe), _Columns()).add(event)
            if not number & _PROGRESS:
                progress(number, max(number, expected))
    except JournalCorrupt as error:
        fault = f"could be read only in part ({error})"
    model.end()
    return _finest(found), fault


def _finest(found: dict[tuple[str, str], _Columns]) -> dict[str, Candles]:
    chosen: dict[str, Candles] = {}
    for symbol, timeframe in sorted(found, key=lambda each: (each[0], timeframe_ms(each[1]))):
        if symbol not in chosen:
            chosen[symbol] = found[symbol, timeframe].candles(timeframe)
    return chosen
