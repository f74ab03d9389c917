"""Layouts and traces that charts have in common: clear ground, no fixed width, times in UTC, a zoom that survives."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from bot.web.charts.chart import Chart, Figure, Table
from bot.web.charts.theme import FONT, Theme, colours
from bot.web.charts.words import prose

HEIGHT = 320
_FEW, _WIDE = 6, 46
CLEAR = "rgba(0,0,0,0)"
STAMP = "%Y-%m-%d %H:%M:%S UTC"
Trace = dict[str, Any]
Axis = dict[str, Any]


def figure(name: str, theme: Theme, data: Sequence[Trace], *, height: int = HEIGHT, **more: Any) -> Figure:
    """A figure whose layout has the theme and `more`; `name` is what keeps the reader's zoom while it is redrawn."""
    ink = colours(theme)
    layout: dict[str, Any] = {
        "autosize": True,
        "height": height,
        "uirevision": escape(name),
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "margin": {"l": 64, "r": 16, "t": 32, "b": 44},
        "font": {"family": FONT, "size": 12, "color": ink.ink},
        "hoverlabel": {"bgcolor": ink.card, "bordercolor": ink.rule, "align": "left", "namelength": -1,
                       "font": {"family": FONT, "color": ink.ink}},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"color": ink.ink}},
        "hovermode": "closest",
    }  # fmt: skip
    return {"data": list(data), "layout": layout | more}


def axis(theme: Theme, title: str = "", **more: Any) -> Axis:
    """An axis; its title is markup already, so foreign words in it are escaped by the caller."""
    ink = colours(theme)
    made: Axis = {
        "gridcolor": ink.rule,
        "zerolinecolor": ink.faint,
        "linecolor": ink.rule,
        "tickfont": {"color": ink.faint},
        "automargin": True,
    }
    if title:
        made["title"] = {"text": title, "font": {"color": ink.faint}, "standoff": 8}
    return made | more


def time_axis(theme: Theme, **more: Any) -> Axis:
    """Milliseconds UTC as dates."""
    return axis(theme, type="date", hoverformat=STAMP, **more)


def count_axis(theme: Theme, title: str, most: float, **more: Any) -> Axis:
    """Whole numbers from 0 up to `most`, never a mark between two of them."""
    every = {"dtick": 1} if most <= _FEW else {}
    return axis(theme, title, tickformat=",d", rangemode="tozero", **every, **more)


def line(name: str, at: Sequence[Any], values: Sequence[Any], colour: str, shown: str, **more: Any) -> Trace:
    """A curve; its name is markup and `shown` writes a value in the hover. `width`, `dash` and `shape` are of the line."""
    drawn: dict[str, Any] = {"color": colour, "width": more.pop("width", 1.8), "dash": more.pop("dash", "solid")}
    if "shape" in more:
        drawn["shape"] = more.pop("shape")
    made: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(at),
        "y": list(values),
        "line": drawn,
        "connectgaps": False,
        "hovertemplate": f"{shown}<extra>{name}</extra>",
    }
    return made | more


def bars(name: str, at: Sequence[Any], values: Sequence[Any], colour: str, shown: str, **more: Any) -> Trace:
    """Bars; their name is markup, `shape` their pattern."""
    marker: dict[str, Any] = {
        "color": colour,
        "pattern": {"shape": more.pop("shape", ""), "fillmode": "overlay", "fgopacity": 0.55, "solidity": 0.25},
    }
    made: Trace = {
        "type": "bar",
        "name": name,
        "x": list(at),
        "y": list(values),
        "marker": marker,
        "hovertemplate": f"{shown}<extra>{name}</extra>",
    }
    return made | more


def straight(colour: str, *, x: tuple[Any, Any], y: tuple[Any, Any], dash: str = "dash", **more: Any) -> Trace:
    """A straight line across the figure, from the first of both to the second; with `xref="paper"` in fractions of it."""
    return {
        "type": "line", "x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1],
        "line": {"color": colour, "width": 1.4, "dash": dash}, **more,
    }  # fmt: skip


def words(theme: Theme, text: str, **more: Any) -> Trace:
    """Words in the figure, without an arrow; markup, so foreign words in it are escaped by the caller."""
    return {"text": text, "showarrow": False, "font": {"color": colours(theme).faint, "size": 12}, **more}


def nothing(name: str, title: str, why: str, theme: Theme, columns: Sequence[str] = (), *, height: int = 160) -> Chart:
    """An empty chart that says why it is empty, in plain text."""
    hidden = {"visible": False}
    said = words(theme, prose(why, width=_WIDE), x=0.5, y=0.5, xref="paper", yref="paper")
    drawn = figure(name, theme, [], height=height, xaxis=hidden, yaxis=hidden, annotations=[said])
    return Chart(drawn, title, why, Table(tuple(columns)), empty=True)
