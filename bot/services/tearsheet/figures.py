"""The figures of a tear sheet, built with plotly and drawn by the browser.

Colours of text, grid and ground are the page's (it changes them with the reader's scheme); colours of data are here and hold on
light and dark ground. Names from outside are escaped: plotly reads a little HTML in its texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

from bot.services.tearsheet.sheet import Candles, Floats, Mark, Slippage, TearSheet, Times, thinned

Figure = Any  # plotly.graph_objects.Figure: plotly is untyped and imported only where a figure is built

GAIN, LOSS, LINE, SHADOW, STOP = "#12a37f", "#e0563f", "#3b82f6", "#94a3b8", "#e0563f"
PALETTE = ("#3b82f6", "#d98200", "#12a37f", "#b45cd6", "#e0563f", "#0ea5b7", "#c2557f", "#7a8f00")
"""One colour per source, in the order of the sheet; told apart by those who do not see all of them by marker and legend too."""

_SHAPES = {"entry": "triangle-up", "exit": "triangle-down", "take-profit": "star", "flatten": "square"}
_MOST_POINTS, _MOST_CANDLES = 3_000, 1_200
_LEAD = 30  # candles before the run, so that its first trade has a past
_DENSE = 150  # fills on one chart beyond which their marks are small
_MANY = 7
_STOP_REACH = 0.6  # of the height of the prices: how far outside them a stop still belongs in the picture
_BASIS = 10_000


def figure_of_equity(sheet: TearSheet) -> Figure:
    """Equity above, its fall from the peak below, on one time axis."""
    import plotly.graph_objects as go  # noqa: PLC0415 - only a report pays for it
    from plotly.subplots import make_subplots  # noqa: PLC0415

    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.04)
    at, worth = thinned(*_from_the_start(sheet, sheet.equity, sheet.statistics.equity_start), _MOST_POINTS)
    fallen, depth = thinned(*_from_the_start(sheet, -100.0 * sheet.drawdown, 0.0), _MOST_POINTS)
    money = f"%{{y:,.2f}} {escape(sheet.currency)}<extra></extra>"
    figure.add_trace(
        go.Scatter(x=_dates(at), y=worth, mode="lines", name="equity", line={"color": LINE, "width": 1.8}, hovertemplate=money),
        row=1,
        col=1,
    )
    line = {"color": LOSS, "width": 1}
    below = go.Scatter(
        x=_dates(fallen),
        y=depth,
        mode="lines",
        name="drawdown",
        line=line,
        fill="tozeroy",
        hovertemplate="%{y:.2f} %<extra></extra>",
    )
    figure.add_trace(below, row=2, col=1)
    figure.update_yaxes(title_text=escape(sheet.currency), row=1, col=1)
    figure.update_yaxes(title_text="below peak", ticksuffix=" %", row=2, col=1)
    figure.update_xaxes(type="date")
    return _laid_out(figure, 430, showlegend=False, hovermode="x unified")


def _from_the_start(sheet: TearSheet, values: Floats, first: float) -> tuple[Times, Floats]:
    """A curve with the moment before its first sample."""
    if sheet.at[0] <= sheet.start:
        return sheet.at, values
    return np.append([sheet.start], sheet.at), np.append([first], values)


def figure_of_trades(sheet: TearSheet, symbol: str) -> tuple[Figure, int]:
    """One symbol's candles (each joined from the returned number; 0: none are known) with every fill and the stop's level."""
    import plotly.graph_objects as go  # noqa: PLC0415

    figure = go.Figure()
    candles, shown, each = sheet.candles.get(symbol), None, 0
    if candles is not None and len(candles):
        shown, each = candles.since(sheet.start, _LEAD).joined(_MOST_CANDLES)
        figure.add_trace(_candlesticks(go, shown))
    _add_outcomes(go, figure, sheet, symbol)
    _add_stop_level(go, figure, sheet, symbol)
    _add_marks(go, figure, sheet, [mark for mark in sheet.marks if mark.symbol == symbol])
    figure.update_xaxes(type="date", rangeslider={"visible": False})
    figure.update_yaxes(title_text=escape(symbol.partition("/")[2]), range=_heights(sheet, symbol, shown))
    return _laid_out(figure, 470, hovermode="closest"), each


def _heights(sheet: TearSheet, symbol: str, candles: Candles | None) -> list[float] | None:
    """From the lowest price to the highest; a stop far outside may be reached by zooming out, and does not flatten the rest."""
    prices = [mark.price for mark in sheet.marks if mark.symbol == symbol]
    if candles is not None and len(candles):
        prices += [float(candles.low.min()), float(candles.high.max())]
    if not prices or min(prices) == max(prices):
        return None
    low, high = min(prices), max(prices)
    reach = _STOP_REACH * (high - low)
    levels = [stop.level for stop in sheet.stops if stop.symbol == symbol and stop.level is not None]
    near = [level for level in levels if low - reach <= level <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.05 * (high - low)
    return [low - margin, high + margin]


def _candlesticks(go: Any, candles: Candles) -> Any:
    up, down = ({"line": {"color": colour, "width": 1}, "fillcolor": colour} for colour in (GAIN, LOSS))
    return go.Candlestick(
        x=_dates(candles.ts),
        open=candles.open,
        high=candles.high,
        low=candles.low,
        close=candles.close,
        increasing=up,
        decreasing=down,
        opacity=0.55,
        name="candles",
        showlegend=False,
    )


def _add_marks(go: Any, figure: Figure, sheet: TearSheet, marks: Sequence[Mark]) -> None:
    """Every fill: its shape is the leg, its colour the source; the legend names each source once."""
    colours = {source.name: colour_of(place) for place, source in enumerate(sheet.sources)}
    dense = len(marks) > _DENSE
    groups: dict[tuple[str, str], list[Mark]] = {}
    for mark in marks:
        groups.setdefault((mark.source, mark.leg), []).append(mark)
    named: set[str] = set()
    for (source, leg), found in sorted(groups.items()):
        marker: dict[str, object] = {
            "symbol": _SHAPES.get(leg, "x"),
            "size": 6 if dense else 11,
            "color": colours.get(source, SHADOW),
        }
        if not dense:
            marker["line"] = {"width": 1.2, "color": "rgba(255,255,255,0.85)"}
        trace = go.Scatter(
            x=_dates(np.asarray([mark.at for mark in found], np.int64)),
            y=[mark.price for mark in found],
            mode="markers",
            name=escape(source),
            legendgroup=escape(source),
            showlegend=source not in named,
            text=[_said(mark) for mark in found],
            hovertemplate="%{text}<br>%{x}<extra></extra>",
            marker=marker,
        )
        figure.add_trace(trace)
        named.add(source)


def _said(mark: Mark) -> str:
    deal = f"{escape(mark.side)} {escape(mark.amount)} at {mark.price:,.10g}"
    return f"{deal}<br>{escape(mark.leg)} · {escape(mark.source)}"


def _add_outcomes(go: Any, figure: Figure, sheet: TearSheet, symbol: str) -> None:
    """A thin line from each trade's entry to its exit, green where it gained."""
    for name, colour, kept in (("gained", GAIN, lambda pnl: pnl > 0), ("lost", LOSS, lambda pnl: pnl <= 0)):
        xs, ys = _segments(sheet, symbol, kept)
        if xs:
            line = {"color": colour, "width": 1.2, "dash": "dot"}
            trace = go.Scatter(x=xs, y=ys, mode="lines", name=f"trades that {name}", line=line, hoverinfo="skip")
            figure.add_trace(trace)


