"""`llm prompt`: prompt templates from the command line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bot.cli.exits import ExitCode, StopError
from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for
from bot.cli.qc_asking import ink, shown

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the template, such as decide.")]
Version = Annotated[int | None, typer.Option(metavar="N", min=0, help="Which version; 0 is the file [the one that is used].")]
_MOST = 250_000

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def root() -> None:
    """Prompt templates.

    A template is a file that comes with the bot, one of your own in config/prompts, or a version saved in the database.
    """


@app.command("list")
def list_(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """List the templates."""
    from bot.cli.llm_prompt_views import prompts_lines

    shown(settings_for(config, data_dir), "llm.prompts", {}, as_json, prompts_lines)


@app.command("show")
def show(
    name: Name, version: Version = None, as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None
) -> None:
    """Show a template, and which versions there are."""
    from bot.cli.llm_prompt_views import prompt_lines

    shown(settings_for(config, data_dir), "llm.prompt", {"name": name, "version": version}, as_json, prompt_lines)


@app.command("preview")
def preview(
    name: Name,
    version: Version = None,
    file: Annotated[str | None, typer.Option("--file", metavar="FILE", help="A text that is not saved; - is stdin.")] = None,
    symbol: Annotated[str, typer.Option(metavar="SYMBOL", help="On whose market, where a bot runs.")] = "BTC/USDT",
    source: Annotated[str | None, typer.Option(metavar="NAME", help="With the bounds and timeframes of this source.")] = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show a template as it would be sent, and what that would cost of each model."""
    from bot.cli.llm_prompt_views import preview_lines

    args: dict[str, object] = {"name": name, "version": version, "symbol": symbol.upper(), "source": source}
    if file is not None:
        args["body"] = text_of(file)
    loaded = settings_for(config, data_dir)
    found = shown(loaded, "llm.prompt-preview", args, as_json, lambda found: preview_lines(found, ink()))
    raise typer.Exit(ExitCode.FAILURE if found["faults"] else ExitCode.OK)


@app.command("set")
def set_(
    name: Name,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The text; - is stdin.")],
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "",
    activate: Annotated[bool, typer.Option("--activate", help="Use it from now on.")] = False,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Save a text as the next version, if it can be used."""
    from bot.cli.llm_prompt_views import saved_lines

    args = {"name": name, "body": text_of(file), "note": note, "activate": activate}
    loaded = settings_for(config, data_dir)
    found = shown(loaded, "llm.prompt-save", args, as_json, lambda found: saved_lines(found, ink()))
    raise typer.Exit(ExitCode.OK if found["saved"] else ExitCode.FAILURE)


@app.command("diff")
def diff(
    name: Name,
    old: Annotated[int, typer.Argument(metavar="OLD", min=0, help="A version; 0 is the file.")],
    new: Annotated[int, typer.Argument(metavar="NEW", min=0, help="Another one.")],
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show what changed from one version to another."""
    from bot.cli.llm_prompt_views import diff_lines

    args = {"name": name, "old": old, "new": new}
    shown(settings_for(config, data_dir), "llm.prompt-diff", args, as_json, lambda found: diff_lines(found, ink()))


@app.command("activate")
def activate(
    name: Name,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1)],
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Use a version from now on."""
    loaded, args = settings_for(config, data_dir), {"name": name, "version": version}
    shown(loaded, "llm.prompt-activate", args, as_json, lambda found: [f"{found['name']}: version {found['active']} is used"])


@app.command("results")
def results(name: Name, as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """Show how the versions of a template have done, over 90 days."""
    from bot.cli.llm_prompt_views import results_lines

    shown(settings_for(config, data_dir), "llm.prompt-results", {"name": name}, as_json, results_lines)


def text_of(file: str) -> str:
    """What a file holds, or stdin for `-`; `StopError` if it cannot be read."""
    try:
        if file == "-":
            return sys.stdin.read(_MOST)
        with open(file, encoding="utf-8") as opened:
            return opened.read(_MOST)
    except (OSError, UnicodeDecodeError) as error:
        raise StopError(ExitCode.FAILURE, f"{file} cannot be read: {error}") from None
