"""`idea`: a strategy from a sentence, tried on recorded candles and kept as a source that is switched off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for, symbols_of

Files = Annotated[
    list[Path] | None, typer.Option("--data", metavar="FILE", help="Recorded candles to try it on: CSV or Parquet. Repeatable.")
]
_FIGURES = ("total_return", "hold_return", "max_drawdown", "sharpe", "trades", "win_rate", "fees")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("idea")(idea)


def idea(
    sentence: Annotated[str, typer.Argument(metavar="[SENTENCE]", help="The idea in plain words.")] = "",
    template: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Begin with a family: momentum, mean_reversion, breakout, trend or volatility."),
    ] = None,
    symbols: Annotated[str | None, typer.Option(metavar="LIST", help="What it may trade [what the bot trades].")] = None,
    timeframe: Annotated[str | None, typer.Option(metavar="TF", help="Its candles, such as 15m [what the model thinks].")] = None,
    data: Files = None,
    save: Annotated[
        bool, typer.Option("--save", help="Keep it as a source that is switched off, its backtest beside it.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the sources' files are [the configuration's sources].")
    ] = None,
    kept: Annotated[bool, typer.Option("--list", help="List the ideas that were kept, and ask for none.")] = False,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Have a language model write a strategy down as data, judge it, try it and keep it.

    It never writes code: a strategy is a built-in rule with parameters, or conditions over indicators that the bot interprets.
    """
    from bot.cli.errand import perform
    from bot.cli.output import say, say_json

    loaded = settings_for(config, data_dir)
    where: dict[str, object] = {} if out is None else {"directory": str(out.resolve())}
    if kept:
        found = perform(loaded, "idea.list", where, as_json=as_json)
        say_json(found) if as_json else say(*_kept(found))
        return
    asked = {"sentence": sentence, "template": template, "symbols": symbols_of(symbols), "timeframe": timeframe}
    told: dict[str, Any] = {
        "proposed": perform(
            loaded, "idea.propose", {name: value for name, value in asked.items() if value is not None}, as_json=as_json
        )
    }
    files = [str(path.resolve()) for path in data or ()]
    given: dict[str, object] = {"specification": told["proposed"]["specification"], "data": files}
    if not as_json:
        say(*_proposed(told["proposed"]))
    if save:
        given |= where | {"sentence": sentence, "model": told["proposed"]["model"]}
        told["saved"] = perform(loaded, "idea.save", given, as_json=as_json)
    elif files:
        told["tried"] = perform(loaded, "idea.backtest", given, as_json=as_json)
    if as_json:
        say_json(told)
    else:
        say(*_ending(told))


def _proposed(found: Mapping[str, Any]) -> Iterator[str]:
    """The strategy, as a person reads it."""
    from bot.cli.screen import clean

    told = found["specification"]
    yield f"{clean(told['name'])}: {clean(told['thesis'])}"
    yield f"  {found['source']}, {told['rule']} on {told['timeframe']} candles of {', '.join(told['symbols']) or 'all symbols'}"
    yield from _rules(told["rule"], told["params"])
    guard = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in told["protection"].items() if value is not None)
    yield f"  protection: {guard} (fractions of the entry price)"
    yield f"  by {clean(found['model'])}, {float(found['cost']):.4f} USD"
    if found["twin"]:
        yield f"  the same strategy is kept already: {clean(found['twin'])}"


def _rules(rule: str, params: Mapping[str, Any]) -> Iterator[str]:
    if rule != "composed":
        yield f"  {', '.join(f'{name} {value}' for name, value in params.items())}"
        return
    from sources.rules.conditions import Condition

    for name, word in (("entry", "buy"), ("filters", "only"), ("exit", "sell")):
        joined = " or " if params.get(f"{name}_logic") == "any" else " and "
        conditions = joined.join(str(Condition.model_validate(each)) for each in params.get(name, ()))
        if conditions:
            yield f"  {word} when {conditions}"
    if params.get("max_hold"):
        yield f"  sell after {params['max_hold']} candles"


def _ending(told: Mapping[str, Any]) -> Iterator[str]:
    """What the backtest found, and where it is kept."""
    from bot.cli.output import report
    from bot.cli.screen import clean

    ended = told.get("saved") or told.get("tried") or {}
    figures = ended.get("backtest")
    if figures:
        yield from report({name: figures.get(name) for name in _FIGURES}, f"backtest: {clean(figures['line'])}")
        for notice in figures["notices"]:
            yield f"  notice: {clean(notice)}"
    elif not told.get("saved"):
        yield "not tried yet: give recorded candles with --data FILE"
    if "file" in ended:
        yield f"kept, switched off: {clean(ended['file'])}"
        yield "look through it and set `enabled: true` there to have it traded"


def _kept(found: Mapping[str, Any]) -> list[str]:
    from bot.cli.output import table

    rows = [
        [
            each["source"],
            "on" if each["enabled"] else "off",
            *((each["figures"] or {}).get(name) for name in ("total_return", "max_drawdown", "trades")),
            each["about"],
        ]
        for each in found["ideas"]
    ]
    return table(["source", "state", "return", "drawdown", "trades", "about"], rows) if rows else ["no idea was kept yet"]
