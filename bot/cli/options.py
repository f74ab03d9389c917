"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bot.settings import Loaded

ConfigDir = Annotated[Path | None, typer.Option("--config", metavar="DIR", help="Directory of bot.yaml and risk.yaml [config].")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", metavar="DIR", help="Where the bot keeps its data [data].")]
Database = Annotated[str | None, typer.Option("--database", metavar="URL", help="The journal's database.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout; everything else goes to stderr.")]


def symbols_of(text: str | None) -> tuple[str, ...] | None:
    """`BTC/USDT,ETH/USDT` as a tuple."""
    if text is None:
        return None
    found = tuple(part.strip().upper() for part in text.split(",") if part.strip())
    if not found:
        message = "write symbols with commas between them, such as BTC/USDT,ETH/USDT"
        raise typer.BadParameter(message, param_hint="--symbols")
    return found


def seconds(value: float | None) -> float | None:
    """A time in seconds that can pass."""
    if value is not None and not (math.isfinite(value) and value > 0):
        message = f"{value} is not a time that can pass; write seconds, such as 60"
        raise typer.BadParameter(message)
    return value


def quiet_logs() -> None:
    """Logs of a command that answers by itself: errors only, on stderr; unconfigured, they would go to stdout."""
    from bot import logs

    logs.configure(level="error")


def settings_for(config: Path | None, data_dir: Path | None = None, database: str | None = None) -> Loaded:
    """The settings of a command that only needs to know where things are."""
    from bot.settings import load

    quiet_logs()
    given: dict[str, object | None] = {"bot.data_dir": data_dir, "journal.url": database}
    return load(config, overrides={key: value for key, value in given.items() if value is not None})
