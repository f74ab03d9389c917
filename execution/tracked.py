"""Tracked orders: where what the venue says, in whatever order and however often, becomes what the desk is told once.

Reports and trades of the same order reach us over several roads (the answer to the request, the account stream, polls, lists of
trades), late, twice or out of order. Whatever the road, the desk is told the same: accepted at most once and before anything else
of its life, each trade once, its end once. Nothing here waits, asks or reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from bot.core.inputs import CancelRefused, Closing, Filled, OrderAccepted, OrderClosed, OrderNotSent, OrderRefused, OrderUnknown
from bot.core.orders import ZERO, Fill, Order, OrderRequest, OrderState
from bot.core.protocols import Emit
from execution.account import OrderReport, ReportStatus, TradeReport

_SYNTHETIC = "synthetic:"
_LESS = "~"
"""Between a trade's id and how much of it a synthetic fill had already told."""


class Standing(StrEnum):
    """What we know of an order's life. SENDING: no answer yet; UNKNOWN: the answer was lost."""

    SENDING = "sending"
    UNKNOWN = "unknown"
    LIVE = "live"
    ENDED = "ended"


class End(StrEnum):
    """How an order ended. REFUSED and LOST are our conclusions that it does not live; the others are the venue's reports."""

    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    REFUSED = "refused"
    LOST = "lost"


