"""Backtests through the full desk: queue, arbiter, risk, paper broker, shadow ledgers; no journal. One symbol, then many."""

from __future__ import annotations

import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path

from benchmarks.made import SYMBOL, Bars, instrument, interleaved, symbols
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, Timings, measure, spread_of
from bot.backtest.engine import BacktestEngine
from bot.core.decision import SourceSpec, Tier
from bot.core.desk import DeskConfig, Drive
from bot.core.facts import Fact, FillBooked
from bot.core.market import Candle, timeframe_ms
from bot.core.risk import RiskLimits
from sources.base import Proposer, RuleSource
from sources.rules.crossover import CrossoverParams, SmaCross

BACKTESTING, NAUTILUS, OWN = "backtesting.py", "nautilus_trader", "single"
_BARS = 525_600
_MANY_BARS = 52_560
_MANY_SYMBOLS = 10
_PERIODS = ((20, 50), (10, 30), (15, 60), (25, 75), (30, 100))


def single(effort: Effort, peers: Peers) -> list[Result]:
    """525,600 one-minute bars of one symbol, SMA(20/50) with RSI(14)."""
    bars = Bars.walk(effort.size(_BARS, 500))
    count, candles = len(bars.ts), bars.candles()
    times = measure(effort.runs, lambda: Pass(candles, _PERIODS[:1], (SYMBOL,), bars.timeframe))
    fills = Pass(candles, _PERIODS[:1], (SYMBOL,), bars.timeframe).count_fills()
    reference: dict[str, float] = {}
    trades: dict[str, int] = {"own": fills // 2}
    with tempfile.TemporaryDirectory() as folder:
        data = bars.write(Path(folder))
        for name, script in ((BACKTESTING, "backtesting_sma"), (NAUTILUS, "nautilus_sma")):
            told = peers.run(script, data, effort.runs)
            if told is not None:
                reference[name] = count / told.median
                trades[name] = told.trades
    goals = (Goal(least=1.0, of=BACKTESTING), Goal(least=8.0, of=NAUTILUS))
    detail = {"bars": count, "trades": trades, "aim": 200_000}
    return [_rate("backtest-single", count, times, goals, reference, detail)]


def multi(effort: Effort, peers: Peers) -> list[Result]:
    """10 symbols x 5 sources, 52,560 five-minute bars each: what one bar costs one source, beside the single case."""
    del peers
    alone = Bars.walk(effort.size(_BARS, 500)).candles()
    own = measure(effort.runs, lambda: Pass(alone, _PERIODS[:1], (SYMBOL,), "1m"))
    names = symbols(_MANY_SYMBOLS)
    series = [Bars.walk(effort.size(_MANY_BARS, 200), "5m", seed) for seed, _ in enumerate(names)]
    candles = interleaved([bars.candles(name) for bars, name in zip(series, names, strict=True)])
    times = measure(effort.runs, lambda: Pass(candles, _PERIODS, names, "5m"))
    steps = len(candles) * len(_PERIODS)
    return [
        Result(
            "backtest-multi",
            times.cpu_median / steps * 1e6,
            "us CPU/bar*source",
            (Goal(most=1.0, of=OWN),),
            {OWN: own.cpu_median / len(alone) * 1e6},
            effort.runs,
            spread_of(times.cpu),
            detail={"bars": len(candles), "sources": len(_PERIODS), "fills": Pass(candles, _PERIODS, names, "5m").count_fills()},
        )
    ]


class Pass:
    """One run over the candles, ready to be timed; calling it runs it."""

    def __init__(
        self, candles: list[Candle], periods: tuple[tuple[int, int], ...], names: tuple[str, ...], timeframe: str
    ) -> None:
        self._candles = candles
        self.facts: Counter[type] = Counter()
        limits = RiskLimits(
            max_daily_loss=None, max_drawdown=None, loss_streak=None, max_orders_per_minute=None, stale_after_ms=None
        )
        config = DeskConfig(
            balance=Decimal(1_000_000), limits=limits, drive=Drive.CANDLES, drive_timeframe=timeframe, sample_ms=0
        )
        sources = [crossover(fast, slow, names, timeframe) for fast, slow in periods]
        self._engine = BacktestEngine(config, {name: instrument(name) for name in names}, sources, sink=self._count)

    def __call__(self) -> None:
        """Run."""
        for _ in self._engine.run(self._candles):
            pass

    def count_fills(self) -> int:
        """Run, and count the fills."""
        self()
        return self.facts[FillBooked]

    def _count(self, fact: Fact) -> None:
        self.facts[fact.__class__] += 1


def crossover(fast: int, slow: int, names: tuple[str, ...], timeframe: str) -> RuleSource:
    """The crossover of these periods, with the peers' RSI filters."""
    params = CrossoverParams(fast=fast, slow=slow, rsi=14, buy_below_rsi=70, sell_above_rsi=30)
    spec = SourceSpec(f"rules:sma-{fast}-{slow}", Tier.TRADITIONAL, settle_ms=0)
    return RuleSource(Proposer(spec, 10 * timeframe_ms(timeframe)), lambda: SmaCross(params), names, timeframe)


def _rate(
    item: str, count: int, times: Timings, goals: tuple[Goal, ...], reference: dict[str, float], detail: dict[str, object]
) -> Result:
    runs, cpu = len(times.wall), count / times.cpu_median
    return Result(item, count / times.median, "bars/s", goals, reference, runs, times.spread, cpu, detail)
