"""What language models cost: by day and by month against the budget, and against what their decisions brought."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from bot.web.charts.chart import Chart, excerpt, table
from bot.web.charts.layout import Trace, axis, bars, figure, line, nothing, straight, words
from bot.web.charts.numbers import MOST_BARS, MOST_MARKS, Row, number, whole
from bot.web.charts.theme import Colours, Theme, colours, pattern, symbol
from bot.web.charts.words import amount, counted, percent, plain, safe, signed

UNKNOWN = "all models"
_MOST_MODELS = 8
_PROFIT = ("who", "decisions", "cost", "P&L", "net")
_DAY_MS = 86_400_000
_NO_CALL = "No language model has been called in this time."


@dataclass(frozen=True, slots=True)
class _Spent:
    """USD by period and model; `unpriced` are calls of models without a price, which are never counted as nothing."""

    periods: tuple[str, ...]
    models: tuple[str, ...]
    usd: dict[tuple[str, str], float]
    unpriced: int

    def total(self, period: str) -> float:
        return sum(self.usd.get((period, model), 0.0) for model in self.models)


def costs_by_day(lines: Sequence[Row], theme: Theme, *, now: int, budget: float | None = None) -> Chart:
    """Cost of each day (UTC), stacked by model, with the daily budget and what today will come to at its pace so far.

    A line has `day` or `key` (2026-11-21), `usd`, `calls` and, where costs are told apart by it, `model`. USD None: unpriced.
    """
    today = datetime.fromtimestamp(now / 1_000, UTC)
    elapsed = (now % _DAY_MS) / _DAY_MS
    return _stacked("day", lines, theme, f"{today:%Y-%m-%d}", elapsed, budget)


def costs_by_month(lines: Sequence[Row], theme: Theme, *, now: int, budget: float | None = None) -> Chart:
    """Cost of each month (UTC), from lines of days or of months, with the monthly budget and this month's projection."""
    today = datetime.fromtimestamp(now / 1_000, UTC)
    days = calendar.monthrange(today.year, today.month)[1]
    elapsed = (today.day - 1 + (now % _DAY_MS) / _DAY_MS) / days
    return _stacked("month", lines, theme, f"{today:%Y-%m}", elapsed, budget)


def _stacked(unit: str, lines: Sequence[Row], theme: Theme, current: str, elapsed: float, budget: float | None) -> Chart:
    name, title = f"costs-{unit}", f"Cost of language models by {unit}"
    columns = (unit, "all")
    spent = _spent(lines, len(current))
    if not spent.periods:
        return nothing(name, title, _NO_CALL, theme, columns)
    ink = colours(theme)
    shown = "%{y:,.4f} USD"
    data: list[Trace] = [
        bars(safe(model), spent.periods, [spent.usd.get((period, model), 0.0) for period in spent.periods], ink.of(place), shown,
             shape=pattern(place))
        for place, model in enumerate(spent.models)
    ]  # fmt: skip
    so_far = spent.total(current)
    projected = so_far / elapsed if elapsed > 0.02 and so_far > 0 else None  # sooner, one call would be a whole month's bill
    if projected is not None:
        data.append(_projection(current, projected - so_far, projected, ink))
    drawn = figure(
        name,
        theme,
        data,
        height=340,
        barmode="stack",
        hovermode="x unified",
        xaxis=axis(theme, f"{unit} (UTC)", type="category"),
        yaxis=axis(theme, "USD", tickformat="$,.4~g", rangemode="tozero"),
        **_budget_line(theme, budget),
    )
    rows = [
        (period, *(amount(spent.usd.get((period, model), 0.0), 4) for model in spent.models), amount(spent.total(period), 4))
        for period in reversed(spent.periods)
    ]
    said = _spending(unit, spent, current, projected, budget)
    return Chart(drawn, title, said, table((unit, *(plain(model) for model in spent.models), "all"), rows))


def _spent(lines: Sequence[Row], digits: int) -> _Spent:
    usd: dict[tuple[str, str], float] = {}
    unpriced = 0
    for each in lines:
        period = _period(each.get("day") or each.get("month") or each.get("key"), digits)
        cost = number(each.get("usd"))
        if period is None:
            continue
        if cost is None:
            unpriced += max(1, whole(each.get("calls")))
            continue
        key = (period, str(each.get("model") or UNKNOWN))
        usd[key] = usd.get(key, 0.0) + cost
    totals: dict[str, float] = {}
    for (_, model), cost in usd.items():
        totals[model] = totals.get(model, 0.0) + cost
    models = sorted(totals, key=lambda model: (-totals[model], model))
    kept = models if len(models) <= _MOST_MODELS else models[: _MOST_MODELS - 1]
    if len(kept) < len(models):
        usd, kept = _together(usd, kept), [*kept, "other models"]
    periods = sorted({period for period, _ in usd})[-MOST_BARS:]
    return _Spent(tuple(periods), tuple(kept), usd, unpriced)


def _together(usd: dict[tuple[str, str], float], kept: Sequence[str]) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for (period, model), cost in usd.items():
        key = (period, model if model in kept else "other models")
        found[key] = found.get(key, 0.0) + cost
    return found


