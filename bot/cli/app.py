"""The commands, put together. `run` is what happens when none is named."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from bot.cli import (
    analyse,
    audit,
    chat,
    config,
    control,
    data,
    database,
    desk,
    doctor,
    drill,
    health,
    history,
    idea,
    learning,
    llm,
    memory,
    monitor,
    notify,
    qc,
    records,
    reports,
    run,
    secret,
    token,
    web,
)
from bot.cli.exits import EXIT_CODES, guarded

ABOUT = """Arbiter: many minds propose, one desk decides.

Without a command it runs: `python -m bot --paper`, `--demo` or `--live`; `python -m bot run --help` lists its options."""
_FOR_THE_GROUP = ("-h", "--help", "--version")


class Commands(TyperGroup):
    """Commands of which one is meant when only options are given, and whose errors become a line and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` in front of options that stand alone."""
        if not args or (args[0].startswith("-") and args[0] not in _FOR_THE_GROUP):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; see `bot.cli.exits`."""
        with guarded():
            return super().invoke(ctx)


app = typer.Typer(
    cls=Commands,
    help=ABOUT,
    epilog=EXIT_CODES,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"arbiter {version('arbiter-desk')}")
        raise typer.Exit


@app.callback()
def root(
    show: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version and exit."),
) -> None:
    """Nothing to do here: `Commands` chooses the command."""
    del show


for module in (run, history, reports, control, desk, records, learning, analyse, doctor, health, drill, chat, idea, web):
    module.register(app)
app.add_typer(config.app, name="config", help="Write, check and show the configuration.")
app.add_typer(data.app, name="data", help="Market data on this machine: fetch history for backtests.")
app.add_typer(llm.app, name="llm", help="Language models: keys, prices, budget, questions, prompts.")
app.add_typer(memory.app, name="memory", help="What was learnt from backtests and closed trades.")
app.add_typer(notify.app, name="notify", help="Whom the bot tells what happens: channels, a test message, the log.")
app.add_typer(qc.app, name="qc", help="QuantConnect: account, live algorithms, signals, backtests in its cloud.")
app.add_typer(secret.app, name="secrets", help="Keep keys and tokens out of files and histories.")
audit.register(app)
token.register(app)
monitor.register(app)
app.add_typer(database.app, name="db", help="The journal's database.")
