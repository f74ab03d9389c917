"""The words and tables of a tear sheet, as escaped HTML. Everything that a figure shows can be read here too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape

from bot.services.tearsheet.sheet import TearSheet, monthly

MOST_ROWS = 500
"""Rows of a table that a page carries; a longer one says how many there are and shows the last."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DASH = "–"


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell; `sign` colours it: positive good, negative bad."""

    text: str
    number: bool = False
    sign: float = 0.0

    def html(self) -> str:
        """The cell, escaped."""
        tone = " gain" if self.sign > 0 else " loss" if self.sign < 0 else ""
        kind = f' class="{"n" if self.number else ""}{tone}"' if self.number or tone else ""
        return f"<td{kind}>{escape(self.text)}</td>"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table that scrolls sideways on a small screen; columns are aligned as their first row is."""
    shown = rows[-MOST_ROWS:]
    numeric = [cell.number for cell in rows[0]] if rows else [False] * len(head)
    titles = "".join(
        f'<th scope="col"{" class=n" if right else ""}>{escape(name)}</th>' for name, right in zip(head, numeric, strict=True)
    )
    body = "".join(f"<tr>{''.join(cell.html() for cell in row)}</tr>" for row in shown)
    left_out = f" (the last {len(shown)} of {len(rows)})" if len(rows) > len(shown) else ""
    title = f"<caption>{escape(caption + left_out)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{title}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def folded(summary: str, html: str) -> str:
    """Something to unfold."""
    return f"<details><summary>{escape(summary)}</summary>{html}</details>"


def cards(sheet: TearSheet) -> str:
    """The headline figures, each with what it means."""
    f = sheet.statistics
    hold = "" if sheet.hold_return is None else f"; buying and holding gave {signed_percent(sheet.hold_return)}"
    figures = (
        ("Return", signed_percent(f.total_return), f"{money(f.equity_start)} to {money(f.equity_end)} {sheet.currency}{hold}"),
        ("Max drawdown", percent(f.max_drawdown), f"longest time below a peak: {lasting(f.max_drawdown_ms)}"),
        ("Sharpe", ratio(f.sharpe), f"yearly, from {counted(f.days, 'daily return')}"),
        ("Sortino", ratio(f.sortino), f"yearly, from {counted(f.days, 'daily return')}"),
        ("Trades", f"{f.trades:,}", f"closed lots; {counted(len(sheet.marks), 'fill')}"),
        ("Win rate", percent(f.win_rate), "of closed lots, after fees"),
        ("Profit factor", ratio(f.profit_factor), "gains over losses, after fees"),
        ("Fees", money(f.fees), f"{sheet.currency}, paid on all fills"),
    )
    tones = {"Return": f.total_return}
    parts = []
    for name, value, meaning in figures:
        tone = _tone(tones.get(name, 0.0))
        parts.append(
            f'<div class="card"><dt>{escape(name)}</dt><dd class="big{tone}">{escape(value)}</dd><dd>{escape(meaning)}</dd></div>'
        )
    return f'<dl class="cards">{"".join(parts)}</dl>'


def _tone(value: float) -> str:
    return " gain" if value > 0 else " loss" if value < 0 else ""


