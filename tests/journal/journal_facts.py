from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from bot.core import facts as f
from bot.core.decision import Abstention, Action, Claim, Decision, Denial, Fate, Tier
from bot.core.facts import Fact
from bot.core.inputs import TradingState
from bot.core.market import Health, Side
from bot.core.orders import Fill, Leg, OrderRequest, OrderState, OrderType
from bot.journal.errors import JournalTrouble
from bot.journal.journal import Journal, JournalLimits
from bot.journal.run import BookKey, RunStart
from bot.journal.writer import Watch

NOW = 1_700_000_000_000


def decision(number: int = 1, source: str = "rules:sma", symbol: str = "BTC/USDT", at: int = NOW) -> Decision:
    return Decision(
        id=f"d{number}",
        source=source,
        tier=Tier.TRADITIONAL,
        symbol=symbol,
        action=Action.BUY,
        confidence=0.75,
        created=at,
        expires=at + 60_000,
        price=50_000.5,
        raw_confidence=0.8,
        stop_loss=49_000.0,
        reasoning="fast above slow",
        evidence={"fast": 1.5, "slow": 1, "up": True, "note": None},
        cost=Decimal("0.00120"),
        external_id=f"x{number}",
    )


def request(number: int = 1, symbol: str = "BTC/USDT", at: int = NOW, decision_id: str | None = "d1") -> OrderRequest:
    return OrderRequest(
        id=f"arb{number}",
        symbol=symbol,
        side=Side.BUY,
        type=OrderType.LIMIT,
        amount=Decimal("0.0100"),
        leg=Leg.ENTRY,
        cause=decision_id or "flatten",
        attempt=1,
        source="rules:sma",
        tier=Tier.TRADITIONAL,
        confidence=0.75,
        reference=50_000.5,
        created=at,
        price=Decimal("50000.10"),
        decision_id=decision_id,
    )


def order(number: int = 1, state: OrderState = OrderState.OPEN, at: int = NOW, filled: str = "0") -> f.OrderChanged:
    return f.OrderChanged(at, request(number), state, Decimal(filled), Decimal("50000.10") if filled != "0" else None, "v1")


def fate(number: int = 1, fate: Fate = Fate.EXECUTED, at: int = NOW, source: str = "rules:sma") -> f.DecisionFate:
    denial = Denial.COOL_DOWN if fate is Fate.DENIED else None
    return f.DecisionFate(at, f"d{number}", source, Tier.TRADITIONAL, "BTC/USDT", fate, denial, "v1", f"d{number}", "won")


def equity(at: int = NOW, worth: float = 10_000.0) -> f.EquitySampled:
    return f.EquitySampled(at, Decimal("9000.5"), worth, 1.5, Decimal(0), Decimal("0.1"), worth, 0.0, 0.1)


def fill_of(number: int = 1, order_number: int = 1, at: int = NOW) -> f.FillBooked:
    fill = Fill(
        f"t{number}",
        f"arb{order_number}",
        "BTC/USDT",
        Side.BUY,
        Decimal("0.0050"),
        Decimal("50000.10"),
        Decimal("0.00025"),
        "USDT",
        at,
        evidence="quote",
    )
    return f.FillBooked(at, fill, "rules:sma", Tier.TRADITIONAL, 0.75, "d1", Decimal("-0.1"), Decimal("0.00025"), 0.0001)


def every_fact() -> list[Fact]:
    """One of each kind, no optional left out."""
    return [
        f.DecisionSeen(NOW, decision()),
        fate(fate=Fate.DENIED),
        f.DecisionFilled(NOW, "d1", 0.5),
        f.Verdict(
            "v1",
            NOW,
            "BTC/USDT",
            "priority",
            "d1",
            "rules:sma",
            Tier.LLM,
            Action.SELL,
            0.9,
            ("d2", "d3"),
            "alone",
            Decimal("1.50"),
            Decimal("-0.5"),
        ),
        f.ClaimMade(NOW, Claim("llm:x", Tier.LLM, "BTC/USDT", NOW + 5)),
        f.AbstentionMade(NOW, Abstention("llm:x", Tier.LLM, "BTC/USDT", "budget", "spent")),
        order(filled="0.0050"),
        fill_of(),
        f.PositionChanged(
            NOW, "BTC/USDT", Decimal("0.0050"), Decimal("50000.10"), 50_001.0, Decimal("1.10"), 0.5, "rules:sma", 1.0, 2.0, 3.0
        ),
        f.LotClosed(
            NOW,
            "BTC/USDT",
            Side.SELL,
            Decimal(1),
            Decimal(2),
            Decimal(3),
            NOW - 5,
            "rules:sma",
            Tier.TRADITIONAL,
            "d1",
            "llm:x",
            "exit",
            Decimal("0.1"),
            Decimal("0.9"),
        ),
        equity(),
        f.ShadowSampled(NOW, "rules:sma", Tier.TRADITIONAL, 10_001.0, Decimal(1), 0.5, Decimal("0.2"), 3, 2),
        f.ShadowClosed(NOW, "rules:sma", "BTC/USDT", "d1", NOW - 9, Decimal(1), Decimal(2), Decimal(3), Decimal(4), "exit"),
        f.OverrideClosed(NOW, "BTC/USDT", "rules:sma", "llm:x", "d1", "v1", NOW - 9, 1.0, 2.0, -1.0),
        f.RiskChanged(NOW, TradingState.HALTED, "operator", "kill"),
        f.AccountReconciled(NOW, True, 2, 1, ("a deposit of 5 USDT",), ("BTC: 0.01 more",)),
        f.HealthChanged(NOW, "BTC/USDT", Health.GAP, "3 candles"),
        f.CommandDone(NOW, "operator", "kill", "cli"),
    ]


BOOK = BookKey("arbiter", "paper", "binance", "simulated")


class Watcher:
    """Remembers what it was told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.troubles: list[JournalTrouble] = []
        self.troubled = asyncio.Event()
        self.recovered = asyncio.Event()

    def on_trouble(self, trouble: JournalTrouble) -> None:
        self.troubles.append(trouble)
        self.troubled.set()

    @property
    def watch(self) -> Watch:
        return Watch(self.on_trouble, self.recovered.set)


def run_of(name: str = "run1") -> RunStart:
    return RunStart(name, BOOK, NOW, simulated=True, config={"a": 1}, code_version="test", seed=7, initial={"cash": "10000"})


@contextmanager
def at_once() -> Iterator[None]:
    """Nothing in there waits, and no other thread gets a turn: the writer finds all of it together."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def journal_of(url: str, folder: Path, limits: JournalLimits | None = None) -> Journal:
    fallback = JournalLimits(ballast_bytes=65_536, busy_ms=50)
    return Journal.open(url, folder, limits or fallback)


async def stored(journal: Journal, number: int = 1) -> Exception | None:
    """The journal's answer to an intent."""
    answer: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    journal.store(request(number), NOW, answer.set_result)
    return await asyncio.wait_for(answer, 10)
