"""The candles of one symbol with what was decided, ordered and filled on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.core.decision import Action
from bot.core.market import Candle, Side
from bot.journal.records import JournaledDecision, JournaledFill, JournaledOrder, JournaledPosition
from bot.web.charts.chart import Chart, excerpt
from bot.web.charts.layout import Trace, axis, figure, nothing, time_axis
from bot.web.charts.numbers import MOST_MARKS, OHLC, joined, newest, number
from bot.web.charts.theme import Colours, Theme, colours, faded
from bot.web.charts.words import moment, percent, plain, price, prose, safe

_Event = JournaledDecision | JournaledFill

MOST_DECISIONS = 300
MOST_ORDERS = 100
_REACH = 0.6  # of the height of the prices: how far outside them a level still belongs in the picture
_COLUMNS = ("time (UTC)", "what", "source", "detail", "price")
_BUY, _SELL, _HOLD = "triangle-up-open", "triangle-down-open", "circle-open"


@dataclass(frozen=True, slots=True)
class Marks:
    """What is drawn on candles, in any order; `position` is the open one, opened at `opened` (ms UTC)."""

    decisions: Sequence[JournaledDecision] = ()
    orders: Sequence[JournaledOrder] = ()
    fills: Sequence[JournaledFill] = ()
    position: JournaledPosition | None = None
    opened: int | None = None


def candles(symbol: str, given: Sequence[Candle], marks: Marks, theme: Theme) -> Chart:
    """Candles oldest first, decisions (their reasoning in the hover), fills, resting orders, and the levels of the position."""
    title, name = f"{plain(symbol)} with decisions, orders and fills", f"candles-{plain(symbol)}"
    if not given and not marks.decisions and not marks.fills:
        why = f"No candle of {plain(symbol)} is known yet: the first comes when one has closed."
        return nothing(name, title, why, theme, _COLUMNS)
    ink = colours(theme)
    prices = [(number(each.open), number(each.high), number(each.low), number(each.close)) for each in given]
    at, shown, each = joined([one.ts for one in given], prices)
    end = _end(given, marks)
    decisions, cut = newest(sorted(marks.decisions, key=_when), MOST_DECISIONS)
    fills, fills_cut = newest(sorted(marks.fills, key=_when), MOST_MARKS)
    data: list[Trace] = [_candlesticks(at, shown, ink)] if at else []
    begin = given[0].ts if given else 0
    data += _levels(marks, end, ink) + _resting(marks.orders, (begin, end), ink) + _decisions(decisions, ink) + _fills(fills, ink)
    drawn = figure(
        name,
        theme,
        data,
        height=470,
        xaxis=time_axis(theme, rangeslider={"visible": False}),
        yaxis=axis(theme, safe(symbol.partition("/")[2]), tickformat=",.8~g", **_heights(shown, fills, marks)),
        shapes=_span(marks, end, ink),
    )
    rows: list[_Event] = sorted([*decisions, *fills], key=_when)
    notes = [f"Candles are joined {each} by {each}." if each > 1 else "", f"Decisions: {cut}." if cut else ""]
    notes.append(f"Fills: {fills_cut}." if fills_cut else "")
    summary = " ".join([_summary(symbol, given, marks), *(note for note in notes if note)])
    return Chart(drawn, title, summary, excerpt(_COLUMNS, rows, _told, words=4))


def _heights(shown: Sequence[OHLC], fills: Sequence[JournaledFill], marks: Marks) -> dict[str, object]:
    """From the lowest price to the highest; a level far outside is reached by zooming out, and does not flatten the rest."""
    prices = [value for each in shown for value in each[1:3] if value is not None]
    prices += [value for each in fills if (value := number(each.price)) is not None]
    if not prices or min(prices) == max(prices):
        return {}
    low, high = min(prices), max(prices)
    reach = _REACH * (high - low)
    held = marks.position if marks.position is not None and marks.position.amount else None
    levels = [] if held is None else [held.average, held.stop_loss, held.take_profit, held.trailing_stop]
    near = [value for given in levels if (value := number(given)) is not None and low - reach <= value <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    return {"range": [low - 0.05 * (high - low), high + 0.05 * (high - low)]}


def _end(given: Sequence[Candle], marks: Marks) -> int:
    """Up to where lines reach that have no end of their own."""
    ends = [given[-1].end] if given else []
    ends += [_when(each) for each in marks.decisions] + [_when(each) for each in marks.fills]
    return max(ends, default=0)


def _candlesticks(at: Sequence[int], shown: Sequence[tuple[float | None, ...]], ink: Colours) -> Trace:
    """Rising ones are hollow, falling ones filled: the direction is not told by colour alone."""
    columns = [list(column) for column in zip(*shown, strict=True)]
    return {
        "type": "candlestick", "name": "candles", "showlegend": False, "x": list(at),
        "open": columns[0], "high": columns[1], "low": columns[2], "close": columns[3],
        "increasing": {"line": {"color": ink.gain, "width": 1}, "fillcolor": "rgba(0,0,0,0)"},
        "decreasing": {"line": {"color": ink.loss, "width": 1}, "fillcolor": faded(ink.loss, 0.8)},
    }  # fmt: skip


def _decisions(found: Sequence[JournaledDecision], ink: Colours) -> list[Trace]:
    """One series for each source, so that the legend can switch it off."""
    by_source: dict[str, list[JournaledDecision]] = {}
    for each in found:
        if number(each.price) is not None:
            by_source.setdefault(each.source, []).append(each)
    symbols: Mapping[Action, str] = {Action.BUY: _BUY, Action.SELL: _SELL, Action.HOLD: _HOLD}
    return [
        _marks(
            f"{safe(source)}: decisions",
            [(each.created, number(each.price), _said(each)) for each in mine],
            {"symbol": [symbols[each.action] for each in mine], "size": 11, "color": ink.of(place), "line": {"width": 2}},
        )
        for place, (source, mine) in enumerate(sorted(by_source.items()))
    ]


def _said(each: JournaledDecision) -> str:
    fate = "no fate yet" if each.fate is None else each.fate.value
    lines = [f"<b>{each.action.value.upper()}</b> {safe(each.source)} · confidence {percent(number(each.confidence))}"]
    denial = f" ({safe(each.denial)})" if each.denial else ""
    lines.append(f"{moment(each.created)} at {price(number(each.price))} · {fate}{denial}")
    limits = [("stop", each.stop_loss), ("target", each.take_profit)]
    levels = [f"{name} {price(value)}" for name, given in limits if (value := number(given)) is not None]
    if levels:
        lines.append(" · ".join(levels))
    if each.reasoning:
        lines.append(prose(each.reasoning))
    return "<br>".join(lines)


def _fills(found: Sequence[JournaledFill], ink: Colours) -> list[Trace]:
    made: list[Trace] = []
    for side, colour, symbol in ((Side.BUY, ink.gain, "triangle-up"), (Side.SELL, ink.loss, "triangle-down")):
        mine = [each for each in found if each.side is side]
        if mine:
            marker = {"symbol": symbol, "size": 9, "color": colour, "line": {"width": 1, "color": ink.ink}}
            points = [(each.ts, number(each.price), _filled(each)) for each in mine]
            made.append(_marks(f"{side.value} fills", points, marker))
    return made


def _filled(each: JournaledFill) -> str:
    deal = f"filled: {each.side.value} {safe(each.amount)} at {price(number(each.price))}"
    return f"{deal}<br>{moment(each.ts)} · {safe(each.source)} · fee {safe(each.fee)} {safe(each.fee_currency)}"


def _marks(name: str, points: Sequence[tuple[int, float | None, str]], marker: dict[str, object]) -> Trace:
    return {
        "type": "scatter", "mode": "markers", "name": name, "marker": marker,
        "x": [point[0] for point in points], "y": [point[1] for point in points], "text": [point[2] for point in points],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def _resting(orders: Sequence[JournaledOrder], ends: tuple[int, int], ink: Colours) -> list[Trace]:
    """Orders with a price as lines from when they were made until they ended, within the ends of the candles."""
    found, _ = newest([each for each in sorted(orders, key=lambda one: one.created) if _level(each) is not None], MOST_ORDERS)
    xs: list[int | None] = []
    ys: list[float | None] = []
    texts: list[str] = []
    for each in found:
        since = max(each.created, ends[0])
        until = max(since, each.at if each.state.terminal else ends[1])
        said = f"{each.type.value} {each.side.value} {safe(each.amount)} at {price(_level(each))}"
        said = f"{said}<br>{each.leg.value} · {safe(each.source)} · {each.state.value}<br>since {moment(each.created)}"
        xs += [since, until, None]
        ys += [_level(each), _level(each), None]
        texts += [said, said, ""]
    if not xs:
        return []
    drawn = {"color": ink.faint, "width": 1.2, "dash": "dot"}
    return [
        {"type": "scatter", "mode": "lines", "name": "orders", "x": xs, "y": ys, "text": texts, "line": drawn,
         "hovertemplate": "%{text}<extra></extra>", "connectgaps": False},
    ]  # fmt: skip


def _level(each: JournaledOrder) -> float | None:
    trigger = number(each.trigger_price)
    return number(each.price) if trigger is None else trigger


def _levels(marks: Marks, end: int, ink: Colours) -> list[Trace]:
    """What the open position was bought at, and what would close it."""
    held = marks.position
    if held is None or not held.amount:
        return []
    begin = held.at if marks.opened is None else marks.opened
    levels = (
        ("average entry", held.average, ink.accent, "solid"),
        ("stop", held.stop_loss, ink.loss, "dash"),
        ("target", held.take_profit, ink.gain, "longdash"),
        ("trailing stop", held.trailing_stop, ink.warn, "dashdot"),
    )
    return [
        {"type": "scatter", "mode": "lines", "name": name, "x": [begin, max(begin, end)], "y": [level, level],
         "line": {"color": colour, "width": 1.6, "dash": dashed}, "hovertemplate": f"{name} {price(level)}<extra></extra>"}
        for name, given, colour, dashed in levels
        if (level := number(given)) is not None
    ]  # fmt: skip


def _span(marks: Marks, end: int, ink: Colours) -> list[Trace]:
    """The time the position has been open, as a band behind everything."""
    held = marks.position
    if held is None or not held.amount or marks.opened is None:
        return []
    return [
        {"type": "rect", "xref": "x", "yref": "paper", "x0": marks.opened, "x1": max(marks.opened, end), "y0": 0, "y1": 1,
         "line": {"width": 0}, "fillcolor": faded(ink.accent, 0.08), "layer": "below"},
    ]  # fmt: skip


def _told(each: _Event) -> tuple[str, ...]:
    where = (plain(each.source), price(number(each.price)))
    if isinstance(each, JournaledDecision):
        return moment(each.created), f"decision: {each.action.value}", where[0], plain(each.reasoning, 120), where[1]
    return moment(each.ts), f"fill: {each.side.value}", where[0], f"amount {each.amount:f}", where[1]


def _when(each: _Event) -> int:
    return each.created if isinstance(each, JournaledDecision) else each.ts


def _summary(symbol: str, given: Sequence[Candle], marks: Marks) -> str:
    closes = [value for each in given if (value := number(each.close)) is not None]
    said = f"{plain(symbol)}: {len(given):,} candles, {len(marks.decisions):,} decisions, {len(marks.fills):,} fills."
    if not closes:
        return said
    held = marks.position
    more = f" Position {held.amount:f} at {price(number(held.average))}." if held is not None and held.amount else " No position."
    return f"{said} Last close {price(closes[-1])}, from {price(min(closes))} to {price(max(closes))}.{more}"
