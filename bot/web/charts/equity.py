"""The worth of the book over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.journal.records import EquityPoint, ShadowPoint
from bot.web.charts.chart import Chart, excerpt
from bot.web.charts.layout import Trace, axis, figure, line, nothing, time_axis
from bot.web.charts.numbers import MOST_NAMES, MOST_POINTS, number, thinned
from bot.web.charts.theme import Theme, colours, dash, faded
from bot.web.charts.words import amount, moment, percent, plain, safe, signed

Curve = Sequence[tuple[int, object]]
"""Points (ms UTC, value) in the order of time."""

_COLUMNS = ("time (UTC)", "equity", "below peak")


def equity(
    points: Sequence[EquityPoint],
    theme: Theme,
    *,
    currency: str = "USD",
    benchmark: Curve = (),
    benchmark_name: str = "benchmark",
    shadows: Mapping[str, Sequence[ShadowPoint]] | None = None,
) -> Chart:
    """Equity above, its fall from the peak below, on one axis of time.

    The benchmark, oldest first, is drawn as if it had begun with the book's equity, in whatever unit it is; `shadows`
    are samples of each source's own ledger by source, drawn as their gain on top of what the book began with.
    """
    points = sorted(points, key=_at)
    curve: Curve = [(each.at, each.equity) for each in points]
    falls = [None if each.drawdown is None else number(each.drawdown) for each in points]
    others = [(benchmark_name, _rebased(benchmark, _first(curve)))] if benchmark else []
    others += [
        (f"{name} alone", _lifted(sorted(rows, key=_at), _first(curve)))
        for name, rows in sorted((shadows or {}).items())[:MOST_NAMES]
    ]
    return worth("equity", "Equity and drawdown", curve, theme, currency=currency, falls=falls, others=others)


def worth(
    name: str,
    title: str,
    curve: Curve,
    theme: Theme,
    *,
    currency: str = "",
    falls: Sequence[float | None] = (),
    others: Sequence[tuple[str, Curve]] = (),
) -> Chart:
    """A curve of worth with its falls (fractions below the peak; computed where none are given) and others to compare it with."""
    at, values = [each[0] for each in curve], [number(each[1]) for each in curve]
    if not any(value is not None for value in values):
        return nothing(
            name, title, "No equity has been sampled yet: the first point comes with the first prices.", theme, _COLUMNS
        )
    known = [value for value in falls if value is not None]
    depths = [None if value is None else -abs(value) for value in (falls if known else drawdowns(values))]
    ink, money = colours(theme), safe(currency)
    shown = f"%{{y:,.2f}} {money}"
    data: list[Trace] = [line("equity", *thinned(at, values), ink.accent, shown, width=2.2)]
    for place, (other, points) in enumerate(others, 1):
        when, what = thinned([each[0] for each in points], [number(each[1]) for each in points])
        data.append(line(safe(other), when, what, ink.of(place), shown, dash=dash(place), width=1.4))
    below = line("drawdown", *thinned(at, depths), ink.loss, "%{y:.2%}", width=1, yaxis="y2", showlegend=False)
    data.append(below | {"fill": "tozeroy", "fillcolor": faded(ink.loss, 0.25)})
    drawn = figure(
        name,
        theme,
        data,
        height=420,
        hovermode="x unified",
        showlegend=bool(others),
        xaxis=time_axis(theme, anchor="y2"),
        yaxis=axis(theme, money, domain=[0.32, 1.0], tickformat=",.6~g"),
        yaxis2=axis(theme, "below peak", domain=[0.0, 0.26], tickformat=".2~%", rangemode="tozero"),
    )
    told = excerpt(_COLUMNS, range(len(at)), lambda place: (moment(at[place]), amount(values[place]), percent(depths[place])))
    return Chart(drawn, title, _summary(at, values, depths, currency), told)


def drawdowns(values: Sequence[float | None]) -> list[float | None]:
    """The fall of each value below the highest before it, as a fraction 0..1."""
    peak: float | None = None
    found: list[float | None] = []
    for value in values:
        if value is not None:
            peak = value if peak is None else max(peak, value)
        found.append(None if value is None or peak is None or peak <= 0 else 1.0 - value / peak)
    return found


def _at(sample: EquityPoint | ShadowPoint) -> int:
    return sample.at


def _first(curve: Curve) -> float | None:
    return next((value for _, given in curve if (value := number(given)) is not None), None)


def _rebased(curve: Curve, base: float | None) -> list[tuple[int, object]]:
    first = _first(curve)
    if not first or base is None:
        return list(curve)
    return [(at, None if (value := number(given)) is None else base * value / first) for at, given in curve]


def _lifted(rows: Sequence[ShadowPoint], base: float | None) -> list[tuple[int, object]]:
    """A ledger by itself begins with what it was given; its gain is what can be compared."""
    first = _first([(row.at, row.equity) for row in rows])
    if first is None or base is None:
        return [(row.at, row.equity) for row in rows]
    return [(row.at, None if (value := number(row.equity)) is None else base + value - first) for row in rows]


def _summary(at: Sequence[int], values: Sequence[float | None], depths: Sequence[float | None], currency: str) -> str:
    known = [(when, value) for when, value in zip(at, values, strict=True) if value is not None]
    (began, first), (ended, last) = known[0], known[-1]
    deepest = min((value for value in depths if value is not None), default=None)
    change = f"{signed(last - first)} ({signed(100 * (last / first - 1))} %)" if first else signed(last - first)
    money = f"from {amount(first)} to {amount(last)} {plain(currency)}".rstrip()
    said = f"From {moment(began)} to {moment(ended)} the equity went {money}"
    more = "" if len(at) <= MOST_POINTS else f" {len(at):,} samples; the curve keeps every extreme of them."
    return f"{said}: {change}. Deepest fall below the peak: {percent(None if deepest is None else abs(deepest))}.{more}"
