"""How far what was stated came true, and how far each subject of the memory was believed."""

from __future__ import annotations

from collections.abc import Sequence

from bot.web.charts.chart import Chart, excerpt, table
from bot.web.charts.layout import Trace, axis, bars, count_axis, figure, line, nothing, time_axis
from bot.web.charts.numbers import Row, number, rows_in, thinned, whole
from bot.web.charts.theme import Theme, colours, dash, faded, symbol
from bot.web.charts.words import amount, counted, moment, percent, plain, safe

_BINS = ("stated", "mean stated", "closed", "came true", "from", "to")
_BELIEFS = ("subject", "time (UTC)", "confidence", "quality", "credibility", "trades")
_MOST_SUBJECTS = 8


def calibration(row: Row, theme: Theme) -> Chart:
    """The reliability curve of one row that `learning.calibration` answers with, over the counts of its bins.

    The whiskers are 95 % Wilson intervals; on the diagonal what is stated comes true. The map in use is the dotted line.
    """
    whose = _whose(row)
    name, title = f"calibration-{whose}", f"Calibration of {whose}"
    record = row.get("reliability")
    bins = [each for each in rows_in(record.get("bins") if isinstance(record, dict) else None) if whole(each.get("closed")) > 0]
    if not isinstance(record, dict) or not bins:
        why = f"No decision of {whose} has been closed yet, so nothing can be said about its confidence."
        return nothing(name, title, why, theme, _BINS)
    drawn = figure(
        name,
        theme,
        [*_reference(row, theme), _curve(bins, theme), _counts(bins, theme)],
        height=420,
        xaxis=axis(theme, "stated confidence", range=[0, 1], tickformat=".0%", anchor="y2"),
        yaxis=axis(theme, "came true", range=[0, 1.02], domain=[0.3, 1.0], tickformat=".0%"),
        yaxis2=count_axis(theme, "closed", max(whole(each.get("closed")) for each in bins), domain=[0.0, 0.22]),
    )
    rows = [
        (f"{percent(number(each.get('low')), 0)} to {percent(number(each.get('high')), 0)}", percent(number(each.get("stated"))),
         f"{whole(each.get('closed')):,}", *(percent(number(each.get(key))) for key in ("won", "won_low", "won_high")))
        for each in bins
    ]  # fmt: skip
    return Chart(drawn, title, _record(whose, record), table(_BINS, rows))


def _whose(row: Row) -> str:
    model, action = plain(row.get("model") or ""), plain(row.get("action") or "")
    return f"{plain(row.get('source') or 'a source')}{' · ' + model if model else ''}{' · ' + action if action else ''}"


def _reference(row: Row, theme: Theme) -> list[Trace]:
    ink = colours(theme)
    made = [line("as stated", [0, 1], [0, 1], ink.faint, "", width=1.2, dash="dash", hoverinfo="skip") | {"hovertemplate": None}]
    used = row.get("map")
    curve = used.get("curve") if isinstance(used, dict) else None
    pairs = [(number(each[0]), number(each[1])) for each in curve or () if isinstance(each, list | tuple) and len(each) == 2]
    if pairs:
        shown = "stated %{x:.0%} becomes %{y:.0%}"
        made.append(line("map", [x for x, _ in pairs], [y for _, y in pairs], ink.warn, shown, width=1.6, dash="dot"))
    return made


def _curve(bins: Sequence[Row], theme: Theme) -> Trace:
    ink = colours(theme)
    keys = ("stated", "won", "won_low", "won_high")
    known = [[number(each.get(key)) or 0.0 for key in keys] for each in bins]
    closed = [whole(each.get("closed")) for each in bins]
    error = {
        "type": "data", "symmetric": False, "color": ink.accent, "thickness": 1.4, "width": 5,
        "array": [max(0.0, high - won) for _, won, _, high in known],
        "arrayminus": [max(0.0, won - low) for _, won, low, _ in known],
    }  # fmt: skip
    shown = "stated %{x:.1%}<br>came true %{y:.1%} (%{customdata[1]:.1%} to %{customdata[2]:.1%})<br>%{customdata[0]:,d} closed"
    made = line("came true", [each[0] for each in known], [each[1] for each in known], ink.accent, shown, mode="lines+markers")
    marker = {"color": ink.accent, "size": 8, "symbol": "circle"}
    return made | {
        "error_y": error,
        "marker": marker,
        "customdata": [[count, *each[2:]] for count, each in zip(closed, known, strict=True)],
    }


