"""What a run is asked and what it tells: options in, and what a person sees at its start, each minute and at its end.

The command line fills in the options and draws the rest; `bot.app` knows only these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from bot.core.facts import Fact


class RunMode(StrEnum):
    """Which world a run trades in."""

    PAPER = "paper"
    DEMO = "demo"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line asks of a run; None leaves it to the settings. `duration` is in seconds, None runs until stopped."""

    mode: RunMode = RunMode.PAPER
    config: Path | None = None
    exchange: str | None = None
    symbols: tuple[str, ...] | None = None
    duration: float | None = None
    seed: int | None = None
    json: bool = False
    data_dir: Path | None = None
    redis: bool = True
    web: bool = True
    web_port: int | None = None
    database: str | None = None

    def overrides(self) -> dict[str, object]:
        """The settings it overrides, by dotted key."""
        given: dict[str, object | None] = {
            "exchange.id": self.exchange,
            "exchange.symbols": self.symbols,
            "bot.data_dir": self.data_dir,
            "redis.url": None if self.redis else "off",
            "web.enabled": None if self.web else False,
            "web.port": self.web_port,
            "journal.url": self.database,
        }
        return {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """A source as the banner shows it; `why` says what keeps it off, or what it does."""

    name: str
    tier: str
    on: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class BannerFacts:
    """What a person should know before the first order. `limits` and `paths` are name and value, ready to be shown."""

    version: str
    run: str
    mode: RunMode
    simulated: bool
    balance: Decimal
    currency: str
    fees: str
    venue: str
    symbols: tuple[str, ...]
    market_data: str
    sources: tuple[SourceFacts, ...]
    limits: Mapping[str, str]
    paths: Mapping[str, str]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MinuteFacts:
    """The last minute: counts since the previous one, and the book as it stands. `at` in milliseconds."""

    at: int
    market_events: int
    decisions: int
    orders: int
    fills: int
    equity: float
    pnl: float
    drawdown: float
    positions: int
    currency: str
    state: str = "active"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run went. Money is in `currency`; `latency_ms` is percentiles by name (`p50`, `p99`) of what `--json` documents."""

    run: str
    mode: RunMode
    simulated: bool
    symbols: tuple[str, ...]
    currency: str
    started: int
    ended: int
    market_events: int
    decisions_by_source: Mapping[str, int]
    decisions_by_fate: Mapping[str, int]
    orders: int
    fills: int
    fees: Decimal
    equity_start: Decimal
    equity_end: Decimal
    pnl: Mapping[str, Decimal]
    shadow_pnl: Mapping[str, Decimal]
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    halted: bool = False
    reason: str = ""

    def as_json(self) -> dict[str, object]:
        """The object that `--json` prints: plain JSON values, decimals as strings."""
        return {
            "run": self.run,
            "mode": self.mode.value,
            "simulated": self.simulated,
            "symbols": list(self.symbols),
            "currency": self.currency,
            "started": self.started,
            "ended": self.ended,
            "market_events": self.market_events,
            "decisions": {"by_source": dict(self.decisions_by_source), "by_fate": dict(self.decisions_by_fate)},
            "orders": self.orders,
            "fills": self.fills,
            "fees": f"{self.fees:f}",
            "equity_start": f"{self.equity_start:f}",
            "equity_end": f"{self.equity_end:f}",
            "pnl": {name: f"{value:f}" for name, value in self.pnl.items()},
            "shadow_pnl": {name: f"{value:f}" for name, value in self.shadow_pnl.items()},
            "latency_ms": dict(self.latency_ms),
            "halted": self.halted,
            "reason": self.reason,
        }


class RunWatcher(Protocol):
    """Who is told how a run goes. Called by the run's own loop: every method returns at once and raises nothing."""

    def started(self, banner: BannerFacts) -> None:
        """The run is ready to trade."""
        ...

    def saw(self, fact: Fact) -> None:
        """The desk recorded something."""
        ...

    def minute(self, facts: MinuteFacts) -> None:
        """A minute has passed."""
        ...

    def noticed(self, text: str) -> None:
        """Something a person should read: a loss of the feed, a halt."""
        ...


class FillModel(StrEnum):
    """Which price a backtest fills at: the next candle's open, or the close of the candle that was decided on."""

    NEXT_OPEN = "next-open"
    SAME_CLOSE = "same-close"


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """What the command line asks of a backtest. `start` and `end` are milliseconds UTC, end excluded; None is all there is.

    The symbols are those of the data. `sources` names who takes part, None meaning every source that is switched on; `timeframe`
    replaces that of every source.

    `llm_replies` lets sources of language models take part by recorded answers: those of a run, or of `any`. With `allow_leak`
    what is not recorded is asked and paid for. `llm_cutoff` (ms UTC) is the last moment that the models may know of.
    """

    data: tuple[Path, ...]
    config: Path | None = None
    symbols: tuple[str, ...] | None = None
    start: int | None = None
    end: int | None = None
    fill: FillModel = FillModel.NEXT_OPEN
    lookahead_check: bool = False
    seed: int | None = None
    sources: tuple[str, ...] | None = None
    timeframe: str | None = None
    llm_replies: str | None = None
    allow_leak: bool = False
    llm_cutoff: int | None = None


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Which recorded run to replay: its id, or `latest`."""

    run: str = "latest"
    config: Path | None = None
    data_dir: Path | None = None
    database: str | None = None

    def overrides(self) -> dict[str, object]:
        """The settings it overrides, by dotted key."""
        given: dict[str, object | None] = {"bot.data_dir": self.data_dir, "journal.url": self.database}
        return {key: value for key, value in given.items() if value is not None}
