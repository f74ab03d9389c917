"""The desk driven by recorded candles: the full desk, the paper broker and every source, faster than time.

Nothing here decides. A bar first meets the orders that rest at the paper broker (they fill at its open), then the desk (marks,
protection, shadows), then the sources, whose proposals enter the desk at the bar's close. Timers that fall between two bars
ring between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bot.core.desk import DeskConfig, Drive, TradingDesk
from bot.core.effects import CancelOrder, Notify, Publish, Record, SetTimer, StoreIntent, SubmitOrder
from bot.core.facts import Fact
from bot.core.inputs import Input, InstrumentChanged, IntentStored, Proposed, SourceJoined, Wake
from bot.core.market import Candle, Instrument
from bot.core.protocols import StepSource
from bot.market.candles import CandleAggregator
from bot.runtime.cycle import Cycle, Tape
from execution.paper import Drive as PaperDrive
from execution.paper import PaperBroker
from execution.paper_account import PaperAccount
from execution.paper_candles import FillOn

FactSink = Callable[[Fact], None]


def ignore_fact(fact: Fact) -> None:
    """The sink of a backtest that keeps nothing."""
    del fact


@dataclass(slots=True)
class BacktestPerformer:
    """Performs effects at once: intents need no disk here, the broker is paper, facts go to a sink."""

    sink: FactSink
    emit: Callable[[Input], None] = field(init=False)
    broker: PaperBroker = field(init=False)
    now: Callable[[], int] = field(init=False)
    notices: list[Notify] = field(default_factory=list)

    def store(self, effect: StoreIntent) -> None:
        """An intent is as durable as a backtest can be."""
        self.emit(IntentStored(self.now(), effect.request.id))

    def submit(self, effect: SubmitOrder) -> None:
        """To the paper broker."""
        self.broker.submit(effect.request, self.now())

    def cancel(self, effect: CancelOrder) -> None:
        """To the paper broker."""
        self.broker.cancel(effect.order_id, effect.symbol, self.now())

    def record(self, effect: Record) -> None:
        """To the sink."""
        self.sink(effect.fact)

    def publish(self, effect: Publish) -> None:
        """Nobody follows a backtest."""

    def notify(self, effect: Notify) -> None:
        """Kept for the report, the first thousand of them."""
        if len(self.notices) < 1_000:
            self.notices.append(effect)

    def timer(self, effect: SetTimer) -> None:
        """The engine asks the desk itself when it wants to be woken."""


class BacktestEngine:
    """One run of one desk over one stream of candles."""

    def __init__(
        self,
        config: DeskConfig,
        instruments: Mapping[str, Instrument],
        sources: Sequence[StepSource],
        *,
        sink: FactSink = ignore_fact,
        scripted: Iterable[Input] = (),
        tape: Tape | None = None,
    ) -> None:
        self.performer = BacktestPerformer(sink)
        self.desk = TradingDesk(config)
        self.cycle = Cycle(self.desk, self.performer, tape)
        account = PaperAccount.of({config.currency: config.balance})
        fill_on = FillOn.NEXT_OPEN if config.next_open else FillOn.SAME_CLOSE
        drive = PaperDrive.CANDLES if config.drive is Drive.CANDLES else PaperDrive.QUOTES
        self.broker = PaperBroker(instruments, config.fills, self.cycle.turn, drive, fill_on, account=account)
        self.performer.emit = self.cycle.turn
        self.performer.broker = self.broker
        self.performer.now = lambda: self.desk.market.now
        self.sources = tuple(sources)
        self._instruments = instruments
        self._scripted = iter(scripted)
        self._next_scripted: Input | None = next(self._scripted, None)
        self._steps: dict[tuple[str, str], list[StepSource]] = {}
        self._aggregators: dict[str, list[CandleAggregator]] = {}
        for source in self.sources:
            for feed in source.feeds:
                self._steps.setdefault(feed, []).append(source)
        self._prepare(config)

    def _prepare(self, config: DeskConfig) -> None:
        """Tell the desk its instruments and sources; build the timeframes that the data do not have."""
        for instrument in self._instruments.values():
            self.cycle.turn(InstrumentChanged(0, instrument))
        for source in self.sources:
            self.cycle.turn(SourceJoined(0, source.spec, "backtest"))
        for symbol, timeframe in self._steps:
            if timeframe != config.drive_timeframe:
                aggregator = CandleAggregator(symbol, config.drive_timeframe, timeframe)
                self._aggregators.setdefault(symbol, []).append(aggregator)

    def run(self, candles: Iterable[Candle]) -> Iterator[int]:
        """Drive the desk through the candles; yields the count of bars every few thousand, for progress, and once at the end."""
        deadlines, turn, broker, view = self.desk.state.deadlines, self.cycle.turn, self.broker, self.desk.market
        steps, aggregators, count = self._steps, self._aggregators, 0
        for candle in candles:
            at = candle.at
            while deadlines and deadlines[0][0] < at:
                turn(Wake(deadlines[0][0]))
            if self._next_scripted is not None:
                self._play_script(at)
            broker.on_candle(candle)
            turn(candle)
            for source in steps.get((candle.symbol, candle.timeframe), ()):
                decision = source.on_candle(candle, view)
                if decision is not None:
                    turn(Proposed(at, decision))
            if aggregators:
                self._aggregate(candle)
            count += 1
            if not count & 0xFFF:
                yield count
        yield count

    def _aggregate(self, candle: Candle) -> None:
        for aggregator in self._aggregators.get(candle.symbol, ()):
            larger = aggregator.on_candle(candle)
            if larger is None:
                continue
            self.cycle.turn(larger)
            for source in self._steps[(larger.symbol, larger.timeframe)]:
                decision = source.on_candle(larger, self.desk.market)
                if decision is not None:
                    self.cycle.turn(Proposed(candle.at, decision))

    def _play_script(self, before: int) -> None:
        """Enter the recorded decisions that were made before this bar closed."""
        while self._next_scripted is not None and self._next_scripted.at < before:
            self.cycle.turn(self._next_scripted)
            self._next_scripted = next(self._scripted, None)