def months(sheet: TearSheet) -> str:
    """Returns by month, a row a year, the year's own at its end."""
    years: dict[int, dict[int, float]] = {}
    for year, month, value in monthly(sheet):
        years.setdefault(year, {})[month] = value
    strongest = max((abs(value) for year in years.values() for value in year.values()), default=0.0) or 1.0
    rows = []
    for year, found in years.items():
        whole = 1.0
        for value in found.values():
            whole *= 1.0 + value
        cells = "".join(_month(found.get(month), strongest) for month in range(1, 13))
        rows.append(
            f'<tr><th scope="row">{year}</th>{cells}<td class="n{_tone(whole - 1.0)}">{signed_percent(whole - 1.0)}</td></tr>'
        )
    titles = "".join(f'<th scope="col" class="n">{name}</th>' for name in ("", *_MONTHS, "Year"))
    return (
        f'<div class="scroll"><table class="months"><thead><tr>{titles}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _month(value: float | None, strongest: float) -> str:
    if value is None:
        return '<td class="n none">·</td>'
    tone = "gain" if value > 0 else "loss"
    return f'<td class="n heat {tone}" style="--w:{abs(value) / strongest:.2f}">{signed_percent(value)}</td>'


def sources(sheet: TearSheet) -> str:
    """Every source with what it proposed and earned."""
    head = (
        "source",
        "tier",
        "decisions",
        "executed",
        "trades",
        "win rate",
        f"P&L ({sheet.currency})",
        "alone (shadow)",
        "difference",
    )
    rows = []
    for each in sheet.sources:
        difference = None if each.shadow is None else each.pnl - each.shadow
        wins = percent(each.won / each.trades) if each.trades else _DASH
        counts = [number(f"{value:,}") for value in (each.decisions, each.executed, each.trades)]
        rows.append(
            [Cell(each.name), Cell(each.tier), *counts, number(wins), gained(each.pnl), gained(each.shadow), gained(difference)]
        )
    return table("", head, rows)


def overrides(sheet: TearSheet) -> str:
    """Every override with its price; red where overruling cost."""
    head = ("until", "since", "symbol", "overruled", "winner", "its shadow", "the book", "cost", "why")
    rows = [
        [
            Cell(moment(each.at)),
            Cell(moment(each.since)),
            Cell(each.symbol),
            Cell(each.loser),
            Cell(each.winner),
            gained(each.shadow),
            gained(each.book),
            Cell(signed(each.cost), True, -round(each.cost or 0.0, 2)),
            Cell(each.reason),
        ]
        for each in sorted(sheet.overrides, key=lambda each: each.at)
    ]
    return table("", head, rows)


def slippage(sheet: TearSheet) -> str:
    """Slippage by source and leg, in basis points and money."""
    head = (
        "source",
        "leg",
        "fills",
        "notional",
        "slippage (bp)",
        f"cost ({sheet.currency})",
        "compared",
        "paper model (bp)",
        "beyond it (bp)",
    )
    rows = [
        [
            Cell(row.source),
            Cell(row.leg),
            number(f"{row.fills:,}"),
            number(money(row.notional)),
            number(_basis(row.actual)),
            Cell(signed(row.cost), True, -round(row.cost, 2)),
            number(f"{row.compared:,}"),
            number(_basis(row.paper)),
            Cell(_basis(row.beyond), True, -round((row.beyond or 0.0) * 1e4, 2)),
        ]
        for row in sheet.slippage
    ]
    return table("", head, rows)


def trades(sheet: TearSheet) -> str:
    """Every closed lot."""
    head = (
        "closed",
        "opened",
        "symbol",
        "side",
        "amount",
        "entry",
        "exit",
        "opened by",
        "closed by",
        "leg",
        "fees",
        "P&L",
        "why opened",
    )
    rows = [
        [
            Cell(moment(each.closed)),
            Cell(moment(each.opened)),
            Cell(each.symbol),
            Cell(each.side),
            number(each.amount),
            number(f"{each.entry:,.10g}"),
            number(f"{each.exit:,.10g}"),
            Cell(each.opener),
            Cell(each.closer),
            Cell(each.leg),
            number(money(each.fees)),
            gained(each.pnl),
            Cell(each.reason),
        ]
        for each in sheet.trades
    ]
    return table("Times are UTC.", head, rows)


def notices(sheet: TearSheet) -> str:
    """What a reader must know first."""
    return "".join(f'<p class="notice">{escape(text)}</p>' for text in sheet.notices)


def about(pairs: Iterable[tuple[str, str]]) -> str:
    """Facts of the head, as name and value."""
    return (
        '<dl class="about">'
        + "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
        + "</dl>"
    )


def number(text: str) -> Cell:
    """A figure without a judgement."""
    return Cell(text, True)


def gained(value: float | None) -> Cell:
    """Money with its sign and colour."""
    return Cell(signed(value), True, round(value or 0.0, 2))


def money(value: float) -> str:
    """Two decimals, thousands apart; more decimals for less than a cent's worth."""
    return f"{value:,.4g}" if 0 < abs(value) < 0.005 else f"{value:,.2f}"


def signed(value: float | None) -> str:
    """Money with its sign, a dash for none; what rounds to nothing has no sign."""
    return _DASH if value is None else _unsigned_zero(f"{value:+,.2f}")


def percent(value: float | None) -> str:
    """A fraction as a percentage, a dash for none."""
    return _DASH if value is None else f"{value:.2%}"


def signed_percent(value: float) -> str:
    """A change as a percentage."""
    return f"{value:+.2%}"


def ratio(value: float | None) -> str:
    """Two digits, a dash for none."""
    return _DASH if value is None else f"{value:.2f}"


def moment(at: int) -> str:
    """A time in UTC to the second."""
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def lasting(ms: int) -> str:
    """How long, as a person says it."""
    whole = timedelta(milliseconds=ms)
    if whole.days:
        return f"{whole.days} d {whole.seconds // 3600} h"
    if whole.seconds >= 3600:
        return f"{whole.seconds // 3600} h {whole.seconds % 3600 // 60} min"
    return f"{whole.seconds // 60} min {whole.seconds % 60} s"


def counted(count: int, name: str) -> str:
    """`1 fill`, `2 fills`."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _basis(value: float | None) -> str:
    return _DASH if value is None else _unsigned_zero(f"{value * 1e4:+.2f}")


def _unsigned_zero(text: str) -> str:
    return text[1:] if text[1:] == "0.00" else text
