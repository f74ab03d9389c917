"""The charts of a run, as `chart/read` gives them: rows of `[unix_s, y]`, or `[unix_s, open, high, low, close]`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from simulators.quantconnect.lean_run import Run

DEFAULT = (
    "Strategy Equity", "Capacity", "Drawdown", "Benchmark", "Exposure", "Assets Sales Volume", "Portfolio Turnover",
    "Portfolio Margin",
)  # fmt: skip
_LINE, _CANDLE, _BAR, _STACKED = 0, 2, 3, 5
_MAX_POINTS = 1_000

Values = list[list[float]]


def charts_of(run: Run) -> dict[str, dict[str, object]]:
    """By name: the default ones and those that the algorithm plotted."""
    rows = run.equity
    peak, falls, exposures = 0.0, [], []
    for moment, worth, held in rows:
        peak = max(peak, worth)
        falls.append([moment // 1000, round(100.0 * (worth / peak - 1.0), 4)])
        exposures.append([moment // 1000, round(held / worth, 6) if worth else 0.0])
    made: dict[str, dict[str, object]] = {
        "Strategy Equity": chart("Strategy Equity", [series("Equity", "$", _CANDLE, _candles(rows))]),
        "Drawdown": chart("Drawdown", [series("Equity Drawdown", "%", _LINE, thinned(falls))]),
        "Benchmark": chart("Benchmark", [series("Benchmark", "$", _LINE, thinned([[at // 1000, y] for at, y in run.benchmark]))]),
        "Exposure": chart("Exposure", [series("Long Ratio", "", _LINE, thinned(exposures))]),
        "Portfolio Margin": chart("Portfolio Margin", [series("Used", "%", _STACKED, thinned(exposures))], stacked=True),
    }
    for name in DEFAULT:
        made.setdefault(name, chart(name, [series(name, "", _BAR, [])]))
    for name, plots in run.plots.items():
        lines = [series(title, "", _LINE, [[at, y] for at, y in points]) for title, points in plots.items()]
        made[name] = chart(name, lines)
    return made


def chart(name: str, lines: Sequence[dict[str, object]], stacked: bool = False) -> dict[str, object]:
    """A chart of series."""
    return {"name": name, "chartType": int(stacked), "series": {str(line["name"]): line for line in lines}}


def series(name: str, unit: str, kind: int, values: Values) -> dict[str, object]:
    """A series."""
    return {
        "name": name,
        "unit": unit,
        "index": 0,
        "seriesType": kind,
        "values": values,
        "color": "",
        "scatterMarkerSymbol": "none",
    }


def thinned(rows: Values, most: int = _MAX_POINTS) -> Values:
    """At most so many rows, evenly spread, the last one among them."""
    step = max(1, -(-len(rows) // most))
    kept = rows[::step]
    return kept if not rows or kept[-1] == rows[-1] else [*kept, rows[-1]]


def _candles(rows: Sequence[tuple[int, float, float]]) -> Values:
    """Equity in candles of a day, or of the moments themselves in a short run."""
    if not rows:
        return []
    length = 86_400_000 if rows[-1][0] - rows[0][0] > 3 * 86_400_000 else 1
    found: Values = []
    for bucket, group in groupby(rows, key=lambda row: (row[0] - 1) // length):
        worth = [row[1] for row in group]
        at = (bucket + 1) * length // 1000
        found.append([at, *(round(each, 4) for each in (worth[0], max(worth), min(worth), worth[-1]))])
    return thinned(found)
