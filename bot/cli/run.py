"""`run`: trade, on paper or in the simulated world."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from bot.cli.options import AsJson, ConfigDir, Database, DataDir, seconds, symbols_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


class _Mode(StrEnum):
    PAPER = "paper"
    DEMO = "demo"
    LIVE = "live"


def run(
    paper: Annotated[bool, typer.Option("--paper", help="Real market data, paper fills (the default).")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="A simulated world; needs no network.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Real orders: needs keys and live.confirm.")] = False,
    config: ConfigDir = None,
    exchange: Annotated[str | None, typer.Option(metavar="ID", help="The venue, by its ccxt id.")] = None,
    symbols: Annotated[str | None, typer.Option(metavar="A,B", help="Symbols to trade, such as BTC/USDT,ETH/USDT.")] = None,
    duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", callback=seconds, help="End cleanly after this long.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the simulated world.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    no_redis: Annotated[bool, typer.Option("--no-redis", help="Do not publish to Redis.")] = False,
    no_web: Annotated[bool, typer.Option("--no-web", help="Do not start the control room.")] = False,
    web_port: Annotated[int | None, typer.Option(min=0, max=65_535, metavar="N", help="Port of the control room.")] = None,
    database: Database = None,
) -> None:
    """Trade until Ctrl-C or --duration; this is what happens when no command is named."""
    mode = _mode(paper, demo, live)
    chosen = symbols_of(symbols)

    from bot.cli.session import trade
    from bot.settings import RunMode, RunOptions

    options = RunOptions(
        mode=RunMode(mode.value),
        config=config,
        exchange=exchange,
        symbols=chosen,
        duration=duration,
        seed=seed,
        json=as_json,
        data_dir=data_dir,
        redis=not no_redis,
        web=not no_web,
        web_port=web_port,
        database=database,
    )
    raise typer.Exit(trade(options, sys.stdout, sys.stderr))


def _mode(paper: bool, demo: bool, live: bool) -> _Mode:
    chosen = [mode for mode, wanted in zip(_Mode, (paper, demo, live), strict=True) if wanted]
    if len(chosen) > 1:
        message = f"--{chosen[0].value} and --{chosen[1].value} exclude each other; name one world"
        raise typer.BadParameter(message)
    return chosen[0] if chosen else _Mode.PAPER
