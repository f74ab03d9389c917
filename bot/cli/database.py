"""`db upgrade|backup`."""

from __future__ import annotations

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
