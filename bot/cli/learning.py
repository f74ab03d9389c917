"""`calibration` and `feedback`: how far stated confidences come true, and what people say of decisions."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for


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
    from bot.cli.learning_views import calibration_lines, insight_lines
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
    from bot.cli.learning_views import feedback_lines
    from bot.cli.output import say, say_json

    if opined not in {"useful", "wrong"}:
        message = f"{opined!r} is neither useful nor wrong"
        raise typer.BadParameter(message, param_hint="useful|wrong")
    args = {"decision": decision, "opined": opined, "note": note, "author": author}
    found = perform(settings_for(config, data_dir), "learning.feedback", args, as_json=as_json)
    if as_json:
        say_json(found)
    else:
        say(*feedback_lines(found))
