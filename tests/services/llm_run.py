"""A recorded run in which a language model proposed: a desk on candles, a source over the real SDKs, the journal's own tape."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bot.backtest.engine import BacktestEngine
from bot.core.briefing import Briefing
from bot.core.decision import Abstention, Claim, Decision
from bot.core.desk import TradingDesk
from bot.core.facts import Fact
from bot.core.inputs import Abstained, Proposed, SourceJoined, Wake
from bot.core.market import Candle, MarketView
from bot.journal.journal import Journal
from bot.journal.run import BookKey, RunStart
from bot.journal.writer import Watch
from bot.services.llm.access import minds_of
from bot.services.use_case import Ground
from sources.config import SourceConfig
from sources.llm.loading import llm_source
from sources.llm.params import BoundsParams, LlmParams
from tests.backtest.candle_data import BTC, config, instrument, market_of, walk
from tests.services.llm_ground import Clock

RUN = "20230101-000000-mind"
SOURCE = "llm:main"
YAML = f"""source: {SOURCE}
kind: llm
timeframe: 5m
expiry: 4h
params:
  timeframes: [5m]
  bounds: {{reward_risk: 0, stop_nearest: 0.0001}}
"""
BARS, FIRST, EVERY = 300, 60, 12


@dataclass
class EnginePort:
    """A port into an engine's desk."""

    engine: BacktestEngine
    decisions: list[Decision] = field(default_factory=list)

    @property
    def view(self) -> MarketView:
        return self.engine.desk.market

    def briefing(self) -> Briefing:
        return self.engine.desk.briefing()

    def now(self) -> int:
        return self.engine.desk.market.now

    async def propose(self, decision: Decision) -> None:
        self.decisions.append(decision)
        self.engine.cycle.turn(Proposed(self.now(), decision))

    async def claim(self, claim: Claim) -> None:
        del claim

    async def abstain(self, abstention: Abstention) -> None:
        self.engine.cycle.turn(Abstained(self.now(), abstention))


@dataclass(frozen=True)
class Run:
    """What was decided, and what the source's shadow ledger came to."""

    decisions: list[Decision]
    shadow_pnl: float


async def record_run(ground: Ground, clock: Clock) -> Run:
    """Trade some candles, and ask now and then; everything is on the tape and in the records, under `RUN`."""
    ground.run = RUN
    settings = ground.loaded.settings
    assert settings.bot.data_dir is not None
    settings.bot.data_dir.mkdir(parents=True, exist_ok=True)
    desk = replace(config(), balance=settings.paper.starting_balance)
    journal = Journal.open(settings.database_url, settings.bot.data_dir)
    snapshot = {"config": desk, "desk": TradingDesk(desk).snapshot(), "sources": {}}
    book = BookKey("main", "paper", "binance", "simulated")
    journal.begin(RunStart(RUN, book, 1, True, {}, "0.1.0", 7, snapshot), Watch(lambda trouble: None, lambda: None))
    engine = BacktestEngine(desk, {BTC: instrument(BTC)}, [], sink=lambda fact: _told(journal, fact), tape=journal)
    minds = await minds_of(ground)
    described = SourceConfig(source=SOURCE, kind="llm", timeframe="5m", expiry="4h")
    bounds = BoundsParams(reward_risk=0, stop_nearest=0.0001)
    source = llm_source(described, LlmParams(timeframes=("5m",), bounds=bounds), (BTC,), minds)
    engine.cycle.turn(SourceJoined(0, source.spec, "test"))
    port = EnginePort(engine)
    for number, candle in enumerate(market_of(walk(BTC, BARS)).candles()):
        _step(engine, candle)
        clock.at = candle.at
        if number >= FIRST and number % EVERY == 0:
            await source.decide(BTC, port=port)
    await journal.close(clock.at + 1, snapshot)
    shadow = engine.desk.state.shadows[SOURCE].portfolio.equity - float(desk.balance)
    return Run(port.decisions, shadow)


def _told(journal: Journal, fact: Fact) -> None:
    journal.append(fact)


def _step(engine: BacktestEngine, candle: Candle) -> None:
    deadlines = engine.desk.state.deadlines
    while deadlines and deadlines[0][0] < candle.at:
        engine.cycle.turn(Wake(deadlines[0][0]))
    engine.broker.on_candle(candle)
    engine.cycle.turn(candle)
