"""A desk's side of a source, that keeps what it is told; and factories of what the service answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bot.core.briefing import Briefing
from bot.core.decision import Abstention, Claim, Decision, SourceSpec, Tier
from bot.core.desk import DeskConfig, TradingDesk
from bot.core.market import MarketView
from sources.quantconnect.insights import Terms
from sources.quantconnect.intake import Intake
from sources.quantconnect.mapping import SymbolMap
from sources.quantconnect.settings import QuantConnectParams

NOW = 1_772_449_200_000
PROJECT = 7
SPEC = SourceSpec("quantconnect:test", Tier.QUANTCONNECT, Decimal(1))
TERMS = Terms(SPEC, 3_600_000, 86_400_000, 0.4)
LIVE = {"status": "Running", "deployId": "L-1", "launched": "2026-03-02 10:00:00", "stopped": None}
SYMBOLS = ("BTC/USDT", "ETH/USDT")


@dataclass
class Port:
    """A `SourcePort`; its clock stands still unless `clock` is given."""

    at: int = NOW
    clock: Callable[[], int] | None = None
    decisions: list[Decision] = field(default_factory=list)
    abstentions: list[Abstention] = field(default_factory=list)
    view: MarketView = field(default_factory=MarketView)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    desk: TradingDesk = field(default_factory=lambda: TradingDesk(DeskConfig()))

    async def propose(self, decision: Decision) -> None:
        async with self.changed:
            self.decisions.append(decision)
            self.changed.notify_all()

    async def claim(self, claim: Claim) -> None:
        raise AssertionError(claim)

    async def abstain(self, abstention: Abstention) -> None:
        async with self.changed:
            self.abstentions.append(abstention)
            self.changed.notify_all()

    def briefing(self) -> Briefing:
        return self.desk.briefing()

    def now(self) -> int:
        return self.at if self.clock is None else self.clock()

    async def until(self, met: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until something is so that a call of the source brings about."""
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(met)

    def live(self) -> Sequence[Decision]:
        """The decisions that are not stale."""
        return [decision for decision in self.decisions if "stale" not in decision.evidence]


def params(**given: Any) -> QuantConnectParams:
    """Parameters with every route off but the live insights of the project, unless they say otherwise."""
    return QuantConnectParams.model_validate({"projects": (PROJECT,), "insights": {"enabled": True}, **given})


def intake(port: Port, **given: Any) -> Intake:
    """The door to that port."""
    said = params(**given)
    return Intake(TERMS, said, SymbolMap(said.symbols, SYMBOLS, said.markets), SYMBOLS, port)


def row(number: int, **changed: Any) -> dict[str, Any]:
    """An insight as the service gives it, `number` seconds before now."""
    generated = NOW // 1_000 - number
    return {
        "id": f"{number:032x}", "sourceModel": "sma", "generatedTime": generated, "closeTime": generated + 3_600,
        "symbol": "BTCUSDT 18N", "ticker": "BTCUSDT", "type": "price", "reference": 64000.5, "direction": "up", "period": 3600,
        "confidence": 0.7, "tag": "t", **changed,
    }  # fmt: skip


def paged(rows: Sequence[Any], key: str = "insights") -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The service's paging over rows that may grow."""
    return lambda body: {key: list(rows[body["start"] : body["end"]]), "length": len(rows)}
