"""The page: one HTML file with its style, its figures and plotly's own JavaScript inside.

Nothing is fetched: the content security policy forbids it, and lets only the scripts run whose hashes it names, so a text from
outside that found a way past the escaping would still be nothing but text.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from importlib.resources import files

from bot.services.tearsheet import tables
from bot.services.tearsheet.figures import (
    Figure,
    figure_of_equity,
    figure_of_overrides,
    figure_of_slippage,
    figure_of_sources,
    figure_of_trades,
)
from bot.services.tearsheet.sheet import TearSheet, World

MOST_SYMBOLS = 8
"""Symbols with a chart of their own; the page names the others."""

_MEANINGS = (
    (
        "Return",
        "Equity at the end over equity at the start, less one. Equity is cash and positions marked to market, after fees.",
    ),
    ("Max drawdown", "The deepest fall of the equity below an earlier peak, as a fraction of that peak, at the moments sampled."),
    (
        "Sharpe ratio",
        "Mean over sample standard deviation of the daily returns, times the root of 365; risk-free rate zero (Sharpe, 1994). "
        "A handful of days proves nothing, whatever the figure.",
    ),
    (
        "Sortino ratio",
        "Mean of the daily returns over their downside deviation below zero, times the root of 365 (Sortino and Price, 1994).",
    ),
    (
        "Trades, win rate",
        "A trade is a closed lot, first in first out; the win rate is the share of them that gained after fees.",
    ),
    ("Profit factor", "The sum of gains over the sum of losses of closed trades, after fees; a dash where nothing was lost."),
    ("P&L by source", "Closed and open lots credited to the source that opened them, whoever closed them."),
    (
        "Shadow",
        "What the source would have earned alone: every source has a paper account with the whole starting equity that follows "
        "its proposals, won or not, with the same sizing, protection and fees.",
    ),
    (
        "Cost of an override",
        "The overruled source's shadow P&L less the book's on that symbol, from the moment it was overruled until its shadow "
        "left the trade. Positive: overruling cost that much; negative: it saved it.",
    ),
    (
        "Slippage",
        "How much worse than the order's reference price it filled, weighted by notional. The reference is the price the desk "
        "saw; for a stop it is the level that was hit. A basis point is a hundredth of a percent.",
    ),
)


def page(sheet: TearSheet) -> str:
    """The whole file."""
    figures: dict[str, str] = {}
    body = "".join(_sections(sheet, figures))
    library, script = _library(), _own("page.js")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(library, script)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(f'{sheet.world.word}: {sheet.title}')}</title><style>{_own('style.css')}</style></head>\n"
        f"<body><main>{_head(sheet)}{body}{_foot(sheet)}</main>\n"
        f'<script type="application/json" id="figures">{_json(figures)}</script>\n'
        f"<script>{library}</script>\n<script>{script}</script></body></html>\n"
    )


def _head(sheet: TearSheet) -> str:
    world = sheet.world
    period = f"{tables.moment(sheet.start)} to {tables.moment(sheet.end)} UTC"
    facts = [("period", period), ("lasted", tables.lasting(sheet.end - sheet.start)), *sheet.about]
    return (
        f'<header><span class="world {world.word}">{world.word}</span><h1>{escape(sheet.title)}</h1>'
        f'<p class="lead">{escape(world.sentence)}</p></header>'
        f"{tables.notices(sheet)}{tables.about(facts)}{tables.cards(sheet)}"
    )


def _sections(sheet: TearSheet, figures: dict[str, str]) -> Iterator[str]:
    """The sections in the order of the page; each puts its figures under the ids of their hosts."""
    yield _section("Equity and drawdown", "", *_equity(sheet, figures))
    yield _section("Returns by month", "The first and the last month as far as the run goes.", _months(sheet))
    yield _section(
        "Sources and their shadows",
        "What each source earned in the book, and would have earned alone.",
        *_sources(sheet, figures),
    )
    yield _section("What overruling cost", _overriding(sheet), *_overrides(sheet, figures))
    yield _section("Trades on candles", _entering(sheet), *_trades(sheet, figures))
    title = "Slippage, live against paper" if sheet.world is World.LIVE else "Slippage"
    yield _section(title, sheet.slippage_note, *_slippage(sheet, figures))


def _equity(sheet: TearSheet, figures: dict[str, str]) -> Iterator[str]:
    if len(sheet.at):
        yield _figure("equity", "Equity over time and its drawdown", figure_of_equity(sheet), figures)
    else:
        yield _empty("No equity was sampled in this run.")


def _months(sheet: TearSheet) -> str:
    return tables.months(sheet) if len(sheet.at) else _empty("There is no month to show.")


def _sources(sheet: TearSheet, figures: dict[str, str]) -> Iterator[str]:
    if sheet.sources:
        yield _figure("sources", "P&L by source beside its shadow", figure_of_sources(sheet), figures)
        yield tables.sources(sheet)
    else:
        yield _empty("No source proposed anything in this run.")


def _overriding(sheet: TearSheet) -> str:
    if not sheet.overrides:
        return ""
    cost = sum(each.cost or 0.0 for each in sheet.overrides)
    verb = "cost" if cost > 0 else "saved"
    count = tables.counted(len(sheet.overrides), "override")
    return f"{count} {verb} {tables.money(abs(cost))} {sheet.currency} together, beside what the overruled would have made of it."


def _overrides(sheet: TearSheet, figures: dict[str, str]) -> Iterator[str]:
    if sheet.overrides:
        yield _figure("overrides", "Cost of each override", figure_of_overrides(sheet), figures)
        yield tables.folded("Every override", tables.overrides(sheet))
    else:
        yield _empty("No override came to its end in this run.")


def _entering(sheet: TearSheet) -> str:
    return (
        "Triangles point up at entries and down at exits, a cross is a stop, a star a taken profit; colours are sources."
        if sheet.marks
        else ""
    )


def _trades(sheet: TearSheet, figures: dict[str, str]) -> Iterator[str]:
    symbols = sheet.symbols
    for place, symbol in enumerate(symbols[:MOST_SYMBOLS]):
        figure, each = figure_of_trades(sheet, symbol)
        yield f"<h3>{escape(symbol)} {escape(_candle_words(sheet, symbol, each))}</h3>"
        yield _figure(f"trades-{place}", f"Trades on {symbol}", figure, figures)
    if len(symbols) > MOST_SYMBOLS:
        yield _empty(f"Without a chart here: {', '.join(symbols[MOST_SYMBOLS:])}.")
    if not sheet.marks:
        yield _empty("Nothing was bought or sold in this run.")
    if sheet.trades:
        yield tables.folded(f"{tables.counted(len(sheet.trades), 'closed trade')}, one by one", tables.trades(sheet))


def _candle_words(sheet: TearSheet, symbol: str, each: int) -> str:
    if not each:
        return "· its candles are not recorded"
    timeframe = sheet.candles[symbol].timeframe
    return f"· {timeframe} candles" if each == 1 else f"· {timeframe} candles, {each} of them in each bar"


def _slippage(sheet: TearSheet, figures: dict[str, str]) -> Iterator[str]:
    if sheet.slippage:
        yield _figure("slippage", "Slippage by source and leg", figure_of_slippage(sheet.slippage), figures)
        yield tables.slippage(sheet)
    else:
        yield _empty("No fill of this run can be held against a reference.")


def _foot(sheet: TearSheet) -> str:
    meanings = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in _MEANINGS)
    world = sheet.world
    return (
        f'<section><h2>How to read it</h2><dl class="meanings">{meanings}</dl></section>'
        f"<footer>{escape(world.word)}. {escape(world.sentence)} Written by Arbiter.</footer>"
    )


def _section(title: str, lead: str, *parts: str) -> str:
    said = f"<p>{escape(lead)}</p>" if lead else ""
    return f"<section><h2>{escape(title)}</h2>{said}{''.join(parts)}</section>"


def _figure(name: str, label: str, figure: Figure, figures: dict[str, str]) -> str:
    figures[name] = figure.to_json(validate=False)
    return (
        f'<div class="figure" id="{name}" role="img" aria-label="{escape(label)}"></div>'
        "<noscript><p>This figure needs JavaScript; the tables do not.</p></noscript>"
    )


def _empty(text: str) -> str:
    return f'<p class="empty">{escape(text)}</p>'


def _json(figures: dict[str, str]) -> str:
    """One JSON object that cannot end the script element it is in."""
    text = ",".join(f'"{name}":{figure}' for name, figure in figures.items())
    return f"{{{text}}}".replace("<", "\\u003c")


def _library() -> str:
    """plotly.js out of the installed package."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - only a report pays for it

    library: str = get_plotlyjs()
    return library


def _own(name: str) -> str:
    return files("bot.services.tearsheet").joinpath(name).read_text("utf-8")


def _policy(*scripts: str) -> str:
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
