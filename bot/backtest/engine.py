"""The desk driven by recorded candles: the full desk, the paper broker and every source, faster than time.

Nothing here decides. A bar first meets the orders that rest at the paper broker (they fill at its open), then the desk (marks,
protection, shadows), then the sources, whose proposals enter the desk at the bar's close. Timers that fall between two bars, and
what was recorded in between, come between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bot.core.decision import Decision, SourceSpec
from bot.core.desk import DeskConfig, Drive, TradingDesk
from bot.core.effects import CancelOrder, Notify, Publish, Record, SetTimer, StoreIntent, SubmitOrder, SubmitPair
from bot.core.facts import Fact
from bot.core.inputs import Input, InstrumentChanged, IntentStored, Proposed, SourceJoined, Wake
from bot.core.market import Candle, Instrument, MarketView
from bot.core.protocols import StepSource
from bot.market.candles import CandleAggregator
from bot.runtime.cycle import Cycle, Tape
from execution.paper import Drive as PaperDrive
from execution.paper import PaperBroker
from execution.paper_account import PaperAccount
from execution.paper_candles import FillOn

FactSink = Callable[[Fact], None]
Step = Callable[[Candle, MarketView], Decision | None]

_PROGRESS = 0xFFF


class Line(Protocol):
    """Something that was recorded and is said again at its time."""

    @property
    def at(self) -> int:
        """When, in milliseconds UTC."""
        ...

    def say(self, view: MarketView) -> Input:
        """The input, made when its time has come, so that it may read the market of that moment."""
        ...


@dataclass(slots=True)
class Curve:
    """The book at every moment at which bars closed, all symbols of it together: equity and gross exposure, mark to market.

    A sample is taken when the next bar comes, so it holds all that a moment's decisions set off before.
    """

    at: list[int] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    exposure: list[float] = field(default_factory=list)


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

    def submit_pair(self, effect: SubmitPair) -> None:
        """To the paper broker."""
        self.broker.submit_pair(effect.stop, effect.target, self.now())

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
    """One run of one desk over one stream of candles, all of them of the timeframe that drives the desk.

    `sources` are stepped; larger timeframes that they ask for are built from the data. `scripted` lines, in the order of their
    times, are said by the sources that `speakers` describes. Facts go to `sink`, inputs and effects to `tape`.
    """

    def __init__(
        self,
        config: DeskConfig,
        instruments: Mapping[str, Instrument],
        sources: Sequence[StepSource],
        *,
        sink: FactSink = ignore_fact,
        scripted: Iterable[Line] = (),
        speakers: Sequence[SourceSpec] = (),
        tape: Tape | None = None,
    ) -> None:
        self.performer = BacktestPerformer(sink)
        self.desk = TradingDesk(config)
        self.cycle = Cycle(self.desk, self.performer, tape)
        self.curve = Curve()
        self.bars = 0
        account = PaperAccount.of({config.currency: config.balance})
        fill_on = FillOn.NEXT_OPEN if config.next_open else FillOn.SAME_CLOSE
        drive = PaperDrive.CANDLES if config.drive is Drive.CANDLES else PaperDrive.QUOTES
        self.broker = PaperBroker(instruments, config.fills, self.cycle.turn, drive, fill_on, account=account)
        self.performer.emit = self.cycle.turn
        self.performer.broker = self.broker
        self.performer.now = lambda: self.desk.market.now
        self.sources = tuple(sources)
        self._script = iter(scripted)
        self._next_line = next(self._script, None)
        self._steps: dict[str, list[Step]] = {}
        self._larger: dict[str, list[tuple[CandleAggregator, list[Step]]]] = {}
        for instrument in instruments.values():
            self.cycle.turn(InstrumentChanged(0, instrument))
        for spec in (*speakers, *(source.spec for source in self.sources)):
            self.cycle.turn(SourceJoined(0, spec, "backtest"))
        self._wire(config.drive_timeframe)

    def _wire(self, base: str) -> None:
        """Who steps on which candle; the timeframes that the data do not have are built once, however many ask for them."""
        wanted: dict[tuple[str, str], list[Step]] = {}
        for source in self.sources:
            for feed in source.feeds:
                wanted.setdefault(feed, []).append(source.on_candle)
        for (symbol, timeframe), steps in wanted.items():
            if timeframe == base:
                self._steps[symbol] = steps
            else:
                self._larger.setdefault(symbol, []).append((CandleAggregator(symbol, base, timeframe), steps))

    def run(self, candles: Iterable[Candle]) -> Iterator[int]:
        """Drive the desk through the candles; yields the count of bars every few thousand, for progress, and once at the end."""
        deadlines, turn, on_candle, view = self.desk.state.deadlines, self.cycle.turn, self.broker.on_candle, self.desk.market
        steps, larger, count, moment, nobody = self._steps, self._larger, self.bars, 0, list[Step]()
        taped, handle, perform = self.cycle.tape is not None, self.desk.handle, self.cycle.perform
        books, keep_at = self.desk.portfolio, self.curve.at.append
        keep_equity, keep_exposure = self.curve.equity.append, self.curve.exposure.append
        for candle in candles:
            at = candle.at
            if at != moment:
                if self._next_line is not None or (deadlines and deadlines[0][0] < at):
                    self._reach(at)
                if moment:
                    keep_at(moment)
                    keep_equity(books.equity)
                    keep_exposure(books.exposure)
                moment = at
            on_candle(candle)
            if taped:
                turn(candle)
            elif effects := handle(candle):
                perform(effects)
            for step in steps.get(candle.symbol, nobody):
                decision = step(candle, view)
                if decision is not None:
                    turn(Proposed(at, decision))
            if larger:
                self._enlarge(candle)
            count += 1
            if not count & _PROGRESS:
                self.bars = count
                yield count
        if moment:
            keep_at(moment)
            keep_equity(books.equity)
            keep_exposure(books.exposure)
        self.bars = count
        yield count

    def _reach(self, at: int) -> None:
        """Say the recorded lines and ring the timers that come before `at`."""
        if self._next_line is not None:
            self._play_script(at)
        deadlines = self.desk.state.deadlines
        while deadlines and deadlines[0][0] < at:
            self.cycle.turn(Wake(deadlines[0][0]))

    def _enlarge(self, candle: Candle) -> None:
        """Let the sources that ask for a larger timeframe see its candle once its last part has closed."""
        for aggregator, steps in self._larger.get(candle.symbol, ()):
            whole = aggregator.on_candle(candle)
            if whole is None:
                continue
            self.cycle.turn(whole)
            for step in steps:
                decision = step(whole, self.desk.market)
                if decision is not None:
                    self.cycle.turn(Proposed(candle.at, decision))

    def _play_script(self, before: int) -> None:
        """Say the recorded lines whose time comes before this bar closes, and ring the timers that come before each of them."""
        deadlines, turn = self.desk.state.deadlines, self.cycle.turn
        while (line := self._next_line) is not None and line.at < before:
            while deadlines and deadlines[0][0] < line.at:
                turn(Wake(deadlines[0][0]))
            turn(line.say(self.desk.market))
            self._next_line = next(self._script, None)
