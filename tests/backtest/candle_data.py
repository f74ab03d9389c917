"""Recorded markets made by a seed, and the engine around them, as small as a test needs them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from bot.backtest.engine import BacktestEngine, FactSink, Line, ignore_fact
from bot.core.decision import Decision, SourceSpec, Tier
from bot.core.desk import DeskConfig, Drive
from bot.core.facts import FillBooked
from bot.core.inputs import Input, Proposed
from bot.core.market import Candle, Instrument, MarketView, timeframe_ms
from bot.core.matching import FillModel
from bot.core.protocols import StepSource
from bot.core.risk import RiskLimits
from bot.core.sizing import FixedFraction
from bot.core.targets import TargetRules
from bot.market.recorded import RecordedMarket, RecordedSeries
from sources.base import Proposer, Rule, RuleSource, Strict
from sources.rules.crossover import SmaCross

BTC = "BTC/USDT"
ETH = "ETH/USDT"
BEGIN = 1_672_531_200_000
"""2023-01-01, milliseconds UTC."""

NO_LIMITS = RiskLimits(
    max_position=None,
    max_exposure=None,
    max_open_orders=None,
    max_orders_per_minute=None,
    max_daily_loss=None,
    max_drawdown=None,
    loss_streak=None,
    price_collar=None,
    stale_after_ms=None,
    cash_buffer=0.0,
)


def walk(symbol: str = BTC, bars: int = 2_000, timeframe: str = "5m", seed: int = 3, price: float = 20_000.0) -> RecordedSeries:
    """A random walk in cents whose candles are candles."""
    rng = np.random.default_rng(seed)
    close = np.round(price * np.exp(np.cumsum(rng.normal(0.0, 0.002, bars))), 2)
    opened = np.concatenate([[price], close[:-1]])
    wick = np.round(np.abs(rng.normal(0.0, 0.001, (2, bars))) * close, 2)
    ts = BEGIN + np.arange(bars, dtype=np.int64) * timeframe_ms(timeframe)
    high, low = np.maximum(opened, close) + wick[0], np.minimum(opened, close) - wick[1]
    return RecordedSeries(symbol, timeframe, ts, opened, np.round(high, 2), np.round(low, 2), close, rng.uniform(1, 9, bars))


def market_of(*series: RecordedSeries) -> RecordedMarket:
    return RecordedMarket(Path("made.csv"), {one.symbol: one for one in series})


def write_csv(path: Path, *series: RecordedSeries) -> Path:
    rows = ["symbol,ts,open,high,low,close,volume"]
    for one in series:
        columns = (one.ts, one.open, one.high, one.low, one.close, one.volume)
        rows += [",".join([one.symbol, *map(str, row)]) for row in zip(*(column.tolist() for column in columns), strict=True)]
    path.write_text("\n".join(rows) + "\n")
    return path


def instrument(symbol: str = BTC) -> Instrument:
    base, _, quote = symbol.partition("/")
    cent, fee = Decimal("0.01"), Decimal("0.001")
    return Instrument(symbol, base, quote, cent, Decimal("0.00001"), Decimal("0.00001"), Decimal(5), fee, fee)


def config(timeframe: str = "5m", *, next_open: bool = True, fills: FillModel | None = None) -> DeskConfig:
    """A desk of 10,000 USDT that buys for a tenth of its equity, with no limits."""
    return DeskConfig(
        limits=NO_LIMITS,
        targets=TargetRules({"tenth": FixedFraction(0.1)}, "tenth", timeframe=timeframe),
        drive=Drive.CANDLES,
        drive_timeframe=timeframe,
        next_open=next_open,
        fills=fills or FillModel(),
        sample_ms=0,
    )


def source_of(
    rule: type[Rule],
    params: Strict,
    name: str = "rules:a",
    symbols: Sequence[str] = (BTC,),
    timeframe: str = "5m",
    settle_ms: int = 0,
    **spec: object,
) -> RuleSource:
    described = replace(SourceSpec(name, Tier.TRADITIONAL, settle_ms=settle_ms), **spec)  # type: ignore[arg-type]
    proposer = Proposer(described, 20 * timeframe_ms(timeframe))
    return RuleSource(proposer, lambda: rule(params), symbols, timeframe)


def crossing(name: str = "rules:a", symbols: Sequence[str] = (BTC,), timeframe: str = "5m", **periods: int) -> RuleSource:
    return source_of(SmaCross, SmaCross.Params(**periods), name, symbols, timeframe)


@dataclass(frozen=True, slots=True)
class Saying:
    """A decision that was recorded."""

    at: int
    decision: Decision

    def say(self, view: MarketView) -> Input:
        del view
        return Proposed(self.at, self.decision)


def engine_of(
    sources: Sequence[StepSource] = (),
    desk: DeskConfig | None = None,
    *,
    symbols: Sequence[str] = (BTC,),
    sink: FactSink = ignore_fact,
    script: Iterable[Line] = (),
    speakers: Sequence[SourceSpec] = (),
) -> BacktestEngine:
    instruments = {symbol: instrument(symbol) for symbol in symbols}
    return BacktestEngine(desk or config(), instruments, sources, sink=sink, scripted=script, speakers=speakers)


def drive(engine: BacktestEngine, candles: Iterable[Candle]) -> BacktestEngine:
    for _ in engine.run(candles):
        pass
    return engine


class Fills(list[FillBooked]):
    """A sink for fills."""

    def see(self, fact: object) -> None:
        if isinstance(fact, FillBooked):
            self.append(fact)

    def fingerprint(self) -> str:
        """A hash of what traded, when, at what price and fee: what work on speed may not change."""
        rows = (
            (fact.at, fill.symbol, fill.side.value, str(fill.amount), str(fill.price), str(fill.fee), fact.source)
            for fact in self
            for fill in (fact.fill,)
        )
        return hashlib.sha256(repr(list(rows)).encode()).hexdigest()[:16]
