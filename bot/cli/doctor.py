"""`doctor`: is everything there that a run needs?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.exits import ExitCode
from bot.cli.options import AsJson, ConfigDir, Database, DataDir, quiet_logs

if TYPE_CHECKING:
    from bot.cli.checks import Finding
    from bot.settings import Loaded


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    config: ConfigDir = None,
    data_dir: DataDir = None,
    database: Database = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask neither the venue nor Redis.")] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, max=60, help="Longest wait for venue and Redis.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Check everything a run needs, and say how to mend what is broken."""
    from bot.cli.checks import State, check_config, check_packages, check_python
    from bot.cli.output import say, say_json, table

    quiet_logs()
    given = {"bot.data_dir": data_dir, "journal.url": database}
    configured, loaded = check_config(config, {key: value for key, value in given.items() if value is not None})
    found = [check_python(), check_packages(), configured]
    if loaded is not None:
        found += _local(loaded)
        if not offline:
            found += asyncio.run(_remote(loaded, timeout))
    broken = [finding for finding in found if finding.state is State.BROKEN]
    if as_json:
        rows = [{"check": f.check, "state": f.state.value, "detail": f.detail, "remedy": f.remedy} for f in found]
        say_json({"ok": not broken, "checks": rows})
    else:
        say(*table(["check", "state", "found", "remedy"], [[f.check, f.state.value, f.detail, f.remedy] for f in found]))
    raise typer.Exit(ExitCode.FAILURE if broken else ExitCode.OK)


def _local(loaded: Loaded) -> list[Finding]:
    from bot.cli.checks import check_data_dir, check_database, check_secrets, check_sources

    settings = loaded.settings
    return [check_sources(loaded), check_data_dir(settings), check_database(settings), check_secrets(settings)]


async def _remote(loaded: Loaded, timeout: float) -> list[Finding]:
    from bot.cli.checks import check_redis, check_venue

    return list(await asyncio.gather(check_redis(loaded.settings, timeout), check_venue(loaded.settings, timeout)))
