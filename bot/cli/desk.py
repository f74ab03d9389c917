"""`queue`, `sources`, `threshold`, `positions` and `risk`: what the running bot says of its desk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for

Lines = Callable[[Mapping[str, Any]], Iterable[str]]
Symbol = Annotated[str, typer.Argument(metavar="SYMBOL", help="Such as BTC/USDT.")]
Source = Annotated[str | None, typer.Option(metavar="SOURCE", help="Whose settings count, such as rules:sma-cross.")]

risk = typer.Typer(rich_markup_mode=None, invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (queue, sources, threshold, positions):
        app.command()(command)
    app.add_typer(risk, name="risk", help="Risk as the running bot sees it: its limits, its book, and what it would say.")


def queue(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Show what waits to be heard, what stands, who is thinking and which orders work, now."""
    from bot.cli.desk_views import queue_lines

    _show("desk.queue", {}, as_json, config, data_dir, queue_lines)


def sources(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Show every source: its settings, what ails it, what it earned and what it would have earned alone."""
    from bot.cli.desk_views import sources_lines

    _show("desk.sources", {}, as_json, config, data_dir, sources_lines)


def threshold(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A source's name, such as rules:sma-cross.")],
    least: Annotated[float, typer.Argument(metavar="CONFIDENCE", min=0.0, max=1.0, help="The least it is heard with (0..1).")],
    author: Annotated[str, typer.Option(metavar="NAME", help="Who decides; kept in the audit.")] = "operator",
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Hear a source of the running bot from another confidence on; its file says where the next run begins."""
    from bot.cli.desk_views import threshold_lines

    args = {"source": source, "threshold": least, "author": author}
    _show("desk.set-threshold", args, as_json, config, data_dir, threshold_lines)


def positions(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Show what is held, how it is guarded, and who opened it."""
    from bot.cli.desk_views import positions_lines

    _show("desk.positions", {}, as_json, config, data_dir, positions_lines)


@risk.callback()
def root(context: typer.Context, as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Risk as the running bot sees it; without a further word: `state`."""
    if context.invoked_subcommand is None:
        state(as_json, config, data_dir)
    elif as_json or config is not None or data_dir is not None:
        message = f"write options behind `{context.invoked_subcommand}`"
        raise typer.BadParameter(message)


@risk.command("state")
def state(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Show the trading state, how full each limit is, and what is wrong with market or account."""
    from bot.cli.desk_views import state_lines

    _show("risk.state", {}, as_json, config, data_dir, state_lines)


@risk.command("assess")
def assess(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Assess the portfolio: exposure, concentration, value at risk, what its stops would cost."""
    from bot.cli.desk_views import assess_lines

    _show("risk.assess", {}, as_json, config, data_dir, assess_lines)


@risk.command("validate")
def validate(
    side: Annotated[str, typer.Argument(metavar="buy|sell", help="The order's side.")],
    symbol: Symbol,
    amount: Annotated[str | None, typer.Option(metavar="AMOUNT", help="In the base currency; or give --notional.")] = None,
    notional: Annotated[str | None, typer.Option(metavar="MONEY", help="In the quote currency; or give --amount.")] = None,
    price: Annotated[float | None, typer.Option(metavar="PRICE", help="What its decision saw [the live price].")] = None,
    source: Source = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Say what risk would say of an order now, check by check; nothing is ordered."""
    from bot.cli.desk_views import validate_lines

    given = {"symbol": symbol, "side": side, "amount": amount, "notional": notional, "price": price, "source": source}
    args = {name: value for name, value in given.items() if value is not None}
    _show("risk.validate", args, as_json, config, data_dir, validate_lines)


@risk.command("size")
def size(
    symbol: Symbol,
    source: Source = None,
    confidence: Annotated[float, typer.Option(metavar="0..1", min=0.0, max=1.0, help="How sure the idea is.")] = 0.5,
    stop_loss: Annotated[float | None, typer.Option(metavar="PRICE", help="To see what would be lost there.")] = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Say what each sizing policy would hold of a symbol, before and after risk; nothing is ordered."""
    from bot.cli.desk_views import size_lines

    given = {"symbol": symbol, "source": source, "confidence": confidence, "stop_loss": stop_loss}
    args = {name: value for name, value in given.items() if value is not None}
    _show("risk.size", args, as_json, config, data_dir, size_lines)


def _show(name: str, args: Mapping[str, object], as_json: bool, config: Path | None, data_dir: Path | None, lines: Lines) -> None:
    """Ask the running bot, and print its answer; `StopError` where none runs."""
    from bot.cli.errand import perform
    from bot.cli.exits import ExitCode, StopError
    from bot.cli.output import say, say_json
    from bot.services.trading.at_desk import NoBot

    loaded = settings_for(config, data_dir)
    try:
        found = perform(loaded, name, args, as_json=as_json)
    except NoBot:
        line = f"no bot is running in {loaded.settings.bot.data_dir}; start one with `python -m bot`"
        raise StopError(ExitCode.NOT_RUNNING, line) from None
    if as_json:
        say_json(found)
    else:
        say(*lines(found))
