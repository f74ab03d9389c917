"""`llm eval`: models side by side on the snapshots of a recorded run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for
from bot.cli.qc_asking import Yes, agreed, ink

_SAID = ("model", "says", "as run", "conf.", "USD", "paid")
_CAME = ("P&L", "after cost", "random", "beats", "trades", "won", "Brier", "ECE")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("eval")(evaluate)


def evaluate(
    models: Annotated[str, typer.Option("--models", metavar="A,B", help="As provider/model, with commas between them.")],
    recorded: Annotated[str, typer.Option("--recorded", metavar="RUN", help="A recorded run's id, or `latest`.")] = "latest",
    source: Annotated[str | None, typer.Option(metavar="NAME", help="With the bounds of this source.")] = None,
    most: Annotated[int, typer.Option(metavar="N", min=1, max=2_000, help="How many snapshots, the oldest.")] = 100,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="Random runs that each model is compared with.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of these.")] = 7,
    yes: Yes = False,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Ask several models what a recorded run asked, and compare what they say, cost and would have earned.

    Answers that are recorded cost nothing. What has to be asked costs money: it is estimated first, and asked after a yes.
    """
    from bot.cli.errand import perform
    from bot.cli.output import say, say_json
    from bot.cli.screen import count

    args: dict[str, object] = {
        "run": recorded,
        "models": [name.strip() for name in models.split(",") if name.strip()],
        "source": source,
        "most": most,
        "rounds": rounds,
        "seed": seed,
    }
    loaded = settings_for(config, data_dir)
    found = perform(loaded, "llm.eval", args, as_json=as_json)
    if not found["compared"]:
        at_most = found["usd_at_most"]
        agreed(f"{count(found['calls'], 'call')} may cost up to {float(at_most):.4f} USD; ask?", yes)
        found = perform(loaded, "llm.eval", args | {"spend": at_most}, as_json=as_json)
    if as_json:
        say_json(found)
    else:
        say(*eval_lines(found, ink()))
        sys.stdout.flush()


def eval_lines(found: Mapping[str, Any], ink: Any) -> Iterator[str]:
    """A line for each model, the pairs, the baselines, and what the figures rest on."""
    from bot.cli.llm_views import usd
    from bot.cli.output import table
    from bot.cli.qc_views import when
    from bot.cli.screen import clean, signed

    world = " · SIMULATED" if found["simulated"] else ""
    times = f"{when(found['first'])} to {when(found['last'])} UTC"
    yield f"{ink('Evaluation', 'bold')} of {found['run']}: {found['snapshots']} snapshots, {times}{world}"
    bounds = f"bounds are those of {found['bounds_of']}"
    yield f"  {found['recorded']} answers were recorded, {found['calls']} were asked now; {bounds}"
    yield ""
    head = [
        "model",
        "says",
        "as run",
        "conf.",
        "USD",
        "paid",
        "P&L",
        "after cost",
        "random",
        "beats",
        "trades",
        "won",
        "Brier",
        "ECE",
    ]
    yield from table(head, [_trial(one, usd) for one in found["trials"]])
    if found["agreement"]:
        yield ""
        rows = [[one["one"], one["other"], _share(one["share"]), one["both_trade"], one["opposed"]] for one in found["agreement"]]
        yield from table(["model", "and", "say the same", "both trade", "opposed"], rows)
    yield ""
    for name, one in found["baselines"].items():
        told = ink.signed(one["pnl"], signed(one["pnl"]))
        yield f"  {name.removeprefix('baseline:').replace('-', ' ')}: {told} {found['currency']}"
    if found["market"]["missing"]:
        yield f"  {ink('missing', 'yellow')} {clean(found['market']['missing'])}"
    yield f"  random: the same decisions at moments drawn by chance, {found['rounds']} times (seed {found['seed']})"
    yield "  P&L by the run's own sizing, fills and fees on its recorded market; Brier and ECE of the trades that closed there"


def _trial(one: Mapping[str, Any], usd: Any) -> list[object]:
    says = ", ".join(f"{name} {number}" for name, number in sorted(one["actions"].items()))
    return [
        one["model"],
        says,
        _share(one["with_run"]),
        _two(one["confidence"]),
        usd(one["usd"]),
        usd(one["paid"]),
        _two(one["pnl"], "+"),
        _two(one["pnl_after_cost"], "+"),
        _two(one["random_pnl"], "+"),
        _share(one["beat_random"]),
        one["trades"],
        one["wins"],
        _three(one["brier"]),
        _three(one["ece"]),
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _two(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign},.2f}"


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
