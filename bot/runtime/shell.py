"""The shell: it feeds the desk from the inbox and does what the desk asks.

One task owns the desk. It takes what arrived, lets the broker that fills orders itself see the market first, turns the cycle,
lets the steps of the traditional sources look at closed candles, and arms the next timer. Effects are performed where they are
cheap (the journal's buffer) or handed to who may take time. What is only told (the feed, the screen) waits until the turns that
an input causes are over: an order does not wait until its cause is told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import structlog

from bot.core.desk import TradingDesk
from bot.core.effects import CancelOrder, Notify, Publish, Record, SetTimer, StoreIntent, SubmitOrder, SubmitPair
from bot.core.facts import Fact
from bot.core.inputs import Backlog, Input, IntentFailed, IntentStored, MarketHealth, Proposed, Wake
from bot.core.market import Candle, Quote, Trade
from bot.core.protocols import Broker, MatchingBroker
from bot.journal.journal import Journal
from bot.outlets.outlets import Outlets
from bot.runtime.clock import WallClock
from bot.runtime.cycle import Cycle
from bot.runtime.hosting import SourceHost
from bot.runtime.inbox import Inbox
from bot.runtime.tally import Tally

log = structlog.get_logger(__name__)

_BREATH = 64
_Told = Record | Publish | Quote | Candle


@dataclass(frozen=True, slots=True)
class ShellRules:
    """`await_intent`: orders wait until their intent is on the disk. Above `alarm` waiting broker updates entries halt."""

    await_intent: bool = True
    alarm: int = 1_000


class Shell:
    """The running desk. `saw` is told every fact; it must return at once."""

    def __init__(
        self,
        desk: TradingDesk,
        inbox: Inbox,
        clock: WallClock,
        journal: Journal,
        outlets: Outlets,
        rules: ShellRules,
        saw: Callable[[Fact], None],
    ) -> None:
        self.desk = desk
        self.inbox = inbox
        self.clock = clock
        self.journal = journal
        self.outlets = outlets
        self.tally = Tally()
        self.cycle = Cycle(desk, self, journal)
        self.host: SourceHost | None = None
        self._broker: Broker | None = None
        self._matching: MatchingBroker | None = None
        self._rules = rules
        self._saw = saw
        self._untold: deque[_Told] = deque()
        self._backlog = desk.state.risk.backlog
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._stopping = False

    @property
    def broker(self) -> Broker:
        """Where orders go; `RuntimeError` before `connect`."""
        if self._broker is None:
            message = "the shell has no broker yet: call connect first"
            raise RuntimeError(message)
        return self._broker

    def connect(self, broker: Broker, host: SourceHost, matching: MatchingBroker | None = None) -> None:
        """Give the shell its broker and its sources; a broker that fills orders itself is `matching` too, and sees the market."""
        self._broker, self.host, self._matching = broker, host, matching

    async def run(self) -> None:
        """Own the desk until `stop`; everything that arrived before is still handled."""
        inbox = self.inbox
        self._tell()
        try:
            while not self._stopping or len(inbox):
                await inbox.wait()
                for _ in range(_BREATH):
                    arrival = inbox.take()
                    if arrival is None:
                        break
                    self._take(*arrival)
                if inbox.take_wake():
                    self._wake()
                self._tell()
                self._arm()
        finally:
            self._disarm()

    def stop(self) -> None:
        """End `run` once the inbox is empty."""
        self._stopping = True
        self.inbox.wake()

    def on_quote(self, quote: Quote) -> None:
        """From the feed."""
        self.inbox.put_quote(quote)

    def on_trade(self, trade: Trade) -> None:
        """From the feed."""
        self.inbox.put_trade(trade)

    def on_candle(self, candle: Candle) -> None:
        """From the feed."""
        self.inbox.put_market(candle)

    def on_health(self, health: MarketHealth) -> None:
        """From the feed."""
        self.inbox.put_market(health)

    def store(self, effect: StoreIntent) -> None:
        """Journal an intent. The answer comes back as an input, at once where nobody waits for the disk."""
        request, inbox, clock, stages = effect.request, self.inbox, self.clock, self.tally.stages
        waits = self._rules.await_intent
        self.tally.intend(request)

        def stored(error: Exception | None) -> None:
            now = clock.now()
            if error is not None:
                inbox.put_broker(IntentFailed(now, request.id, str(error)))
                return
            stages.keep(request.id)
            if waits:
                inbox.put_broker(IntentStored(now, request.id))

        self.journal.store(request, self.desk.market.now, stored)
        if not waits:
            self.cycle.turn(IntentStored(self.desk.market.now, request.id))

    def submit(self, effect: SubmitOrder) -> None:
        """Send an order."""
        self.tally.stages.send(effect.request.id)
        self.broker.submit(effect.request, self.desk.market.now)

    def submit_pair(self, effect: SubmitPair) -> None:
        """Send two orders of which one cancels the other."""
        for request in (effect.stop, effect.target):
            self.tally.stages.send(request.id)
        self.broker.submit_pair(effect.stop, effect.target, self.desk.market.now)

    def cancel(self, effect: CancelOrder) -> None:
        """Cancel an order."""
        self.broker.cancel(effect.order_id, effect.symbol, self.desk.market.now)

    def record(self, effect: Record) -> None:
        """Count a fact; it is journaled and published after the turn, when the input that gave it is on the tape."""
        self.tally.observe(effect.fact)
        self._untold.append(effect)

    def publish(self, effect: Publish) -> None:
        """Publish a fact that needs no row, after the turn."""
        self._untold.append(effect)

    def notify(self, effect: Notify) -> None:
        """Tell the person."""
        self.outlets.notify(effect)

    def timer(self, effect: SetTimer) -> None:
        """The timer is armed after the turn, from the desk's own next deadline."""

    def _take(self, event: Input | Trade, arrived: float) -> None:
        tally = self.tally
        tally.arrived = arrived
        kind = event.__class__
        if kind is Quote:
            tally.market_events += 1
            self._on_quote(event)  # type: ignore[arg-type]
        elif kind is Trade:
            tally.market_events += 1
            if self._matching is not None:
                self._matching.on_trade(event)  # type: ignore[arg-type]
        elif kind is Candle:
            tally.market_events += 1
            self._on_candle(event)  # type: ignore[arg-type]
        else:
            self.cycle.turn(event)  # type: ignore[arg-type]
            self._watch_backlog()
        tally.handled.add(perf_counter() - arrived)
        self._tell()

    def _tell(self) -> None:
        """Journal and publish what the turns gave, in their order."""
        untold = self._untold
        while untold:
            told = untold.popleft()
            kind = told.__class__
            if kind is Record:
                self._keep(told)  # type: ignore[arg-type]
            elif kind is Publish:
                self.outlets.publish(told.fact)  # type: ignore[union-attr]
            else:
                self.outlets.publish(told)  # type: ignore[arg-type]

    def _keep(self, record: Record) -> None:
        self.journal.append(record.fact, durable=record.durable)
        self.outlets.publish(record.fact)
        self._saw(record.fact)

    def _on_quote(self, quote: Quote) -> None:
        if self._matching is not None:
            self._matching.on_quote(quote)
        self.cycle.turn(quote)
        self._untold.append(quote)

    def _on_candle(self, candle: Candle) -> None:
        self.cycle.turn(candle)
        self._untold.append(candle)
        if self.host is not None:
            for decision in self.host.step(candle, self.desk.market):
                self.cycle.turn(Proposed(candle.at, decision))

    def _watch_backlog(self) -> None:
        """Halt entries while broker updates pile up; say so both times."""
        depth = self.inbox.broker_depth
        over = depth > self._rules.alarm or (self._backlog and depth > self._rules.alarm // 2)
        if over is not self._backlog:
            self._backlog = over
            self.cycle.turn(Backlog(self.clock.now(), depth, over))

    def _wake(self) -> None:
        now = self.clock.now()
        if self._matching is not None:
            self._matching.wake(now)
        due = self.desk.next_timer
        if due is not None and due <= now:
            self.tally.arrived = perf_counter()
            self.cycle.turn(Wake(now))

    def _arm(self) -> None:
        """Ring when the desk or the broker next has something to do."""
        matching = None if self._matching is None else self._matching.next_due()
        dues = [due for due in (self.desk.next_timer, matching) if due is not None]
        if not dues:
            return
        at = min(dues)
        if self._timer is not None and self._timer_at == at:
            return
        self._disarm()
        self._timer_at = at
        delay = max(0.0, (at - self.clock.now()) / 1_000)
        self._timer = asyncio.get_running_loop().call_later(delay, self._ring)

    def _ring(self) -> None:
        """The timer is spent: whatever is still due, as when it rang a hair early, gets another."""
        self._timer = None
        self.inbox.wake()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
