"""What a backtest, a look-ahead check and a replay show a person: lines of text, aligned, the figure that matters first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bot.cli.output import table
from bot.cli.screen import PLAIN, Ink, clean, count, money, signed

if TYPE_CHECKING:
    from bot.backtest.lookahead import LookaheadReport
    from bot.backtest.result import BacktestResult, SourceResult
    from bot.services.replaying import ReplayReport


def backtest_lines(found: BacktestResult, ink: Ink = PLAIN) -> list[str]:
    """The head, the figures in two columns, a table of sources, and what must be noticed."""
    figures = found.statistics
    earned = figures.equity_end - figures.equity_start
    head = (
        f"{ink('Backtest', 'bold')} {', '.join(found.data)}: {', '.join(found.symbols)} on {found.timeframe} candles, "
        f"{day(found.start)} to {day(found.end)}, fills at {found.fill.replace('-', ' ')}"
    )
    pace = f"{found.bars:,} bars in {found.seconds:.1f} s ({found.bars_per_second:,.0f}/s)"
    if found.missing_candles:
        pace += f"; the data lack {count(found.missing_candles, 'candle')} in {count(found.gaps, 'gap')}"
    return [
        head,
        f"  {pace}",
        *(f"  {ink('notice', 'yellow')} {clean(notice)}" for notice in found.notices),
        "",
        f"  {'equity':<14} {money(figures.equity_start)} -> {money(figures.equity_end)} {found.currency}, "
        f"{ink.signed(earned, f'{signed(earned)} ({figures.total_return:+.2%})')}; buy and hold {found.hold_return:+.2%}",
        *_figures(found),
        "",
        *_sources(found),
        *_ending(found, ink),
    ]


def _figures(found: BacktestResult) -> Iterator[str]:
    """The figures, two a line."""
    f = found.statistics
    pairs = [
        ("trades", f"{f.trades:,}"),
        ("CAGR", percent(f.cagr)),
        ("win rate", percent(f.win_rate)),
        ("Sharpe", f"{ratio(f.sharpe)} (n = {f.days} days)"),
        ("profit factor", ratio(f.profit_factor)),
        ("Sortino", ratio(f.sortino)),
        ("average trade", optional_money(f.average_trade)),
        ("Calmar", ratio(f.calmar)),
        ("best, worst", f"{optional_money(f.best_trade)}, {optional_money(f.worst_trade)}"),
        ("max drawdown", f"{f.max_drawdown:.2%}, longest {lasting(f.max_drawdown_ms)}"),
        ("fees", money(f.fees)),
        ("exposure", f"{percent(f.exposure)} of the bars"),
    ]
    for left, right in zip(pairs[::2], pairs[1::2], strict=True):
        yield f"  {left[0]:<14} {left[1]:<26} {right[0]:<13} {right[1]}"


def _sources(found: BacktestResult) -> list[str]:
    head = (
        "source",
        "tier",
        "candles",
        "decisions",
        "executed",
        "trades",
        "win rate",
        "P&L",
        "shadow P&L",
        "what became of the rest",
    )
    rows = [
        (
            source.name,
            source.tier,
            source.timeframe,
            source.decisions,
            source.executed,
            source.trades,
            percent(source.win_rate),
            signed(source.pnl),
            signed(source.shadow_pnl),
            _fates(source),
        )
        for source in found.sources
    ]
    return [f"  {line}" for line in table(head, rows)]


def _fates(source: SourceResult) -> str:
    rest = [f"{name} {number}" for name, number in source.fates.items() if name != "executed"]
    return ", ".join(rest[:4]) + (", ..." if len(rest) > 4 else "")


def _ending(found: BacktestResult, ink: Ink) -> Iterator[str]:
    """What is still held, what overriding cost, and whether risk ended it."""
    if found.overrides:
        cost = sum(each.cost for each in found.overrides)
        verb = "cost" if cost > 0 else "saved"
        yield ""
        beside = "beside what the overruled sources would have made of it"
        yield f"  {count(len(found.overrides), 'override')} {verb} {money(abs(cost))} {found.currency} {beside}"
    if found.open_positions:
        held = ", ".join(f"{each.amount} {each.symbol} ({signed(each.unrealised)})" for each in found.open_positions)
        yield f"  still held at the end: {held}"
    if found.halted:
        yield ink("  halted by risk before the end", "yellow")


def lookahead_lines(found: LookaheadReport, ink: Ink = PLAIN) -> list[str]:
    """The verdict, and where it differs."""
    checked = f"{found.compared:,} decisions and fills up to {count(len(found.moments), 'random moment')}"
    difference = found.difference
    if difference is None:
        verdict = ink("no look-ahead", "green", "bold")
        return [f"{verdict}: {checked} are the same whatever comes after (seed {found.seed})"]
    return [
        f"{ink('LOOK-AHEAD', 'red', 'bold')}: what happened at {minute(difference.at)} depends on what comes after "
        f"{minute(difference.moment)} (seed {found.seed})",
        f"  with the true future       {clean(difference.expected or 'nothing')}",
        f"  with a scrambled future    {clean(difference.found or 'nothing')}",
    ]


def replay_lines(found: ReplayReport, ink: Ink = PLAIN) -> list[str]:
    """The verdict, and the first input that differs."""
    counts = (
        f"{count(found.inputs, 'input')}, {found.effects:,} of them with effects, {found.bytes_compared:,} bytes compared, "
        f"{count(found.segments, 'segment')}, {found.seconds:.1f} s"
    )
    notices = [f"  {ink('notice', 'yellow')} {clean(notice)}" for notice in found.notices]
    difference = found.divergence
    if difference is None:
        return [f"Replay of {found.run}: {ink('identical', 'green', 'bold')} ({counts})", *notices]
    return [
        f"Replay of {found.run}: {ink('DIFFERENT', 'red', 'bold')} at input {difference.n}, effect {difference.effect}, "
        f"{minute(difference.at)} ({counts})",
        *notices,
        f"  input     {clean(difference.input)}",
        f"  recorded  {clean(difference.recorded)}",
        f"  replayed  {clean(difference.replayed)}",
    ]


def day(at: int) -> str:
    """A date in UTC, with the time where it is not midnight."""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return f"{moment:%Y-%m-%d}" if moment.hour == moment.minute == 0 else f"{moment:%Y-%m-%d %H:%M}"


def minute(at: int) -> str:
    """A time in UTC to the second."""
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def lasting(ms: int) -> str:
    """How long, as a person says it."""
    whole = timedelta(milliseconds=ms)
    if whole.days:
        return f"{whole.days} d {whole.seconds // 3600} h"
    return f"{whole.seconds // 3600} h {whole.seconds % 3600 // 60} min"


def percent(value: float | None) -> str:
    """A fraction as a percentage, a dash for none."""
    return "-" if value is None else f"{value:.2%}"


def ratio(value: float | None) -> str:
    """Two digits, a dash for none."""
    return "-" if value is None else f"{value:.2f}"


def optional_money(value: float | None) -> str:
    """Money with its sign, a dash for none."""
    return "-" if value is None else signed(value)
