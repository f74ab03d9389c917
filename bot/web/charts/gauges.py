"""How full limits are, as bars: budgets of money, limits of risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.web.charts.chart import Chart, table
from bot.web.charts.layout import Trace, axis, bars, figure, nothing, straight
from bot.web.charts.numbers import MOST_NAMES, number
from bot.web.charts.theme import Theme, colours
from bot.web.charts.words import amount, percent, plain, safe

_COLUMNS = ("limit", "state", "used", "of", "full")
_AMBER, _FULL = 0.8, 1.0
_MARKS = (0.5, _AMBER, _FULL)
_REACH = 1.25
_ROW = 34


@dataclass(frozen=True, slots=True)
class Gauge:
    """One limit: how much of it is used, in `unit`. A limit of None or 0 is none at all and is drawn as not limited."""

    name: str
    used: float | None
    limit: float | None
    unit: str = ""
    digits: int = 2

    @property
    def full(self) -> float | None:
        """The used fraction, None where it is not known or there is no limit."""
        used, limit = number(self.used), number(self.limit)
        return None if used is None or limit is None or limit <= 0 else max(0.0, used / limit)

    @property
    def state(self) -> str:
        """The word for how full it is: what the colour says to those who see it."""
        full = self.full
        if full is None:
            return "not limited" if not number(self.limit) else "unknown"
        return "over" if full > _FULL else "reached" if full == _FULL else "near" if full >= _AMBER else "ok"


def limits(gauges: Sequence[Gauge], theme: Theme, *, name: str = "limits", title: str = "How full the limits are") -> Chart:
    """One bar for each limit, with marks at 50, 80 and 100 %; a bar past 125 % is cut there and says its number."""
    shown = list(reversed(gauges[:MOST_NAMES]))
    if not any(each.full is not None for each in shown):
        why = "No limit is set." if not any(number(each.limit) for each in shown) else "Nothing is known of the limits yet."
        return nothing(name, title, why, theme, _COLUMNS)
    ink = colours(theme)
    states = {"ok": (ink.gain, ""), "near": (ink.warn, "/"), "reached": (ink.loss, "x"), "over": (ink.loss, "x")}
    data: list[Trace] = []
    for state, (colour, shape) in states.items():
        mine = [(each, full) for each in shown if each.state == state and (full := each.full) is not None]
        if mine:
            data.append(
                bars(state, [min(full, _REACH) for _, full in mine], [safe(each.name) for each, _ in mine], colour,
                     "%{customdata}", orientation="h", shape=shape)
                | {"customdata": [_said(each) for each, _ in mine], "text": [percent(full, 0) for _, full in mine],
                   "textposition": "outside", "cliponaxis": False, "textfont": {"color": ink.ink}}
            )  # fmt: skip
    marks = zip(_MARKS, (ink.faint, ink.warn, ink.loss), ("dot", "dash", "solid"), strict=True)
    ends = [straight(colour, x=(at, at), y=(0, 1), yref="paper", dash=dashed) for at, colour, dashed in marks]
    drawn = figure(
        name,
        theme,
        data,
        height=90 + _ROW * len(shown),
        barmode="overlay",
        shapes=ends,
        xaxis=axis(theme, range=[0, _REACH + 0.1], tickformat=".0%", tickvals=[0, *_MARKS]),
        yaxis=axis(theme, type="category", categoryorder="array", categoryarray=[safe(each.name) for each in shown]),
    )
    rows = [
        (plain(each.name), each.state, amount(number(each.used), each.digits), _limit(each), percent(each.full))
        for each in gauges
    ]
    fullest = max((each for each in shown if each.full is not None), key=lambda each: each.full or 0.0)
    summary = f"Fullest: {plain(fullest.name)}, {percent(fullest.full)} ({fullest.state})."
    return Chart(drawn, title, summary, table(_COLUMNS, rows, words=2))


def budget(used: float | None, limit: float | None, theme: Theme, *, label: str = "budget", unit: str = "USD") -> Chart:
    """A budget as one bar."""
    return limits([Gauge(label, used, limit, unit)], theme, name=f"budget-{plain(label)}", title=f"Used of the {plain(label)}")


def _limit(each: Gauge) -> str:
    return "not limited" if not number(each.limit) else f"{amount(number(each.limit), each.digits)} {plain(each.unit)}".rstrip()


def _said(each: Gauge) -> str:
    used, limit = amount(number(each.used), each.digits), amount(number(each.limit), each.digits)
    return f"{safe(each.name)}: {used} of {limit} {safe(each.unit)} ({each.state})"
