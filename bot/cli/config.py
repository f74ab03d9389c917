"""`config init|check|show|schema|set|unset|source|history`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.exits import ExitCode, StopError
from bot.cli.options import AsJson, ConfigDir, DataDir, quiet_logs, settings_for

if TYPE_CHECKING:
    from bot.settings import Loaded

app = typer.Typer(no_args_is_help=True)
Note = Annotated[str, typer.Option(metavar="TEXT", help="Why, in a line.")]
Author = Annotated[str, typer.Option(metavar="NAME", help="Who decides.")]


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write.")] = Path("config"),
) -> None:
    """Write bot.yaml, risk.yaml and the sources that come with the bot; nothing that exists is overwritten."""
    from bot.cli.output import say
    from bot.settings.template import bot_yaml, risk_yaml

    texts = {Path("bot.yaml"): bot_yaml(), Path("risk.yaml"): risk_yaml(), **_bundled_sources(directory)}
    present = [name for name in texts if (directory / name).exists()]
    for name, text in texts.items():
        if name not in present:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            say(f"wrote {path}")
    for name in present:
        say(f"kept  {directory / name}")


def _bundled_sources(directory: Path) -> dict[Path, str]:
    """The source files of the checkout that this bot runs from, if it does and they are not the target themselves."""
    import bot

    bundled = Path(bot.__file__).parent.parent / "config" / "sources"
    if not bundled.is_dir() or bundled.parent.resolve() == directory.resolve():
        return {}
    return {
        Path("sources") / path.relative_to(bundled): path.read_text(encoding="utf-8")
        for path in sorted(bundled.rglob("*"))
        if path.suffix in {".yaml", ".jsonl", ".py"} and ".local." not in path.name
    }


@app.command()
def check(config: ConfigDir = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Read everything as `run` would, and say whether it can be used."""
    from bot.cli.output import say, say_json
    from bot.settings import config_hash

    loaded = _loaded(config, data_dir)
    sources = _sources(loaded)
    digest = config_hash(loaded.settings)
    if as_json:
        say_json({"ok": True, "hash": digest, "files": [str(path) for path in loaded.files], "sources": sources})
        return
    where = ", ".join(str(path) for path in loaded.files) or "built-in defaults (no config directory)"
    say(f"ok: {where}", f"sources: {', '.join(sources) or 'none'}", f"hash: {digest}")


def _sources(loaded: Loaded) -> list[str]:
    """Names of the configured sources; the rules are checked by loading them."""
    directory = loaded.sources_directory
    if directory is None or not directory.is_dir():
        return []
    from sources.loading import load_sources

    return [source.spec.name for source in load_sources(directory)]


@app.command()
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Also say where each value comes from.")] = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print the configuration in force; passwords are starred out."""
    from bot.cli.output import say, say_json, table
    from bot.settings import effective, public

    loaded = _loaded(config, data_dir)
    values = effective(loaded)
    if as_json and origin:
        say_json({item.key: {"value": item.value, "kind": item.origin.kind, "origin": str(item.origin)} for item in values})
    elif as_json:
        say_json(public(loaded.settings))
    elif origin:
        say(*table(["key", "value", "origin"], [[item.key, item.text, item.origin] for item in values]))
    else:
        say(*(f"{item.key}: {item.text}" for item in values))


@app.command("set")
def set_(
    changes: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="Such as risk.max_position=0.2, as YAML says it.")],
    note: Note = "",
    author: Author = "operator",
    config: ConfigDir = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say settings over the YAML files, in an overlay of the data directory; checked as a whole before it is written."""
    from bot.cli.config_views import changed_lines

    args = {"changes": dict(_pair(given) for given in changes), "author": author, "note": note}
    _do("config.set", args, settings_for(config, data_dir), as_json, changed_lines)


@app.command("unset")
def unset(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Such as risk.max_position.")],
    note: Note = "",
    author: Author = "operator",
    config: ConfigDir = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Leave settings to the YAML files again; also where the overlay is what keeps the bot from starting."""
    from bot.cli.config_views import changed_lines

    args = {"keys": keys, "author": author, "note": note}
    _do("config.unset", args, _despite_overlay(config, data_dir), as_json, changed_lines)


@app.command("source")
def source(
    name: Annotated[str, typer.Argument(metavar="SOURCE", help="Its name, such as rules:sma-cross.")],
    state: Annotated[str, typer.Argument(metavar="on|off", help="Whether the next start lets it in.")],
    note: Note = "",
    author: Author = "operator",
    config: ConfigDir = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Switch a source on or off for the next start; `pause` and `unpause` are for the running bot."""
    from bot.cli.config_views import source_lines

    if state not in {"on", "off"}:
        message = f"{state!r} is neither on nor off"
        raise typer.BadParameter(message, param_hint="on|off")
    args = {"source": name, "enabled": state == "on", "author": author, "note": note}
    _do("config.source", args, settings_for(config, data_dir), as_json, source_lines)


@app.command("history")
def history(
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=500, help="How many, the newest first.")] = 20,
    config: ConfigDir = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show who changed which setting, source or secret, and when."""
    from bot.cli.config_views import history_lines

    _do("config.history", {"limit": limit}, settings_for(config, data_dir), as_json, history_lines)


def _pair(given: str) -> tuple[str, object]:
    """`KEY=VALUE`, the value read as YAML."""
    import yaml

    key, equals, text = given.partition("=")
    if not equals:
        message = f"{given!r} is not KEY=VALUE"
        raise typer.BadParameter(message, param_hint="KEY=VALUE")
    try:
        return key.strip(), yaml.safe_load(text)
    except yaml.YAMLError:
        message = f"the value of {key} is not YAML; put it in quotes"
        raise typer.BadParameter(message, param_hint="KEY=VALUE") from None


def _despite_overlay(config: Path | None, data_dir: Path | None) -> Loaded:
    """The settings; without the overlay where that is what is wrong with them."""
    from bot.settings import ConfigError, load
    from bot.settings.overlay import Overlay

    try:
        return settings_for(config, data_dir)
    except ConfigError:
        return load(config, overrides={} if data_dir is None else {"bot.data_dir": data_dir}, overlay=Overlay())


def _do(
    name: str, args: Mapping[str, object], loaded: Loaded, as_json: bool, lines: Callable[[Mapping[str, Any]], Iterable[str]]
) -> None:
    from bot.cli.errand import perform
    from bot.cli.output import say, say_json

    found = perform(loaded, name, args, as_json=as_json)
    if as_json:
        say_json(found)
    else:
        say(*lines(found))


@app.command()
def schema() -> None:
    """Print the JSON Schema of all settings, for editors."""
    import json

    from bot.cli.output import say
    from bot.settings import schema as settings_schema

    say(json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **settings_schema()}, indent=2))


def _loaded(config: Path | None, data_dir: Path | None) -> Loaded:
    """The settings; every further problem is a line of its own before the error."""
    from bot.settings import ConfigError, load

    quiet_logs()
    try:
        return load(config, overrides={} if data_dir is None else {"bot.data_dir": data_dir})
    except ConfigError as error:
        for problem in error.problems[1:]:
            sys.stderr.write(f"error: {problem}\n")
        raise StopError(ExitCode.CONFIG, str(error.problems[0])) from error
