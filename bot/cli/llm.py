"""`llm`: language models from the command line. Prompt templates are in `llm_prompts`, comparisons of models in `llm_eval`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from bot.cli import learning, llm_eval, llm_prompts
from bot.cli.exits import ExitCode
from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for
from bot.cli.qc_asking import Yes, agreed, ink, shown

Limit = Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="How many lines at most.")]
_DAYS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
Since = Annotated[datetime | None, typer.Option(metavar="TIME", formats=_DAYS, help="First moment (UTC) [30 days back].")]
Until = Annotated[datetime | None, typer.Option(metavar="TIME", formats=_DAYS, help="First moment after the last (UTC) [now].")]


class By(StrEnum):
    """What costs can be told by."""

    DAY = "day"
    MONTH = "month"
    MODEL = "model"
    PROVIDER = "provider"
    SOURCE = "source"
    ROLE = "role"
    DECISION = "decision"


app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(llm_prompts.app, name="prompt", help="Prompt templates: versions, previews, differences, results.")


@app.callback()
def root() -> None:
    """Language models: keys, models, prices, budget, questions, prompts.

    What costs money or changes something is done by the running bot, if there is one; the budget of `llm.budget` holds for both.
    """


@app.command("test")
def try_access(
    provider: Annotated[str | None, typer.Argument(metavar="[PROVIDER]", help="Only this one, such as anthropic.")] = None,
    call: Annotated[
        bool, typer.Option("--call", help="Also ask every model a small question; a fraction of a cent each.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Check the keys of the providers, which costs nothing."""
    from bot.cli.llm_views import access_lines

    args = {"provider": provider, "call": call}
    found = shown(settings_for(config, data_dir), "llm.test", args, as_json, lambda found: access_lines(found, ink()))
    raise typer.Exit(ExitCode.OK if found["ok"] else ExitCode.FAILURE)


@app.command("models")
def models(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Show whom each role asks: price, availability, latency, breaker."""
    from bot.cli.llm_views import models_lines

    shown(settings_for(config, data_dir), "llm.models", {}, as_json, lambda found: models_lines(found, ink()))


@app.command("prices")
def prices(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Only names that hold this.")] = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show what models cost, in USD for one million tokens."""
    from bot.cli.llm_views import prices_lines

    shown(settings_for(config, data_dir), "llm.prices", {"model": model}, as_json, prices_lines)


@app.command("status")
def status(
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Also the limit of this source.")] = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show how the budget stands, what was used, and who rests or is disabled."""
    from bot.cli.llm_views import status_lines

    shown(settings_for(config, data_dir), "llm.status", {"source": source}, as_json, lambda found: status_lines(found, ink()))


@app.command("decide")
def decide(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Such as BTC/USDT.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run/--send", help="Only show it, or have the running bot's source propose it.")
    ] = True,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="As this source [the first that asks models].")] = None,
    show_prompt: Annotated[bool, typer.Option("--prompt", help="Also show the prompt and the reply.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Ask for a decision now. It is paid for, also as a dry run; the desk hears of it only with --send."""
    from bot.cli.llm_views import decide_lines

    if not dry_run:
        agreed(f"Ask about {symbol.upper()}, and let the bot act on the answer?", yes)
    args = {"symbol": symbol.upper(), "source": source, "send": not dry_run}
    found = shown(
        settings_for(config, data_dir), "llm.decide", args, as_json, lambda found: decide_lines(found, ink(), texts=show_prompt)
    )
    raise typer.Exit(ExitCode.FAILURE if found["decision"] is None else ExitCode.OK)


@app.command("decisions")
def decisions(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One of them with prompt and reply.")] = None,  # noqa: A002
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Only this source's.")] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only those of this run.")] = None,
    template: Annotated[str | None, typer.Option(metavar="NAME", help="Only those with this prompt template.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=200, help="How many, the newest.")] = 20,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """List the questions that were asked and what came of them; one by its id with its texts, redacted."""
    from bot.cli.llm_views import question_lines, questions_lines

    args: dict[str, object] = {"id": id, "source": source, "run": run, "template": template, "limit": limit}
    lines: Callable[[Mapping[str, Any]], Iterable[str]] = questions_lines if id is None else question_lines
    shown(settings_for(config, data_dir), "llm.decisions", args, as_json, lines)


@app.command("cost")
def cost(
    by: Annotated[By, typer.Option(help="What the lines are.")] = By.DAY,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show what language models cost, and what their decisions brought beside it."""
    from bot.cli.llm_views import cost_lines

    args: dict[str, object] = {"by": by.value, "limit": limit}
    args |= {name: ms(moment) for name, moment in (("since", since), ("until", until)) if moment is not None}
    shown(settings_for(config, data_dir), "llm.costs", args, as_json, lambda found: cost_lines(found, ink()))


app.command("calibration")(learning.calibration)
llm_eval.register(app)


def ms(moment: datetime) -> int:
    """Milliseconds UTC."""
    return int(moment.replace(tzinfo=UTC).timestamp() * 1_000)
