"""A run of one algorithm: time moves, bars arrive, and the algorithm is told. No clock, no socket: whoever runs it says what is.

At each moment, in LEAN's order: scheduled functions that came due, new prices, fills, consolidated bars and indicators, closing
insights, `on_data`. During warm-up there are no orders, no insights and no scheduled functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from bot.core.market import Candle
from simulators.quantconnect.lean_clock import Consolidator, Schedule
from simulators.quantconnect.lean_portfolio import Holding, Ledger, OrderEvent, OrderTicket, Portfolio, Security
from simulators.quantconnect.lean_types import (
    UTC_ZONE,
    ZONES,
    BySymbol,
    Event,
    Insight,
    InsightCollection,
    Resolution,
    SecurityType,
    Slice,
    Symbol,
    TradeBar,
    naive,
)

if TYPE_CHECKING:
    from simulators.quantconnect.lean_algorithm import QCAlgorithm

DAY_MS = 86_400_000
_MAX_INSIGHTS = 10_000
_MAX_LOGS = 10_000
_MAX_PLOT = 4_000

Tell = Callable[[str, Mapping[str, object]], None]


class Bars(Protocol):
    """Where bars come from: closed candles of `length` ms with `start <= ts` and end `<= stop`, oldest first; may be none."""

    def __call__(self, symbol: str, length: int, start: int, stop: int) -> Iterable[Candle]:
        """Bars of a unified symbol."""
        ...


@dataclass(slots=True)
class Subscription:
    """Bars of a symbol at a resolution."""

    symbol: Symbol
    resolution: Resolution
    zone: ZoneInfo
    consolidators: list[Consolidator] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Of one bar, in milliseconds."""
        return self.resolution.milliseconds

    def bar(self, candle: Candle) -> TradeBar:
        """A candle in LEAN's shape."""
        return TradeBar(
            self.symbol, candle.ts + self.length, self.length, candle.open, candle.high, candle.low, candle.close, candle.volume,
            self.zone,
        )  # fmt: skip


class AlgorithmError(Exception):
    """The algorithm raised; `stacktrace` names the place in its own text, `initializing` whether it was in `initialize`."""

    def __init__(self, message: str, stacktrace: str, initializing: bool) -> None:
        super().__init__(message)
        self.stacktrace, self.initializing = stacktrace, initializing


