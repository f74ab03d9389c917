"""One real event of every type that can be published."""

from __future__ import annotations

from decimal import Decimal

from bot.core.decision import Abstention, Action, Claim, Decision, Denial, Fate, Tier
from bot.core.facts import (
    AbstentionMade,
    AccountReconciled,
    ClaimMade,
    CommandDone,
    DecisionFate,
    DecisionFilled,
    DecisionSeen,
    EquitySampled,
    FillBooked,
    HealthChanged,
    LotClosed,
    OrderChanged,
    OverrideClosed,
    PositionChanged,
    RiskChanged,
    ShadowClosed,
    ShadowSampled,
    Verdict,
)
from bot.core.inputs import TradingState
from bot.core.market import Candle, Health, Quote, Side
from bot.core.orders import Fill, Leg, OrderRequest, OrderState, OrderType
from bot.outlets.envelope import Heartbeat, JobChanged, JobState, Publishable

AT = 1_767_225_599_123
SYMBOL = "BTC/USDT"
# Seconds to wait for what must come: generous, since the machine may be busy with other things.
PATIENCE = 20.0


def quote(bid: float = 100.0) -> Quote:
    return Quote.of(SYMBOL, AT, bid, bid + 0.5)


def decision(reasoning: str = "momentum") -> Decision:
    return Decision(
        id="d1",
        source="llm:claude",
        tier=Tier.LLM,
        symbol=SYMBOL,
        action=Action.BUY,
        confidence=0.8,
        created=AT,
        expires=AT + 60_000,
        price=100.0,
        reasoning=reasoning,
        evidence={"rsi": 31.5, "trend": "up", "seen": True, "news": None, "count": 3},
        cost=Decimal("0.0000001"),
    )


def request() -> OrderRequest:
    return OrderRequest(
        id="arb1order",
        symbol=SYMBOL,
        side=Side.BUY,
        type=OrderType.LIMIT,
        amount=Decimal("0.010"),
        leg=Leg.ENTRY,
        cause="d1",
        attempt=0,
        source="llm:claude",
        tier=Tier.LLM,
        confidence=0.8,
        reference=100.0,
        created=AT,
        price=Decimal("1E+2"),
        decision_id="d1",
    )


def order(state: OrderState = OrderState.OPEN, filled: str = "0") -> OrderChanged:
    return OrderChanged(AT, request(), state, Decimal(filled), None)


def equity(worth: float = 10_000.0) -> EquitySampled:
    return EquitySampled(AT, Decimal("9000.10"), worth, 1.5, Decimal("-2"), Decimal("0.3"), 10_100.0, 0.0099, 1_000.0)


def fate(what: Fate = Fate.OUTRANKED, denial: Denial | None = None) -> DecisionFate:
    return DecisionFate(AT, "d1", "llm:claude", Tier.LLM, SYMBOL, what, denial, "v1", "d0", "a higher tier stands")


def every_event() -> list[Publishable]:
    fill = Fill("t1", "arb1order", SYMBOL, Side.BUY, Decimal("0.01"), Decimal("100.05"), Decimal("1E-8"), "BNB", AT)
    return [
        quote(),
        Candle(SYMBOL, "1m", AT, AT - 60_000, 1.0, 2.0, 0.5, 1.5, 12.0),
        DecisionSeen(AT, decision()),
        fate(),
        DecisionFilled(AT, "d1", 0.5),
        ClaimMade(AT, Claim("llm:claude", Tier.LLM, SYMBOL, AT + 5_000)),
        AbstentionMade(AT, Abstention("llm:claude", Tier.LLM, SYMBOL, "budget", "the day's budget is spent")),
        Verdict(
            "v1", AT, SYMBOL, "priority", "d1", "llm:claude", Tier.LLM, Action.BUY, 0.8, ("d2",), "", Decimal("0.01"), Decimal(0)
        ),
        order(),
        FillBooked(AT, fill, "llm:claude", Tier.LLM, 0.8, "d1", Decimal("-0.01"), Decimal("0.01"), 0.0005),
        PositionChanged(AT, SYMBOL, Decimal("0.01"), Decimal("100.05"), 101.0, Decimal(0), 0.0095, "llm:claude", stop_loss=95.0),
        LotClosed(
            AT,
            SYMBOL,
            Side.BUY,
            Decimal("0.01"),
            Decimal(100),
            Decimal(101),
            AT - 1,
            "llm:claude",
            Tier.LLM,
            "d1",
            "rules:sma",
            "exit",
            Decimal("0.001"),
            Decimal("0.009"),
        ),
        equity(),
        ShadowSampled(AT, "rules:sma", Tier.TRADITIONAL, 10_010.0, Decimal(10), 0.0, Decimal(1), 3, 2),
        ShadowClosed(AT, "rules:sma", SYMBOL, "d2", AT - 1, Decimal(100), Decimal(101), Decimal(1), Decimal("0.8"), "exit"),
        OverrideClosed(AT, SYMBOL, "rules:sma", "llm:claude", "d2", "v1", AT - 1, 0.8, 0.5, 0.3),
        RiskChanged(AT, TradingState.REDUCING, "cli", "asked"),
        CommandDone(AT, "cli", "kill", "flatten"),
        AccountReconciled(AT, True, 2, 1, ("a deposit of 5 USDT",), ("BTC: 0.01 more",)),
        HealthChanged(AT, SYMBOL, Health.STALE, "no event for 5 s"),
        Heartbeat(AT, 5_000, "up", 0, {"quotes": 3}),
        JobChanged(AT, "job-1", "qc.backtest", "cli", JobState.RUNNING, AT - 10, "compiling", 1.0, 4.0, "", ""),
    ]