@dataclass(slots=True)
class Tracked:
    """One order of ours, as far as the venue has told.

    `filled` sums the fills told to the desk, `reported` is the most the venue said it filled. `unbacked` is what synthetic fills
    told and no real trade has covered yet. `since` and `updated` are milliseconds of our clock.
    """

    request: OrderRequest
    since: int
    updated: int
    standing: Standing = Standing.SENDING
    venue_id: str | None = None
    accepted: bool = False
    filled: Decimal = ZERO
    reported: Decimal = ZERO
    unbacked: Decimal = ZERO
    price: Decimal | None = None
    end: End | None = None
    reason: str = ""
    fill_ids: dict[str, None] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The client order id."""
        return self.request.id

    @property
    def lacking(self) -> Decimal:
        """What the venue filled and no trade has told yet."""
        return max(self.reported - self.filled, ZERO)

    @property
    def given_up(self) -> bool:
        """Whether the desk was told that it never lived, or lives no more, without the venue having reported its end."""
        return self.end in {End.REFUSED, End.LOST}


@dataclass(slots=True)
class TrackingStats:
    """Counters: news that changed nothing, and waiting news dropped because too much of it waited."""

    repeated_trades: int = 0
    old_reports: int = 0
    dropped: int = 0
    synthetic_fills: int = 0


class TrackedOrders:
    """The orders of this bot at one venue, from the moment they are handed over.

    `keep_done` ended orders stay known, so that late news of them is recognised as ours; as many pieces of news may wait for the
    venue's id of their order to become known.
    """

    def __init__(self, emit: Emit, now: Callable[[], int], keep_done: int = 1_000) -> None:
        self.stats = TrackingStats()
        self._emit = emit
        self._now = now
        self._keep = keep_done
        self._orders: dict[str, Tracked] = {}
        self._working: dict[str, Tracked] = {}
        self._lacking: dict[str, Tracked] = {}
        self._by_venue: dict[tuple[str, str], str] = {}
        self._names: dict[str, list[tuple[str, str]]] = {}
        self._done: deque[str] = deque()
        self._waiting: deque[OrderReport | TradeReport] = deque()

    def begin(self, request: OrderRequest) -> Tracked:
        """Follow an order that is about to be sent; one that is followed already stays as it is."""
        tracked = self._orders.get(request.id)
        if tracked is None:
            now = self._now()
            tracked = self._orders[request.id] = self._working[request.id] = Tracked(request, now, now)
        return tracked

    def adopt(self, order: Order) -> Tracked:
        """Go on with an order of an earlier process, as the desk has it; what was not open must be asked for."""
        known = self._orders.get(order.request.id)
        if known is not None:
            return known
        tracked = self.begin(order.request)
        tracked.filled = order.filled
        tracked.fill_ids = dict(order.fill_ids)
        tracked.reported = max(order.reported, order.filled)
        tracked.reason = order.reason
        tracked.accepted = order.state is OrderState.OPEN or order.state.terminal
        tracked.standing = Standing.LIVE if order.state is OrderState.OPEN else Standing.UNKNOWN
        _recall_synthetic(tracked)
        if order.venue_id:
            self._name(tracked, order.venue_id)
        end = _ENDS.get(order.closing or order.state)
        if end is not None:
            self._end(tracked, end, order.reason)
        self._settle(tracked)
        return tracked

    def report(self, report: OrderReport) -> Tracked | None:
        """Merge what the venue says of an order; None if it is not ours, or waits to be known as ours."""
        tracked = self._find(report.symbol, report.client_id, report.venue_id)
        if tracked is None:
            self._wait(report, report.client_id)
            return None
        self._name(tracked, report.venue_id)
        self._merge(tracked, report)
        self._claim(tracked)
        return tracked

    def trade(self, trade: TradeReport) -> Tracked | None:
        """Merge a trade, once; None if it is not ours, or waits to be known as ours."""
        tracked = self._find(trade.symbol, trade.client_id, trade.venue_order_id)
        if tracked is None:
            self._wait(trade, trade.client_id)
            return None
        self._name(tracked, trade.venue_order_id)
        self._book(tracked, trade)
        self._claim(tracked)
        return tracked

    def refused(self, client_id: str, reason: str) -> None:
        """The order never lived: the venue said no, or it was not sent. Ignored where the venue has told of it otherwise."""
        tracked = self._orders[client_id]
        if tracked.standing in {Standing.SENDING, Standing.UNKNOWN}:
            self._end(tracked, End.REFUSED, reason)
            self._emit(OrderRefused(self._now(), client_id, reason))

    def unsent(self, client_id: str, reason: str, again_ms: int) -> None:
        """The order was not sent, and another may be after so long. Ignored where the venue has told of it otherwise."""
        tracked = self._orders[client_id]
        if tracked.standing is Standing.SENDING:
            self._end(tracked, End.REFUSED, reason)
            self._emit(OrderNotSent(self._now(), client_id, reason, again_ms))

    def unknown(self, client_id: str, reason: str) -> None:
        """The answer was lost. Ignored where the venue has told of the order meanwhile."""
        tracked = self._orders[client_id]
        if tracked.standing is Standing.SENDING:
            tracked.standing = Standing.UNKNOWN
            tracked.reason = reason
            tracked.updated = self._now()
            self._emit(OrderUnknown(tracked.updated, client_id, reason))

    def lost(self, client_id: str, reason: str) -> None:
        """The venue for certain does not have the order: it never lived, or, where it was known to have lived, is over."""
        tracked = self._orders[client_id]
        if tracked.standing is Standing.ENDED:
            return
        lived = tracked.accepted or tracked.filled or tracked.reported
        self._end(tracked, End.LOST, reason)
        if lived:
            total = max(tracked.reported, tracked.filled)
            self._emit(OrderClosed(self._now(), client_id, Closing.CANCELLED, total, reason))
        else:
            self._emit(OrderRefused(self._now(), client_id, reason))

    def cancel_refused(self, client_id: str, reason: str) -> None:
        """The order was not cancelled. Said only while it works, else its end has been told."""
        if client_id in self._working:
            self._emit(CancelRefused(self._now(), client_id, reason))

    def synthetic(self, tracked: Tracked, amount: Decimal, price: Decimal) -> None:
        """Tell a fill that the venue reports and does not list, without a fee; a real trade that comes after all adds nothing."""
        before, after = tracked.filled, tracked.filled + amount
        made = f"{_SYNTHETIC}{tracked.id}:{before:f}:{after:f}"
        tracked.unbacked += amount
        self.stats.synthetic_fills += 1
        request = tracked.request
        fee_currency = request.symbol.partition(":")[0].rpartition("/")[2]
        self._tell(
            tracked,
            Fill(
                made,
                tracked.id,
                request.symbol,
                request.side,
                amount,
                price,
                ZERO,
                fee_currency,
                self._now(),
                evidence="synthetic",
            ),
        )

    def live(self) -> list[Tracked]:
        """Every order that is not over, oldest first, those without an answer included."""
        return list(self._working.values())

    def lacking(self) -> list[Tracked]:
        """Orders of which the venue reports more filled than trades have told."""
        return list(self._lacking.values())

    def of(self, client_id: str) -> Tracked | None:
        """The order under our own id."""
        return self._orders.get(client_id)

    def of_venue(self, symbol: str, venue_id: str) -> Tracked | None:
        """The order under the venue's id."""
        client_id = self._by_venue.get((symbol, venue_id))
        return None if client_id is None else self._orders.get(client_id)

    def waits(self, news: OrderReport | TradeReport) -> bool:
        """Whether this news waits for its order to become known."""
        return news in self._waiting

    def unclaimed(self) -> list[OrderReport | TradeReport]:
        """Waiting news that is not ours, now that every order of its symbol has a venue id; it waits no longer."""
        nameless = {tracked.request.symbol for tracked in self._working.values() if tracked.venue_id is None}
        strange = [news for news in self._waiting if news.symbol not in nameless]
        self._waiting = deque(news for news in self._waiting if news.symbol in nameless)
        return strange

    def _find(self, symbol: str, client_id: str | None, venue_id: str) -> Tracked | None:
        tracked = self._orders.get(client_id) if client_id else None
        if tracked is None:
            return self.of_venue(symbol, venue_id)
        return tracked if tracked.request.symbol == symbol else None

    def _wait(self, news: OrderReport | TradeReport, client_id: str | None) -> None:
        """Keep news that names no client id, as long as an order exists that it may be of."""
        possible = any(one.venue_id is None and one.request.symbol == news.symbol for one in self._working.values())
        if client_id or not possible or news in self._waiting:
            return
        if len(self._waiting) >= self._keep:
            self._waiting.popleft()
            self.stats.dropped += 1
        self._waiting.append(news)

    def _name(self, tracked: Tracked, venue_id: str) -> None:
        """The venue calls it so; an order may change its name (a stop that was triggered does, at some)."""
        key = (tracked.request.symbol, venue_id)
        if venue_id and key not in self._by_venue:
            self._by_venue[key] = tracked.id
            self._names.setdefault(tracked.id, []).append(key)
            tracked.venue_id = venue_id

    def _claim(self, tracked: Tracked) -> None:
        """Merge the news that waited for this order's name."""
        if not self._waiting:
            return
        names = self._names.get(tracked.id, ())
        mine = [news for news in self._waiting if (news.symbol, _venue_id(news)) in names]
        if mine:
            self._waiting = deque(news for news in self._waiting if (news.symbol, _venue_id(news)) not in names)
        for news in mine:
            if isinstance(news, TradeReport):
                self._book(tracked, news)
            else:
                self._merge(tracked, news)

    def _merge(self, tracked: Tracked, report: OrderReport) -> None:
        if report.status is ReportStatus.REJECTED and not (report.filled or tracked.filled or tracked.reported):
            self._reject(tracked, report)
            return
        self._accept(tracked)
        for trade in report.trades:
            self._book(tracked, trade)
        filled = _filled(report, tracked.request)
        if filled < tracked.reported:
            self.stats.old_reports += 1
        elif report.price is not None:
            tracked.price = report.price
        tracked.reported = max(tracked.reported, filled)
        if report.status.ended:
            self._close(tracked, report)
        self._settle(tracked)

    def _accept(self, tracked: Tracked) -> None:
        if tracked.standing is Standing.ENDED:
            return
        tracked.standing = Standing.LIVE
        if not tracked.accepted:
            tracked.accepted = True
            tracked.updated = self._now()
            self._emit(OrderAccepted(tracked.updated, tracked.id, tracked.venue_id or ""))

    def _book(self, tracked: Tracked, trade: TradeReport) -> None:
        """Tell a trade once, less what a synthetic fill has told of it."""
        if trade.id in tracked.fill_ids:
            self.stats.repeated_trades += 1
            return
        self._accept(tracked)
        covered = min(trade.amount, tracked.unbacked)
        tracked.fill_ids[trade.id] = None
        tracked.unbacked -= covered
        if covered == trade.amount:
            return
        name = f"{trade.id}{_LESS}{covered:f}" if covered else trade.id
        request = tracked.request
        # The synthetic fill paid no fee, so the part that is left to tell carries the whole of it.
        fill = Fill(
            name,
            tracked.id,
            request.symbol,
            trade.side,
            trade.amount - covered,
            trade.price,
            trade.fee,
            trade.fee_currency,
            trade.ts,
            trade.maker,
        )
        self._tell(tracked, fill)

    def _tell(self, tracked: Tracked, fill: Fill) -> None:
        tracked.fill_ids[fill.id] = None
        tracked.filled += fill.amount
        tracked.updated = self._now()
        self._emit(Filled(tracked.updated, fill))
        if tracked.filled >= tracked.request.amount:
            self._end(tracked, End.FILLED, "")
        self._settle(tracked)

    def _reject(self, tracked: Tracked, report: OrderReport) -> None:
        if tracked.standing is not Standing.ENDED:
            self._end(tracked, End.REJECTED, report.reason)
            self._emit(OrderRefused(self._now(), tracked.id, report.reason))

    def _close(self, tracked: Tracked, report: OrderReport) -> None:
        """The venue says it is over. What it left unfilled is told; one that filled whole is told by its fills."""
        if tracked.standing is Standing.ENDED:
            return
        total = tracked.reported = max(tracked.reported, tracked.filled)
        if total >= tracked.request.amount:
            self._end(tracked, End.FILLED, report.reason)
            return
        how = Closing.CANCELLED if report.status is ReportStatus.CANCELLED else Closing.EXPIRED
        self._end(tracked, End(how.value), report.reason)
        self._emit(OrderClosed(self._now(), tracked.id, how, total, report.reason))

    def _end(self, tracked: Tracked, end: End, reason: str) -> None:
        if tracked.standing is Standing.ENDED:
            return
        tracked.standing, tracked.end, tracked.reason, tracked.updated = Standing.ENDED, end, reason, self._now()
        del self._working[tracked.id]
        self._done.append(tracked.id)
        self._forget()

    def _settle(self, tracked: Tracked) -> None:
        """Know whether its trades must be asked for."""
        if tracked.lacking:
            self._lacking[tracked.id] = tracked
        else:
            self._lacking.pop(tracked.id, None)

    def _forget(self) -> None:
        """Let the oldest that ended go, but none whose trades are still to come."""
        for _ in range(len(self._done) - self._keep):
            oldest = self._done.popleft()
            if oldest in self._lacking:
                self._done.append(oldest)
                continue
            del self._orders[oldest]
            for name in self._names.pop(oldest, ()):
                del self._by_venue[name]


_ENDS = {
    OrderState.FILLED: End.FILLED,
    OrderState.CANCELLED: End.CANCELLED,
    OrderState.EXPIRED: End.EXPIRED,
    OrderState.REJECTED: End.REJECTED,
}


def _venue_id(news: OrderReport | TradeReport) -> str:
    return news.venue_order_id if isinstance(news, TradeReport) else news.venue_id


def _filled(report: OrderReport, request: OrderRequest) -> Decimal:
    """How much a report says traded; an order called filled without a figure filled whole."""
    told = max(report.filled, sum((trade.amount for trade in report.trades), ZERO))
    if report.status is ReportStatus.FILLED and not told:
        return report.amount or request.amount
    return told


def _recall_synthetic(tracked: Tracked) -> None:
    """Read from the ids of fills how much of them was synthetic, and which trades have covered it since."""
    for name in tuple(tracked.fill_ids):
        if name.startswith(_SYNTHETIC):
            _, before, after = name.rsplit(":", 2)
            tracked.unbacked += Decimal(after) - Decimal(before)
        elif _LESS in name:
            trade_id, _, covered = name.rpartition(_LESS)
            tracked.fill_ids[trade_id] = None
            tracked.unbacked -= Decimal(covered)
