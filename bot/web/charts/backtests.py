"""Backtests: one curve, several side by side, what a sweep of parameters found, and the returns of months."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from bot.web.charts.chart import Chart, Figure, excerpt, table
from bot.web.charts.equity import worth
from bot.web.charts.layout import axis, figure, line, nothing, time_axis
from bot.web.charts.numbers import Row, number, rows_in, thinned, whole
from bot.web.charts.theme import Colours, Theme, colours, dash
from bot.web.charts.words import amount, counted, moment, percent, plain, safe, signed

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LEAST = frozenset({"drawdown", "max_drawdown"})
_MOST_CURVES = 12
_MOST_YEARS = 40
Points = list[tuple[int, object]]


def backtest(result: Row, theme: Theme) -> Chart:
    """Equity and drawdown of a result of a backtest as JSON, local or of the cloud; with its benchmark if the cloud drew one."""
    given = _points(result.get("equity_curve")) or _points(result.get("daily_equity"))
    falls = [number(value) for _, value in _points(result.get("drawdown_curve"))]
    benchmark = _benchmark(result)
    others = [("benchmark", _from(benchmark, given))] if benchmark and given else []
    title = f"Backtest {plain(result.get('name') or '')}".rstrip()
    key = plain(result.get("backtest") or result.get("name") or "result")
    currency = plain(result.get("currency") or "")
    if not any(number(value) is not None for _, value in given):
        return nothing(f"backtest-{key}", title, "This backtest has no equity curve: it made no sample, or it failed.", theme)
    return worth(
        f"backtest-{key}", title, given, theme, currency=currency, falls=falls if len(falls) == len(given) else (), others=others
    )


def _points(given: object) -> Points:
    if not isinstance(given, list | tuple):
        return []
    pairs = [each for each in given if isinstance(each, list | tuple) and len(each) > 1]
    return [(whole(each[0]), each[-1]) for each in pairs if number(each[0]) is not None]


def _benchmark(result: Row) -> Points:
    """The series of that name in the chart of that name."""
    charts = result.get("charts")
    chart = charts.get("Benchmark") if isinstance(charts, dict) else None
    series = chart.get("Benchmark") if isinstance(chart, dict) else None
    return _points(series.get("points")) if isinstance(series, dict) else []


def _from(points: Points, curve: Points) -> Points:
    """As if it had begun with the first of the curve."""
    first = next((value for _, given in points if (value := number(given))), None)
    base = next((value for _, given in curve if (value := number(given)) is not None), None)
    if first is None or base is None:
        return points
    return [(at, None if (value := number(given)) is None else base * value / first) for at, given in points]


def comparison(compared: Row, theme: Theme) -> Chart:
    """What `qc.compare` answers with: the curves of several backtests, each from 100."""
    title = "Backtests side by side, each from 100"
    named = compared.get("names")
    names = [plain(each) for each in named][:_MOST_CURVES] if isinstance(named, list | tuple) else []
    given = compared.get("curves")
    rows = [each for each in given if isinstance(each, list | tuple) and each] if isinstance(given, list | tuple) else []
    if not names or not rows:
        return nothing("comparison", title, "None of these backtests has an equity curve.", theme, ("time (UTC)", *names))
    ink, at = colours(theme), [whole(each[0]) for each in rows]
    columns = [[number(each[place]) if place < len(each) else None for each in rows] for place in range(1, len(names) + 1)]
    data = [
        line(safe(name), *thinned(at, values), ink.of(place), "%{y:,.2f}", dash=dash(place))
        for place, (name, values) in enumerate(zip(names, columns, strict=True))
    ]
    yaxis = axis(theme, "from 100", tickformat=",.6~g")
    drawn = figure("comparison", theme, data, height=380, hovermode="x unified", xaxis=time_axis(theme), yaxis=yaxis)
    ends = [next((value for value in reversed(values) if value is not None), None) for values in columns]
    summary = "; ".join(f"{name} ended at {amount(end)}" for name, end in zip(names, ends, strict=True))
    told = excerpt(
        ("time (UTC)", *names),
        range(len(at)),
        lambda place: (moment(at[place]), *(amount(values[place]) for values in columns)),
    )
    return Chart(drawn, title, f"{summary}.", told)


@dataclass(frozen=True, slots=True)
class _Grid:
    """The best value of each place; a place has one value for each of `names`, `left` are the other parameters that vary."""

    key: str
    names: tuple[str, ...]
    left: tuple[str, ...]
    best: Mapping[tuple[object, ...], float]
    top: tuple[object, ...]


def sweep(found: Row, theme: Theme, *, figure_name: str = "sharpe_ratio", across: str = "", down: str = "") -> Chart:
    """What a sweep found: a figure over two of its parameters as a heat map, over one as a curve.

    `found` is a sweep as JSON; `across` and `down` name the parameters (absent: the first that vary). Where further ones vary,
    each cell is the best of them.
    """
    key = plain(figure_name.replace("_", " "))
    title, columns = f"{key} by parameters", ("parameters", key)
    points: list[tuple[Row, float]] = []
    for each in rows_in(found.get("points")):
        parameters, value = each.get("parameters"), _figure_of(each, figure_name)
        if isinstance(parameters, dict) and value is not None:
            points.append((parameters, value))
    if not points:
        return nothing("sweep", title, f"No set of parameters has a figure for {key}.", theme, columns)
    grid = _grid(points, key, (across, down), most=figure_name not in _LEAST)
    if grid is None:
        return nothing("sweep", title, "No parameter varies in this sweep.", theme, columns)
    drawn = _heat(grid, theme) if len(grid.names) > 1 else _slope(grid, theme)
    names = [plain(name) for name in grid.names]
    said = ", ".join(f"{name} {_written(value)}" for name, value in zip(names, grid.top, strict=True))
    more = f" Cells are the best over {', '.join(plain(name) for name in grid.left)}." if grid.left else ""
    rows = sorted(grid.best.items(), key=lambda item: _place(item[0]))
    summary = f"Best {key}: {amount(grid.best[grid.top], 3)} at {said}.{more}"
    told = excerpt((*names, key), rows, lambda row: (*map(_written, row[0]), amount(row[1], 3)), words=0)
    return Chart(drawn, title, summary, told)


def _grid(points: Sequence[tuple[Row, float]], key: str, asked: tuple[str, str], *, most: bool) -> _Grid | None:
    varying = _varying([parameters for parameters, _ in points])
    chosen = [name for name in asked if name in varying]
    names = tuple(dict.fromkeys([*chosen, *varying]))[:2]
    if not names:
        return None
    better = max if most else min
    best: dict[tuple[object, ...], float] = {}
    for parameters, value in points:
        place = tuple(_scalar(parameters.get(name)) for name in names)
        best[place] = better(best.get(place, value), value)
    top = better(best, key=lambda place: best[place])
    return _Grid(key, names, tuple(name for name in varying if name not in names), best, top)


def _figure_of(point: Row, name: str) -> float | None:
    figures = point.get("figures")
    return number(figures.get(name)) if isinstance(figures, dict) and not point.get("error") else None


def _scalar(given: object) -> object:
    value = number(given)
    return plain(given) if value is None else value


def _varying(sets: Sequence[Row]) -> list[str]:
    names = list(dict.fromkeys(name for each in sets for name in each))
    return [name for name in names if len({str(each.get(name)) for each in sets}) > 1]


def _rank(value: object) -> tuple[bool, float, str]:
    """Numbers in their order, then words."""
    return not isinstance(value, float), value if isinstance(value, float) else 0.0, str(value)


def _place(place: tuple[object, ...]) -> tuple[tuple[bool, float, str], ...]:
    return tuple(_rank(value) for value in place)


def _written(value: object) -> str:
    return f"{value:,.10g}" if isinstance(value, float) else plain(value)


def _heat(grid: _Grid, theme: Theme) -> Figure:
    ink = colours(theme)
    xs, ys = (sorted({place[side] for place in grid.best}, key=_rank) for side in (0, 1))
    cells = [[grid.best.get((x, y)) for x in xs] for y in ys]
    across, down = (safe(name) for name in grid.names)
    key = escape(grid.key)
    heat = {
        "type": "heatmap", "x": [escape(_written(x)) for x in xs], "y": [escape(_written(y)) for y in ys], "z": cells,
        "xgap": 1, "ygap": 1, "colorscale": _scale(ink), "hoverongaps": False,
        "text": [["" if each is None else amount(each) for each in row] for row in cells], "texttemplate": "%{text}",
        "textfont": {"color": ink.ink}, "colorbar": {"title": {"text": key}, "tickfont": {"color": ink.faint}},
        "hovertemplate": f"{across} %{{x}}<br>{down} %{{y}}<br>{key} %{{z:.3f}}<extra></extra>",
    }  # fmt: skip
    best = {
        "type": "scatter", "mode": "markers", "name": "best", "x": [escape(_written(grid.top[0]))],
        "y": [escape(_written(grid.top[1]))], "hoverinfo": "skip", "showlegend": False,
        "marker": {"symbol": "square-open", "size": 26, "color": ink.ink, "line": {"width": 2}},
    }  # fmt: skip
    axes = {"xaxis": axis(theme, across, type="category"), "yaxis": axis(theme, down, type="category")}
    return figure("sweep", theme, [heat, best], height=160 + 30 * min(len(ys), 16), **axes)


def _slope(grid: _Grid, theme: Theme) -> Figure:
    places, name, key = sorted(grid.best, key=_place), safe(grid.names[0]), escape(grid.key)
    xs, ys = [escape(_written(place[0])) for place in places], [grid.best[place] for place in places]
    curve = line(key, xs, ys, colours(theme).accent, f"{name} %{{x}}: %{{y:.3f}}", mode="lines+markers")
    return figure("sweep", theme, [curve], xaxis=axis(theme, name, type="category"), yaxis=axis(theme, key))


def _scale(ink: Colours) -> list[list[object]]:
    return [[place / 2, colour] for place, colour in enumerate(ink.scale)]


def monthly_returns(months: Sequence[Row], theme: Theme) -> Chart:
    """The return of each month as a heat map of years; `months` have `year`, `month` (1..12) and `return` (a fraction)."""
    title, columns = "Returns by month", ("year", *_MONTHS, "year's return")
    found = {(whole(each.get("year")), whole(each.get("month"))): number(each.get("return")) for each in months}
    years = sorted({year for (year, _), value in found.items() if value is not None}, reverse=True)[:_MOST_YEARS]
    if not years:
        return nothing("months", title, "No month has a return yet.", theme, columns)
    ink = colours(theme)
    cells = [[found.get((year, month)) for month in range(1, 13)] for year in years]
    reach = max(abs(value) for row in cells for value in row if value is not None) or 0.01
    grid = {
        "type": "heatmap", "x": list(_MONTHS), "y": [str(year) for year in years], "z": cells, "xgap": 2, "ygap": 2,
        "zmin": -reach, "zmax": reach, "colorscale": _scale(ink), "showscale": False, "hoverongaps": False,
        "text": [["" if value is None else signed(100 * value, 1) for value in row] for row in cells], "texttemplate": "%{text}",
        "textfont": {"color": ink.ink}, "hovertemplate": "%{x} %{y}: %{z:+.2%}<extra></extra>",
    }  # fmt: skip
    yaxis = axis(theme, type="category", autorange="reversed")
    drawn = figure(
        "months", theme, [grid], height=90 + 34 * len(years), xaxis=axis(theme, type="category", side="top"), yaxis=yaxis
    )
    rows = [
        (str(year), *(("–" if value is None else f"{signed(100 * value, 1)} %") for value in row), _compound(row))
        for year, row in zip(years, cells, strict=True)
    ]
    known = [value for row in cells for value in row if value is not None]
    up = sum(value > 0 for value in known)
    reached = f"from {signed(100 * min(known), 1)} % to {signed(100 * max(known), 1)} %"
    summary = f"{counted(len(known), 'month')}, {percent(up / len(known), 0)} of them up; {reached}."
    return Chart(drawn, title, summary, table(columns, rows))


def _compound(row: Sequence[float | None]) -> str:
    total = 1.0
    for value in row:
        total *= 1.0 + (value or 0.0)
    return f"{signed(100 * (total - 1.0), 1)} %"
