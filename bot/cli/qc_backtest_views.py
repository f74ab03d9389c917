"""What the `qc` commands show a person of backtests in the cloud: the figure that matters first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.cli.output import table
from bot.cli.qc_views import when
from bot.cli.results import day, lasting, optional_money, percent, ratio
from bot.cli.screen import PLAIN, Ink, clean, count, cut, money, signed

Found = Mapping[str, Any]

_SHOWN_TRADES = 10
_NAMES = {"max_drawdown_ms": "longest drawdown"}


def backtest_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """The head, the figures in two columns, the last trades, what was learnt, and what must be noticed."""
    config = found["config"]
    what = "" if config is None else f": {config['strategy']['kind']} on {config['symbol']}, {config['timeframe']} candles"
    yield f"{ink('Cloud backtest', 'bold')} {clean(found['name'])}{what}, {day(found['start'])} to {day(found['end'])}"
    outcome = "" if found["outcome"] == "complete" else f", {found['outcome']}"
    yield f"  {found['reference']}, created {when(found['created'])} UTC{outcome}"
    if found["parameters"]:
        yield "  " + ", ".join(f"{name} {value}" for name, value in found["parameters"].items())
    for notice in found["notices"]:
        yield f"  {ink('notice', 'yellow')} {clean(notice)}"
    yield from _figures(found, ink)
    yield from _trades(found)
    if found.get("lesson"):
        yield from lesson_lines(found["lesson"], ink)
    yield from _files(found.get("files") or ())


def _figures(found: Found, ink: Ink) -> Iterator[str]:
    """The figures, two a line; none where there was no curve."""
    if found.get("equity_start") is None:
        yield "  the run has neither a curve nor an end equity: there are no figures"
        return
    start, end, total = found["equity_start"], found["equity_end"], found["total_return"]
    yield ""
    earned = ink.signed(end - start, f"{signed(end - start)} ({total:+.2%})")
    yield f"  {'equity':<14} {money(start)} -> {money(end)} {found['currency']}, {earned}"
    pairs = [
        ("trades", f"{found['trades']:,}"),
        ("CAGR", percent(found["cagr"])),
        ("win rate", percent(found["win_rate"])),
        ("Sharpe", f"{ratio(found['sharpe'])} (n = {found['days']} days)"),
        ("profit factor", ratio(found["profit_factor"])),
        ("Sortino", ratio(found["sortino"])),
        ("average trade", optional_money(found["average_trade"])),
        ("Calmar", ratio(found["calmar"])),
        ("best, worst", f"{optional_money(found['best_trade'])}, {optional_money(found['worst_trade'])}"),
        ("max drawdown", f"{found['max_drawdown']:.2%}, longest {lasting(found['max_drawdown_ms'])}"),
        ("fees", money(found["fees"])),
        ("orders", "-" if found["orders"] is None else f"{found['orders']:,}"),
    ]
    for left, right in zip(pairs[::2], pairs[1::2], strict=True):
        yield f"  {left[0]:<14} {left[1]:<26} {right[0]:<13} {right[1]}"


def _trades(found: Found) -> Iterator[str]:
    rows = found["trade_list"]
    if not rows:
        return
    shown = rows[-_SHOWN_TRADES:]
    yield ""
    yield f"  {count(len(rows), 'closed trade')}" + (f", the last {len(shown)}" if len(shown) < len(rows) else "")
    head = ["opened", "closed", "symbol", "side", "amount", "entry", "exit", "P&L"]
    cells = [_trade_cells(one) for one in shown]
    yield from (f"  {line}" for line in table(head, cells))


def _trade_cells(one: Found) -> list[object]:
    figures = (one["amount"], one["entry"], one["exit"], signed(one["pnl"]))
    return [when(one["opened"]), when(one["closed"]), one["symbol"], one["side"], *figures]


def lesson_lines(lesson: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """What was learnt of a backtest."""
    yield ""
    yield f"  {ink('learnt', 'bold')}: rating {lesson['rating']}, risk {lesson['risk']}"
    for name in ("expected_return", "expected_sharpe"):
        found = lesson.get(name)
        if found:
            yield f"  {name.replace('_', ' ')} {_estimate(found, percentage=name == 'expected_return')}"
    for insight in lesson["insights"]:
        yield f"  - {clean(insight)}"
    for name, advice in lesson["recommendations"].items():
        if isinstance(advice, str):
            yield f"  {name.replace('_', ' ')}: {clean(advice)}"


def _estimate(found: Found, *, percentage: bool) -> str:
    values = [found.get(name) for name in ("value", "low", "high")]
    middle, low, high = (percent(value) if percentage else ratio(value) for value in values)
    return f"{middle} (between {low} and {high})"


def backtests_lines(found: Found) -> Iterator[str]:
    """A line for each backtest."""
    head = ["backtest", "project", "name", "created", "progress", "net profit", "sharpe", "drawdown", "win rate", "trades"]
    rows = [
        [
            one["reference"],
            one["project_name"],
            one["name"],
            when(one["created"]),
            "-" if one["progress"] is None else f"{one['progress']:.0%}",
            percent(one["net_profit"]),
            ratio(one["sharpe_ratio"]),
            percent(one["drawdown"]),
            percent(one["win_rate"]),
            one["trades"],
        ]
        for one in found["backtests"]
    ]
    empty = f"there is no backtest in {count(found['projects'], 'project')}; run one with `qc backtest CONFIG.yaml`"
    yield from table(head, rows) if rows else [empty]


def compare_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """A row for each figure, a column for each backtest; the best has a star."""
    names = [cut(clean(name), 64) for name in found["names"]]
    rows = [[_NAMES.get(row["name"]) or row["name"].replace("_", " "), *_marked(row)] for row in found["figures"]]
    yield from table(["figure", *names], rows)
    yield ""
    for place, row in enumerate(found["correlation"]):
        for other in range(place + 1, len(row)):
            told = "too few days in common" if row[other] is None else f"{row[other]:+.2f}"
            yield f"  correlation of daily returns, {names[place]} and {names[other]}: {told}"
    for notice in found["notices"]:
        yield f"  {ink('notice', 'yellow')} {clean(notice)}"


def _marked(row: Found) -> Iterator[str]:
    for place, value in enumerate(row["values"]):
        yield _figure(value, row["unit"]) + (" *" if place in row["best"] else "")


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "ms":
        return lasting(int(value))
    return {"fraction": percent(value), "ratio": ratio(value), "money": money(value), "count": f"{value:,.0f}"}[unit]


def cost_line(found: Found) -> str:
    """What a sweep would take."""
    cost = found["cost"]
    time = "" if cost["seconds"] is None else f", about {cost['seconds']:.0f} s"
    credit = f"{cost['credit']:g} QCC of credit" if cost["credit"] else "no credit"
    return f"{count(cost['points'], 'set')} of parameters by {found['by']}, {cost['at_once']} at once: {credit}{time}"


def sweep_lines(found: Found, ink: Ink = PLAIN) -> Iterator[str]:
    """A line for each set of parameters, the best first."""
    yield f"{ink('Sweep', 'bold')} by {found['by']} for {found['target']}, project {found['project']}"
    used = "" if found["consumed"] is None else f"; it took {found['consumed']:g} QCC"
    yield f"  {cost_line(found)}{used}"
    points = found["points"]
    names = list(dict.fromkeys(name for point in points for name in point["parameters"]))
    head = [*names, "sharpe", "CAGR", "net profit", "drawdown", "win rate", "orders", "backtest", "why not"]
    rows = [[*(point["parameters"].get(name) for name in names), *_point(point, found["project"])] for point in points]
    yield from (f"  {line}" for line in table(head, rows))


def _point(point: Found, project: int | None) -> list[object]:
    figures = point["figures"]
    reference = f"{project}/{point['backtest']}" if point["backtest"] and project else point["backtest"]
    return [
        ratio(figures.get("sharpe_ratio")),
        percent(figures.get("compounding_annual_return")),
        percent(figures.get("net_profit")),
        percent(figures.get("drawdown")),
        percent(figures.get("win_rate")),
        figures.get("total_orders"),
        reference,
        cut(point["error"], 80),
    ]


def export_lines(found: Found) -> Iterator[str]:
    """Where the files are, else the files."""
    if found["written"]:
        yield from (f"wrote {path}" for path in found["written"])
        return
    for text in found["files"].values():
        yield text.rstrip("\n")


def _files(paths: Any) -> Iterator[str]:
    if paths:
        yield ""
        yield from (f"  wrote {path}" for path in paths)
