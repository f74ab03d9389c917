"""The arbiter against every mind alone, over time."""

from __future__ import annotations

from collections.abc import Sequence

from bot.services.standings import Curve
from bot.web.charts.chart import Chart, table
from bot.web.charts.layout import axis, figure, line, nothing, time_axis
from bot.web.charts.numbers import thinned
from bot.web.charts.theme import Theme, colours, dash
from bot.web.charts.words import plain, safe, signed

_COLUMNS = ("who", "made", "points")


def minds(given: Sequence[Curve], theme: Theme, *, currency: str = "USD") -> Chart:
    """P&L since the curves begin: the arbiter's as a broad line, every source's shadow in a colour and a dash of its own."""
    name, title = "minds", "The arbiter against every mind alone"
    if not any(curve.at for curve in given):
        return nothing(name, title, "Nothing has been sampled yet: the first point comes with the first prices.", theme, _COLUMNS)
    ink, shown = colours(theme), f"%{{y:+,.2f}} {safe(currency)}"
    data = []
    for place, curve in enumerate(given):
        at, values = thinned(curve.at, list(curve.pnl))
        if curve.name == "arbiter":
            data.append(line("arbiter", at, values, ink.ink, shown, width=3))
        else:
            data.append(line(f"{safe(curve.name)} alone", at, values, ink.of(place - 1), shown, width=1.6, dash=dash(place)))
    drawn = figure(
        name,
        theme,
        data,
        height=400,
        xaxis=time_axis(theme),
        yaxis=axis(theme, safe(currency), zeroline=True),
        hovermode="x unified",
    )
    ranked = sorted((curve for curve in given if curve.pnl), key=lambda curve: -curve.pnl[-1])
    rows = [(plain(curve.name), signed(curve.pnl[-1]), f"{len(curve.at):,}") for curve in ranked]
    best = ranked[0]
    return Chart(drawn, title, f"{plain(best.name)} made most: {signed(best.pnl[-1])} {currency}.", table(_COLUMNS, rows))
