"""`data fetch`: a venue's history into files for `backtest`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.exits import ExitCode
from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for, symbols_of

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from bot.services.fetching import FetchReport, FetchWatcher

_SHOWN_GAPS = 10
_LINE_EVERY = 5.0

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def root() -> None:
    """Market data on this machine."""


@app.command("fetch")
def fetch(
    symbols: Annotated[str, typer.Option(metavar="A,B", help="Symbols, such as BTC/USDT,ETH/USDT.")],
    timeframe: Annotated[str, typer.Option(metavar="TF", help="Length of a candle, such as 1m or 1h.")],
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="First day or moment (UTC), such as 2024-01-01.")],
    end: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="First day or moment after the last (UTC) [now].")
    ] = None,
    exchange: Annotated[str | None, typer.Option(metavar="ID", help="ccxt's name of the exchange [exchange.id].")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to put the files [candles in the data directory].")
    ] = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Fetch a venue's candles into Parquet files that `backtest --data` reads.

    What is there already is not fetched again; a fetch that was interrupted goes on where it was. Gaps are listed at the end.
    """
    from bot.cli.history import moment
    from bot.cli.output import say, say_json
    from bot.services.fetching import FetchOptions, venue_of
    from bot.services.fetching import fetch as run_fetch

    chosen, first = symbols_of(symbols), moment(start, "--from")
    last = moment(end, "--to") if end is not None else time.time_ns() // 1_000_000
    assert chosen is not None
    assert first is not None
    assert last is not None
    if first >= last:
        message = f"{start} is not before {end or 'now'}"
        raise typer.BadParameter(message, param_hint="--from / --to")
    settings = settings_for(config, data_dir).settings
    options = FetchOptions(chosen, timeframe, first, last, out or settings.bot.data_dir / "candles")
    with _watching() as watcher:
        found = asyncio.run(run_fetch(venue_of(settings, exchange), options, watcher))
    if as_json:
        say_json(found.as_json())
    else:
        say(*_lines(found))
    raise typer.Exit(ExitCode.OK if found.passed else ExitCode.FAILURE)


def _lines(found: FetchReport) -> Iterator[str]:
    """A line for each file, then its gaps."""
    from bot.cli.screen import count

    for file in found.files:
        if file.path is None:
            yield f"{file.symbol}: {found.exchange} has no {found.timeframe} candles in that time; nothing was written"
            continue
        gaps = f"{count(file.missing, 'candle')} missing in {count(len(file.gaps), 'gap')}" if file.gaps else "no gap"
        yield f"{file.symbol}: {count(file.candles, 'candle')}, {file.fetched:,} of them new, {gaps}: {file.path}"
        for gap in file.gaps[:_SHOWN_GAPS]:
            yield f"  gap  {_when(gap.first)} to {_when(gap.last)} UTC  {count(gap.count, 'candle')}"
        if len(file.gaps) > _SHOWN_GAPS:
            yield f"  and {len(file.gaps) - _SHOWN_GAPS} more; --json lists them all"
        dropped = {"duplicate": file.duplicates, "impossible": file.refused}
        told = ", ".join(f"{number:,} {name}" for name, number in dropped.items() if number)
        if told:
            yield f"  dropped: {told}"


def _when(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}"


@contextmanager
def _watching() -> Iterator[FetchWatcher]:
    """A bar for each symbol on a terminal, else a line now and then; both on stderr."""
    if not sys.stderr.isatty():
        yield _PlainLines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[why]}"),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        yield _Bars(progress)


class _Bars:
    """Progress bars of rich's."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def began(self, symbol: str, candles: int) -> None:
        self._tasks[symbol] = self._progress.add_task(symbol, total=candles, why="")

    def advanced(self, symbol: str, candles: int) -> None:
        self._progress.update(self._tasks[symbol], advance=candles, why="")

    def waited(self, seconds: float, why: str) -> None:
        newest = list(self._tasks.values())[-1:]
        for task in newest:
            self._progress.update(task, why=f"{why}, waiting {seconds:.0f} s")


class _PlainLines:
    """Lines for a log: at a symbol's beginning and end, and every few seconds between."""

    def __init__(self) -> None:
        self._total = self._done = 0
        self._said = 0.0

    def began(self, symbol: str, candles: int) -> None:
        self._total, self._done = candles, 0
        self._say(f"{symbol}: {candles:,} candles to look for")

    def advanced(self, symbol: str, candles: int) -> None:
        self._done += candles
        if self._done >= self._total or time.monotonic() - self._said >= _LINE_EVERY:
            self._say(f"{symbol}: {self._done:,} of {self._total:,} ({self._done / self._total:.0%})")

    def waited(self, seconds: float, why: str) -> None:
        self._say(f"{why}; waiting {seconds:.0f} s")

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
