"""`secrets set|list|rm`. A value comes from standard input or a prompt without echo, is never an argument, never printed."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.exits import ExitCode, StopError
from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for

if TYPE_CHECKING:
    from bot.secrets import Secrets

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Such as BINANCE_API_KEY.")]


def _secrets(config: Path | None, data_dir: Path | None) -> Secrets:
    from bot.secrets import Secrets

    return Secrets(settings_for(config, data_dir).settings.bot.data_dir)


@app.command("set")
def set_(name: Name, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Store a secret: `python -m bot secrets set NAME < file`, or type it at the prompt."""
    from bot.cli.output import say
    from bot.secrets import check_name, mask

    checked = check_name(name)
    vault = _secrets(config, data_dir).vault()
    value = _value(checked)
    vault.set(checked, value)
    say(f"{checked} {mask(value)} is kept in {vault.path}, sealed with the key of {vault.master_origin}")
    _end_sessions(checked, vault.path.parent)


def _value(name: str) -> str:
    """The value, without the line break at its end."""
    if sys.stdin.isatty():
        import getpass

        value = getpass.getpass(f"{name} (not shown): ")
    else:
        value = sys.stdin.read()
    value = value.rstrip("\r\n")
    if not value.strip() or ("\n" in value and "-----BEGIN" not in value):
        raise StopError(ExitCode.CONFIG, f"no usable value for {name} came in; give it on one line of standard input")
    return value


@app.command("list")
def list_(config: ConfigDir = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show which secrets are set, masked, and where they come from."""
    from bot.cli.output import say, say_json, table

    rows = _secrets(config, data_dir).listed()
    if as_json:
        say_json([{"name": row.name, "origin": row.origin, "masked": row.masked, "updated": row.updated} for row in rows])
        return
    if not rows:
        say("no secret is set; say `python -m bot secrets set NAME`")
        return
    say(*table(["name", "value", "origin", "updated"], [[row.name, row.masked, row.origin, _when(row.updated)] for row in rows]))


def _when(updated: int | None) -> str:
    return "-" if updated is None else datetime.fromtimestamp(updated / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


@app.command("rm")
def remove(name: Name, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Forget a stored secret."""
    from bot.cli.output import say
    from bot.secrets import check_name

    checked = check_name(name)
    secrets = _secrets(config, data_dir)
    if not secrets.path.exists() or not secrets.vault().remove(checked):
        raise StopError(ExitCode.FAILURE, f"{checked} is not in {secrets.path}; see `python -m bot secrets list`")
    say(f"{checked} is gone from {secrets.path}")
    _end_sessions(checked, secrets.path.parent)


def _end_sessions(name: str, data_dir: Path) -> None:
    """Whoever came into the control room by the password that was changed must come in anew."""
    from bot.cli.output import say
    from bot.cli.token import with_access
    from bot.store.errors import StoreUnavailable
    from bot.web.security.binding import PASSWORD
    from bot.web.security.store import ACCESS_FILE

    if name != PASSWORD or not (data_dir / ACCESS_FILE).exists():
        return
    try:
        ended = with_access(data_dir, lambda access: access.end_all_sessions())
    except StoreUnavailable as error:
        remedy = "sessions of the old password go on; end them in the control room, or by DELETE /api/v1/sessions"
        raise StopError(ExitCode.FAILURE, f"{data_dir / ACCESS_FILE}: {error}; {remedy}") from error
    say(f"sessions of the control room that ended: {ended}")
