"""What a backtest found, gathered fact by fact while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bot.backtest.engine import Curve
from bot.backtest.statistics import DAY_MS, Statistics
from bot.core.decision import Fate
from bot.core.facts import DecisionFate, DecisionSeen, Fact, FillBooked, LotClosed, OverrideClosed


@dataclass(slots=True)
class Gathered:
    """The facts of a run that its result is made of; `see` is the sink of the engine."""

    decisions: Counter[str] = field(default_factory=Counter)
    fates: dict[str, Counter[str]] = field(default_factory=dict)
    fills: list[FillBooked] = field(default_factory=list)
    trades: list[LotClosed] = field(default_factory=list)
    overrides: list[OverrideClosed] = field(default_factory=list)

    def see(self, fact: Fact) -> None:
        """Keep what counts."""
        keep = _KEEP.get(fact.__class__)
        if keep is not None:
            keep(self, fact)


def _fate(gathered: Gathered, fact: DecisionFate) -> None:
    name = fact.fate.value if fact.denial is None else f"{fact.fate.value}: {fact.denial.value}"
    gathered.fates.setdefault(fact.source, Counter())[name] += 1


def _seen(gathered: Gathered, fact: DecisionSeen) -> None:
    gathered.decisions[fact.decision.source] += 1


_KEEP: Mapping[type, Callable[[Gathered, Any], None]] = {
    DecisionSeen: _seen,
    DecisionFate: _fate,
    FillBooked: lambda gathered, fact: gathered.fills.append(fact),
    LotClosed: lambda gathered, fact: gathered.trades.append(fact),
    OverrideClosed: lambda gathered, fact: gathered.overrides.append(fact),
}


@dataclass(frozen=True, slots=True)
class SourceResult:
    """One source: what it proposed, what became of it, what its positions earned in the book and what it would have earned alone.

    Money is in the accounting currency, open positions marked to market. `fates` counts its decisions by their outcome.
    """

    name: str
    tier: str
    timeframe: str
    decisions: int
    executed: int
    trades: int
    win_rate: float | None
    pnl: float
    shadow_pnl: float
    shadow_trades: int
    fates: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """What is still held at the end, and what it is worth more than it cost."""

    symbol: str
    amount: str
    average: str | None
    price: float
    unrealised: float


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """A backtest, whole. Times are milliseconds UTC; `seconds` is what it took, `bars_per_second` its pace.

    `hold_return` is what buying the same worth of every symbol at the first open and holding it would have given, without fees.
    With `leak_risk` some decisions may rest on what came after them, for a model that was asked about its past may know it.
    """

    data: tuple[str, ...]
    symbols: tuple[str, ...]
    timeframe: str
    start: int
    end: int
    fill: str
    currency: str
    bars: int
    gaps: int
    missing_candles: int
    seconds: float
    statistics: Statistics
    hold_return: float
    sources: tuple[SourceResult, ...]
    curve: Curve
    fills: tuple[FillBooked, ...]
    trades: tuple[LotClosed, ...]
    overrides: tuple[OverrideClosed, ...]
    open_positions: tuple[OpenPosition, ...]
    halted: bool
    notices: tuple[str, ...]
    config: Mapping[str, object]
    leak_risk: bool = False

    @property
    def passed(self) -> bool:
        """A backtest that ran has found what it found."""
        return True

    @property
    def bars_per_second(self) -> float:
        """Bars of all symbols per second of the run itself, reading the file not counted."""
        return self.bars / self.seconds if self.seconds > 0 else 0.0

    @property
    def pnl(self) -> dict[str, float]:
        """P&L of the book by the source that opened."""
        return {source.name: source.pnl for source in self.sources}

    @property
    def shadow_pnl(self) -> dict[str, float]:
        """What each source would have earned alone."""
        return {source.name: source.shadow_pnl for source in self.sources}

    def daily(self) -> list[tuple[int, float]]:
        """The last equity of each UTC day that had a bar, with its time."""
        last: dict[int, tuple[int, float]] = {}
        for at, equity in zip(self.curve.at, self.curve.equity, strict=True):
            last[(at - 1) // DAY_MS] = (at, equity)
        return list(last.values())

    def as_json(self) -> dict[str, object]:
        """Everything but the curve bar by bar (its days are here) as plain JSON values; decimals of trades are strings."""
        return {
            "data": list(self.data),
            "symbols": list(self.symbols),
            "timeframe": self.timeframe,
            "start": self.start,
            "end": self.end,
            "fill": self.fill,
            "currency": self.currency,
            "bars": self.bars,
            "gaps": self.gaps,
            "missing_candles": self.missing_candles,
            "seconds": round(self.seconds, 3),
            "bars_per_second": round(self.bars_per_second),
            **self.statistics.as_json(),
            "fills": len(self.fills),
            "hold_return": self.hold_return,
            "halted": self.halted,
            "leak_risk": self.leak_risk,
            "pnl": self.pnl,
            "shadow_pnl": self.shadow_pnl,
            "decisions": {
                "by_source": {source.name: source.decisions for source in self.sources},
                "by_fate": dict(sum((Counter(source.fates) for source in self.sources), Counter())),
            },
            "overrides": {"count": len(self.overrides), "cost": sum(each.cost for each in self.overrides)},
            "sources": {source.name: asdict(source) for source in self.sources},
            "open_positions": [asdict(position) for position in self.open_positions],
            "trade_list": [_trade_row(trade) for trade in self.trades],
            "daily_equity": [list(point) for point in self.daily()],
            "notices": list(self.notices),
            "config": dict(self.config),
        }


def _trade_row(trade: LotClosed) -> dict[str, object]:
    return {
        "symbol": trade.symbol,
        "side": trade.side.value,
        "source": trade.opener,
        "opened": trade.opened,
        "closed": trade.at,
        "entry": str(trade.entry),
        "exit": str(trade.exit),
        "amount": str(trade.amount),
        "fees": str(trade.fees),
        "pnl": str(trade.pnl),
        "leg": trade.closing_leg,
        "closer": trade.closer,
    }


def source_result(
    name: str, tier: str, timeframe: str, gathered: Gathered, pnl: float, shadow_pnl: float, shadow_trades: int
) -> SourceResult:
    """One source's part of what was gathered."""
    closed = [trade for trade in gathered.trades if trade.opener == name]
    fates = gathered.fates.get(name, Counter())
    return SourceResult(
        name=name,
        tier=tier,
        timeframe=timeframe,
        decisions=gathered.decisions[name],
        executed=fates[Fate.EXECUTED.value],
        trades=len(closed),
        win_rate=sum(trade.pnl > 0 for trade in closed) / len(closed) if closed else None,
        pnl=pnl,
        shadow_pnl=shadow_pnl,
        shadow_trades=shadow_trades,
        fates=dict(fates.most_common()),
    )
