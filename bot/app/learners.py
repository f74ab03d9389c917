"""What learns in a run: calibration and the memory. Both hear of every fact, and have their say before the desk decides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.app.readings import bind_learning, bind_memory
from bot.app.world import World
from bot.core.decision import Action, Tier
from bot.core.facts import Fact
from bot.core.portfolio import Portfolio
from bot.outlets.metrics import Metrics
from bot.runtime.hosting import Port, SourceHost
from bot.services.learning import opening as learning_opening
from bot.services.learning.beginning import begin_learning
from bot.services.learning.chain import chained
from bot.services.learning.live import LiveCalibration
from bot.services.memory import opening as memory_opening
from bot.services.memory.beginning import begin_memory
from bot.services.memory.live import LiveMemory
from bot.services.memory.subjects import timeframe_of
from bot.services.use_case import Ground
from bot.settings import Settings
from research.memory.errors import ResearchError
from sources.loading import LoadedSource

_STATED = 0.7
Start = Callable[[str, Callable[[], Awaitable[None]]], None]


@dataclass(slots=True)
class Learners:
    """What there is of them. A store that cannot be used costs only what would have been learnt."""

    settings: Settings
    memory: LiveMemory | None = None
    calibration: LiveCalibration | None = None

    async def begin(
        self, world: World, portfolio: Portfolio, ground: Ground, host: SourceHost, port: Port, metrics: Metrics
    ) -> None:
        """Open both, caught up with the journal; put them where use cases find them, and their say into the port."""
        try:
            self.calibration = await begin_learning(self.settings, world.book, ground.now, _heed(host))
            self.memory = await begin_memory(self.settings, world.book, world.sources, portfolio, ground.now)
        except ResearchError as error:
            world.notices.append(f"nothing is learnt in this run: {error}")
        calibration, memory = self.calibration, self.memory
        if calibration is not None:
            ground.held[learning_opening.HELD] = calibration
            bind_learning(metrics, calibration)
        if memory is not None:
            ground.held[memory_opening.HELD] = memory.store
            bind_memory(metrics, memory, port)
        says = memory.adjust if memory is not None and self.settings.memory.adjust_confidence else None
        port.adjust = chained(None if calibration is None else calibration.adjust, says)

    def know(self, source: LoadedSource) -> None:
        """Hear of a source that comes while the bot runs."""
        if self.memory is not None:
            self.memory.know(source.config.source, timeframe_of(source), source.symbols(self.settings.exchange.symbols))

    def weight(self, host: SourceHost, now: Callable[[], int]) -> Callable[[str], float]:
        """What a model's word counts in an ensemble: what its 0.7 came to so far, against 0.7; 1 where nothing is learnt."""

        def weigh(member: str) -> float:
            if self.calibration is None:
                return 1.0
            model, at = member.partition("/")[2], now()
            asking = [spec.name for spec in host.specs.values() if spec.tier is Tier.LLM]
            worth = [self.calibration.calibrated(name, model, Action.BUY.value, _STATED, at) for name in asking]
            return sum(worth) / len(worth) / _STATED if worth else 1.0

        return weigh

    def saw(self, fact: Fact) -> None:
        """Take what is to be learnt from a fact; returns at once."""
        if self.calibration is not None:
            self.calibration.saw(fact)
        if self.memory is not None:
            self.memory.saw(fact)

    def start(self, start: Start) -> None:
        """Start the one task of each."""
        if self.calibration is not None:
            start("calibration", self.calibration.run)
        if self.memory is not None:
            start("memory", self.memory.run)

    async def close(self, seconds: float) -> None:
        """Write what waits, both at once, each within `seconds`."""
        closing = [each.close(seconds) for each in (self.calibration, self.memory) if each is not None]
        await asyncio.gather(*closing)


def _heed(host: SourceHost) -> Callable[[str, float], None]:
    """Give a source the threshold that was learnt; one that has left meanwhile needs none."""

    def heed(source: str, threshold: float) -> None:
        if source in host.specs:
            host.set_threshold(source, threshold, "calibration")

    return heed
