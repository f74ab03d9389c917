"""The command line and its exit codes, from the Typer application itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from bot.cli.app import app
from bot.cli.exits import ExitCode
from bot.docs import markdown as md

PROGRAM = "python -m bot"
_INTRO = """
Everything begins with `python -m bot`; after `make setup` that is `.venv/bin/python -m bot`. When only options are given,
the command is `run`. Output for programs goes to stdout with `--json`; logs, notices and errors go to stderr. [Exit
codes](exit-codes.md) are stable. A command that spends or ends something asks first at a terminal and wants
`--yes` elsewhere; `secrets set` reads a value without showing it.
"""


SUMMARY: Mapping[str, str] = {
    "run": "the run's id, for `replay` and `--run`",
    "mode": "`paper`, `demo` or `live`",
    "simulated": "whether the market was not a real one",
    "symbols": "what was traded",
    "currency": "of all money below",
    "started": "milliseconds UTC",
    "ended": "milliseconds UTC",
    "market_events": "quotes, public trades and closed candles that the desk's task took",
    "decisions": "`by_source` and `by_fate`: counts",
    "orders": "sent",
    "fills": "booked",
    "fees": "decimal, as text",
    "equity_start": "decimal, as text",
    "equity_end": "decimal, as text",
    "pnl": "by source, credited to the one that opened; decimals, as text",
    "shadow_pnl": "by source, what it would have earned alone; decimals, as text",
    "latency_ms": "percentiles in milliseconds: `to_fill` from the arrival of what caused a decision to its first fill, "
    "`handled` from the arrival of anything to the end of its turn",
    "halted": "whether the run ended halted",
    "reason": "why it ended, if there is something to say",
}


def root() -> Any:
    """The group of all commands."""
    return typer.main.get_command(app)


def walk(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its words, in the order of the help text."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, below in inner.items():
        yield from walk(below, f"{name} {word}".strip())


def page() -> str:
    """The reference of all commands."""
    found = list(walk(root()))
    index = md.table(
        ["command", "what it does"], [[f"[`{name}`](#{name.replace(' ', '-')})", _help(command)] for name, command in found]
    )
    printed = md.table(["key", "meaning"], [[md.code(key), meaning] for key, meaning in SUMMARY.items()])
    sections = [part for name, command in found for part in _section(name, command)]
    return md.page("Command line", _INTRO, index, *sections, "## What `run --json` prints", "One object on stdout.", printed)


def exit_codes_page() -> str:
    """The exit codes."""
    intro = (
        "What the shell is told when a command ends. Scripts may rely on these; they do not change within a version of the bot."
    )
    rows = [[str(code.value), md.code(code.name), code.meaning] for code in ExitCode]
    outro = (
        "An error is one line on stderr that names the file, the key, the value and the remedy where there are such. "
        "A traceback is a defect of the bot, and ends with code 1."
    )
    return md.page("Exit codes", intro, md.table(["code", "name", "meaning"], rows), outro)


def _section(name: str, command: Any) -> Iterator[str]:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option" and not parameter.hidden]
    usage = " ".join([PROGRAM, name, *(_usage(argument) for argument in arguments), "[OPTIONS]" if options else ""]).strip()
    yield f"## `{name}`"
    yield " ".join((command.help or "").split())
    yield f"```text\n{usage}\n```"
    rows = [[md.code(_usage(argument)), argument.help or "", _default(argument)] for argument in arguments]
    rows += [[_names(option), option.help or "", _default(option)] for option in options]
    if rows:
        yield md.table(["option", "meaning", "default"], rows)


def _help(command: Any) -> str:
    return md.paragraph(command.help)


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _names(option: Any) -> str:
    names = ", ".join(md.code(name) for name in [*option.opts, *option.secondary_opts])
    return names if option.is_flag else f"{names} {_value(option)}"


def _value(option: Any) -> str:
    """The placeholder of an option's value; an enum shows its values."""
    kind = option.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(md.code(choice.value) for choice in kind)
    names = {int: "N", float: "NUMBER", Path: "PATH"}
    return md.code(option.metavar or names.get(kind, "TEXT"))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "needed"
    value = parameter.default
    if value is None or value is False:
        return ""
    return md.code(value.value if isinstance(value, Enum) else value)
