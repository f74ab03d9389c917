"""Small factories of what charts are made of."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as fields_of
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar, get_type_hints

from bot.core.decision import Action, Fate, Tier
from bot.core.market import Candle, Side
from bot.core.orders import Leg, OrderState, OrderType, TimeInForce
from bot.journal.records import (
    ClosedLot,
    EquityPoint,
    FateCount,
    JournaledDecision,
    JournaledFill,
    JournaledOrder,
    JournaledPosition,
    JournaledVerdict,
    Override,
    ShadowPoint,
    ShadowTrade,
)

R = TypeVar("R")
T0 = 1_760_000_000_000
MINUTE = 60_000
NASTY = '<img src=x onerror=alert(1)></script><b>&amp; %{x} "quoted"'

_USUAL: dict[Any, Any] = {
    int: 0, str: "", float: 0.5, bool: False, Decimal: Decimal(1), Tier: Tier.LLM, Action: Action.BUY, Side: Side.BUY,
    OrderType: OrderType.LIMIT, OrderState: OrderState.OPEN, TimeInForce: TimeInForce.GTC, Leg: Leg.ENTRY, tuple[str, ...]: (),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A chart by name and how it is made."""

    name: str
    made: Any


def make(cls: type[R], **given: Any) -> R:
    """A record with these fields, what may be missing None and the others whatever is usual."""
    return cls(**(_usual_of(cls) | given))  # type: ignore[arg-type]


