"""`analyse`: what charts, news, fundamentals and the book say of symbols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for

_COLOURS = {"bullish": "green", "bearish": "red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("analyse")(analyse)


def analyse(
    symbols: Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="Such as BTC/USDT ETH/USDT.")] = None,
    timeframe: Annotated[
        list[str] | None, typer.Option("--timeframe", "-t", metavar="TF", help="Candles; may be given more than once [1h 4h 1d].")
    ] = None,
    depth: Annotated[int, typer.Option(metavar="N", min=30, max=2_000, help="Candles of each timeframe.")] = 300,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", metavar="FILE", exists=True, help="Recorded candles in the place of the market."),
    ] = None,
    fundamentals: Annotated[
        bool, typer.Option("--fundamentals/--no-fundamentals", help="Also ask the venue for supply, funding and the like.")
    ] = True,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Analyse symbols: indicators, levels, patterns, news, fundamentals and the book.

    It asks no language model and costs nothing. Candles are the running bot's, else the venue's, else those of --data.
    """
    from bot.cli.qc_asking import ink, shown
    from bot.cli.screen import Ink

    if not symbols and not data:
        message = "name a symbol, such as BTC/USDT, or give recorded candles with --data"
        raise typer.BadParameter(message, param_hint="SYMBOL")
    args: dict[str, object] = {
        "symbols": [symbol.upper() for symbol in symbols or ()],
        "depth": depth,
        "files": [str(path.resolve()) for path in data or ()],
        "fundamentals": fundamentals,
    }
    if timeframe:
        args["timeframes"] = timeframe
    paint: Ink = ink()
    shown(settings_for(config, data_dir), "analysis.analyse", args, as_json, lambda found: analysis_lines(found, paint))


def analysis_lines(found: Mapping[str, Any], ink: Any) -> Iterator[str]:
    """The words about each symbol, below its stance, and what is missing."""
    from bot.cli.qc_views import when
    from bot.cli.screen import clean

    world = " SIMULATED" if found["simulated"] else ""
    yield f"as of {when(found['at'])} UTC, by {clean(found['origin'])}{world}"
    for symbol, one in found["analyses"].items():
        score = "" if one["score"] is None else f" ({one['score']:+.2f})"
        stance = ink(one["stance"], _COLOURS.get(one["stance"], "dim"), "bold")
        yield ""
        yield f"{ink(clean(symbol), 'bold')}  {stance}{score}"
        yield from (f"  - {clean(line)}" for line in one["words"])
    for part, why in found["missing"].items():
        yield f"  {ink('missing', 'yellow')} {part}: {clean(why)}"
