"""`errors` and `components`: what went wrong, and how the parts of the running bot are."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("errors")(errors)
    app.command("components")(components)


class _Which(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"
    ALL = "all"


def errors(
    state: Annotated[_Which, typer.Option(help="Which of them.")] = _Which.OPEN,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=500, help="How many, those that happened last.")] = 20,
    resolve: Annotated[str | None, typer.Option(metavar="FINGERPRINT", help="Settle this one, until it happens again.")] = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why it is settled, in a line.")] = "",
    author: Annotated[str, typer.Option(metavar="NAME", help="Who says so.")] = "operator",
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show what went wrong, by kind: of the running bot, else of those that ran before."""
    from bot.cli.errand import perform
    from bot.cli.monitor_views import error_lines, resolved_line
    from bot.cli.output import say, say_json

    loaded = settings_for(config, data_dir)
    if resolve is None:
        found = perform(loaded, "monitor.errors", {"state": state.value, "limit": limit}, as_json=as_json)
        lines = error_lines(found)
    else:
        args = {"fingerprint": resolve, "author": author, "note": note}
        found = perform(loaded, "monitor.resolve", args, as_json=as_json)
        lines = resolved_line(found)
    if as_json:
        say_json(found)
    else:
        say(*lines)


def components(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Show every part of the running bot: ok, degraded, down or off, and since when."""
    from bot.cli.errand import perform
    from bot.cli.monitor_views import component_lines
    from bot.cli.output import say, say_json

    found = perform(settings_for(config, data_dir), "monitor.components", {}, as_json=as_json)
    if as_json:
        say_json(found)
    else:
        say(*component_lines(found))
