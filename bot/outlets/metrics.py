"""Metrics of the bot, in a registry of its own.

What the desk says happened is counted from its facts; what a room already counts for itself is read from it when somebody
scrapes, so nothing is counted twice and an unscraped bot pays nothing. Labels are few and bounded: sources, symbols, never ids.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from bot.core.facts import (
    DecisionFate,
    DecisionSeen,
    EquitySampled,
    Fact,
    FillBooked,
    OrderChanged,
    PositionChanged,
    RiskChanged,
    ShadowSampled,
)
from bot.core.inputs import TradingState
from bot.core.orders import OrderState

if TYPE_CHECKING:
    from bot.outlets.envelope import Identity

_log = structlog.get_logger(__name__)

Reading = Callable[[], float | Mapping[str, float]]


class Gauged(NamedTuple):
    """A metric whose value lives elsewhere: what it means, its label if it has one, and whether it only grows."""

    about: str
    label: str | None = None
    counter: bool = False


READINGS: Mapping[str, Gauged] = MappingProxyType(
    {
        "bot_queue_depth": Gauged("Decisions waiting in the desk's queue."),
        "bot_inbox_depth": Gauged("Inputs waiting for the desk.", "lane"),
        "bot_conflated": Gauged("Quotes that a newer one replaced before the desk saw them.", counter=True),
        "bot_feed_events": Gauged("Market events received.", "stream", counter=True),
        "bot_feed_drops": Gauged("Market events lost or refused.", "stream", counter=True),
        "bot_feed_reconnects": Gauged("Reconnections of market streams.", "stream", counter=True),
        "bot_feed_last_event_timestamp_seconds": Gauged("When a symbol's newest market event arrived.", "symbol"),
        "bot_clock_offset_seconds": Gauged("The venue's clock minus ours."),
        "bot_journal_rows": Gauged("Rows committed.", "table", counter=True),
        "bot_journal_failures": Gauged("Commits that failed.", counter=True),
        "bot_journal_backlog": Gauged("Rows waiting to be committed."),
        "bot_journal_drops": Gauged("Telemetry rows dropped.", counter=True),
        "bot_loop_lag_seconds": Gauged("Worst delay of the event loop in the last few seconds."),
        "bot_outlet_messages": Gauged("Messages handed to an outlet's readers.", "outlet", counter=True),
        "bot_outlet_drops": Gauged("Messages an outlet lost.", "outlet", counter=True),
        "bot_outlet_failures": Gauged("Events that could not be published.", counter=True),
        "bot_redis_up": Gauged("1 while Redis answers."),
        "bot_redis_reconnects": Gauged("Reconnections to Redis.", counter=True),
        "bot_local_clients": Gauged("Clients of the local feed."),
        "bot_account_calls": Gauged("Calls to the venue's account, by what became of them.", "outcome", counter=True),
        "bot_account_limit_used": Gauged("Share of the venue's rate limit that is used (0 to 1)."),
        "bot_account_up": Gauged("1 while the account answers and its stream is up."),
        "bot_account_unexplained": Gauged("Differences between the account and the books that nothing explains."),
        "bot_orders_unknown": Gauged("Orders of which nobody can say whether the venue has them."),
        "bot_source_troubles": Gauged("Ailments of a source that goes on nevertheless.", "source"),
        "bot_memory_faults": Gauged("Trades and decisions that the memory could not serve.", "fault", counter=True),
        "bot_memory_backlog": Gauged("Closed trades that wait to be remembered."),
        "bot_calibration_faults": Gauged("Outcomes and decisions that calibration could not serve.", "fault", counter=True),
        "bot_notifications": Gauged("Notifications by what became of them.", "outcome", counter=True),
    }
)

_LATENCIES = (0.00005, 0.0001, 0.00015, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """The bot's metrics. `observe` takes facts, `bind` says where a reading comes from, `expose` is what a scrape gets."""

    def __init__(self, identity: Identity, version: str = "0") -> None:
        self.registry = CollectorRegistry()
        self._readings = _Readings()
        self.registry.register(self._readings)
        self._add_counters()
        self._add_gauges()
        build = {"version": version, "python": platform.python_version(), "bot": identity.bot, "mode": identity.mode}
        Info("bot_build", "What is running.", registry=self.registry).info(
            {**build, "simulated": str(identity.simulated).lower()}
        )
        self._states: dict[str, OrderState] = {}
        self._actions: Mapping[type, Callable[[Any], None]] = MappingProxyType(
            {
                DecisionSeen: self._decision_seen,
                DecisionFate: self._decision_fate,
                OrderChanged: self._order_changed,
                FillBooked: self._fill_booked,
                PositionChanged: self._position_changed,
                EquitySampled: self._equity_sampled,
                ShadowSampled: self._shadow_sampled,
                RiskChanged: self._risk_changed,
            }
        )

    def observe(self, fact: Fact) -> None:
        """Count a fact; those without a metric cost a look-up."""
        action = self._actions.get(type(fact))
        if action is not None:
            action(fact)

    def observe_latency(self, seconds: float) -> None:
        """From a market event to the decision's order or fill, as the runtime measured it."""
        self._latency.observe(seconds)

    def bind(self, name: str, reading: Reading) -> None:
        """Read a metric of `READINGS` from here: a number, or numbers by value of its label. `KeyError` for an unknown name."""
        self._readings.bind(name, reading)

    def expose(self) -> bytes:
        """The text a scrape gets."""
        return generate_latest(self.registry)

    def _add_counters(self) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(name, about, labels, registry=self.registry)

        self._seen = counter("bot_proposals", "Decisions that reached the desk.", "source")
        self._decisions = counter("bot_decisions", "Decisions by what became of them.", "source", "fate")
        self._denials = counter("bot_denials", "Decisions denied, by reason.", "denial")
        self._orders = counter("bot_orders", "Orders that reached a state.", "state")
        self._fills = counter("bot_fills", "Fills booked.", "side")

    def _add_gauges(self) -> None:
        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(name, about, labels, registry=self.registry)

        self._equity = gauge("bot_equity", "Equity of the book, in its accounting currency.")
        self._cash = gauge("bot_cash", "Cash of the book, in its accounting currency.")
        self._drawdown = gauge("bot_drawdown_ratio", "Fall from the peak of equity, as a fraction of it.")
        self._positions = gauge("bot_position_quote", "Position times price, in quote currency.", "symbol")
        self._shadows = gauge("bot_shadow_equity", "Equity of a source's shadow ledger.", "source")
        self._trading = gauge("bot_trading_state", "1 for the state the desk is in.", "state")
        self._latency = Histogram(
            "bot_decision_latency_seconds", "From market event to fill.", buckets=_LATENCIES, registry=self.registry
        )
        self._show_state(TradingState.ACTIVE)

    def _decision_seen(self, fact: DecisionSeen) -> None:
        self._seen.labels(fact.decision.source).inc()

    def _decision_fate(self, fact: DecisionFate) -> None:
        self._decisions.labels(fact.source, fact.fate.value).inc()
        if fact.denial is not None:
            self._denials.labels(fact.denial.value).inc()

    def _order_changed(self, fact: OrderChanged) -> None:
        """Count the state only when it is new: a partial fill reports OPEN again. Orders at their end are forgotten."""
        order = fact.request.id
        if self._states.get(order) is not fact.state:
            self._orders.labels(fact.state.value).inc()
        if fact.state.terminal:
            self._states.pop(order, None)
        else:
            self._states[order] = fact.state

    def _fill_booked(self, fact: FillBooked) -> None:
        self._fills.labels(fact.fill.side.value).inc()

    def _position_changed(self, fact: PositionChanged) -> None:
        self._positions.labels(fact.symbol).set(float(fact.amount) * fact.price)

    def _equity_sampled(self, fact: EquitySampled) -> None:
        self._equity.set(fact.equity)
        self._cash.set(float(fact.cash))
        self._drawdown.set(fact.drawdown)

    def _shadow_sampled(self, fact: ShadowSampled) -> None:
        self._shadows.labels(fact.source).set(fact.equity)

    def _risk_changed(self, fact: RiskChanged) -> None:
        self._show_state(fact.state)

    def _show_state(self, now: TradingState) -> None:
        for state in TradingState:
            self._trading.labels(state.value).set(state is now)


