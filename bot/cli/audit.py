"""`audit`: who changed what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for

_LONGEST = 80


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit")(audit)


def audit(
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this one did, such as cli or web:anna.")] = None,
    command: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="Only this command or use case, such as kill or llm.prompt-save.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=500, help="How many, the newest.")] = 50,
    before: Annotated[int | None, typer.Option(metavar="NUMBER", min=0, help="Only those before this one.")] = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """List who had the bot change what, with how it was before and after."""
    from bot.cli.errand import perform_here
    from bot.cli.output import say, say_json

    wanted = {"actor": actor, "command": command, "limit": limit, "before": before}
    found = perform_here(settings_for(config, data_dir), "audit.list", wanted, as_json=as_json)
    if as_json:
        say_json(found)
    else:
        say(*_lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    from bot.cli.output import table
    from bot.cli.screen import clean

    head = ["number", "at", "who", "what", "to", "outcome", "before", "after", "detail"]
    rows = [
        [
            str(one["number"]),
            datetime.fromtimestamp(one["at"] / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            clean(one["actor"]),
            clean(one["command"]) + (" SIMULATED" if one["simulated"] else ""),
            clean(one["target"])[:_LONGEST],
            one["outcome"],
            _brief(one["before"]),
            _brief(one["after"]),
            clean(one["detail"])[:_LONGEST],
        ]
        for one in found["lines"]
    ]
    if not rows:
        yield "nothing was changed yet"
        return
    yield from table(head, rows)
    if found["next"] is not None:
        yield f"older ones: --before {found['next']}"


def _brief(value: object) -> str:
    """What was or became, on one line: `name value` of a mapping, else as it is."""
    from bot.cli.screen import clean

    if isinstance(value, Mapping):
        told = ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    else:
        told = "-" if value is None else _plain(value)
    return clean(told)[:_LONGEST]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
