"""The desk's own costs: quotes through `handle`, and what a market data class costs to build when it is frozen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.backtests import NAUTILUS, crossover
from benchmarks.made import START, SYMBOL, instrument, quote_rows, quotes
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, measure
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.inputs import InstrumentChanged, SourceJoined
from bot.core.market import Candle, Quote

_QUOTES = 200_000
_BUILT = 200_000


def desk_quotes(effort: Effort, peers: Peers) -> list[Result]:
    """Quotes of one symbol through `desk.handle` that lead to no decision."""
    rows = quote_rows(effort.size(_QUOTES, 500))
    stream = quotes(rows)
    times = measure(effort.runs, lambda: _Handled(stream))
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "quotes.npy", rows)
        told = peers.run("nautilus_quotes", Path(folder), effort.runs)
    reference = {} if told is None else {NAUTILUS: len(rows) / told.median}
    goals = (Goal(least=250_000), Goal(least=2.0, of=NAUTILUS))
    rate, cpu = len(rows) / times.median, len(rows) / times.cpu_median
    return [Result("desk-quotes", rate, "quotes/s", goals, reference, effort.runs, times.spread, cpu)]


class _Handled:
    """A desk with a source, ready to be shown quotes."""

    def __init__(self, stream: list[Quote]) -> None:
        self._stream = stream
        self._desk = TradingDesk(DeskConfig(sample_ms=0))
        self._desk.handle(InstrumentChanged(START, instrument()))
        self._desk.handle(SourceJoined(START, crossover(20, 50, (SYMBOL,), "1m").spec))

    def __call__(self) -> None:
        handle = self._desk.handle
        for quote in self._stream:
            handle(quote)


def construction(effort: Effort, peers: Peers) -> list[Result]:
    """Building a `Quote` and a `Candle` as they are, beside the same class frozen."""
    del peers
    quote = Quote.of(SYMBOL, START, 100.0, 100.01, 1.0, 1.0)
    candle = Candle(SYMBOL, "1m", START, START, 1.0, 2.0, 0.5, 1.5, 3.0)
    count = effort.size(_BUILT, 500)
    results = []
    for example in (quote, candle):
        kind = type(example)
        values = tuple(getattr(example, field.name) for field in fields(example))
        plain, frozen = (measure(effort.runs, _Built(each, values, count).ready) for each in (kind, _frozen(kind)))
        figure, beside = (times.cpu_median / count * 1e9 for times in (plain, frozen))
        name = f"construction-{kind.__name__.lower()}"
        results.append(Result(name, figure, "ns", (), {"frozen": beside}, effort.runs, plain.spread))
    return results


@dataclass(frozen=True, slots=True)
class _Built:
    kind: Callable[..., object]
    values: tuple[object, ...]
    count: int

    def ready(self) -> Callable[[], None]:
        return self._build

    def _build(self) -> None:
        kind, values = self.kind, self.values
        for _ in range(self.count):
            kind(*values)


def _frozen(kind: type[Any]) -> type[Any]:
    """The same fields, frozen."""
    return make_dataclass(f"Frozen{kind.__name__}", [(field.name, field.type) for field in fields(kind)], frozen=True, slots=True)
