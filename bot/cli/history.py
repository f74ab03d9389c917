"""`backtest` and `replay`: the same desk, over the past."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.exits import ExitCode
from bot.cli.options import AsJson, ConfigDir, Database, DataDir, symbols_of

if TYPE_CHECKING:
    from bot.backtest.result import BacktestResult
    from bot.cli.screen import Ink
    from bot.settings import Loaded
    from bot.settings.run import BacktestOptions


LlmReplies = Annotated[
    str | None, typer.Option(metavar="RUN|any", help="Let language models take part by answers recorded in a run, or in any.")
]
AllowLeak = Annotated[
    bool, typer.Option("--allow-leak", help="Pay models for what is not recorded; they may know what came next.")
]
LlmCutoff = Annotated[
    str | None, typer.Option(metavar="DATE", help="The models know nothing after this day (UTC): later data are no leak.")
]


class Fill(StrEnum):
    """Which price a backtest fills at."""

    NEXT_OPEN = "next-open"
    SAME_CLOSE = "same-close"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backtest")(backtest)
    app.command("replay")(replay)


def backtest(
    data: Annotated[
        list[Path], typer.Option("--data", metavar="FILE", help="Candles: Parquet or CSV; may be given more than once.")
    ],
    symbols: Annotated[str | None, typer.Option(metavar="A,B", help="Only these symbols of the file.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="First day or moment (UTC), such as 2023-01-01.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="DATE", help="First day or moment after the last (UTC).")] = None,
    fill: Annotated[
        Fill, typer.Option(help="Fill at the next candle's open, or at the deciding candle's close.")
    ] = Fill.NEXT_OPEN,
    lookahead_check: Annotated[
        bool, typer.Option("--lookahead-check", help="Scramble the future at random times; decisions may not change.")
    ] = False,
    source: Annotated[
        list[str] | None, typer.Option("--source", metavar="NAME", help="Only this source; may be given more than once.")
    ] = None,
    timeframe: Annotated[
        str | None, typer.Option(metavar="TF", help="Run every source on these candles instead of its own, such as 1h.")
    ] = None,
    config: ConfigDir = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a tear sheet of it: one HTML file that needs nothing else.")
    ] = None,
    analyse: Annotated[bool, typer.Option("--analyse", help="Learn from it: keep what it teaches in the memory.")] = False,
    data_dir: DataDir = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of --lookahead-check.")] = None,
    llm_replies: LlmReplies = None,
    allow_leak: AllowLeak = False,
    llm_cutoff: LlmCutoff = None,
    as_json: AsJson = False,
) -> None:
    """Run the full desk, the paper broker and every enabled source over recorded candles.

    A source sees the candles it asks for, joined from smaller ones where need be; one that asks for smaller candles than the
    data have is left out, with a notice.
    """
    chosen = symbols_of(symbols)
    first, last = _span(start, end)
    _agree(lookahead_check, report, analyse, allow_leak)

    from bot.settings.run import BacktestOptions, FillModel

    options = BacktestOptions(
        data=tuple(data),
        config=config,
        symbols=chosen,
        start=first,
        end=last,
        fill=FillModel(fill.value),
        lookahead_check=lookahead_check,
        seed=seed,
        sources=tuple(source) if source else None,
        timeframe=timeframe,
        llm_replies=llm_replies,
        allow_leak=allow_leak,
        llm_cutoff=moment(llm_cutoff, "--llm-cutoff"),
    )
    raise typer.Exit(_run_backtest(options, report, as_json, data_dir, analyse=analyse))


def _span(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """First moment and first after the last, in ms; the one must be before the other."""
    first, last = moment(start, "--from"), moment(end, "--to")
    if first is not None and last is not None and first >= last:
        message = f"{start} is not before {end}"
        raise typer.BadParameter(message, param_hint="--from / --to")
    return first, last


def _agree(lookahead_check: bool, report: Path | None, analyse: bool, allow_leak: bool) -> None:
    """Options that do not go together are a usage error."""
    if lookahead_check and (report is not None or analyse):
        message = "a look-ahead check has no figures to show or to learn from; leave one of them out"
        raise typer.BadParameter(message, param_hint=f"{'--analyse' if report is None else '--report'} / --lookahead-check")
    if allow_leak and (analyse or lookahead_check):
        message = "what a model may remember is not to be learnt from, nor paid for again and again; leave one of them out"
        raise typer.BadParameter(message, param_hint=f"{'--analyse' if analyse else '--lookahead-check'} / --allow-leak")


def _run_backtest(
    options: BacktestOptions, report: Path | None, as_json: bool, data_dir: Path | None, *, analyse: bool
) -> ExitCode:
    """Run it and show what it came to."""
    from bot.backtest.result import BacktestResult
    from bot.cli.output import say, say_json
    from bot.cli.results import backtest_lines, lookahead_lines
    from bot.cli.session import prepare
    from bot.services.backtesting import backtest as run_backtest
    from bot.settings import load

    loaded = load(options.config, overrides={} if data_dir is None else {"bot.data_dir": data_dir})
    prepare(loaded, sys.stderr)
    with progress_of("moments" if options.lookahead_check else "bars") as progress:
        found = run_backtest(options, loaded, progress)
    written = None
    if report is not None and isinstance(found, BacktestResult):
        from bot.services.reporting import sheet_of_backtest, write_page

        written = write_page(sheet_of_backtest(found, options), report)
    learns = analyse and isinstance(found, BacktestResult) and not found.leak_risk  # what was remembered teaches nothing
    learnt = _learnt(loaded, found) if learns and isinstance(found, BacktestResult) else None
    if as_json:
        say_json(found.as_json() | ({} if written is None else {"report": str(written)}) | ({} if learnt is None else learnt))
    else:
        say(*(backtest_lines(found, _ink()) if isinstance(found, BacktestResult) else lookahead_lines(found, _ink())))
        if written is not None:
            say("", f"  tear sheet: {written}")
        if learnt is not None:
            say("", *_learnt_lines(learnt))
    return ExitCode.OK if found.passed else ExitCode.FAILURE


def _learnt(loaded: Loaded, result: BacktestResult) -> dict[str, Any]:
    """What the memory learnt of it: of each source, on each symbol. A running bot keeps it, else this command does."""
    from bot.cli.errand import perform
    from bot.services.memory.backtests import analyse_backtest
    from bot.services.memory.learning import told
    from bot.services.memory.subjects import sources_of

    evidence = analyse_backtest(result, time.time_ns() // 1_000_000, sources_of(loaded))
    answers = [perform(loaded, "memory.learn", args, as_json=True) for args in told(evidence)]
    kept = loaded.settings.memory.enabled if not answers else all(answer["kept"] for answer in answers)
    return {"kept": kept, "lessons": [lesson for answer in answers for lesson in answer["lessons"]]}


def _learnt_lines(learnt: Mapping[str, Any]) -> Iterator[str]:
    from bot.cli.memory_views import lessons_lines

    yield from lessons_lines(learnt)
    if not learnt["kept"]:
        yield "not kept: memory.enabled is false"


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or `latest`.")] = "latest",
    config: ConfigDir = None,
    data_dir: DataDir = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Feed a recorded run's inputs to the desk again: its effects must be the same, byte for byte."""
    from bot.cli.output import say, say_json
    from bot.cli.results import replay_lines
    from bot.cli.session import prepare
    from bot.services.replaying import replay as run_replay
    from bot.settings import load
    from bot.settings.run import ReplayOptions

    options = ReplayOptions(run, config, data_dir, database)
    loaded = load(config, overrides=options.overrides())
    prepare(loaded, sys.stderr)
    with progress_of("inputs") as progress:
        found = run_replay(options, loaded, progress)
    if as_json:
        say_json(found.as_json())
    else:
        say(*replay_lines(found, _ink()))
    raise typer.Exit(ExitCode.OK if found.passed else ExitCode.FAILURE)


def moment(text: str | None, option: str) -> int | None:
    """Milliseconds UTC of a date or a time in ISO 8601; without a zone it is UTC."""
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not a date; write 2023-01-31 or 2023-01-31T12:00"
        raise typer.BadParameter(message, param_hint=option) from None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)


def _ink() -> Ink:
    from bot.cli.output import wants_colour
    from bot.cli.screen import Ink

    return Ink(wants_colour(sys.stdout))


@contextmanager
def progress_of(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, on a terminal only; the callback takes what is done and what there is."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