class _Readings(Collector):
    """What is read at scrape. A reading that fails is left out and counted; the others are still served."""

    def __init__(self) -> None:
        self._bound: dict[str, Reading] = {}
        self._failures = 0

    def bind(self, name: str, reading: Reading) -> None:
        if name not in READINGS:
            raise KeyError(name)
        self._bound[name] = reading

    def describe(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        return [_family(name, about) for name, about in READINGS.items()]

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        for name, reading in self._bound.items():
            family = _family(name, READINGS[name])
            try:
                value = reading()
                values = value if isinstance(value, Mapping) else {"": value}
                for label, number in values.items():
                    family.add_metric([label] if READINGS[name].label else [], float(number))
            except Exception:  # noqa: BLE001 - a room that cannot answer must not take the whole scrape with it
                self._failures += 1
                _log.warning("metric_reading_failed", metric=name, exc_info=True)
                continue
            yield family
        failures = CounterMetricFamily("bot_scrape_failures", "Readings that failed.")
        failures.add_metric([], self._failures)
        yield failures


def _family(name: str, gauged: Gauged) -> CounterMetricFamily | GaugeMetricFamily:
    labels = [gauged.label] if gauged.label else []
    return (CounterMetricFamily if gauged.counter else GaugeMetricFamily)(name, gauged.about, labels=labels)


def metric_names() -> frozenset[str]:
    """Every sample name a rule or a dashboard may use."""
    from bot.outlets.envelope import Identity  # noqa: PLC0415 - only the documents and their tests ask

    metrics = Metrics(Identity("", "", "", simulated=False))
    names = {f"{name}_total" if gauged.counter else name for name, gauged in READINGS.items()}
    for family in metrics.registry.collect():
        names |= {sample.name for sample in family.samples}
        names.add(family.name + {"counter": "_total", "info": "_info"}.get(family.type, ""))
    return frozenset(name for name in names if not name.endswith("_created"))
