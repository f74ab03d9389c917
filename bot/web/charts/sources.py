"""Who earned, who won, and what became of what each source proposed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bot.core.decision import Fate
from bot.journal.records import ClosedLot, FateCount, JournaledVerdict, Override, ShadowTrade
from bot.web.charts.chart import Chart, excerpt, table
from bot.web.charts.layout import Trace, axis, bars, count_axis, figure, line, nothing, time_axis
from bot.web.charts.numbers import MOST_NAMES, MOST_POINTS, newest, number, running, thinned
from bot.web.charts.theme import Theme, colours, pattern
from bot.web.charts.words import amount, counted, moment, percent, plain, safe, signed

_PNL = ("source", "trades in the book", "P&L in the book", "trades alone", "P&L alone (shadow)")
_WINS = ("source", "conflicts", "won", "share won", "from", "to")
_OVERRIDES = ("time (UTC)", "winner", "overruled", "symbol", "cost", "so far")
_ROW = 44
_Gain = tuple[int, float, str]  # when, how much, whose


def pnl_by_source(
    lots: Sequence[ClosedLot], trades: Sequence[ShadowTrade], theme: Theme, *, currency: str = "USD", note: str = ""
) -> Chart:
    """Realised P&L as it grew: the arbiter's, each source's part of it, and what each would have earned alone.

    `note` says what is not drawn; so it does in the charts below.
    """
    name, title = "pnl-by-source", "P&L by source: the arbiter and each source alone"
    if not lots and not trades:
        return nothing(name, title, "No trade has been closed yet, neither in the book nor in a shadow ledger.", theme, _PNL)
    ink, shown = colours(theme), f"%{{y:+,.2f}} {safe(currency)}"
    book = sorted((each.at, number(each.pnl) or 0.0, each.opener) for each in lots)
    alone = sorted((each.at, number(each.pnl) or 0.0, each.source) for each in trades)
    sources = sorted({each[2] for each in (*book, *alone)})[:MOST_NAMES]
    times = [each[0] for each in (*book, *alone)]
    ends = (min(times), max(times))
    data = [_grown("the arbiter", book, ends, ink.ink, shown, width=2.6)] if book else []
    for place, source in enumerate(sources):
        mine, own = ([each for each in every if each[2] == source] for every in (book, alone))
        group = {"legendgroup": str(place)}
        if mine:
            data.append(_grown(f"{safe(source)} in the book", mine, ends, ink.of(place), shown, width=1.6) | group)
        if own:
            data.append(_grown(f"{safe(source)} alone (shadow)", own, ends, ink.of(place), shown, width=1.4, dash="dash") | group)
    yaxis = axis(theme, f"P&amp;L, {safe(currency)}", zeroline=True, tickformat="+,.6~g")
    drawn = figure(name, theme, data, height=380, hovermode="x unified", xaxis=time_axis(theme), yaxis=yaxis)
    rows = [(plain(source), *_totals(book, source), *_totals(alone, source)) for source in sources]
    total = signed(sum(each[1] for each in book))
    summary = (
        f"The arbiter earned {total} {plain(currency)} in {counted(len(lots), 'closed lot')}{_noted(note)}.{_best_alone(alone)}"
    )
    return Chart(drawn, title, summary, table(_PNL, rows))


def _grown(name: str, rows: Sequence[_Gain], ends: tuple[int, int], colour: str, shown: str, **look: Any) -> Trace:
    """The sum so far, from nothing at the first trade of anybody to what it is at the last."""
    sums = running([each[1] for each in rows])
    at, values = thinned([ends[0], *(each[0] for each in rows), ends[1]], [0.0, *sums, sums[-1]])
    return line(name, at, values, colour, shown, shape="hv", **look)


def _best_alone(alone: Sequence[_Gain]) -> str:
    sums: dict[str, float] = {}
    for _, gained, source in alone:
        sums[source] = sums.get(source, 0.0) + gained
    best = max(sorted(sums), key=lambda source: sums[source], default=None)
    return "" if best is None else f" Alone, {plain(best)} would have earned most: {signed(sums[best])}."


def _noted(*notes: str) -> str:
    return "".join(f"; {note}" for note in notes if note)


def _totals(rows: Sequence[_Gain], source: str) -> tuple[str, str]:
    mine = [each[1] for each in rows if each[2] == source]
    return f"{len(mine):,}", signed(sum(mine))


def win_share(verdicts: Sequence[JournaledVerdict], source_of: Mapping[str, str], theme: Theme, *, note: str = "") -> Chart:
    """Of the conflicts that a source took part in, the share it won, with its 95 % interval.

    A conflict is a verdict that outranked somebody; `source_of` names the source of each outranked decision by its id, and a
    source that was outranked by itself was in no conflict.
    """
    name, title = "win-share", "Conflicts won by source"
    met, won = _conflicts(verdicts, source_of)
    if not met:
        return nothing(name, title, "No verdict has outranked anybody yet: the sources have not disagreed.", theme, _WINS)
    from research.calibration.curve import wilson  # noqa: PLC0415 - numpy comes with it

    ink = colours(theme)
    sources = sorted(met, key=lambda source: (won[source] / met[source], source))[-MOST_NAMES:]
    shares = [won[source] / met[source] for source in sources]
    bounds = [wilson(won[source], met[source]) for source in sources]
    said = [f"{won[source]:,} of {met[source]:,} conflicts" for source in sources]
    reach = {
        "type": "data", "symmetric": False, "color": ink.ink, "thickness": 1.2, "width": 5,
        "array": [high - share for share, (_, high) in zip(shares, bounds, strict=True)],
        "arrayminus": [share - low for share, (low, _) in zip(shares, bounds, strict=True)],
    }  # fmt: skip
    names = [safe(source) for source in sources]
    won_bars = bars("share won", shares, names, ink.accent, "%{customdata}: %{x:.1%}", orientation="h", error_x=reach)
    drawn = figure(
        name,
        theme,
        [won_bars | {"customdata": said, "text": said, "textposition": "none"}],
        height=110 + _ROW * len(sources),
        showlegend=False,
        xaxis=axis(theme, "share of its conflicts", range=[0, 1], tickformat=".0%"),
        yaxis=axis(theme, type="category"),
    )
    rows = [
        (plain(source), f"{met[source]:,}", f"{won[source]:,}", percent(share), percent(low), percent(high))
        for source, share, (low, high) in zip(reversed(sources), reversed(shares), reversed(bounds), strict=True)
    ]
    summary = (
        f"{rows[0][0]} won {rows[0][3]} of {counted(met[sources[-1]], 'conflict')} "
        f"(95 % interval {rows[0][4]} to {rows[0][5]}){_noted(note)}."
    )
    return Chart(drawn, title, summary, table(_WINS, rows))


def _conflicts(verdicts: Sequence[JournaledVerdict], source_of: Mapping[str, str]) -> tuple[Counter[str], Counter[str]]:
    met: Counter[str] = Counter()
    won: Counter[str] = Counter()
    for verdict in verdicts:
        losers = {source_of[one] for one in verdict.outranked if one in source_of} - {verdict.source}
        if losers:
            met.update({verdict.source, *losers})
            won[verdict.source] += 1
    return met, won


def overrides(given: Sequence[Override], theme: Theme, *, currency: str = "USD", note: str = "") -> Chart:
    """What each override cost (+) or saved (-), and above it all of them together."""
    name, title = "overrides", "Cost and saving of overrides"
    ended = sorted(given, key=lambda each: (each.at, each.row))
    known = [(each, cost) for each in ended if (cost := number(each.cost)) is not None]
    if not known:
        why = "No override has ended yet: its cost is known when the overruled source's own trade has ended."
        return nothing(name, title, why, theme, _OVERRIDES)
    ink, shown = colours(theme), f"%{{y:+,.2f}} {safe(currency)}"
    sums = running([cost for _, cost in known])
    at, total = thinned([each.at for each, _ in known], sums)
    data: list[Trace] = [line("together", at, total, ink.accent, shown, width=2, shape="hv")]
    drawn, thin = newest(known, MOST_POINTS)
    kinds = (("cost", ink.loss, "triangle-up", True), ("saved", ink.gain, "triangle-down", False))
    for kind, colour, symbol, costs in kinds:
        mine = [(each, cost) for each, cost in drawn if (cost > 0) is costs]
        if mine:
            data.append(
                {"type": "scatter", "mode": "markers", "name": kind, "yaxis": "y2", "x": [each.at for each, _ in mine],
                 "y": [cost for _, cost in mine], "marker": {"color": colour, "symbol": symbol, "size": 9},
                 "text": [f"{safe(each.winner)} over {safe(each.loser)}<br>{safe(each.symbol)}" for each, _ in mine],
                 "hovertemplate": f"%{{text}}<br>{shown}<br>%{{x}}<extra></extra>"}
            )  # fmt: skip
    made = figure(
        name,
        theme,
        data,
        height=380,
        xaxis=time_axis(theme, anchor="y2"),
        yaxis=axis(theme, f"together, {safe(currency)}", domain=[0.56, 1.0], zeroline=True, tickformat="+,.6~g"),
        yaxis2=axis(theme, f"each, {safe(currency)}", domain=[0.0, 0.46], zeroline=True, tickformat="+,.6~g"),
    )
    rows = [(*pair, so_far) for pair, so_far in zip(known, sums, strict=True)]
    word = "cost" if sums[-1] > 0 else "saved"
    told = f"{counted(len(known), 'override')} {word} {amount(abs(sums[-1]))} {plain(currency)} together"
    summary = f"{told}{_noted(thin, note)}."
    return Chart(made, title, summary, excerpt(_OVERRIDES, rows, _told, words=4))


def _told(row: tuple[Override, float, float]) -> tuple[str, ...]:
    each, cost, so_far = row
    return moment(each.at), plain(each.winner), plain(each.loser), plain(each.symbol), signed(cost), signed(so_far)


def fates(counts: Sequence[FateCount], theme: Theme) -> Chart:
    """How many decisions of each source met which fate, stacked; those without one yet are pending."""
    name, title = "fates", "What became of decisions, by source"
    found: dict[tuple[str, str], int] = {}
    for each in counts:
        if each.count > 0:
            key = (each.source, "pending" if each.fate is None else each.fate.value)
            found[key] = found.get(key, 0) + each.count
    if not found:
        return nothing(name, title, "No decision has been made yet.", theme, ("source",))
    ink = colours(theme)
    totals: Counter[str] = Counter()
    for (source, _), count in found.items():
        totals[source] += count
    sources = sorted(totals, reverse=True)[-MOST_NAMES:]
    met = [fate for fate in (*(one.value for one in Fate), "pending") if any(key[1] == fate for key in found)]
    data = [
        bars(fate, [found.get((source, fate), 0) for source in sources], [safe(source) for source in sources], ink.of(place),
             f"%{{x:,d}} {fate}", orientation="h", shape=pattern(place + place // len(ink.series)))
        for place, fate in enumerate(met)
    ]  # fmt: skip
    drawn = figure(
        name,
        theme,
        data,
        height=150 + _ROW * len(sources) + 12 * len(met),
        barmode="stack",
        xaxis=count_axis(theme, "decisions", max(totals.values())),
        yaxis=axis(theme, type="category"),
    )
    rows = [
        (plain(source), *(f"{found.get((source, fate), 0):,}" for fate in met), f"{totals[source]:,}")
        for source in reversed(sources)
    ]
    executed = sum(count for (_, fate), count in found.items() if fate == Fate.EXECUTED.value)
    summary = f"{counted(sum(totals.values()), 'decision')} of {counted(len(totals), 'source')}: {executed:,} were executed."
    return Chart(drawn, title, summary, table(("source", *met, "all"), rows))