class Run:
    """State of a run. `started` is its first moment, `ended` its last (ms UTC); `today` is what the clock says when it begins."""

    def __init__(
        self,
        bars: Bars,
        tell: Tell,
        today: int,
        parameters: Mapping[str, str] | None = None,
        live: bool = False,
        run_id: str = "run",
        cash: Mapping[str, float] | None = None,
        objects: dict[str, bytes] | None = None,
    ) -> None:
        self.bars, self.tell, self.today, self.live, self.run_id = bars, tell, today, live, run_id
        self.parameters = {key: str(value) for key, value in (parameters or {}).items()}
        self.objects = dict(objects or {})
        self.started, self.ended = today - 365 * DAY_MS, today
        self.now = today
        self.zone = ZONES["America/New_York"]
        self.currency = "USD"
        self.account_cash = dict(cash or {})
        self.warm_up: tuple[int, Resolution | None] | timedelta | None = None  # bars and their resolution, or a time
        self.is_warming_up = False
        self.securities: BySymbol[Security] = BySymbol()
        self.subscriptions: BySymbol[Subscription] = BySymbol()
        self.portfolio = Portfolio(100_000.0)
        self.ledger = Ledger(self.portfolio, self.securities, self._on_order)
        self.schedule = Schedule(lambda: self.now, lambda: self.zone)
        self.insights: list[Insight] = []
        self.insights_generated = Event()
        self.runtime_statistics: dict[str, str] = {}
        self.summary_statistics: dict[str, str] = {}
        self.plots: dict[str, dict[str, list[tuple[int, float]]]] = {}
        self.equity: list[tuple[int, float, float]] = []  # moment, equity, worth of the positions
        self.benchmark: list[tuple[int, float]] = []
        self.start_equity = 100_000.0
        self.quitting = ""
        self.initialized = False
        self.lost = {"logs": 0, "insights": 0}
        self._logs = 0
        self._active: list[Insight] = []
        self._algorithm: QCAlgorithm | None = None

    @property
    def algorithm(self) -> QCAlgorithm:
        """Who runs."""
        assert self._algorithm is not None
        return self._algorithm

    # -- what the algorithm asks for ------------------------------------------------------------------------------------------

    def subscribe(self, symbol: Symbol, resolution: Resolution | None, leverage: float) -> Security:
        """Add a security."""
        wanted = Resolution.MINUTE if resolution is None else Resolution(resolution)
        if symbol in self.securities:
            return self.securities[symbol]
        holding = Holding(symbol)
        self.portfolio[symbol] = holding
        security = self.securities[symbol] = Security(symbol, holding, leverage, self.currency)
        zone = ZONES["America/New_York"] if symbol.security_type is SecurityType.EQUITY else UTC_ZONE
        self.subscriptions[symbol] = Subscription(symbol, wanted, zone)
        return security

    def consolidator(self, symbol: Symbol, length: int) -> Consolidator:
        """The maker of bars of this length, the same for all who ask."""
        subscription = self.subscriptions[symbol]
        for one in subscription.consolidators:
            if one.length == length:
                return one
        made = Consolidator(subscription.symbol, length, subscription.zone)
        subscription.consolidators.append(made)
        return made

    def history(self, symbol: Symbol, count: int, length: int) -> list[TradeBar]:
        """The last `count` bars that are over by now."""
        subscription = Subscription(symbol, self.subscriptions[symbol].resolution, self.subscriptions[symbol].zone)
        found = list(self.bars(symbol.unified, length, self.now - (count + 1) * length, self.now))[-count:]
        return [
            TradeBar(symbol, c.ts + length, length, c.open, c.high, c.low, c.close, c.volume, subscription.zone) for c in found
        ]

    def emit(self, insights: list[Insight]) -> None:
        """Publish insights; none while warming up."""
        if self.is_warming_up or not self.initialized:
            return
        for insight in insights:
            if insight.symbol not in self.securities:
                message = f"Cannot emit an insight for {insight.symbol}: the security is not in the algorithm; add it first"
                raise ValueError(message)
            if len(self.insights) >= _MAX_INSIGHTS and not self.live:
                self.lost["insights"] += 1
                continue
            self._publish(insight)
        self.insights_generated(self.algorithm, InsightCollection(naive(self.now, UTC_ZONE), insights))

    def _publish(self, insight: Insight) -> None:
        insight.generated_ms = insight.generated_ms or self.now
        insight.close_ms = insight.generated_ms + round(insight.period.total_seconds() * 1000)
        insight.reference = insight.reference or self.securities[insight.symbol].price
        insight.source_model = insight.source_model or type(self.algorithm).__name__
        text = f"{self.run_id}:{len(self.insights)}:{insight.symbol!r}:{self.now}"
        insight.id = insight.id or hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        self.insights.append(insight)
        self._active.append(insight)
        if self.live:
            self.tell("insight", insight.as_json())
            if len(self.insights) > _MAX_INSIGHTS:  # the server keeps what it was told
                del self.insights[: _MAX_INSIGHTS // 2]

    def log(self, text: str) -> None:
        """A line of the log; those beyond the quota are lost, and counted."""
        self._logs += 1
        if self._logs > _MAX_LOGS:
            self.lost["logs"] += 1
            return
        self.tell("log", {"text": f"{naive(self.now, self.zone):%Y-%m-%d %H:%M:%S} {text[:500]}"})

    def plot(self, chart: str, series: str, value: float) -> None:
        """A point of a chart of the algorithm's own; ten charts, 4,000 points of a series."""
        if self.is_warming_up or (chart not in self.plots and len(self.plots) >= 10):
            return
        points = self.plots.setdefault(chart, {}).setdefault(series, [])
        if len(points) < _MAX_PLOT:
            points.append((self.now // 1000, float(value)))

    # -- the course of the run ------------------------------------------------------------------------------------------------

    def begin(self, algorithm: QCAlgorithm) -> None:
        """Initialize the algorithm and warm it up."""
        self._algorithm = algorithm
        if self.live:
            self.started = self.now = self.today
            self.portfolio.cash = sum(self.account_cash.values()) or self.portfolio.cash
        algorithm.initialize()
        if self.live:
            self.started, self.ended = self.today, 1 << 62
            self.portfolio.cash = sum(self.account_cash.values()) or self.portfolio.cash
        self.initialized = True
        self.start_equity = self.portfolio.total_portfolio_value
        self.now = self.started
        if self.warm_up is not None:
            self._warm()
        self.now = self.started
        self.schedule.start(self.started - 1)
        algorithm.on_warmup_finished()

    def _warm(self) -> None:
        self.is_warming_up = True
        self.now = self._warm_start()
        for end, bars in self.timeline(self._warm_start(), self.started):
            self.step(end, bars)
        self.is_warming_up = False

    def _warm_start(self) -> int:
        assert self.warm_up is not None
        if isinstance(self.warm_up, timedelta):
            return self.started - round(self.warm_up.total_seconds() * 1000)
        count, resolution = self.warm_up
        slowest = max((one.resolution for one in self.subscriptions.values()), default=Resolution.MINUTE)
        return self.started - count * (slowest if resolution is None else resolution).milliseconds

    def timeline(self, start: int, stop: int) -> Iterator[tuple[int, list[tuple[Subscription, TradeBar]]]]:
        """All bars that end after `start` and not after `stop`, those of one moment together, in time order."""
        moments: dict[int, list[tuple[Subscription, TradeBar]]] = {}
        for subscription in self.subscriptions.values():
            for candle in self.bars(subscription.symbol.unified, subscription.length, start, stop):
                bar = subscription.bar(candle)
                moments.setdefault(bar.end_ms, []).append((subscription, bar))
        for end in sorted(moments):
            yield end, moments[end]

    def step(self, end: int, arrived: list[tuple[Subscription, TradeBar]]) -> None:
        """A moment at which these bars are over."""
        if not self.is_warming_up:
            self.call_scheduled(end)
        self.now = max(self.now, end)
        bars: BySymbol[TradeBar] = BySymbol()
        for subscription, bar in arrived:
            bars[subscription.symbol] = bar
            self.securities[subscription.symbol].take(bar)
        if not self.is_warming_up:
            for bar in bars.values():
                self.ledger.on_bar(bar)
        for subscription, bar in arrived:
            for consolidator in list(subscription.consolidators):
                consolidator.take(bar, subscription.length)
        self._close_insights()
        self.algorithm.on_data(Slice(naive(end, self.zone), naive(end, UTC_ZONE), bars))
        if not self.is_warming_up:
            self._sample()

    def call_scheduled(self, until: int) -> None:
        """Call what comes due up to a moment."""
        for moment, event in self.schedule.due(until):
            self.now = max(self.now, moment)
            event.call()

    def finish(self) -> None:
        """The end: `on_end_of_algorithm`."""
        self.algorithm.on_end_of_algorithm()
        self._sample()

    def _sample(self) -> None:
        worth = self.portfolio.total_portfolio_value
        self.equity.append((self.now, worth, self.portfolio.total_holdings_value))
        first = next(iter(self.securities.values()), None)
        if first is not None and first.price:
            self.benchmark.append((self.now, first.price))
        if self.live and len(self.equity) > 20_000:
            del self.equity[:10_000], self.benchmark[:10_000]

    def _close_insights(self) -> None:
        """Score what has ended; the score is known only then."""
        ended = [insight for insight in self._active if insight.close_ms <= self.now]
        if not ended:
            return
        self._active = [insight for insight in self._active if insight.close_ms > self.now]
        for insight in ended:
            insight.reference_final = self.securities[insight.symbol].price
            moved = insight.reference_final - insight.reference
            right = moved * insight.direction > 0 if insight.direction else abs(moved) < insight.reference * 1e-3
            insight.score_final, insight.score_direction = True, float(right)
            if self.live:
                self.tell("insight", insight.as_json())

    def _on_order(self, ticket: OrderTicket, event: OrderEvent) -> None:
        if self.live:
            self.tell("order", order_json(ticket, self.run_id, self.currency))
        if self._algorithm is not None and self.initialized:
            self._algorithm.on_order_event(event)


def order_json(ticket: OrderTicket, algorithm_id: str, currency: str) -> dict[str, object]:
    """An order as REST answers write it: integers for the enumerations, times that never were left out."""
    row: dict[str, object] = {
        "id": ticket.order_id,
        "contingentId": 0,
        "brokerId": [str(ticket.order_id)],
        "symbol": ticket.symbol.as_json(),
        "price": ticket.average_fill_price,
        "priceCurrency": ticket.symbol.quote,
        "time": iso(ticket.created_ms),
        "createdTime": iso(ticket.created_ms),
        "quantity": ticket.quantity,
        "type": int(ticket.order_type),
        "status": int(ticket.status),
        "tag": ticket.tag,
        "properties": {"timeInForce": {}},
        "securityType": int(ticket.symbol.security_type),
        "direction": int(ticket.direction),
        "value": ticket.quantity * (ticket.average_fill_price or ticket.limit_price or ticket.last_price),
        "orderSubmissionData": {"bidPrice": ticket.last_price, "askPrice": ticket.last_price, "lastPrice": ticket.last_price},
        "isMarketable": ticket.limit_price == 0 and ticket.stop_price == 0,
        "events": [event.as_json(algorithm_id, currency) for event in ticket.events],
    }
    if ticket.limit_price:
        row["limitPrice"] = ticket.limit_price
    if ticket.stop_price:
        row["stopPrice"] = ticket.stop_price
    if ticket.filled_ms:
        row["lastFillTime"] = iso(ticket.filled_ms)
    elif ticket.ended_ms:
        row["canceledTime"] = iso(ticket.ended_ms)
    return row


def iso(ms: int) -> str:
    """`2026-03-02T11:00:05Z`."""
    return f"{naive(ms, UTC_ZONE):%Y-%m-%dT%H:%M:%S}Z"