@cache
def _usual_of(cls: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {each.name: _usual(hints[each.name]) for each in fields_of(cls)}


def _usual(hint: Any) -> Any:
    return _USUAL.get(hint, {} if "Mapping" in str(hint) else None)


def points(count: int, **given: Any) -> list[EquityPoint]:
    """A zigzag of equity."""
    worth = [10_000.0 + (place * 37 % 101) - 50 for place in range(count)]
    return [make(EquityPoint, at=T0 + place * MINUTE, equity=worth[place], drawdown=None, **given) for place in range(count)]


def shadow_points(count: int, source: str) -> list[ShadowPoint]:
    """A shadow ledger that began with another amount than the book."""
    return [make(ShadowPoint, at=T0 + place * MINUTE, source=source, equity=500.0 + place) for place in range(count)]


def candle(place: int, close: float = 100.0, **given: float) -> Candle:
    """A candle of a minute."""
    at = T0 + place * MINUTE
    prices = {"open": 100.0, "high": max(101.0, close), "low": min(99.0, close), "close": close, "volume": 1.0} | given
    return Candle("BTC/USDT", "1m", at, at, **prices)


def decision(place: int, source: str = "llm", **given: Any) -> JournaledDecision:
    """A decision to buy, at a price."""
    usual = {"at": T0 + place * MINUTE, "created": T0 + place * MINUTE, "confidence": 0.7, "price": 100.0, "id": f"d{place}"}
    return make(JournaledDecision, source=source, **(usual | given))


def fill(place: int, side: Side = Side.BUY, **given: Any) -> JournaledFill:
    """A fill at a price."""
    return make(JournaledFill, **({"ts": T0 + place * MINUTE, "side": side, "price": Decimal("100.5"), "source": "llm"} | given))


def order(place: int, **given: Any) -> JournaledOrder:
    """An open limit order."""
    usual = {"at": T0, "created": T0 + place * MINUTE, "price": Decimal(99), "source": "llm", "trigger_price": None}
    return make(JournaledOrder, **(usual | given))


def position(**given: Any) -> JournaledPosition:
    """An open position with everything that would close it."""
    usual = {"at": T0, "symbol": "BTC/USDT", "amount": Decimal(2), "average": Decimal(100), "stop_loss": 95.0}
    return make(JournaledPosition, **(usual | {"take_profit": 110.0, "trailing_stop": 97.0} | given))


def lot(place: int, opener: str, pnl: str) -> ClosedLot:
    """A closed lot."""
    return make(ClosedLot, at=T0 + place * MINUTE, opener=opener, pnl=Decimal(pnl))


def shadow_trade(place: int, source: str, pnl: str) -> ShadowTrade:
    """A trade that ended in a shadow ledger."""
    return make(ShadowTrade, at=T0 + place * MINUTE, source=source, pnl=Decimal(pnl))


def verdict(source: str, *outranked: str) -> JournaledVerdict:
    """A verdict for a source over decisions."""
    return make(JournaledVerdict, source=source, outranked=outranked)


def override(place: int, cost: float | None, **given: Any) -> Override:
    """An override and what it cost."""
    usual = {"at": T0 + place * MINUTE, "winner": "quantconnect", "loser": "llm", "symbol": "BTC/USDT", "cost": cost}
    return make(Override, **(usual | given))


def fate(source: str, met: Fate | None, count: int) -> FateCount:
    """A count of fates."""
    return FateCount(source, met, count)


def calibration_row(**given: Any) -> dict[str, Any]:
    """A row as `learning.calibration` answers with."""
    bins = [
        {"low": 0.5, "high": 0.6, "closed": 12, "stated": 0.55, "won": 0.5, "won_low": 0.25, "won_high": 0.75},
        {"low": 0.7, "high": 0.8, "closed": 30, "stated": 0.74, "won": 0.6, "won_low": 0.42, "won_high": 0.75},
    ]
    brier = {"score": 0.241, "reliability": 0.01, "resolution": 0.0, "uncertainty": 0.25, "within": 0.0}
    record = {"closed": 42, "won": 24, "profit": 0.01, "bins": bins, "brier": brier}
    record |= {"error": 0.11, "error_low": 0.04, "error_high": 0.2}
    told = {"source": "llm", "model": "some-model", "action": "buy", "reliability": record}
    return told | {"map": {"curve": [[0.1, 0.2], [0.9, 0.7]]}} | given


def belief(count: int = 5, **given: Any) -> dict[str, Any]:
    """A subject as `memory.history` answers with."""
    rows = [
        {"at": T0 + place * MINUTE, "confidence": 0.1 * place, "quality": 0.6, "credibility": 0.2 * place, "trades": place * 3.0}
        for place in range(count)
    ]
    return {"symbol": "BTC/USDT", "strategy": "momentum", "timeframe": "1h", "points": rows} | given


def cost_lines() -> list[dict[str, Any]]:
    """Costs of days by model, one of them without a price."""
    return [
        {"day": "2025-10-07", "model": "big", "usd": "1.25", "calls": 3},
        {"day": "2025-10-08", "model": "big", "usd": "0.75", "calls": 2},
        {"day": "2025-10-08", "model": "small", "usd": "0.05", "calls": 9},
        {"day": "2025-10-09", "model": "big", "usd": "1.00", "calls": 1},
        {"day": "2025-10-09", "model": "new", "usd": None, "calls": 4},
    ]


def earnings() -> list[dict[str, Any]]:
    """Cost beside P&L, as `llm.costs` answers with under `earned`."""
    return [
        {"source": "llm", "model": "big", "decisions": 4, "usd": "2.5", "pnl": "10", "net": "7.5"},
        {"source": "other", "model": "small", "decisions": 1, "usd": "0.5", "pnl": "-3", "net": "-3.5"},
    ]


def backtest_result(count: int = 50) -> dict[str, Any]:
    """A result of the cloud as JSON."""
    curve = [[T0 + place * MINUTE, 100_000.0 + place * 10] for place in range(count)]
    falls = [[at, 0.01] for at, _ in curve]
    hold = [[at, 300.0 + place] for place, (at, _) in enumerate(curve)]
    charts = {"Benchmark": {"Benchmark": {"unit": "$", "type": "line", "points": hold}}}
    told = {"name": "momentum", "backtest": "abc", "currency": "USD", "equity_curve": curve, "drawdown_curve": falls}
    return told | {"charts": charts}


def sweep_result(**grid: tuple[float, ...]) -> dict[str, Any]:
    """A sweep over up to two parameters, one set of which failed."""
    fast, slow = grid.get("fast", (5, 10)), grid.get("slow", (20, 30, 50))
    found = [
        {"parameters": {"fast": a, "slow": b, "kept": 1}, "figures": {"sharpe_ratio": a / b, "drawdown": b / 100}, "error": ""}
        for a in fast
        for b in slow
    ]
    return {"points": [*found, {"parameters": {"fast": 99, "slow": 99}, "figures": {}, "error": "it failed"}]}


def months() -> list[dict[str, Any]]:
    """Returns of some months."""
    return [
        {"year": 2024, "month": 12, "return": 0.02},
        {"year": 2025, "month": 1, "return": -0.05},
        {"year": 2025, "month": 2, "return": None},
        {"year": 2025, "month": 3, "return": 0.1},
    ]
