"""Metrics of the bot: what is counted from facts, what is read from rooms that count for themselves, and the text of a scrape.

Nothing is counted twice and an unscraped bot pays nothing: what a room knows is read from it when somebody asks. What takes a
query is asked for before, and not oftener than it changes. A scrape is written in slices, between which the desk has the loop.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from bot.latency import LatencyHistogram
from bot.outlets.metric_catalogue import CATALOGUE, Kind, Metric, metric_names
from bot.outlets.metric_counts import Counted

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

    from bot.core.facts import Fact
    from bot.outlets.envelope import Identity, JobChanged

_log = structlog.get_logger(__name__)

Reading = Callable[[], float | LatencyHistogram | Mapping[Any, float] | Mapping[Any, LatencyHistogram]]
"""Gives a number, or numbers by the value of the one label, or by a tuple of values where there are several labels; for a
histogram `LatencyHistogram`s in place of numbers."""

Ask = Callable[[], Awaitable[None]]

_SLICE_S = 0.001
_ASK_S = 1.0


class Metrics:
    """The bot's metrics.

    `observe` takes facts and changes of jobs, `bind` says where a reading comes from, `before_scrape` what is to be done first;
    `scrape` gives what Prometheus gets.
    """

    def __init__(self, identity: Identity, version: str = "0") -> None:
        self.registry = CollectorRegistry()
        self._counted = Counted()
        self._readings = _Readings()
        self._asks: list[_Asked] = []
        self._held = 0.0
        self.observe = self._counted.observe
        for name, numbers in self._counted.numbers.items():
            self.bind(name, numbers.copy)
        build = (version, platform.python_version(), identity.bot, identity.mode, str(identity.simulated).lower())
        self.bind("bot_build_info", lambda: {build: 1.0})
        self.bind("bot_scrape_seconds", lambda: self._held)
        self.registry.register(self._readings)
        ProcessCollector(registry=self.registry)

    observe: Callable[[Fact | JobChanged], None]

    def bind(self, name: str, reading: Reading) -> None:
        """Read a metric of `CATALOGUE` from here, instead of wherever it was read from. `KeyError` for an unknown name."""
        self._readings.bind(name, reading)

    def before_scrape(self, ask: Ask, every: float = 0.0) -> None:
        """Await this before a scrape, at most once in `every` seconds; one that fails or takes a second is counted and left."""
        self._asks.append(_Asked(ask, every))

    def expose(self) -> bytes:
        """The text of a scrape at once, as things stand."""
        return generate_latest(self.registry)

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """The text of a scrape and its content type, in the newest format that the `Accept` header takes."""
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - OpenMetrics' encoder costs the start

        for asked in self._asks:
            if not await asked.done():
                self._readings.failures += 1
        encode, content_type = choose_encoder(accept)
        pieces, held, began = [], 0.0, time.perf_counter()
        for family in self.registry.collect():
            pieces.append(encode(_Only(family)).removesuffix(_END))
            took = time.perf_counter() - began
            if took > _SLICE_S:
                held += took
                await asyncio.sleep(0)
                began = time.perf_counter()
        self._held = held + time.perf_counter() - began
        if "openmetrics" in content_type:
            pieces.append(_END)
        return b"".join(pieces), content_type


_END = b"# EOF\n"


class _Only:
    """A registry of one family, for an encoder."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterable[Family]:
        return (self._family,)


class _Asked:
    """What is to be done before a scrape."""

    def __init__(self, ask: Ask, every: float) -> None:
        self._ask, self._every = ask, every
        self._next = 0.0

    async def done(self) -> bool:
        """Do it if it is due; False if that failed."""
        now = time.monotonic()
        if now < self._next:
            return True
        self._next = now + self._every
        try:
            async with asyncio.timeout(_ASK_S):
                await self._ask()
        except Exception:  # noqa: BLE001 - a room that cannot answer must not take the whole scrape with it
            _log.warning("metrics_not_refreshed", exc_info=True)
            return False
        return True


class _Readings(Collector):
    """What is read at scrape. A reading that fails is left out and counted; the others are still served."""

    def __init__(self) -> None:
        self._bound: dict[str, Reading] = {}
        self.failures = 0
        self.bind("bot_scrape_failures", lambda: self.failures)

    def bind(self, name: str, reading: Reading) -> None:
        if name not in CATALOGUE:
            raise KeyError(name)
        self._bound[name] = reading

    def describe(self) -> Iterable[Family]:
        return [_family(name, metric) for name, metric in CATALOGUE.items()]

    def collect(self) -> Iterable[Family]:
        """In the catalogue's order, but the failures last: they are known then."""
        last = "bot_scrape_failures"
        for name in (*(each for each in CATALOGUE if each != last), last):
            reading = self._bound.get(name)
            if reading is None:
                continue
            try:
                family = _filled(name, CATALOGUE[name], reading())
            except Exception:  # noqa: BLE001 - a room that cannot answer must not take the whole scrape with it
                self.failures += 1
                _log.warning("metric_reading_failed", metric=name, exc_info=True)
                continue
            yield family


def _family(name: str, metric: Metric) -> Family:
    match metric.kind:
        case Kind.HISTOGRAM:
            return HistogramMetricFamily(name, metric.about, labels=metric.labels)
        case Kind.COUNTER:
            return CounterMetricFamily(name, metric.about, labels=metric.labels)
        case Kind.GAUGE:
            return GaugeMetricFamily(name, metric.about, labels=metric.labels)


def _filled(name: str, metric: Metric, read: float | LatencyHistogram | Mapping[Any, Any]) -> Family:
    """The family with what was read; `ValueError` for as many values as there are not labels."""
    family = _family(name, metric)
    values: Mapping[Any, Any] = read if isinstance(read, Mapping) else {(): read}
    for key, value in values.items():
        labels = list(key) if isinstance(key, tuple) else [str(key)]
        if len(labels) != len(metric.labels):
            message = f"{name} has the labels {metric.labels}, and was given {labels}"
            raise ValueError(message)
        if isinstance(value, LatencyHistogram):
            assert isinstance(family, HistogramMetricFamily)
            family.add_metric(labels, _buckets(metric, value), value.total)
        else:
            assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
            family.add_metric(labels, float(value))
    return family


def _buckets(metric: Metric, histogram: LatencyHistogram) -> list[tuple[str, float]]:
    counted = histogram.cumulative(metric.bounds)
    total = max(histogram.count, counted[-1])  # a writer in another thread may be between the two
    return [*zip(map(floatToGoString, metric.bounds), map(float, counted), strict=True), ("+Inf", float(total))]


__all__ = ["CATALOGUE", "Metrics", "Reading", "metric_names"]
