"""What a tear sheet says, whoever it is about: a run out of the journal or a backtest.

Times are milliseconds UTC; money is in the accounting currency; fractions are fractions. Names and texts are as their authors
wrote them: whoever puts them on a page escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bot.backtest.statistics import Statistics
from bot.core.facts import LotClosed
from bot.journal.records import ClosedLot

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class World(Enum):
    """Whose money and which market it was: the word on the page, and the sentence that leaves no doubt."""

    LIVE = ("LIVE", "Real orders with real money.")
    PAPER = ("PAPER", "Real market data, paper fills: no order reached a venue and no money moved.")
    SIMULATED = ("SIMULATED", "A made-up market on this machine: neither the prices nor the money were real.")
    BACKTEST = (
        "BACKTEST",
        "Recorded candles and simulated fills: what would have been, not what was. Rules tuned on these data flatter.",
    )

    @property
    def word(self) -> str:
        """One word, in capitals."""
        return self.value[0]

    @property
    def sentence(self) -> str:
        """What it means."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Candles:
    """Candles of one symbol as columns of equal length: `ts` their starts."""

    timeframe: str
    ts: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats

    def __len__(self) -> int:
        return len(self.ts)

    def since(self, start: int, lead: int) -> Candles:
        """Those that begin at `start` or later, and `lead` before them."""
        rows = slice(max(0, int(np.searchsorted(self.ts, start)) - lead), None)
        return Candles(self.timeframe, self.ts[rows], self.open[rows], self.high[rows], self.low[rows], self.close[rows])

    def joined(self, most: int) -> tuple[Candles, int]:
        """At most `most` candles, each joined from the returned number of neighbours."""
        each = -(-len(self) // most)
        if each <= 1:
            return self, 1
        starts = np.arange(0, len(self), each)
        ends = np.append(starts[1:], len(self)) - 1
        high, low = np.maximum.reduceat(self.high, starts), np.minimum.reduceat(self.low, starts)
        return Candles(self.timeframe, self.ts[starts], self.open[starts], high, low, self.close[ends]), each


@dataclass(frozen=True, slots=True)
class Mark:
    """A fill as the chart shows it. `leg` is what part of a trade it was: `entry`, `exit`, `stop-loss`, ..."""

    at: int
    symbol: str
    side: str
    leg: str
    source: str
    price: float
    amount: str


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """A lot, or part of one, from its opening to its close; `pnl` is net of `fees`, `reason` why it was opened."""

    symbol: str
    side: str
    opened: int
    closed: int
    entry: float
    exit: float
    amount: str
    opener: str
    closer: str
    leg: str
    fees: float
    pnl: float
    reason: str = ""

    @classmethod
    def of(cls, lot: LotClosed | ClosedLot) -> ClosedTrade:
        """The trade of a closed lot, told by the desk or read from the journal."""
        return cls(
            lot.symbol,
            lot.side.value,
            lot.opened,
            lot.at,
            float(lot.entry),
            float(lot.exit),
            str(lot.amount),
            lot.opener,
            lot.closer,
            lot.closing_leg,
            float(lot.fees),
            float(lot.pnl),
        )


@dataclass(frozen=True, slots=True)
class StopLevel:
    """Where a symbol's stop stood from a moment on; None: there was none."""

    at: int
    symbol: str
    level: float | None


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """What a source earned in the book and what it would have earned alone. `shadow` is None where no shadow was sampled."""

    name: str
    tier: str
    decisions: int
    executed: int
    trades: int
    won: int
    pnl: float
    shadow: float | None


@dataclass(frozen=True, slots=True)
class OverrideFigures:
    """What overruling `loser` in favour of `winner` cost (positive) or saved (negative)."""

    at: int
    since: int
    symbol: str
    loser: str
    winner: str
    shadow: float | None
    book: float | None
    cost: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Slippage:
    """Fills of one source and leg: how much worse than the reference they were, and how the paper model would have filled them.

    `actual` and `paper` are fractions of the price, weighted by notional, positive for worse; `cost` is the money of `actual`.
    `compared` of the `fills` could be held against the paper model; `paper` is about those, and so is `beyond`, what they lost
    beside it.
    """

    source: str
    leg: str
    fills: int
    notional: float
    actual: float
    cost: float
    compared: int
    paper: float | None
    beyond: float | None


@dataclass(frozen=True, slots=True)
class TearSheet:
    """A run; `run` is its id in the journal.

    `about` are further facts for the head, `notices` what a reader must know before believing a figure.
    """

    world: World
    title: str
    start: int
    end: int
    currency: str
    statistics: Statistics
    at: Times
    equity: Floats
    hold_return: float | None = None
    about: tuple[tuple[str, str], ...] = ()
    candles: dict[str, Candles] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    stops: tuple[StopLevel, ...] = ()
    trades: tuple[ClosedTrade, ...] = ()
    sources: tuple[SourceFigures, ...] = ()
    overrides: tuple[OverrideFigures, ...] = ()
    slippage: tuple[Slippage, ...] = ()
    slippage_note: str = ""
    notices: tuple[str, ...] = ()
    run: str | None = None

    @property
    def drawdown(self) -> Floats:
        """How far below its peak the equity stood at each sample, as a fraction 0..1."""
        if not len(self.equity):
            return self.equity
        peaks = np.maximum.accumulate(np.maximum(self.equity, self.statistics.equity_start))
        return np.maximum(0.0, 1.0 - self.equity / peaks)

    @property
    def symbols(self) -> list[str]:
        """The symbols worth a chart: those that traded, the busiest first, then those with candles alone."""
        fills: dict[str, int] = {}
        for mark in self.marks:
            fills[mark.symbol] = fills.get(mark.symbol, 0) + 1
        traded = sorted(fills, key=lambda name: (-fills[name], name))
        return [*traded, *(name for name in self.candles if name not in fills)]

    def as_json(self) -> dict[str, object]:
        """The figures as plain JSON values, without the curves."""
        return {
            "world": self.world.word,
            "title": self.title,
            "run": self.run,
            "start": self.start,
            "end": self.end,
            "currency": self.currency,
            **self.statistics.as_json(),
            "hold_return": self.hold_return,
            "fills": len(self.marks),
            "sources": [plain(each) for each in self.sources],
            "overrides": {
                "count": len(self.overrides),
                "cost": sum(each.cost or 0.0 for each in self.overrides),
                "each": [plain(each) for each in self.overrides],
            },
            "slippage": [plain(each) for each in self.slippage],
            "months": [{"year": year, "month": month, "return": value} for year, month, value in monthly(self)],
            "notices": list(self.notices),
        }


def plain(figures: SourceFigures | OverrideFigures | Slippage) -> dict[str, object]:
    """By name."""
    return {name: getattr(figures, name) for name in figures.__slots__}


def monthly(sheet: TearSheet) -> list[tuple[int, int, float]]:
    """(year, month 1..12, simple return) of every month of the run, the first and the last as far as they go."""
    if not len(sheet.at):
        return []
    months = (sheet.at - 1).astype("datetime64[ms]").astype("datetime64[M]")
    last = np.flatnonzero(np.append(months[1:] != months[:-1], True))
    before, found = sheet.statistics.equity_start, []
    for place in last.tolist():
        moment = months[place].astype(object)
        worth = float(sheet.equity[place])
        found.append((moment.year, moment.month, worth / before - 1.0))
        before = worth
    return found


def thinned(at: Times, values: Floats, most: int) -> tuple[Times, Floats]:
    """About `most` points of a curve that still reach every high and low: the extremes of equal parts, and both ends."""
    parts = most // 2
    if len(at) <= most or parts < 1:
        return at, values
    starts = np.linspace(0, len(at), parts, endpoint=False).astype(np.int64)
    edges = np.append(starts, len(at))
    kept: list[int] = [0, len(at) - 1]
    for begin, end in pairwise(edges.tolist()):
        part = values[begin:end]
        kept += [begin + int(part.argmin()), begin + int(part.argmax())]
    chosen = np.unique(np.asarray(kept, np.int64))
    return at[chosen], values[chosen]


def weighted(values: Sequence[float], weights: Sequence[float]) -> float:
    """The mean of `values` by `weights`, 0 for no weight."""
    total = sum(weights)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total if total else 0.0
