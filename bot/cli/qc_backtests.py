"""The `qc` commands of backtests: run, list, read, compare and delete them, sweep parameters, export a strategy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for
from bot.cli.qc_asking import Yes, agreed, ink, number, pairs, shown

if TYPE_CHECKING:
    from bot.settings import Loaded

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG.yaml", exists=True, dir_okay=False, help="What to run: symbol, days, strategy, capital.")
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Also write the results there, as files.")]
Delete = Annotated[bool, typer.Option("--delete", help="Delete in the cloud what was made for it, once it has ended.")]
NodeWait = Annotated[str, typer.Option(metavar="TIME", help="How long to wait for a free node, such as 10m.")]
Reference = Annotated[str, typer.Argument(metavar="PROJECT/BACKTEST", help="A backtest, as `qc backtests` lists it.")]


class By(StrEnum):
    """How a sweep is run."""

    BACKTESTS = "backtests"
    OPTIMIZATION = "optimization"


class Target(StrEnum):
    """What is best."""

    SHARPE = "sharpe"
    RETURN = "return"
    PROBABILISTIC_SHARPE = "probabilistic-sharpe"
    DRAWDOWN = "drawdown"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backtest")(backtest)
    app.command("backtests")(backtests)
    app.command("backtest-result")(backtest_result)
    app.command("compare")(compare)
    app.command("sweep")(sweep)
    app.command("export")(export)
    app.command("delete-backtest")(delete_backtest)


def backtest(
    file: ConfigFile,
    analyse: Annotated[bool, typer.Option("--analyse", help="Learn from it: keep what it teaches in the memory.")] = False,
    out: Out = None,
    delete: Delete = False,
    node_wait: NodeWait = "10m",
    limit: Annotated[str, typer.Option(metavar="TIME", help="How long it may run; then it is deleted.")] = "2h",
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Run a backtest in the cloud: the strategy is written as a LEAN algorithm, uploaded, compiled and run."""
    from bot.cli.qc_backtest_views import backtest_lines

    args = {
        "config": _config(file),
        "analyse": analyse,
        "keep": not delete,
        "out": _place(out),
        "node_wait": node_wait,
        "limit": limit,
    }
    shown(settings_for(config, data_dir), "qc.backtest", args, as_json, lambda found: backtest_lines(found, ink()))


