"""A ledger with a clock that stands still until it is told, and the calls that are charged to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from bot.store.database import Database
from sources.llm.asking import Role, Usage
from sources.llm.budget import Alert, Budget
from sources.llm.costs import Costs
from sources.llm.ledger import Ledger, Payer
from sources.llm.models import Candidate, Model
from sources.llm.tables import open_tables

START = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp() * 1000)
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LUNA = Candidate(Model("openai", "gpt-6-luna"))
OPUS = Candidate(Model("anthropic", "claude-opus-5-5"))
SOURCE = Payer("llm:one", Role.DECISION, prompt_hash="abc", run="run-1")
OTHER = Payer("llm:two", Role.CHAT)
USAGE = Usage(input=3000, cached=1000, cache_write=10, output=800, reasoning=500)
# Wide enough for what a test does not mean to limit.
WIDE = Budget(
    per_call=Decimal(1), per_source_day=Decimal(100), per_day=Decimal(100), per_month=Decimal(1000), calls_per_minute=1000
)


@dataclass
class LedgerWorld:
    """An open ledger, its clock, the alerts it gave, and the queries over it."""

    database: Database
    budget: Budget
    at: int = START
    alerts: list[Alert] = field(default_factory=list)

    async def ledger(self) -> Ledger:
        """Another process' ledger, as it were."""
        return await Ledger.open(self.database, self.budget, now=lambda: self.at, told=self.alerts.append)

    @property
    def costs(self) -> Costs:
        """What it says that was spent."""
        return Costs(self.database)

    async def spent(self) -> Decimal:
        """All that counts as spent, and what is reserved."""
        return (await self.costs.total(0, self.at + 366 * DAY)).usd

    def given(self) -> list[tuple[str, int]]:
        """Alerts so far: which limit, how many percent."""
        return [(alert.kind.value, alert.percent) for alert in self.alerts]


@asynccontextmanager
async def ledger_world(url: str, budget: Budget = WIDE) -> AsyncIterator[LedgerWorld]:
    """A world on that database."""
    database = await open_tables(url)
    try:
        yield LedgerWorld(database, budget)
    finally:
        await database.close()
