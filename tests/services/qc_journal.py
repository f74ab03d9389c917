"""A journal that holds what a run of the bot decided on."""

from __future__ import annotations

from decimal import Decimal

from bot.core.decision import Action, Decision, Tier
from bot.core.facts import Fact, LotClosed
from bot.core.market import Side
from bot.journal.journal import Journal
from bot.journal.run import BookKey, RunStart
from bot.journal.writer import Watch
from bot.services.use_case import Ground

NOW = 1_790_000_000_000


def opinion(number: int, project: int, source: str = "quantconnect:momentum") -> Decision:
    return Decision(
        id=f"d{number}", source=source, tier=Tier.QUANTCONNECT, symbol="BTC/USDT", action=Action.BUY, confidence=0.7,
        created=NOW + number, expires=NOW + 3_600_000, price=60_000.0, evidence={"project": project, "route": "insights"},
    )  # fmt: skip


def lot(pnl: str, opener: str = "quantconnect:momentum", tier: Tier = Tier.QUANTCONNECT) -> LotClosed:
    one = Decimal(1)
    return LotClosed(NOW, "BTC/USDT", Side.BUY, one, one, one, NOW, opener, tier, "d1", opener, "exit", Decimal(0), Decimal(pnl))


async def journaled(ground: Ground, facts: list[Fact]) -> None:
    """These facts, in the journal of the ground."""
    folder = ground.loaded.settings.bot.data_dir
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal.open(ground.loaded.settings.database_url, folder)
    start = RunStart(
        "run-1", BookKey("main", "paper", "binance", "simulated"), NOW, simulated=True, config={}, code_version="test"
    )
    journal.begin(start, Watch(lambda trouble: None, lambda: None))
    for fact in facts:
        journal.append(fact)
    await journal.flush()
    await journal.close(NOW + 9)
