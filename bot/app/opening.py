"""The opening of a run: what the desk is told before the first live event, and the sources that are let in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bot.app.live import LiveSide
from bot.app.world import World
from bot.core.decision import SourceSpec
from bot.core.inputs import Closing, InstrumentChanged, OrderClosed, SetTradingState, SourceLeft, TradingState
from bot.runtime.hosting import SourceHost
from bot.runtime.recovery import Recovered
from bot.runtime.shell import Shell
from bot.services.specs import unheard, with_settings
from bot.settings import Settings
from sources.loading import LoadedSource, load_source
from sources.means import Means


@dataclass(slots=True)
class Opening:
    """What a run begins with: the world as it is, and what an earlier run left. `know` hears of a source that comes later."""

    settings: Settings
    world: World
    recovered: Recovered
    shell: Shell
    host: SourceHost
    means: Means
    know: Callable[[LoadedSource], None]
    live: LiveSide | None = None

    def begin_books(self) -> None:
        """Tell the desk its instruments; take up the orders of an earlier run, or close what a paper venue no longer fills."""
        turn, now, state = self.shell.cycle.turn, self.shell.clock.now(), self.shell.desk.state
        for instrument in self.world.feed.instruments.values():
            turn(InstrumentChanged(now, instrument))
        if self.recovered.strays:
            reason = f"{len(self.recovered.strays)} journaled fills belong to no order that is remembered"
            turn(SetTradingState(now, TradingState.REDUCING, "recovery", reason))
        if self.live is not None:
            self.live.begin()
            return
        for order in list(state.working.values()):
            turn(OrderClosed(now, order.request.id, Closing.CANCELLED, order.filled, "the paper venue began anew"))

    def let_sources_in(self) -> None:
        """Sources as configured; those that are gone leave, those that stay go on where they were."""
        traded = self.settings.exchange.symbols
        known = dict(self.shell.desk.state.sources)
        for described in self.world.sources:
            source = with_settings(described, self.settings)
            if unheard(source, self.settings, self.means) is not None:
                continue
            before = known.pop(source.spec.name, None)
            life = source.live(traded, self.means)
            step = source.step(traded)
            if life is not None:
                self.host.add_life(life)
            elif step is not None:
                self.host.add_step(step)
            if before is not None and before.paused:
                self.host.set_paused(source.spec.name, True, "recovery")
                self.world.notices.append(f"{source.spec.name} is paused since an earlier run; `python -m bot unpause`")
        for name in known:
            self.world.inbox.put_command(SourceLeft(self.shell.clock.now(), name))
        self.host.restore(self.recovered.sources)
        for candle in (*self.recovered.candles, *self.world.warm):
            self.host.warm(candle, self.shell.desk.market)
        for candle in self.world.warm:
            remembered = self.shell.desk.market.history(candle.symbol, candle.timeframe)
            if not remembered or candle.ts > remembered[-1].ts:
                self.shell.cycle.turn(candle)

    def admit(self, file: Path, actor: str) -> SourceSpec:
        """Let in the source of a YAML file while the bot runs; it warms up on the candles that the desk remembers."""
        source = with_settings(load_source(file), self.settings)
        traded = self.settings.exchange.symbols
        lacking = source.lacks(self.means)
        if lacking is not None:
            message = f"{file}: {lacking}"
            raise ValueError(message)
        missing = [timeframe for timeframe in source.timeframes if timeframe not in self.world.timeframes]
        if missing:
            message = f"{file}: this run has no candles of {', '.join(missing)}; add them to exchange.timeframes and start again"
            raise ValueError(message)
        self.know(source)
        life = source.live(traded, self.means)
        if life is not None:
            self.host.add_life(life, actor)
            return source.spec
        step = source.step(traded)
        if step is None:
            message = f"{file}: it has nothing to propose"
            raise ValueError(message)
        missing = [f"{timeframe} of {symbol}" for symbol, timeframe in step.feeds if not self._follows(symbol, timeframe)]
        if missing:
            message = f"{file}: this run has no candles {', '.join(missing)}; add them to exchange.timeframes and start again"
            raise ValueError(message)
        market = self.shell.desk.market
        for symbol, timeframe in step.feeds:
            for candle in tuple(market.history(symbol, timeframe)):
                step.warm(candle, market)
        self.host.add_step(step, actor)
        return source.spec

    def _follows(self, symbol: str, timeframe: str) -> bool:
        return timeframe in self.world.timeframes and symbol in self.settings.exchange.symbols