def _period(given: object, digits: int) -> str | None:
    """The first `digits` of a date that is one."""
    text = str(given or "")[:10]
    try:
        date.fromisoformat(text if len(text) > len("2026-11") else f"{text}-01")
    except ValueError:
        return None
    return text[:digits] if len(text) >= digits else None


def _projection(current: str, rest: float, whole_: float, ink: Colours) -> Trace:
    made = bars("projected", [current], [rest], "rgba(0,0,0,0)", f"{amount(whole_, 4)} USD in all", shape="/")
    made["marker"] |= {
        "line": {"color": ink.faint, "width": 1},
        "pattern": {"shape": "/", "fgcolor": ink.faint, "solidity": 0.2, "fillmode": "replace"},
    }
    return made


def _budget_line(theme: Theme, budget: float | None) -> dict[str, object]:
    if budget is None or budget <= 0:
        return {}
    ink = colours(theme)
    label = words(theme, f"budget {amount(budget)} USD", x=1, xref="paper", xanchor="right", y=budget, yanchor="bottom")
    return {"shapes": [straight(ink.loss, x=(0, 1), y=(budget, budget), xref="paper")], "annotations": [label]}


def _spending(unit: str, spent: _Spent, current: str, projected: float | None, budget: float | None) -> str:
    total = sum(spent.total(period) for period in spent.periods)
    parts = [f"{amount(total, 4)} USD in {counted(len(spent.periods), unit)}; {amount(spent.total(current), 4)} in this {unit}"]
    if projected is not None:
        parts.append(f"at this pace it comes to {amount(projected, 4)}")
    if budget is not None and budget > 0:
        parts.append(f"the budget is {amount(budget)}, of which {percent(spent.total(current) / budget)} is used")
    if spent.unpriced:
        parts.append(f"{counted(spent.unpriced, 'call')} of models without a known price are not in it")
    return "; ".join(parts) + "."


@dataclass(frozen=True, slots=True)
class _Earned:
    who: str
    source: str
    usd: float
    pnl: float
    decisions: int

    @property
    def net(self) -> float:
        return self.pnl - self.usd


def cost_against_pnl(earned: Sequence[Row], theme: Theme, *, currency: str = "USD") -> Chart:
    """Cost against P&L, a mark for each row, as `llm.costs` answers with; what is above the line paid for itself.

    A row is a source and model, or a decision: it has `usd`, `pnl`, and `source` and `model`, or `key`.
    """
    name, title = "cost-pnl", "What language models cost and brought"
    rows = [found for each in earned[:MOST_MARKS] if (found := _earned(each)) is not None]
    if not rows:
        return nothing(name, title, "No decision of a language model has been closed yet: its P&L is not known.", theme, _PROFIT)
    ink = colours(theme)
    by_source: dict[str, list[_Earned]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    data = [_profits(source, mine, place, theme) for place, (source, mine) in enumerate(sorted(by_source.items()))]
    reach = max(row.usd for row in rows) or 1.0
    even = line("pays for itself", [0, reach], [0, reach], ink.faint, "", width=1.2, dash="dash", hoverinfo="skip")
    drawn = figure(
        name,
        theme,
        [*data, even],
        height=360,
        xaxis=axis(theme, "cost, USD", tickformat=",.4~g", rangemode="tozero"),
        yaxis=axis(theme, f"P&amp;L, {safe(currency)}", tickformat="+,.6~g", zeroline=True),
    )
    cost, profit = sum(row.usd for row in rows), sum(row.pnl for row in rows)
    said = f"They cost {amount(cost, 4)} USD and brought {signed(profit)} {plain(currency)}: net {signed(profit - cost)}."
    return Chart(drawn, title, said, excerpt(_PROFIT, rows, _told))


def _told(row: _Earned) -> tuple[str, ...]:
    return row.who, f"{row.decisions:,}", amount(row.usd, 4), signed(row.pnl), signed(row.net)


def _earned(row: Row) -> _Earned | None:
    usd, pnl = number(row.get("usd")), number(row.get("pnl"))
    if usd is None or pnl is None:
        return None
    named = " · ".join(str(row[key]) for key in ("source", "model") if row.get(key))
    who = plain(row.get("key") or named or "decision", 90)
    return _Earned(who, plain(row.get("source") or "decisions"), usd, pnl, max(1, whole(row.get("decisions"))))


def _profits(source: str, rows: Sequence[_Earned], place: int, theme: Theme) -> Trace:
    told = "%{text}<br>cost %{x:,.4f} USD · P&amp;L %{y:+,.2f} · net %{customdata[1]:+,.2f}<br>decisions: %{customdata[0]:,d}"
    return {
        "type": "scatter", "mode": "markers", "name": safe(source),
        "x": [row.usd for row in rows], "y": [row.pnl for row in rows],
        "marker": {"color": colours(theme).of(place), "symbol": symbol(place), "size": 11},
        "text": [safe(row.who, 90) for row in rows], "customdata": [[row.decisions, row.net] for row in rows],
        "hovertemplate": f"{told}<extra></extra>",
    }  # fmt: skip
