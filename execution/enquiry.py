"""Enquiry: what every question about an order needs, the patience of the live broker, and its counters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.core.orders import OrderRequest
from bot.core.values import value
from execution.account import OrderReport, ReadFailed, TradeReport
from execution.bounded import BoundedAccount
from execution.tracked import Tracked, TrackedOrders


@value
class LiveRules:
    """How patient the live broker is, in milliseconds, and how much it does at once.

    `grace_ms` must exceed the time in which the venue takes a delayed request (5 s). `skew_ms` is how far the venue's clock may
    be behind ours where we ask for trades since an order began. After `synthetic_after_ms` without its trades, what the venue
    says was filled is told as it says so. A symbol whose order was given up is watched for `watch_given_up_ms` more.
    """

    grace_ms: int = 6_000
    poll_ms: int = 5_000
    poll_lost_ms: int = 1_000
    synthetic_after_ms: int = 30_000
    watch_given_up_ms: int = 60_000
    answer_ms: int = 30_000
    first_wait_ms: int = 500
    longest_wait_ms: int = 30_000
    skew_ms: int = 60_000
    cancel_queries: int = 5
    asked_at_once: int = 4
    asked_per_round: int = 50
    errands: int = 2_000


@dataclass(slots=True)
class LiveStats:
    """What the live broker did and met, counted since its start."""

    submitted: int = 0
    submitted_twice: int = 0
    not_sent: int = 0
    refused: int = 0
    unknown: int = 0
    resolved: int = 0
    lost: int = 0
    cancels: int = 0
    cancels_unknown: int = 0
    queries: int = 0
    queries_failed: int = 0
    polls: int = 0
    polls_failed: int = 0
    stream_lost: int = 0
    late_accepts: int = 0
    foreign: int = 0
    unheard: int = 0


@dataclass(slots=True)
class Enquiry:
    """What every question about an order needs. `hear` and `hear_trade` merge an answer; both return at once."""

    venue: BoundedAccount
    orders: TrackedOrders
    hear: Callable[[OrderReport], Tracked | None]
    hear_trade: Callable[[TradeReport], Tracked | None]
    rules: LiveRules
    stats: LiveStats
    jitter: Callable[[], float]

    def since(self, request: OrderRequest) -> int:
        """From when on the venue may have traded an order, in milliseconds by its clock."""
        return max(request.created - self.rules.skew_ms, 0)

    async def ask(self, tracked: Tracked) -> OrderReport:
        """Ask for an order of ours and merge the answer. Raises `NotFound` or `ReadFailed`."""
        self.stats.queries += 1
        try:
            report = await self.venue.order(tracked.request.symbol, tracked.id, tracked.venue_id)
        except ReadFailed:
            self.stats.queries_failed += 1
            raise
        report = named(report, tracked.request)
        self.hear(report)
        return report


def named(report: OrderReport, request: OrderRequest) -> OrderReport:
    """An answer to a question by client order id is about that order, also where it does not repeat the id."""
    return report if report.client_id == request.id else replace(report, client_id=request.id)
