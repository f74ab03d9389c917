"""A strategy twice on the same candles: as the bot's own rule, and as the generated algorithm on the stand-in for LEAN."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import date
from typing import Any

from bot.core.decision import Action
from bot.core.market import Candle, MarketView, timeframe_ms
from simulators.quantconnect.lean import Run, bars_of, simulate
from sources.base import Proposal
from sources.quantconnect.lean.config import BacktestConfig, StrategyConfig
from sources.quantconnect.lean.generating import LeanProject, generate
from sources.quantconnect.lean.securities import RESOLUTIONS
from sources.quantconnect.lean.securities import bars_of as bars_for
from sources.quantconnect.lean.strategies import strategy_of

BEGIN = 1_767_225_600_000  # 2026-01-01
DAY = 86_400_000
_WORDS = {1: Action.BUY, -1: Action.SELL, 0: Action.HOLD}
Said = tuple[int, Action, float, str]
"""When, what, how sure, why."""


def config_of(kind: str, timeframe: str = "1h", days: int = 20, **more: Any) -> BacktestConfig:
    """A backtest of the first days of 2026."""
    params = more.pop("params", {})
    end = date.fromordinal(date(2026, 1, 1).toordinal() + days - 1)
    strategy = StrategyConfig(kind=kind, params=params)
    named = {"symbol": "BTC/USDT", "start": date(2026, 1, 1), "end": end, "timeframe": timeframe, "strategy": strategy}
    return BacktestConfig(**{**named, **more})


def walk(config: BacktestConfig, seed: int, still: float = 0.05) -> list[Candle]:
    """A random walk in LEAN's own bars, from before the warm-up to the end; some of them do not move at all."""
    draw = random.Random(seed)
    bars = bars_for(config.timeframe)
    length = RESOLUTIONS[bars.resolution]
    before = (strategy_of(config.strategy.kind, config.strategy.params).warmup + bars.spare + 2) * bars.length
    first = (BEGIN - before) // length * length
    made, close = [], 100.0
    for ts in range(first, BEGIN + ((config.end - config.start).days + 1) * DAY, length):
        swing = 0.012 * math.sin(ts / (bars.length * 9.0)) * math.sqrt(length / bars.length)
        moved = 0.0 if draw.random() < still else draw.gauss(swing, 0.008 * math.sqrt(length / bars.length))
        opened, close = close, round(close * math.exp(moved), 4)
        high, low = (
            side * (1 + sign * draw.random() * 0.002) for side, sign in ((max(opened, close), 1), (min(opened, close), -1))
        )
        volume = round(draw.random() * 10, 3)
        made.append(Candle(config.symbol, _frame(length), ts + length, ts, opened, round(high, 4), round(low, 4), close, volume))
    return made


def _frame(length: int) -> str:
    return next(
        f"{length // unit}{name}"
        for name, unit in (("d", DAY), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))
        if length % unit == 0
    )


def joined(candles: Sequence[Candle], timeframe: str) -> list[Candle]:
    """The candles of a longer timeframe, aligned to the epoch, whole ones only."""
    length, own = timeframe_ms(timeframe), candles[0].at - candles[0].ts
    groups: dict[int, list[Candle]] = {}
    for one in candles:
        groups.setdefault(one.ts // length * length, []).append(one)
    return [
        Candle(
            part[0].symbol, timeframe, ts + length, ts, part[0].open, max(one.high for one in part),
            min(one.low for one in part), part[-1].close, _summed(part),
        )
        for ts, part in groups.items()
        if len(part) * own == length
    ]  # fmt: skip


def _summed(part: Sequence[Candle]) -> float:
    """In the order of the bars, as a consolidator adds them."""
    total = 0.0
    for one in part:
        total += one.volume
    return total


def local(config: BacktestConfig, candles: Sequence[Candle]) -> list[tuple[int, Proposal, float]]:
    """What the rule proposes after the warm-up: when, what, at which close."""
    strategy = strategy_of(config.strategy.kind, config.strategy.params)
    rule, view = strategy.rule(strategy.params), MarketView()
    rows = joined(candles, config.timeframe)
    bars = bars_for(config.timeframe)
    first = BEGIN - (strategy.warmup + bars.spare) * bars.length
    if bars.spare:
        first = (first // bars.length + 1) * bars.length  # the first candle may be a part of one
    steps = [(row.at, rule.step(row, view), row.close) for row in rows if row.ts >= first]
    return [(at, proposal, close) for at, proposal, close in steps if proposal is not None and at > BEGIN]


def ran(config: BacktestConfig, candles: Sequence[Candle], project: LeanProject | None = None, **more: Any) -> Run:
    """The run of the generated algorithm."""
    project = project or generate(config)
    return simulate(project.files, bars_of(candles), BEGIN + 4_000 * DAY, project.parameters, **more)


def said_locally(config: BacktestConfig, candles: Sequence[Candle]) -> list[Said]:
    """The rule's proposals."""
    return [
        (at, one.action, one.confidence, one.reasoning) for at, one, _ in local(config, candles) if one.action is not Action.HOLD
    ]


def said(run: Run) -> list[Said]:
    """The algorithm's insights, without those of its protection."""
    own = [one for one in run.insights if one.tag not in {"stop-loss", "take-profit", "trailing-stop"}]
    return [(one.generated_ms, _WORDS[int(one.direction)], one.confidence or 0.0, one.tag) for one in own]
