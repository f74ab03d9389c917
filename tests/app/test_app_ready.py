"""What `/readyz` makes of the parts of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from bot.app.status import Status
from bot.app.telling import Start
from bot.core.market import Health
from bot.core.risk import RiskState
from bot.journal.errors import Trouble
from bot.market.feed_stats import FeedStatistics
from bot.runtime.supervision import Supervisor
from bot.settings import RunMode


@dataclass
class Parts:
    """As much of a run as readiness looks at: each attribute leads on to this same object."""

    statistics: FeedStatistics
    risk: RiskState = field(default_factory=RiskState)
    trouble: Trouble | None = None

    def __getattr__(self, name: str) -> Any:
        if name in {"feed", "shell", "journal", "desk", "state", "world"}:
            return self
        if name == "concerned":
            return lambda _: frozenset(("BTC/USDT", "ETH/USDT"))
        raise AttributeError(name)


def status(parts: Parts, supervisor: Supervisor | None = None) -> Status:
    one = cast("Any", parts)
    return Status("r", RunMode.PAPER, Start(0, Decimal(1), Decimal(0), {}, {}), one, one, one, supervisor or Supervisor())


def test_a_bot_is_not_ready_before_the_first_market_data() -> None:
    parts = Parts(FeedStatistics())
    parts.statistics.candles = 500  # history is no market data
    assert status(parts).ready() == ["no market data has come yet"]
    parts.statistics.quotes = 1
    assert status(parts).ready() == []


def test_each_reason_is_told() -> None:
    parts = Parts(FeedStatistics(quotes=1), trouble=Trouble.DISK_FULL)
    parts.risk.health["BTC/USDT"] = Health.STALE
    parts.risk.health["ETH/USDT"] = Health.FRESH
    supervisor = Supervisor(failing={"feed": "OSError: no route"})
    assert status(parts, supervisor).ready() == [
        "feed is down: OSError: no route",
        f"the journal cannot be written: {Trouble.DISK_FULL.value}",
        "market data of BTC/USDT is stale",
    ]


def test_a_symbol_that_nobody_follows_any_more_does_not_keep_the_bot_from_being_ready() -> None:
    parts = Parts(FeedStatistics(quotes=1))
    parts.risk.health["OLD/USDT"] = Health.STALE
    assert status(parts).ready() == []
