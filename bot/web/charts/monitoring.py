"""How the machine fares: latencies by stage, the age of market data, errors by the hour."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from bot.web.charts.chart import Chart, excerpt, table
from bot.web.charts.layout import Trace, axis, bars, count_axis, figure, nothing, straight, time_axis
from bot.web.charts.numbers import MOST_BARS, MOST_NAMES, number
from bot.web.charts.theme import Theme, colours, pattern
from bot.web.charts.words import counted, moment, plain, safe, span

Buckets = Sequence[tuple[float, float]]
"""(upper bound in ms, how many were at most that long): rising and cumulative, as Prometheus has them; the last may be inf."""

_STAGES = ("stage", "count", "median", "p90", "p99")
_EDGES = tuple(10.0 ** (step / 5) for step in range(-10, 26))  # 0.01 ms to 100 s, five to a decade
_HOUR_MS = 3_600_000
_ROW = 30


def latencies(samples: Mapping[str, Sequence[object]], theme: Theme) -> Chart:
    """A histogram of latencies (ms) for each stage."""
    found: dict[str, Buckets] = {}
    for stage, given in samples.items():
        known = sorted(value for each in given if (value := number(each)) is not None)
        if known:
            found[stage] = [*((edge, float(_at_most(known, edge))) for edge in _EDGES), (math.inf, float(len(known)))]
    return latency_buckets(found, theme)


def latency_buckets(stages: Mapping[str, Buckets], theme: Theme) -> Chart:
    """The same of histograms that were counted already."""
    name, title = "latencies", "Latencies by stage"
    known = {stage: buckets for stage, buckets in stages.items() if buckets and buckets[-1][1] > 0}
    if not known:
        return nothing(name, title, "No latency has been measured yet.", theme, _STAGES)
    ink = colours(theme)
    edges = sorted({edge for buckets in known.values() for edge, _ in buckets if math.isfinite(edge)})
    shares = {stage: _shares(buckets, edges) for stage, buckets in list(known.items())[:MOST_NAMES]}
    labels = [f"≤ {span(edge)}" for edge in edges] + ["longer"]
    used = [place for place in range(len(labels)) if any(each[place] for each in shares.values())]
    shown = slice(max(0, used[0] - 1), used[-1] + 2)  # the bounds are made for every stage there may be
    labels = labels[shown]
    data: list[Trace] = [
        bars(safe(stage), labels, each[shown], ink.of(place), "%{y:.1%} %{x}", shape=pattern(place), opacity=0.85)
        for place, (stage, each) in enumerate(shares.items())
    ]
    drawn = figure(
        name,
        theme,
        data,
        height=340,
        barmode="group",
        hovermode="x unified",
        xaxis=axis(theme, type="category", categoryorder="array", categoryarray=labels),
        yaxis=axis(theme, "share", tickformat=".0%", rangemode="tozero"),
    )
    rows = [
        (plain(stage), f"{buckets[-1][1]:,.0f}", *(_quantile(buckets, share) for share in (0.5, 0.9, 0.99)))
        for stage, buckets in known.items()
    ]
    summary = "; ".join(f"{row[0]}: median {row[2]}, p99 {row[4]} ({row[1]} measured)" for row in rows[:6])
    return Chart(drawn, title, f"{summary}.", table(_STAGES, rows))


def _at_most(known: Sequence[float], edge: float) -> int:
    return bisect_left(known, math.nextafter(edge, math.inf))


def _shares(buckets: Buckets, edges: Sequence[float]) -> list[float]:
    """Of all, how many lie between each edge and the one before it; those past the last come last."""
    own = dict(buckets)
    total, before, found = buckets[-1][1], 0.0, []
    for edge in edges:
        so_far = own.get(edge, before)
        found.append(max(0.0, so_far - before) / total)
        before = max(before, so_far)
    return [*found, max(0.0, total - before) / total]


def _quantile(buckets: Buckets, share: float) -> str:
    """The bound that so many lie below, as exactly as the buckets tell."""
    wanted = share * buckets[-1][1]
    finite = [edge for edge, _ in buckets if math.isfinite(edge)]
    found = next((edge for edge, count in buckets if count >= wanted), math.inf)
    if math.isfinite(found):
        return f"≤ {span(found)}"
    return f"> {span(finite[-1])}" if finite else "unknown"


def feed_ages(ages: Mapping[str, object], theme: Theme, *, stale_ms: float | None = None) -> Chart:
    """How old the newest data of each symbol is (ms; None: none has come), the oldest on top, against what counts as stale."""
    name, title, columns = "feed-age", "Age of market data", ("symbol", "state", "age")
    known = {symbol: number(age) for symbol, age in ages.items()}
    drawn_ages = sorted(((age, symbol) for symbol, age in known.items() if age is not None))[-MOST_NAMES:]
    if not drawn_ages:
        return nothing(name, title, "No market data has come yet.", theme, columns)
    ink = colours(theme)
    data: list[Trace] = []
    for state, colour, shape in (("fresh", ink.gain, ""), ("stale", ink.loss, "x")):
        mine = [(age, symbol) for age, symbol in drawn_ages if _freshness(age, stale_ms) == state]
        if mine:
            data.append(
                bars(state, [max(0.0, age) / 1_000 for age, _ in mine], [safe(symbol) for _, symbol in mine], colour,
                     "%{x:,.2f} s", orientation="h", shape=shape)
            )  # fmt: skip
    made = figure(
        name,
        theme,
        data,
        height=100 + _ROW * len(drawn_ages),
        barmode="overlay",
        xaxis=axis(theme, "seconds since the newest", rangemode="tozero", tickformat=",.4~g"),
        yaxis=axis(theme, type="category", categoryorder="array", categoryarray=[safe(symbol) for _, symbol in drawn_ages]),
        shapes=[] if not stale_ms else [straight(ink.warn, x=(stale_ms / 1_000, stale_ms / 1_000), y=(0, 1), yref="paper")],
    )
    rows = [(plain(symbol), _freshness(age, stale_ms), span(age)) for symbol, age in sorted(known.items())]
    oldest, whose = drawn_ages[-1]
    missing = sum(age is None for age in known.values())
    stale = sum(row[1] == "stale" for row in rows)
    none = f" {counted(missing, 'symbol')} without any data." if missing else ""
    said = f"Oldest: {plain(whose)}, {span(oldest)}. {stale:,} of {counted(len(known), 'symbol')} stale.{none}"
    return Chart(made, title, said, table(columns, rows, words=2))


def _freshness(age: float | None, stale_ms: float | None) -> str:
    if age is None:
        return "no data"
    return "stale" if stale_ms is not None and age > stale_ms else "fresh"


def errors_by_hour(counts: Mapping[str, Sequence[tuple[int, int]]], theme: Theme, *, since: int, until: int) -> Chart:
    """Errors of each hour (UTC), stacked by component: (moment in ms, count), any number of them to an hour."""
    name, title, columns = "errors", "Errors by the hour", ("hour (UTC)", "all")
    first = max(since // _HOUR_MS, (until - 1) // _HOUR_MS - MOST_BARS + 1)
    hours = list(range(first, (until - 1) // _HOUR_MS + 1))
    found: dict[str, dict[int, int]] = {}
    for component, rows in counts.items():
        for at, count in rows:
            if first <= at // _HOUR_MS and since <= at < until and count > 0:
                mine = found.setdefault(component, {})
                mine[at // _HOUR_MS] = mine.get(at // _HOUR_MS, 0) + count
    if not found:
        return nothing(name, title, f"No error between {moment(since)} and {moment(until)}.", theme, columns)
    ink = colours(theme)
    components = sorted(found, key=lambda one: (-sum(found[one].values()), one))[:MOST_NAMES]
    starts = [each * _HOUR_MS for each in hours]
    hour = {"xperiod": _HOUR_MS, "xperiodalignment": "middle"}
    data = [
        bars(safe(one), starts, [found[one].get(each, 0) for each in hours], ink.of(place), "%{y:,d}", shape=pattern(place))
        | hour
        for place, one in enumerate(components)
    ]
    totals = {hour: sum(mine.get(hour, 0) for mine in found.values()) for hour in hours}
    yaxis = count_axis(theme, "errors", max(totals.values()))
    drawn = figure(name, theme, data, barmode="stack", hovermode="x unified", xaxis=time_axis(theme), yaxis=yaxis)
    worst = max(hours, key=lambda hour: totals[hour])
    most = f"most ({totals[worst]:,}) from {moment(worst * _HOUR_MS)}"
    summary = f"{counted(sum(totals.values()), 'error')} in {counted(len(hours), 'hour')}; {most}."
    told = excerpt(
        ("hour (UTC)", *(plain(one) for one in components), "all"),
        hours[::-1],
        lambda each: (moment(each * _HOUR_MS), *(f"{found[one].get(each, 0):,}" for one in components), f"{totals[each]:,}"),
    )
    return Chart(drawn, title, summary, told)