def _segments(sheet: TearSheet, symbol: str, kept: Callable[[float], bool]) -> tuple[list[float | None], list[float | None]]:
    xs: list[float | None] = []
    ys: list[float | None] = []
    for trade in sheet.trades:
        if trade.symbol == symbol and kept(trade.pnl):
            xs += [float(trade.opened), float(trade.closed), None]
            ys += [trade.entry, trade.exit, None]
    return xs, ys


def _add_stop_level(go: Any, figure: Figure, sheet: TearSheet, symbol: str) -> None:
    levels = [stop for stop in sheet.stops if stop.symbol == symbol]
    if any(stop.level is not None for stop in levels):
        times: Times = np.asarray([stop.at for stop in levels], np.int64)
        line = {"color": STOP, "width": 1.2, "dash": "dash", "shape": "hv"}
        heights = [stop.level for stop in levels]
        trace = go.Scatter(x=_dates(times), y=heights, mode="lines", name="stop level", line=line, connectgaps=False)
        figure.add_trace(trace)


def figure_of_sources(sheet: TearSheet) -> Figure:
    """What each source earned in the book, beside what it would have earned alone."""
    import plotly.graph_objects as go  # noqa: PLC0415

    names = [escape(source.name) for source in reversed(sheet.sources)]
    book = [source.pnl for source in reversed(sheet.sources)]
    alone = [source.shadow for source in reversed(sheet.sources)]
    money = f"%{{x:+,.2f}} {escape(sheet.currency)}"
    figure = go.Figure(
        [
            _bars(go, "alone (shadow ledger)", alone, names, SHADOW, money),
            _bars(go, "in the book", book, names, LINE, money),
        ]
    )
    figure.update_xaxes(title_text=f"P&amp;L, {escape(sheet.currency)}", zeroline=True)
    figure.update_yaxes(automargin=True)
    return _laid_out(
        figure,
        130 + (52 if len(names) < _MANY else 36) * max(1, len(names)),
        barmode="group",
        bargap=0.35,
        legend_traceorder="reversed",
    )


