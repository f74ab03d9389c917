"""The live broker: orders go to a venue once, and whatever becomes of them reaches the desk once.

It answers at once and works in tasks of its own. What the venue says comes back over three roads: the answers to requests, the
account stream, and the polls behind it; `TrackedOrders` makes one story of them. A request whose answer is lost leaves the order
unknown, and the venue is asked; no order is ever sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict

import structlog

from bot.core.inputs import CancelRefused
from bot.core.orders import Order, OrderRequest, OrderState
from bot.core.protocols import Emit
from execution.account import NotSent, OrderReport, Refused, TradeReport, Unknown, VenueAccount
from execution.bounded import BoundedAccount
from execution.cancelling import Cancelling
from execution.enquiry import Enquiry, LiveRules, LiveStats, named
from execution.errands import Errands, waits
from execution.missing_trades import MissingTrades
from execution.polling import Polling
from execution.resolution import Resolution
from execution.tracked import Standing, Tracked, TrackedOrders

__all__ = ["LiveBroker", "LiveRules", "LiveStats"]

logger = structlog.get_logger(__name__)

_SUBMIT, _CANCEL, _UNDO, _RESOLVE, _TRADES = "submit", "cancel", "undo", "resolve", "trades"


class LiveBroker:
    """A `Broker` on an account at a venue, and the `AccountSink` of its stream.

    `notice` is told, in one line, what a person should know; `foreign` what the stream says of orders that are not ours.
    `jitter` gives a factor around one for every wait between tries.
    """

    def __init__(
        self,
        account: VenueAccount,
        tracked: TrackedOrders,
        emit: Emit,
        now: Callable[[], int],
        rules: LiveRules | None = None,
        *,
        notice: Callable[[str], None] = lambda text: None,
        foreign: Callable[[OrderReport | TradeReport], None] = lambda news: None,
        jitter: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self.rules = rules or LiveRules()
        self.counted = LiveStats()
        self._account = account
        self._orders = tracked
        self._emit = emit
        self._now = now
        self._notice = notice
        self._foreign = foreign
        self._jitter = jitter
        self._venue = BoundedAccount(account, self.rules.answer_ms)
        self._errands = Errands(self.rules.errands)
        enquiry = Enquiry(self._venue, tracked, self._hear, self._hear_trade, self.rules, self.counted, jitter)
        self._polling = Polling(enquiry, self._doubt)
        self._resolution = Resolution(enquiry, lambda given_up: self._polling.watch(given_up.request.symbol))
        self._cancelling = Cancelling(enquiry, self._doubt)
        self._missing = MissingTrades(enquiry)

    @property
    def stats(self) -> dict[str, int]:
        """Counters and present depths, by name."""
        return {
            **asdict(self.counted),
            **asdict(self._orders.stats),
            "errands": len(self._errands),
            "errands_failed": self._errands.failed + self._polling.failed,
            "errands_overflowed": self._errands.overflowed,
            "surprises": self._venue.surprises,
            "live": len(self._orders.live()),
        }

    @property
    def stream_up(self) -> bool:
        """Whether the account stream tells us of orders at the moment."""
        return self._polling.stream_up

    def submit(self, request: OrderRequest, at: int) -> None:
        """Send an order whose intent is durable; one that was handed over before is left as it is."""
        if self._orders.of(request.id) is not None:
            self.counted.submitted_twice += 1
            logger.error("order_submitted_twice", order=request.id, at=at)
            return
        tracked = self._orders.begin(request)
        self.counted.submitted += 1
        if not self._errands.start(_SUBMIT, request.id, lambda: self._create(tracked)):
            self._no_room(tracked)

    def submit_pair(self, stop: OrderRequest, target: OrderRequest, at: int) -> None:
        """Send a stop and a target in one request, once. From its answer on each is an order of its own."""
        if any(self._orders.of(request.id) is not None for request in (stop, target)):
            self.counted.submitted_twice += 1
            logger.error("order_submitted_twice", order=stop.id, target=target.id, at=at)
            return
        pair = self._orders.begin(stop), self._orders.begin(target)
        self.counted.submitted += 2
        if not self._errands.start(_SUBMIT, stop.id, lambda: self._create_pair(*pair)):
            for tracked in pair:
                self._no_room(tracked)
            return
        # A cancel of the target waits for the answer too.
        self._errands.start(_SUBMIT, target.id, lambda: self._errands.wait_for(_SUBMIT, stop.id))

    def cancel(self, order_id: str, symbol: str, at: int) -> None:
        """Ask the venue to cancel, after the answer to its submit; a cancel that is under way is not repeated."""
        tracked = self._orders.of(order_id)
        if tracked is None:
            self._emit(CancelRefused(max(at, self._now()), order_id, f"no order of ours on {symbol} has this id"))
        elif not self._errands.start(_CANCEL, order_id, lambda: self._cancel(tracked)):
            self._orders.cancel_refused(order_id, "not sent: too much is under way, or the broker is closing")

    def adopt(self, orders: Iterable[Order]) -> None:
        """Go on with the orders of an earlier process: ask for those whose fate is open, repeat the cancels that were wanted."""
        for order in orders:
            tracked = self._orders.adopt(order)
            if tracked.standing is Standing.UNKNOWN:
                self._resolve(tracked, 0)
            if order.cancelling and order.state is not OrderState.INTENT and tracked.standing is not Standing.ENDED:
                self.cancel(order.request.id, order.request.symbol, self._now())
        self._tend()
        self._polling.soon()

    def poll_now(self) -> None:
        """Let the next poll begin at once."""
        self._polling.soon()

    async def run(self) -> None:
        """Follow the account's stream and poll behind it, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="account stream")
            group.create_task(self._polling.run(self._tend), name="order polls")

    async def close(self, seconds: float) -> None:
        """Begin nothing more, give requests under way so long to be answered, and stop.

        What is not known by then stays as the journal has it and is asked for at the next start.
        """
        await self._errands.close(seconds, (_SUBMIT, _CANCEL, _UNDO))

    def on_order(self, report: OrderReport) -> None:
        """The stream told of an order."""
        self._listen(report, self._hear)

    def on_trade(self, report: TradeReport) -> None:
        """The stream told of a trade."""
        self._listen(report, self._hear_trade)

    def on_connected(self) -> None:
        """The stream is up: what it told while it was not must be asked for."""
        self._polling.stream_up = True
        self._polling.soon()

    def on_lost(self, reason: str) -> None:
        """The stream is down: polls take its place, at a faster pace."""
        if self._polling.stream_up:
            logger.warning("account_stream_lost", reason=reason)
        self.counted.stream_lost += 1
        self._polling.stream_up = False
        self._polling.soon()

    async def _create(self, tracked: Tracked) -> None:
        """Send an order, once, and say which of the three outcomes it had."""
        try:
            report = await self._venue.create(tracked.request)
        except (NotSent, Refused, Unknown) as error:
            self._not_made(tracked, error)
        else:
            self._hear(named(report, tracked.request))

    async def _create_pair(self, stop: Tracked, target: Tracked) -> None:
        """Send two orders in one request, once; its outcome is that of both."""
        try:
            reports = await self._venue.create_pair(stop.request, target.request)
        except (NotSent, Refused, Unknown) as error:
            for tracked in (stop, target):
                self._not_made(tracked, error)
        else:
            for tracked, report in zip((stop, target), reports, strict=True):
                self._hear(named(report, tracked.request))

    def _not_made(self, tracked: Tracked, error: NotSent | Refused | Unknown) -> None:
        match error:
            case NotSent():
                self.counted.not_sent += 1
                self._unsent(tracked, error)
            case Refused():
                self.counted.refused += 1
                self._refused(tracked, error.reason)
            case Unknown():
                self.counted.unknown += 1
                self._orders.unknown(tracked.id, error.reason)
                self._tend_one(tracked)

    def _no_room(self, tracked: Tracked) -> None:
        self.counted.not_sent += 1
        self._orders.unsent(tracked.id, "not sent: too much is under way, or the broker is closing", self.rules.first_wait_ms)

    def _unsent(self, tracked: Tracked, error: NotSent) -> None:
        """It stayed here: for now, or for good where no other try would help."""
        reason = f"not sent: {error.reason}"
        if error.retry_after_ms and tracked.standing is Standing.SENDING:
            self._orders.unsent(tracked.id, reason, error.retry_after_ms)
        else:
            self._refused(tracked, reason)

    def _refused(self, tracked: Tracked, reason: str) -> None:
        self._orders.refused(tracked.id, reason)
        if tracked.standing is Standing.LIVE:
            logger.error("refused_order_lives", order=tracked.id, reason=reason)
            self._doubt(tracked)

    async def _cancel(self, tracked: Tracked) -> None:
        await self._errands.wait_for(_SUBMIT, tracked.id)
        await self._cancelling.cancel(tracked)

    def _hear(self, report: OrderReport) -> Tracked | None:
        """Merge what the venue says of an order, and do what follows from it."""
        tracked = self._orders.report(report)
        if tracked is not None:
            self._follow_up(tracked, lives=not report.status.ended)
        return tracked

    def _hear_trade(self, trade: TradeReport) -> Tracked | None:
        """Merge a trade, and do what follows from it."""
        tracked = self._orders.trade(trade)
        if tracked is not None:
            self._follow_up(tracked, lives=tracked.filled < tracked.request.amount)
        return tracked

    def _follow_up(self, tracked: Tracked, *, lives: bool) -> None:
        if tracked.given_up and lives:
            self._undo(tracked)
        if tracked.lacking:
            self._fetch_trades(tracked.request.symbol)

    def _undo(self, tracked: Tracked) -> None:
        """An order the desk has given up lives after all: it must not go on trading behind the desk's back."""
        if self._errands.runs(_UNDO, tracked.id):
            return
        self.counted.late_accepts += 1
        self._notice(f"Order {tracked.id} on {tracked.request.symbol} was given up ({tracked.reason}) and lives: cancelling it")
        self._errands.start(_UNDO, tracked.id, lambda: self._cancelling.undo(tracked))

    def _doubt(self, tracked: Tracked) -> None:
        """The venue does not find an order of ours: find out, unless that is being done."""
        if tracked.standing is not Standing.ENDED:
            self._resolve(tracked, self.rules.first_wait_ms)

    def _resolve(self, tracked: Tracked, first_wait_ms: int) -> None:
        self._errands.start(_RESOLVE, tracked.id, lambda: self._resolution.settle(tracked, first_wait_ms))

    def _fetch_trades(self, symbol: str) -> None:
        self._errands.start(_TRADES, symbol, lambda: self._missing.fetch(symbol))

    def _tend(self) -> None:
        """See that every doubt is being settled and every missing trade asked for, also where there was no room before."""
        for tracked in self._orders.live():
            self._tend_one(tracked)
        for tracked in self._orders.lacking():
            self._fetch_trades(tracked.request.symbol)
        for news in self._orders.unclaimed():
            self._tell_foreign(news)

    def _tend_one(self, tracked: Tracked) -> None:
        if tracked.standing is Standing.UNKNOWN:
            self._resolve(tracked, self.rules.first_wait_ms)

    def _listen(self, news: OrderReport | TradeReport, hear: Callable[..., Tracked | None]) -> None:
        """Merge what the stream says. The stream's own task must not end for a fault of ours."""
        try:
            if hear(news) is None and not self._orders.waits(news):
                self._tell_foreign(news)
        except Exception as error:
            self.counted.unheard += 1
            logger.error("account_news_unheard", error=type(error).__name__, exc_info=True)

    def _tell_foreign(self, news: OrderReport | TradeReport) -> None:
        self.counted.foreign += 1
        self._foreign(news)

    async def _follow(self) -> None:
        """Keep the account stream followed. It reconnects by itself; if it ends all the same, it is begun again."""
        for wait in waits(self.rules.first_wait_ms, self.rules.longest_wait_ms, self._jitter):
            reason = "the account stream ended"
            try:
                await self._account.follow(self)
            except Exception as error:  # noqa: BLE001 - whatever ended the stream, polls go on and it is begun again
                reason = f"the account stream failed: {type(error).__name__}"
                logger.error("account_stream_failed", error=type(error).__name__)
            self.on_lost(reason)
            await asyncio.sleep(wait)
