"""`db upgrade|backup|check`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.options import ConfigDir, Database, DataDir, settings_for

app = typer.Typer(no_args_is_help=True)


@app.command()
def upgrade(config: ConfigDir = None, data_dir: DataDir = None, database: Database = None) -> None:
    """Bring the journal to this version's schema; makes it if there is none."""
    from bot.cli.output import say
    from bot.journal.migrations import HEAD
    from bot.journal.upgrade import upgrade as upgrade_journal
    from bot.settings.kinds import redact_url

    url = settings_for(config, data_dir, database).settings.database_url
    upgrade_journal(url)
    say(f"{redact_url(url)} is at {HEAD}")


@app.command()
def backup(
    to: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to; never overwritten [DATA/backups/arbiter-TIME.db].")
    ] = None,
    config: ConfigDir = None,
    data_dir: DataDir = None,
    database: Database = None,
) -> None:
    """Copy the journal, whole and checked, also while the bot writes to it."""
    from bot.cli.output import say
    from bot.journal.soundness import backup as back_up

    settings = settings_for(config, data_dir, database).settings
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    target = to or settings.bot.data_dir / "backups" / f"arbiter-{stamp}.db"
    size = back_up(settings.database_url, target)
    say(f"{target}: {size:,} bytes, checked")


@app.command()
def check(config: ConfigDir = None, data_dir: DataDir = None, database: Database = None) -> None:
    """Read every page of the journal and say whether it is sound."""
    from bot.cli.output import say
    from bot.journal.soundness import check as check_journal
    from bot.settings.kinds import redact_url

    url = settings_for(config, data_dir, database).settings.database_url
    check_journal(url)
    say(f"{redact_url(url)} is sound")
