"""A source, the minds it asks over real sockets, and a port that notes what it says."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from bot.core.briefing import Briefing, Held, LimitUse
from bot.core.decision import Abstention, Claim, Decision
from bot.core.inputs import TradingState
from bot.core.market import Candle, MarketView, Quote, timeframe_ms
from simulators.llm.server import LlmSimulator
from sources.config import SourceConfig
from sources.llm.budget import Alert, Budget
from sources.llm.loading import llm_params, llm_source
from sources.llm.minds import Minds, open_minds
from sources.llm.settings import AccessSettings
from sources.llm.source import LlmSource

SYMBOL = "BTC/USDT"
NOW = 1_795_000_000_000 - 1_795_000_000_000 % 3_600_000
MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5", "gemini": "gemini-3.5-flash-lite", "xai": "grok-4.7"}
WIDE = Budget(
    per_call=Decimal(1), per_source_day=Decimal(100), per_day=Decimal(100), per_month=Decimal(1000), calls_per_minute=1000
)
PATIENCE = 10.0


@dataclass
class DeskPort:
    """What a source speaks to: a market that rises unless it is told otherwise, books, a clock, and what was said."""

    view: MarketView = field(default_factory=MarketView)
    at: int = NOW
    held: tuple[Held, ...] = ()
    state: TradingState = TradingState.ACTIVE
    claims: list[Claim] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    abstentions: list[Abstention] = field(default_factory=list)
    said: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def propose(self, decision: Decision) -> None:
        self.decisions.append(decision)
        await self._tell()

    async def claim(self, claim: Claim) -> None:
        self.claims.append(claim)
        await self._tell()

    async def abstain(self, abstention: Abstention) -> None:
        self.abstentions.append(abstention)
        await self._tell()

    def briefing(self) -> Briefing:
        limits = (LimitUse("max_position", 0.0, 0.5),)
        return Briefing(self.at, "USDT", 10_000.0, 10_000.0, 0.0, 0.0, 0.0, self.state, self.held, limits)

    def now(self) -> int:
        return self.at

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait for something to be said."""
        async with asyncio.timeout(PATIENCE), self.said:
            await self.said.wait_for(what)

    async def _tell(self) -> None:
        async with self.said:
            self.said.notify_all()

    def quote(self, price: float, symbol: str = SYMBOL) -> None:
        """The newest price."""
        self.view.quotes[symbol] = Quote.of(symbol, self.at, price * 0.99995, price * 1.00005)
        self.view.prices[symbol] = price

    def hold(self, share: float = 0.1, symbol: str = SYMBOL, source: str = "llm:test", decision: str | None = "d") -> None:
        """Hold some of a symbol."""
        price = self.view.prices[symbol]
        self.held = (Held(symbol, Decimal("0.1"), Decimal(str(price)), price, share, 0.0, self.at - 60_000, source, decision),)


def candles(symbol: str, timeframe: str, until: int, drift: float = 0.001, count: int = 120) -> list[Candle]:
    """Closed candles of a steady market with a ripple; the last one ends at `until`."""
    length = timeframe_ms(timeframe)
    first, before, rows = until - count * length, 50_000.0, []
    for number in range(count):
        close = 50_000.0 * (1 + drift) ** number * (1 + 0.0008 * math.sin(number * 1.7))
        high, low = max(before, close) * 1.0005, min(before, close) * 0.9995
        ts = first + number * length
        rows.append(Candle(symbol, timeframe, ts + length, ts, before, high, low, close, 10.0 + number % 5))
        before = close
    return rows


def fill(port: DeskPort, timeframes: tuple[str, ...], drift: float = 0.001, symbol: str = SYMBOL) -> Candle:
    """Show the port a market; gives the newest candle of the first timeframe."""
    rows: list[Candle] = []
    for timeframe in reversed(timeframes):
        rows = candles(symbol, timeframe, port.at, drift)
        for row in rows:
            port.view.remember(row)
    port.quote(rows[-1].close, symbol)
    return rows[-1]


def next_candle(port: DeskPort, timeframe: str = "5m", change: float = 0.001, symbol: str = SYMBOL) -> Candle:
    """Time passes until the next candle closes."""
    last = port.view.history(symbol, timeframe)[-1]
    length = timeframe_ms(timeframe)
    port.at = last.ts + 2 * length
    close = last.close * (1 + change)
    row = Candle(
        symbol, timeframe, port.at, last.ts + length, last.close, max(last.close, close), min(last.close, close), close, 10.0
    )
    port.view.remember(row)
    port.quote(close, symbol)
    return row


def a_config(params: Mapping[str, Any] | None = None, **changes: Any) -> SourceConfig:
    """A source of the kind llm."""
    base: dict[str, Any] = {"source": "llm:test", "kind": "llm", "timeframe": "5m", "expiry": "2h", "symbols": [SYMBOL]}
    return SourceConfig.model_validate({**base, "params": {"timeframes": ["5m", "1h"], **(params or {})}, **changes})


def a_source(minds: Minds | None, params: Mapping[str, Any] | None = None, **changes: Any) -> LlmSource:
    """The source of such a configuration; `hooks` are those of `llm_source`."""
    hooks = changes.pop("hooks", {})
    config = a_config(params, **changes)
    return llm_source(config, llm_params(Path("test.yaml"), config), [SYMBOL], minds, **hooks)


@dataclass
class SourceWorld:
    """A simulator, the minds that ask it and the port."""

    simulator: LlmSimulator
    minds: Minds
    port: DeskPort
    alerts: list[Alert]
    url: str

    @asynccontextmanager
    async def running(self, source: LlmSource) -> AsyncIterator[LlmSource]:
        """The source's life, for as long as the block lasts."""
        task = asyncio.create_task(source.run(self.port))
        try:
            yield source
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def settings_of(simulator: LlmSimulator, models: Mapping[str, str] | None = None) -> AccessSettings:
    """Every provider at the simulator; `models` are the candidates of decisions, in their order."""
    addresses = {
        "openai": ("responses", simulator.url),
        "anthropic": ("messages", simulator.root),
        "gemini": ("chat", simulator.gemini_url),
        "xai": ("responses", simulator.url),
    }
    providers = {name: {"dialect": dialect, "base_url": url, "key": "DEMO_KEY"} for name, (dialect, url) in addresses.items()}
    roles = {"decision": [{"provider": name, "model": model} for name, model in (models or MODELS).items()]}
    return AccessSettings.model_validate({"providers": providers, "roles": roles, "rest": {"failures": 50}})


@asynccontextmanager
async def source_world(
    url: str, *, models: Mapping[str, str] | None = None, budget: Budget = WIDE, drift: float = 0.001, run: str = "run-1"
) -> AsyncIterator[SourceWorld]:
    """All of it, closed at the end."""
    port, alerts = DeskPort(), list[Alert]()
    fill(port, ("5m", "1h"), drift)
    names = [*(models or {}).values()]
    async with LlmSimulator(models=names) as simulator:
        settings, secret = settings_of(simulator, models), {"DEMO_KEY": simulator.key}.get
        async with open_minds(settings, budget, url, secret, port.now, redact=str, alert=alerts.append, run=run) as minds:
            yield SourceWorld(simulator, minds, port, alerts, url)
