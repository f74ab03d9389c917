"""`config init|check|show|schema`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.exits import ExitCode, StopError
from bot.cli.options import AsJson, ConfigDir, quiet_logs

if TYPE_CHECKING:
    from bot.settings import Loaded

app = typer.Typer(no_args_is_help=True)


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
def check(config: ConfigDir = None, as_json: AsJson = False) -> None:
    """Read everything as `run` would, and say whether it can be used."""
    from bot.cli.output import say, say_json
    from bot.settings import config_hash

    loaded = _loaded(config)
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
    as_json: AsJson = False,
) -> None:
    """Print the configuration in force; passwords are starred out."""
    from bot.cli.output import say, say_json, table
    from bot.settings import effective, public

    loaded = _loaded(config)
    values = effective(loaded)
    if as_json and origin:
        say_json({item.key: {"value": item.value, "kind": item.origin.kind, "origin": str(item.origin)} for item in values})
    elif as_json:
        say_json(public(loaded.settings))
    elif origin:
        say(*table(["key", "value", "origin"], [[item.key, item.text, item.origin] for item in values]))
    else:
        say(*(f"{item.key}: {item.text}" for item in values))


@app.command()
def schema() -> None:
    """Print the JSON Schema of all settings, for editors."""
    import json

    from bot.cli.output import say
    from bot.settings import schema as settings_schema

    say(json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **settings_schema()}, indent=2))


def _loaded(config: Path | None) -> Loaded:
    """The settings; every further problem is a line of its own before the error."""
    from bot.settings import ConfigError, load

    quiet_logs()
    try:
        return load(config)
    except ConfigError as error:
        for problem in error.problems[1:]:
            sys.stderr.write(f"error: {problem}\n")
        raise StopError(ExitCode.CONFIG, str(error.problems[0])) from error