def backtests(
    project: Annotated[int | None, typer.Option(metavar="PROJECT", min=1, help="Of this project, whoever made it.")] = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """List the backtests in the bot's own projects, the newest first."""
    from bot.cli.qc_backtest_views import backtests_lines

    shown(settings_for(config, data_dir), "qc.backtests", {"project": project}, as_json, backtests_lines)


def backtest_result(
    reference: Reference, out: Out = None, as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None
) -> None:
    """Show what a backtest in the cloud gave."""
    from bot.cli.qc_backtest_views import backtest_lines

    args = {**_parts(reference), "out": _place(out)}
    loaded = settings_for(config, data_dir)
    shown(loaded, "qc.backtest-result", args, as_json, lambda found: backtest_lines(found, ink()))


def delete_backtest(
    reference: Reference, yes: Yes = False, as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None
) -> None:
    """Delete a backtest of the bot's own projects, which also stops it and frees its node."""
    args = _parts(reference)
    agreed(f"Delete backtest {reference} in the cloud, for good?", yes)
    loaded = settings_for(config, data_dir)
    shown(loaded, "qc.delete-backtest", args, as_json, lambda found: [f"deleted: {found['deleted']}"])


def compare(
    contenders: Annotated[
        list[str],
        typer.Argument(metavar="A B ...", help="PROJECT/BACKTEST in the cloud, or a file written by `backtest --json`."),
    ],
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Hold backtests against each other, those of the cloud and the bot's own alike; the best of each figure is marked."""
    from bot.cli.errand import perform, perform_here
    from bot.cli.output import say, say_json
    from bot.cli.qc_backtest_views import compare_lines
    from bot.services.quantconnect.comparison import Contender

    found = {text: None if "/" in text and not Path(text).exists() else _result_file(text) for text in contenders}
    if not 2 <= len(found) <= 20:
        message = "give 2 to 20 different backtests"
        raise typer.BadParameter(message, param_hint="A B ...")
    loaded = settings_for(config, data_dir)
    results: dict[str, Mapping[str, Any]] = {name: body for name, body in found.items() if body is not None}
    for name, body in results.items():
        Contender.read(name, body)
    for name in [name for name, body in found.items() if body is None]:
        told = perform(loaded, "qc.backtest-result", _parts(name), as_json=as_json)
        results[f"{told['name']} ({name})"] = told
    # Results are large, and to compare them changes nothing: none is sent to a running bot.
    held = perform_here(loaded, "qc.compare", {"results": results}, as_json=as_json)
    if as_json:
        say_json(held)
    else:
        say(*compare_lines(held, ink()))


def sweep(
    file: ConfigFile,
    parameter: Annotated[
        list[str],
        typer.Option(metavar="NAME=MIN:MAX:STEP", help="Values of a parameter; may be given more than once."),
    ],
    by: Annotated[
        By, typer.Option(help="Backtests on the nodes that are there, or an optimization, which costs credit.")
    ] = By.BACKTESTS,
    target: Annotated[Target, typer.Option(help="What the best has most of (of the drawdown: least).")] = Target.SHARPE,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only say what it would take.")] = False,
    delete: Delete = False,
    node_wait: NodeWait = "10m",
    limit: Annotated[str, typer.Option(metavar="TIME", help="How long all of it may take.")] = "12h",
    yes: Yes = False,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Run a strategy over a grid of its parameters, the best first. What it will cost is said before, and asked for."""
    from bot.cli.errand import perform
    from bot.cli.qc_backtest_views import cost_line, sweep_lines

    loaded = settings_for(config, data_dir)
    asked: dict[str, object] = {
        "config": _config(file),
        "parameters": _grid(parameter),
        "target": target.value,
        "by": by.value,
    }
    if estimate:
        shown(loaded, "qc.estimate", asked, as_json, lambda found: [cost_line(found)])
        return
    more: dict[str, object] = {"confirmed": True, "keep": not delete, "node_wait": node_wait, "limit": limit}
    if not yes:
        cost = perform(loaded, "qc.estimate", asked, as_json=as_json)
        agreed(f"{cost_line(cost)}. Begin?", yes)
        more["most_credit"] = cost["cost"]["credit"]
    shown(loaded, "qc.sweep", asked | more, as_json, lambda found: sweep_lines(found, ink()))


def export(
    rule: Annotated[
        str,
        typer.Argument(metavar="RULE", help="A strategy such as sma-cross, a source's YAML, or a YAML as for `qc backtest`."),
    ],
    params: Annotated[
        list[str] | None, typer.Option("--params", metavar="NAME=VALUE", help="A parameter; may be given more than once.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(metavar="SYMBOL", help="What it trades [the bot's first symbol].")] = None,
    timeframe: Annotated[str | None, typer.Option(metavar="TF", help="Candles that it sees, such as 1h.")] = None,
    csharp: Annotated[bool, typer.Option("--csharp", help="In C#, which nobody here has ever compiled.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the files there [print the algorithm].")] = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Write a strategy as a LEAN algorithm. Nobody at QuantConnect is asked."""
    from bot.cli.qc_backtest_views import export_lines

    loaded = settings_for(config, data_dir)
    asked = _exported(rule, loaded, {name: _scalar(text) for name, text in pairs(params, "--params").items()}, symbol, timeframe)
    args: dict[str, object] = {"config": asked, "out": _place(out)}
    if csharp:
        args["language"] = "csharp"
    shown(loaded, "qc.export", args, as_json, export_lines)


def _config(file: Path) -> dict[str, Any]:
    """The backtest that a YAML describes; `SourceConfigError` says which key is wrong."""
    from sources.config import read_yaml

    return _checked(read_yaml(file), file)


def _checked(content: Mapping[str, object], file: str | Path) -> dict[str, Any]:
    from pydantic import ValidationError

    from sources.config import explain
    from sources.quantconnect.lean.config import BacktestConfig

    try:
        return BacktestConfig.model_validate(dict(content)).model_dump(mode="json")
    except ValidationError as error:
        raise explain(error, file, BacktestConfig) from error


def _exported(
    rule: str, loaded: Loaded, params: Mapping[str, object], symbol: str | None, timeframe: str | None
) -> dict[str, Any]:
    """The backtest whose algorithm is written: that of a YAML, or one of the last year with a rule's own defaults."""
    from sources.config import read_yaml

    content: dict[str, Any] = {}
    strategy: dict[str, Any] = {"kind": rule, "params": {}}
    if rule.endswith((".yaml", ".yml")):
        written: Mapping[str, Any] = read_yaml(Path(rule))
        if "source" in written:  # a source of the bot
            strategy = {"kind": written.get("kind"), "params": dict(written.get("params") or {})}
            content = {key: written[key] for key in ("timeframe", "expiry") if key in written}
            content["symbol"] = next(iter(written.get("symbols") or ()), None)
        else:
            content = dict(written)
            strategy = dict(content.pop("strategy", None) or {"kind": ""})
    today = datetime.now(UTC).date()
    content["strategy"] = {**strategy, "params": {**dict(strategy.get("params") or {}), **params}}
    content["symbol"] = symbol or content.get("symbol") or loaded.settings.exchange.symbols[0]
    content = {"start": today - timedelta(days=365), "end": today} | content
    return _checked(content | ({"timeframe": timeframe} if timeframe else {}), rule)


def _scalar(text: str) -> object:
    """A parameter of the command line as YAML would read it: a number, true or false, else the text."""
    import yaml

    found = yaml.safe_load(text)
    return found if isinstance(found, int | float | bool) else text


def _grid(given: list[str]) -> dict[str, dict[str, float]]:
    found = {}
    for name, text in pairs(given, "--parameter").items():
        parts = text.split(":")
        if len(parts) != 3:
            message = f"{name}={text}: write NAME=MIN:MAX:STEP, such as fast=5:20:5"
            raise typer.BadParameter(message, param_hint="--parameter")
        values = [number(part, "--parameter") for part in parts]
        found[name] = dict(zip(("min", "max", "step"), values, strict=True))
    return found


def _parts(reference: str) -> dict[str, object]:
    project, slash, name = reference.partition("/")
    if not slash or not project.isdecimal() or not name:
        message = f"{reference!r}: write PROJECT/BACKTEST, as `qc backtests` lists it"
        raise typer.BadParameter(message, param_hint="PROJECT/BACKTEST")
    return {"project": int(project), "backtest": name}


def _result_file(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{text}: {error}; give PROJECT/BACKTEST, or a file written by `backtest --json`"
        raise typer.BadParameter(message, param_hint="A B ...") from None
    if not isinstance(found, dict):
        message = f"{text} holds no result of a backtest"
        raise typer.BadParameter(message, param_hint="A B ...")
    return found


def _place(out: Path | None) -> str | None:
    """Where a running bot, which has a working directory of its own, shall write."""
    return None if out is None else str(out.resolve())