def figure_of_overrides(sheet: TearSheet) -> Figure:
    """Each override's cost as a bar in its turn, and their running sum."""
    import plotly.graph_objects as go  # noqa: PLC0415

    shown = sorted(sheet.overrides, key=lambda each: each.at)
    costs: Floats = np.asarray([each.cost or 0.0 for each in shown], np.float64)
    turns = list(range(1, len(shown) + 1))
    texts = [f"{escape(each.winner)} over {escape(each.loser)}<br>{escape(each.symbol)}" for each in shown]
    colours = [LOSS if cost > 0 else GAIN for cost in costs.tolist()]
    bars = go.Bar(
        x=turns, y=costs, name="each", marker={"color": colours}, text=texts, textposition="none",
        hovertemplate="%{text}<br>%{y:+,.2f}<extra></extra>",
    )  # fmt: skip
    total = go.Scatter(
        x=turns, y=np.cumsum(costs), name="together", mode="lines", line={"color": LINE, "width": 1.8, "shape": "hv"},
        hovertemplate="together %{y:+,.2f}<extra></extra>",
    )  # fmt: skip
    figure = go.Figure([bars, total])
    figure.update_yaxes(title_text=f"cost, {escape(sheet.currency)}", zeroline=True)
    figure.update_xaxes(title_text="overrides, as they ended", tickformat="d", rangemode="tozero")
    return _laid_out(figure, 320, bargap=0.15)


def figure_of_slippage(rows: Sequence[Slippage]) -> Figure:
    """Slippage in basis points by source and leg, beside the paper model's."""
    import plotly.graph_objects as go  # noqa: PLC0415

    names = [f"{escape(row.source)} · {escape(row.leg)}" for row in reversed(rows)]
    actual = [row.actual * _BASIS for row in reversed(rows)]
    paper = [None if row.paper is None else row.paper * _BASIS for row in reversed(rows)]
    figure = go.Figure()
    if any(value is not None for value in paper):
        figure.add_trace(_bars(go, "paper model", paper, names, SHADOW, "%{x:+.2f} bp"))
    figure.add_trace(_bars(go, "fills", actual, names, LINE, "%{x:+.2f} bp"))
    figure.update_xaxes(title_text="basis points worse", zeroline=True)
    figure.update_yaxes(automargin=True)
    return _laid_out(
        figure,
        130 + (46 if len(names) < _MANY else 26) * max(1, len(names)),
        barmode="group",
        bargap=0.35,
        legend_traceorder="reversed",
    )


def colour_of(place: int) -> str:
    """The colour of the source at that place."""
    return PALETTE[place % len(PALETTE)]


def _bars(go: Any, name: str, values: Sequence[float | None], names: Sequence[str], colour: str, shown: str) -> Any:
    marker = {"color": colour}
    return go.Bar(
        x=list(values), y=list(names), name=name, orientation="h", marker=marker, hovertemplate=f"{shown}<extra></extra>"
    )


def _dates(at: Times) -> Floats:
    """Milliseconds as a date axis takes them."""
    return at.astype(np.float64)


def _laid_out(figure: Figure, height: int, **more: object) -> Figure:
    legend = {"orientation": "h", "yanchor": "bottom", "y": 1.01, "xanchor": "left", "x": 0}
    margin = {"l": 64, "r": 12, "t": 28, "b": 48}
    figure.update_layout(template="none", height=height, margin=margin, legend=legend, paper_bgcolor="rgba(0,0,0,0)", **more)
    figure.update_layout(plot_bgcolor="rgba(0,0,0,0)", hoverlabel={"namelength": -1})
    return figure
