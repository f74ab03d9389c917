"""`memory`: what the bot learnt from backtests and closed trades."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for

Parts = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SUBJECT]...", help="Any of symbol, strategy and timeframe, such as BTC/USDT rules:sma-cross 1h."),
]
AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of", metavar="TIME", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="See only what was known then (UTC)."
    ),
]
Lines = Callable[[Mapping[str, Any]], Iterable[str]]

_SYMBOL = re.compile(r"[A-Z0-9.]+(/[A-Z0-9.]+(:[A-Z0-9.]+)?)?")
_TIMEFRAME = re.compile(r"[0-9]+[smhdwM]|-")

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def root() -> None:
    """What the bot learnt from backtests and closed trades, about a strategy on a symbol at a timeframe."""


@app.command("subjects")
def subjects(
    parts: Parts = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """List what anything is known about."""
    from bot.cli.memory_views import subjects_lines

    _show("subjects", _about(parts, as_of), as_json, config, data_dir, subjects_lines)


@app.command("lessons")
def lessons(
    parts: Parts = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="How many of each subject, the newest.")] = 5,
    as_of: AsOf = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Tell what was learnt, the newest last: rating, risk, insights, what to expect and what to do."""
    from bot.cli.memory_views import lessons_lines

    _show("lessons", _about(parts, as_of) | {"limit": limit}, as_json, config, data_dir, lessons_lines)


@app.command("confidence")
def confidence(
    parts: Parts = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show how far each strategy is believed, and what that makes of its decisions."""
    from bot.cli.memory_views import confidence_lines

    _show("confidence", _about(parts, as_of), as_json, config, data_dir, confidence_lines)


@app.command("parameters")
def parameters(
    parts: Parts = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show the parameters that the history of backtests recommends."""
    from bot.cli.memory_views import parameters_lines

    _show("parameters", _about(parts, as_of), as_json, config, data_dir, parameters_lines)


@app.command("history")
def history(
    parts: Parts = None,
    since: Annotated[
        datetime | None,
        typer.Option(metavar="TIME", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="First moment (UTC) [30 days back]."),
    ] = None,
    points: Annotated[int, typer.Option(metavar="N", min=2, max=500, help="How many moments.")] = 30,
    as_of: AsOf = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show how far each strategy was believed over time, by what was known at each moment."""
    from bot.cli.memory_views import history_lines

    args = _about(parts, as_of) | {"points": points}
    if since is not None:
        args["since"] = _ms(since)
    _show("history", args, as_json, config, data_dir, history_lines)


@app.command("recommendations")
def recommendations(
    parts: Parts = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Say what to do about each strategy: position size, entries, overall."""
    from bot.cli.memory_views import recommendations_lines

    _show("recommendations", _about(parts, as_of), as_json, config, data_dir, recommendations_lines)


def _show(name: str, args: Mapping[str, object], as_json: bool, config: Path | None, data_dir: Path | None, lines: Lines) -> None:
    from bot.cli.errand import perform
    from bot.cli.output import say, say_json

    found = perform(settings_for(config, data_dir), f"memory.{name}", args, as_json=as_json)
    if as_json:
        say_json(found)
    else:
        say(*lines(found))


def _about(parts: list[str] | None, as_of: datetime | None) -> dict[str, object]:
    """The arguments that a subject's parts mean, told apart by how they are written."""
    found: dict[str, object] = {} if as_of is None else {"as_of": _ms(as_of)}
    for part in parts or ():
        name = _kind(part)
        if name in found:
            message = f"{part!r}: a {name} was named already ({found[name]})"
            raise typer.BadParameter(message, param_hint="SUBJECT")
        found[name] = part.upper() if name == "symbol" else part
    return found


def _kind(part: str) -> str:
    if _TIMEFRAME.fullmatch(part):
        return "timeframe"
    if _SYMBOL.fullmatch(part) or ("/" in part and ":" not in part):
        return "symbol"
    if ":" in part:
        return "strategy"
    message = f"{part!r} is no symbol (BTC/USDT), no strategy (rules:sma-cross) and no timeframe (1h)"
    raise typer.BadParameter(message, param_hint="SUBJECT")


def _ms(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1_000)
