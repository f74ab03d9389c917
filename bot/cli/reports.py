"""`report`: a recorded run on one page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.options import AsJson, ConfigDir, Database, DataDir, settings_for


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    run: Annotated[str, typer.Option(metavar="RUN", help="A run's id, or `latest`.")] = "latest",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write the page [report-RUN.html in the working directory].")
    ] = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
    database: Database = None,
) -> None:
    """Write a recorded run's tear sheet: one HTML file that needs nothing else to be read.

    With --json its figures go to stdout, and the page is written only where --out names one.
    """
    from bot.cli.history import progress_of
    from bot.cli.output import say, say_json
    from bot.services.reporting import report as report_on
    from bot.services.reporting import write_page

    settings = settings_for(config, data_dir, database).settings
    with progress_of("inputs") as progress:
        sheet = report_on(settings, run, progress)
    if out is None and not as_json:
        out = Path(f"report-{sheet.run}.html")
    written = None if out is None else write_page(sheet, out)
    if as_json:
        say_json(sheet.as_json() | {"page": None if written is None else str(written)})
        return
    for notice in sheet.notices:
        sys.stderr.write(f"notice: {notice}\n")
    figures = sheet.statistics
    say(
        f"{sheet.world.word}  {sheet.title}: {figures.total_return:+.2%}, {figures.trades:,} closed trades",
        f"tear sheet: {written}",
    )
