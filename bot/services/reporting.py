"""The use case of a report: a run out of the journal, or a backtest, becomes a tear sheet and a page."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bot.backtest.result import BacktestResult
from bot.core.facts import FillBooked, LotClosed
from bot.journal.queries import Queries
from bot.market.recorded import RecordedMarket
from bot.services.recorded_data import read_market
from bot.services.tearsheet.journaled import JournaledRun
from bot.services.tearsheet.recorded import Progress
from bot.services.tearsheet.sheet import (
    Candles,
    ClosedTrade,
    Mark,
    OverrideFigures,
    Slippage,
    SourceFigures,
    TearSheet,
    World,
    weighted,
)
from bot.settings import Settings
from bot.settings.run import BacktestOptions

__all__ = ["ReportError", "TearSheet", "report", "sheet_of_backtest", "write_page"]


_BACKTEST_SLIPPAGE = (
    "Against the price the desk saw: the close of the candle it decided on. A backtest has no quotes to compare with."
)


class ReportError(Exception):
    """There is nothing to report on, or nowhere to write it; the message says what to do."""


def report(settings: Settings, wanted: str, progress: Progress) -> TearSheet:
    """The tear sheet of a recorded run, by id or `latest`; `progress` is told the inputs read and the inputs there are.

    `ReportError` if there is no such run; `JournalUnavailable` and `JournalCorrupt` from the journal.
    """
    with Queries(settings.database_url) as queries:
        run = queries.run(wanted)
        if run is None:
            raise ReportError(_unknown(queries, wanted))
        return JournaledRun(queries, run).sheet(settings.bot.data_dir, progress)


def _unknown(queries: Queries, wanted: str) -> str:
    known = ", ".join(each.id for each in queries.runs(limit=5))
    if known:
        return f"--run: there is no run {wanted!r} in {queries.path}; the newest are: {known}"
    return f"no run is recorded in {queries.path} yet: start one with `python -m bot --paper`, or name another with --data-dir"


def sheet_of_backtest(found: BacktestResult, options: BacktestOptions) -> TearSheet:
    """The tear sheet of a backtest; its candles are read again from the files of `options`."""
    market = read_market(options.data, symbols=options.symbols, start=options.start, end=options.end)
    trades = tuple(ClosedTrade.of(trade) for trade in found.trades)
    marks = _marks(found.fills, found.trades)
    return TearSheet(
        world=World.BACKTEST,
        title=f"{', '.join(found.symbols)} on {found.timeframe} candles",
        start=found.start,
        end=found.end,
        currency=found.currency,
        statistics=found.statistics,
        at=np.asarray(found.curve.at, np.int64),
        equity=np.asarray(found.curve.equity, np.float64),
        hold_return=found.hold_return,
        about=(("data", ", ".join(found.data)), ("fills at", found.fill.replace("-", " ")), ("bars", f"{found.bars:,}")),
        candles=_candles(market),
        marks=marks,
        trades=trades,
        sources=_sources(found, trades),
        overrides=tuple(
            OverrideFigures(each.at, each.since, each.symbol, each.loser, each.winner, each.shadow_pnl, each.book_pnl, each.cost)
            for each in found.overrides
        ),
        slippage=_slippage(found.fills, marks),
        slippage_note=_BACKTEST_SLIPPAGE,
        notices=(*found.notices, *_gaps(found)),
    )


def _candles(market: RecordedMarket) -> dict[str, Candles]:
    return {
        name: Candles(series.timeframe, series.ts, series.open, series.high, series.low, series.close)
        for name, series in market.series.items()
    }


def _sources(found: BacktestResult, trades: Sequence[ClosedTrade]) -> tuple[SourceFigures, ...]:
    won = {source.name: sum(trade.opener == source.name and trade.pnl > 0 for trade in trades) for source in found.sources}
    return tuple(
        SourceFigures(each.name, each.tier, each.decisions, each.executed, each.trades, won[each.name], each.pnl, each.shadow_pnl)
        for each in sorted(found.sources, key=lambda each: (-each.pnl, each.name))
    )


def _gaps(found: BacktestResult) -> list[str]:
    return [f"The data lack {found.missing_candles:,} candles in {found.gaps:,} gaps."] if found.missing_candles else []


def _marks(fills: Sequence[FillBooked], trades: Sequence[LotClosed]) -> tuple[Mark, ...]:
    """Every fill; one that closed a lot at that moment and price played the leg of the closing."""
    closing = {(trade.symbol, trade.at, trade.exit): trade.closing_leg for trade in trades}
    return tuple(
        Mark(
            fact.at,
            fact.fill.symbol,
            fact.fill.side.value,
            closing.get((fact.fill.symbol, fact.at, fact.fill.price), "entry"),
            fact.source,
            float(fact.fill.price),
            str(fact.fill.amount),
        )
        for fact in fills
    )


def _slippage(fills: Sequence[FillBooked], marks: Sequence[Mark]) -> tuple[Slippage, ...]:
    groups: dict[tuple[str, str], list[FillBooked]] = {}
    for fact, mark in zip(fills, marks, strict=True):
        groups.setdefault((mark.source, mark.leg), []).append(fact)
    rows = []
    for (source, leg), facts in sorted(groups.items()):
        notional = [float(fact.fill.price * fact.fill.amount) for fact in facts]
        actual = weighted([fact.slippage for fact in facts], notional)
        rows.append(Slippage(source, leg, len(facts), sum(notional), actual, actual * sum(notional), 0, None, None))
    return tuple(rows)


def write_page(sheet: TearSheet, path: Path) -> Path:
    """Write the page, whole or not at all; `ReportError` where it cannot be written."""
    from bot.services.tearsheet.page import page  # noqa: PLC0415 - plotly, only where a page is made

    text = page(sheet)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        message = f"{path} cannot be written ({error.strerror or error}): name a file in a directory that is there and yours"
        raise ReportError(message) from error
    return path.resolve()
