"""`token new|list|revoke` for programs, and `web-link` for a person's browser."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bot.cli.exits import ExitCode, StopError
from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for

if TYPE_CHECKING:
    from bot.web.security.store import AccessStore, Token

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="What the token is for, such as grafana.")]


def register(root: typer.Typer) -> None:
    """Add `token` and `web-link`."""
    root.add_typer(app, name="token", help="Tokens by which programs use the control room's API.")
    root.command("web-link")(web_link)


def with_access(data_dir: Path, work: Callable[[AccessStore], Awaitable[T]]) -> T:
    """What comes of work with the control room's own file."""
    from bot.web.security.store import AccessStore

    async def run() -> T:
        access = await AccessStore.open(data_dir, _now)
        try:
            return await work(access)
        finally:
            await access.close()

    return asyncio.run(run())


def _now() -> int:
    return time.time_ns() // 1_000_000


def _data_dir(config: Path | None, data_dir: Path | None) -> Path:
    return settings_for(config, data_dir).settings.bot.data_dir


@app.command("new")
def new(
    name: Name,
    scope: Annotated[str, typer.Option(metavar="SCOPE", help="read, trade or admin; each contains the one before it.")],
    expires: Annotated[str, typer.Option(metavar="TIME", help="For how long it is good, at most 400d.")] = "30d",
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Make a token and show it, this once: what is kept is its hash."""
    from bot.cli.output import say, say_json
    from bot.settings.kinds import parse_duration
    from bot.web.security.principal import Scope

    try:
        wanted = Scope.of(scope)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scope") from None
    try:
        until = _now() + parse_duration(expires)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{expires!r} {error}", param_hint="--expires") from None
    made = with_access(_data_dir(config, data_dir), lambda access: access.new_token(name, wanted, until))
    if as_json:
        say_json({**_told(made.token), "token": made.value})
        return
    say(made.value, f"{name} may {wanted.label} until {_when(until)}; the token is not shown again. Send it as:")
    say("  Authorization: Bearer TOKEN")


@app.command("list")
def list_(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Show the tokens that there are and, for 90 days, those that are over."""
    from bot.cli.output import say, say_json, table

    tokens = with_access(_data_dir(config, data_dir), lambda access: access.tokens())
    if as_json:
        say_json([_told(token) for token in tokens])
    elif not tokens:
        say("no token was made yet; say `python -m bot token new NAME --scope read`")
    else:
        rows = [[t.name, t.scope.label, t.state(_now()), _when(t.created), _when(t.expires), _when(t.used)] for t in tokens]
        say(*table(["name", "scope", "state", "created", "expires", "last used"], rows))


@app.command("revoke")
def revoke(name: Name, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Revoke a token: the next request that carries it is refused."""
    from bot.cli.output import say

    if not with_access(_data_dir(config, data_dir), lambda access: access.revoke(name)):
        raise StopError(ExitCode.FAILURE, f"no active token is called {name}; see `python -m bot token list`")
    say(f"{name} is revoked")


def web_link(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Print a fresh one-time URL of the running control room: it opens one session, once, within 30 minutes."""
    from bot.cli.output import say, say_json
    from bot.web.place import PLACE_FILE, Place

    directory = _data_dir(config, data_dir)
    place = Place.read(directory)
    if place is None:
        line = (
            f"no control room is running in {directory} (there is no valid {PLACE_FILE}); start the bot, or `python -m bot web`"
        )
        raise StopError(ExitCode.NOT_RUNNING, line)
    key = with_access(directory, lambda access: access.issue_link())
    url = f"{place.url}/enter?key={key}"
    if as_json:
        say_json({"url": url})
    else:
        say(url)


def _told(token: Token) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope.label,
        "state": token.state(_now()),
        "created": token.created,
        "expires": token.expires,
        "used": token.used,
    }


def _when(ms: int | None) -> str:
    return "-" if ms is None else datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
