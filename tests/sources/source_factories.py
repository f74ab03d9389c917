"""Small factories for the tests of sources: candles, markets with a clock of their own, rules in a source."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from bot.core.briefing import Briefing
from bot.core.decision import Abstention, Claim, Decision, SourceSpec, Tier
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.inputs import Abstained, Claimed, Proposed
from bot.core.market import Candle, MarketView
from sources.base import Proposer, Protection, Rule, RuleSource, Strict

ROOT = Path(__file__).parents[2]
START = 1_700_000_040_000
MINUTE = 60_000
BTC = "BTC/USDT"


def candle(
    index: int, close: float, opened: float | None = None, wick: float = 0.0, volume: float = 1.0, symbol: str = BTC
) -> Candle:
    begin = close if opened is None else opened
    high, low = max(begin, close) + wick, min(begin, close) - wick
    ts = START + index * MINUTE
    return Candle(symbol, "1m", ts + MINUTE, ts, begin, high, low, close, volume)


def candles(closes: Iterable[float], volume: float = 1.0, symbol: str = BTC) -> Iterator[Candle]:
    before: float | None = None
    for index, close in enumerate(closes):
        yield candle(index, close, before, close * 1e-4, volume, symbol)
        before = close


def wave(count: int = 600, period: float = 60.0, size: float = 0.03, noise: float = 0.0005, seed: int = 5) -> list[float]:
    """Prices that rise and fall."""
    draw = random.Random(seed)
    return [100 * math.exp(size * math.sin(2 * math.pi * at / period) + draw.gauss(0, noise)) for at in range(count)]


def source_of(
    rule: type[Rule], protection: Protection | None = None, symbols: tuple[str, ...] = (BTC,), **params: object
) -> RuleSource:
    settings: Strict = rule.Params.model_validate(params)
    spec = SourceSpec("rules:test", Tier.TRADITIONAL)
    return RuleSource(Proposer(spec, 3 * MINUTE, protection or Protection()), lambda: rule(settings), symbols, "1m")


def decisions(source: RuleSource, rows: Iterable[Candle]) -> list[Decision]:
    view = MarketView()
    made = [source.on_candle(row, view) for row in rows]
    assert source.faults == 0
    return [decision for decision in made if decision is not None]


class Port:
    """A source's port with a clock that only its own `sleep` moves."""

    def __init__(self, start: int = START, prices: dict[str, float] | None = None) -> None:
        self.clock = start
        self.view = MarketView(prices=prices or {})
        self.heard: list[Proposed | Claimed | Abstained] = []

    def now(self) -> int:
        return self.clock

    def briefing(self) -> Briefing:
        return TradingDesk(DeskConfig()).briefing()

    async def sleep(self, seconds: float) -> None:
        self.clock += round(seconds * 1000)

    async def propose(self, decision: Decision) -> None:
        self.heard.append(Proposed(self.clock, decision))

    async def claim(self, claim: Claim) -> None:
        self.heard.append(Claimed(self.clock, claim))

    async def abstain(self, abstention: Abstention) -> None:
        self.heard.append(Abstained(self.clock, abstention))
