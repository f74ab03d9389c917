"""What the `qc` commands have in common: ask for a use case, show its answer, and ask a person before something is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.exits import ExitCode, StopError

if TYPE_CHECKING:
    from bot.cli.screen import Ink
    from bot.settings import Loaded

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def shown(
    loaded: Loaded,
    name: str,
    args: Mapping[str, object],
    as_json: bool,
    lines: Callable[[Mapping[str, Any]], Iterable[str]],
) -> Mapping[str, Any]:
    """Have a use case done and print its answer, as JSON or in lines."""
    from bot.cli.errand import perform
    from bot.cli.output import say, say_json

    found = perform(loaded, name, args, as_json=as_json)
    if as_json:
        say_json(found)
    else:
        say(*lines(found))
    return found


def agreed(question: str, yes: bool) -> None:
    """Go on only if a person says yes, or has said so; `StopError` if not, or where nobody can be asked."""
    if not yes and _answer(f"{question} [y/N]") not in {"y", "yes"}:
        raise StopError(ExitCode.FAILURE, "not confirmed, nothing was done; --yes goes on without asking")


def typed(words: str) -> str:
    """What a person types to have real money traded; --yes is not enough for that."""
    if _answer(f"This may trade real money. To go on, type: {words}\n>") != words.lower():
        raise StopError(ExitCode.FAILURE, f"not confirmed, nothing was done; where nobody can be asked, add --confirm {words!r}")
    return words


def _answer(question: str) -> str:
    """What a person writes to a question on stderr, in lower case; stdout is for the answer of the command alone."""
    sys.stderr.write(f"{question} ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not sys.stdin.isatty():
        sys.stderr.write("\n")
    return line.strip().lower()


def pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    """`["a=1", "b=2"]` as a mapping."""
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not name.strip() or not equals or name.strip() in found:
            message = f"{text!r}: write name=value, each name once"
            raise typer.BadParameter(message, param_hint=option)
        found[name.strip()] = value.strip()
    return found


def number(text: str, option: str) -> float:
    """A number of the command line."""
    try:
        return float(text)
    except ValueError:
        message = f"{text!r} is not a number"
        raise typer.BadParameter(message, param_hint=option) from None


def ink() -> Ink:
    """Colour, where stdout is a terminal that wants it."""
    from bot.cli.output import wants_colour
    from bot.cli.screen import Ink

    return Ink(wants_colour(sys.stdout))