def _counts(bins: Sequence[Row], theme: Theme) -> Trace:
    lows = [number(each.get("low")) or 0.0 for each in bins]
    widths = [max(0.0, (number(each.get("high")) or 0.0) - low) for each, low in zip(bins, lows, strict=True)]
    counts = [whole(each.get("closed")) for each in bins]
    made = bars("closed", lows, counts, colours(theme).shadow, "%{y:,d} closed", yaxis="y2", showlegend=False)
    return made | {"width": widths, "offset": 0}


def _record(whose: str, record: Row) -> str:
    closed, won = whole(record.get("closed")), whole(record.get("won"))
    brier = record.get("brier")
    parts = brier if isinstance(brier, dict) else {}
    score, base = (amount(number(parts.get(key)), 3) for key in ("score", "uncertainty"))
    error, low, high = (percent(number(record.get(key))) for key in ("error", "error_low", "error_high"))
    return (
        f"{whose}: {won:,} of {counted(closed, 'closed decision')} came true. Brier score {score} "
        f"(always saying the base rate: {base}); expected calibration error {error} (95 % interval {low} to {high})."
    )


def memory_confidence(history: Sequence[Row], theme: Theme) -> Chart:
    """What `memory.history` answers with under `history`: the confidence in each subject over time.

    The band reaches from the confidence up to the quality of the record behind it: what more trades like those would be worth,
    and so how much of the doubt is for want of evidence.
    """
    name, title = "memory-confidence", "Confidence of the memory, by subject"
    subjects = [(_subject(each), rows_in(each.get("points"))) for each in history]
    known = [
        (subject, points) for subject, points in subjects if any(number(one.get("confidence")) is not None for one in points)
    ]
    if not known:
        return nothing(
            name, title, "The memory has learnt nothing yet: it learns from closed trades and backtests.", theme, _BELIEFS
        )
    drawn_of, left = known[:_MOST_SUBJECTS], len(known) - _MOST_SUBJECTS
    data = [trace for place, (subject, points) in enumerate(drawn_of) for trace in _belief(subject, points, place, theme)]
    yaxis = axis(theme, "confidence", range=[0, 1.02], tickformat=".0%")
    drawn = figure(name, theme, data, height=360, hovermode="x unified", xaxis=time_axis(theme), yaxis=yaxis)
    rows = [(subject, one) for subject, points in known for one in points]
    newest = ", ".join(f"{subject} {percent(_last(points))}" for subject, points in drawn_of)
    more = f" {counted(left, 'more subject')} in the table." if left > 0 else ""
    return Chart(
        drawn,
        title,
        f"Newest confidence: {newest}; bands reach up to the quality of the record.{more}",
        excerpt(_BELIEFS, rows, _told, words=2),
    )


def _told(row: tuple[str, Row]) -> tuple[str, ...]:
    subject, one = row
    parts = (percent(number(one.get(key))) for key in ("confidence", "quality", "credibility"))
    return subject, moment(whole(one.get("at"))), *parts, amount(number(one.get("trades")), 1)


def _subject(row: Row) -> str:
    return plain(" · ".join(str(row[key]) for key in ("strategy", "symbol", "timeframe") if row.get(key)), 80) or "all"


def _last(points: Sequence[Row]) -> float | None:
    return next((value for one in reversed(points) if (value := number(one.get("confidence"))) is not None), None)


def _belief(subject: str, points: Sequence[Row], place: int, theme: Theme) -> list[Trace]:
    ink, times = colours(theme), [whole(one.get("at")) for one in points]
    at, values = thinned(times, [number(one.get("confidence")) for one in points])
    group = {"legendgroup": str(place)}
    curve = line(safe(subject, 80), at, values, ink.of(place), "%{y:.1%}", mode="lines+markers", dash=dash(place))
    curve["marker"] = {"symbol": symbol(place), "size": 6, "maxdisplayed": 24}
    known = [one for one in points if number(one.get("confidence")) is not None and number(one.get("quality")) is not None]
    when = [whole(one.get("at")) for one in known]
    (under, lows), (above, tops) = (thinned(when, [number(one.get(key)) for one in known]) for key in ("confidence", "quality"))
    band = {
        "type": "scatter", "mode": "lines", "name": "up to its quality", "x": [*above, *reversed(under)],
        "y": [*tops, *reversed(lows)], "fill": "toself", "fillcolor": faded(ink.of(place), 0.12), "line": {"width": 0},
        "showlegend": False, "hoverinfo": "skip",
    }  # fmt: skip
    return [band | group, curve | group]
