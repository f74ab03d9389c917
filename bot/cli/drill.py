"""`drill`: try every promise about orders on the real bot, against the exchange simulator, and say which were kept."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.exits import ExitCode, StopError
from bot.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rich.table import Table
    from rich.text import Text

    from bot.drill.drill import Drill, Result
    from bot.drill.running import Running

_REFRESH_PER_SECOND = 4


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("drill")(drill)


def drill(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Drills to play; all of them, if none is named.")
    ] = None,
    as_json: AsJson = False,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="PostgreSQL server to journal to; each drill makes a database there and drops it."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="How many fault schedules the randomised drill draws.")] = 200,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=32, metavar="N", help="Drills at a time; default by the machine.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Name the drills and their promises, and play none.")] = False,
) -> None:
    """Try each promise about orders on the real bot against a simulated exchange that fails; exit 0 if all are kept.

    Bots run as processes of their own, on loopback, in folders that vanish; no key, no network and no money is needed.
    """
    from bot import logs
    from bot.drill.catalogue import UnknownDrill, chosen

    logs.configure(level="error")
    try:
        drills = chosen(names or [], seeds)
    except UnknownDrill as error:
        raise StopError(ExitCode.USAGE, str(error)) from None
    if listed:
        _list(drills, as_json)
        return
    if database is not None and not database.startswith(("postgresql://", "postgresql+asyncpg://")):
        raise StopError(ExitCode.USAGE, "--database: drills take postgresql://USER@HOST/NAME, or SQLite without the option")
    results = _play(drills, database, jobs, as_json)
    kept = sum(1 for result in results if result.kept)
    if as_json:
        from bot.cli.output import say_json

        say_json({"drills": [result.as_json() for result in results], "kept": kept, "broken": len(results) - kept})
    raise typer.Exit(ExitCode.OK if kept == len(results) else ExitCode.FAILURE)


def _list(drills: Sequence[Drill], as_json: bool) -> None:
    from bot.cli.output import say, say_json, table

    if as_json:
        say_json({"drills": [{"drill": each.name, "promise": each.promise} for each in drills]})
    else:
        say(*table(("drill", "promise"), [(each.name, each.promise) for each in drills]))


def _play(drills: Sequence[Drill], database: str | None, jobs: int | None, as_json: bool) -> list[Result]:
    from bot.drill.running import Running

    running = Running(drills, database)
    if jobs is not None:
        running.at_once = jobs
    stream = sys.stderr if as_json else sys.stdout
    if stream.isatty():
        return _on_terminal(running, as_json)
    if not as_json:
        running.ended = _plain
    results = asyncio.run(running.run())
    if not as_json:
        from bot.cli.output import say

        say("", _sum(results))
    return results


def _plain(result: Result) -> None:
    from bot.cli.output import say

    say(f"{'kept' if result.kept else 'BROKEN':<6}  {result.drill}: {result.promise}", f"        {result.detail}")


def _sum(results: Sequence[Result]) -> str:
    broken = [result.drill for result in results if not result.kept]
    if not broken:
        return f"kept: {len(results)}, broken: none"
    return f"kept: {len(results) - len(broken)}, BROKEN: {len(broken)} ({', '.join(broken)})"


def _on_terminal(running: Running, as_json: bool) -> list[Result]:
    """The same as a table that grows row by row, above the drills that are being played."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=as_json)
    wide = max(len(each.name) for each in running.drills)
    done: list[Result] = []
    at_work: set[str] = set()
    with Live(console=console, refresh_per_second=_REFRESH_PER_SECOND, transient=True) as live:

        def began(each: Drill) -> None:
            at_work.add(each.name)
            live.update(_progress(running.drills, done, at_work))

        def ended(result: Result) -> None:
            at_work.discard(result.drill)
            done.append(result)
            live.console.print(_row(result, wide))
            live.update(_progress(running.drills, done, at_work))

        running.began, running.ended = began, ended
        results = asyncio.run(running.run())
    for result in results:
        if not result.kept:
            console.print(f"{result.drill}: {result.detail}", markup=False, highlight=False)
    console.print(_sum(results), markup=False, highlight=False)
    return results


def _row(result: Result, wide: int) -> Table:
    """Kept or broken, the drill, its promise, and how long it took: in columns that meet those of the rows above."""
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 2))
    row.add_column(width=6)
    row.add_column(width=wide)
    row.add_column(ratio=1)
    row.add_column(width=6, justify="right")
    word = Text("kept", "green") if result.kept else Text("BROKEN", "bold red")
    row.add_row(word, Text(result.drill), Text(result.promise), Text(f"{result.seconds:.0f} s", "dim"))
    return row


def _progress(drills: Sequence[Drill], done: Sequence[Result], at_work: Collection[str]) -> Text:
    from rich.text import Text

    broken = sum(1 for result in done if not result.kept)
    told = f"{len(done)} of {len(drills)} played, {broken} broken"
    return Text(f"{told}; playing {', '.join(sorted(at_work))}" if at_work else told, "yellow")
