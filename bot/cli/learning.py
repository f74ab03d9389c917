"""`calibration` and `feedback`: how far stated confidences come true, and what people say of decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for
from bot.cli.output import table
from bot.cli.screen import clean

Found = Mapping[str, Any]

_NOTHING = "nothing is known of that; no decision of it has been closed yet"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("calibration")(calibration)
    app.command("feedback")(feedback)


def calibration(
    source: Annotated[str | None, typer.Option(metavar="SOURCE", help="Only this source's, such as rules:sma-cross.")] = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show how far stated confidences come true, per source, model and action."""
    from bot.cli.errand import perform
    from bot.cli.output import say, say_json

    loaded = settings_for(config, data_dir)
    args = {} if source is None else {"source": source}
    found = perform(loaded, "learning.calibration", args, as_json=as_json)
    if as_json:
        say_json(found)
        return
    words = perform(loaded, "learning.insights", args)
    say(*calibration_lines(found), *insight_lines(words))


def feedback(
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="The decision's id, as `decisions --json` tells it.")],
    opined: Annotated[str, typer.Argument(metavar="useful|wrong", help="What you think of it.")],
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why, in a line.")] = "",
    author: Annotated[str, typer.Option(metavar="NAME", help="Who says so; the newest word of each counts.")] = "operator",
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Say whether a decision was useful or wrong; it weighs what is learnt from it."""
    from bot.cli.errand import perform
    from bot.cli.output import say, say_json

    if opined not in {"useful", "wrong"}:
        message = f"{opined!r} is neither useful nor wrong"
        raise typer.BadParameter(message, param_hint="useful|wrong")
    args = {"decision": decision, "opined": opined, "note": note, "author": author}
    found = perform(settings_for(config, data_dir), "learning.feedback", args, as_json=as_json)
    if as_json:
        say_json(found)
    else:
        say(*(clean(f"{each['decision']}: {each['opined']}, says {each['author']}") for each in found["feedback"]))


def calibration_lines(found: Found) -> Iterator[str]:
    """A line for each source, model and action; then the curve of each."""
    rows = [_row(one) for one in found["calibration"]]
    if not rows:
        yield _NOTHING
        return
    yield from table(["source", "model", "action", "closed", "true", "brier", "ece", "95 %", "map", "state"], rows)
    yield f"calibration is {found['calibrate']}; a confidence moves by {found['max_shift']:g} at most"
    for one in found["calibration"]:
        yield from _curve(one)


def insight_lines(found: Found) -> Iterator[str]:
    """What it comes to, in words."""
    for one in found["insights"]:
        yield ""
        yield clean(one["source"])
        yield from (clean(f"  - {said}") for said in one["insights"])


def _row(one: Found) -> list[object]:
    told = one["reliability"]
    if told is None:
        figures: list[object] = [0, None, None, None, None]
    else:
        interval = f"{told['error_low']:.3f} to {told['error_high']:.3f}"
        score, error = f"{told['brier']['score']:.3f}", f"{told['error']:.3f}"
        figures = [told["closed"], f"{told['won'] / told['closed']:.0%}", score, error, interval]
    return [one["source"], one["model"] or "-", one["action"], *figures, one["map"]["fit"], _state(one)]


def _curve(one: Found) -> Iterator[str]:
    told = one["reliability"]
    if told is None:
        return
    yield ""
    yield clean(" ".join(part for part in (one["source"], one["model"], one["action"]) if part))
    rows = [
        [
            f"{each['low']:.1f} to {each['high']:.1f}",
            each["closed"],
            f"{each['stated']:.3f}",
            f"{each['won']:.3f}",
            f"{each['won_low']:.3f} to {each['won_high']:.3f}",
            "#" * round(each["won"] * 40),
        ]
        for each in told["bins"]
    ]
    yield from table(["confidence", "closed", "stated", "true", "95 %", ""], rows)


def _state(one: Found) -> str:
    if one["frozen"]:
        return "frozen"
    return f"since {datetime.fromtimestamp(one['since'] / 1000, UTC):%Y-%m-%d %H:%M}" if one["since"] else "learning"
