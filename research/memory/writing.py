"""What the memory's files say: lessons as text, parameters as JSON, strategies as a Python module of literals. Pure.

Names and references come from outside. In text they are one printable line; in JSON and Python they are string literals, and the
module is read back and refused before anyone sees it, should it hold anything but one assignment of a literal.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from bot.core.values import value
from research.memory.confidence import Confidence
from research.memory.errors import ResearchError
from research.memory.estimates import Estimate
from research.memory.evidence import LAST_MS, Subject
from research.memory.lessons import Lesson
from research.memory.parameters import RobustParameters

Literal = str | int | float | bool | None | dict[str, "Literal"]

_DOCSTRING = "What the memory holds of each strategy, newest state. Written by the bot: literals only, changes are overwritten."


@value
class Standing:
    """What is thought of a subject at a moment (ms UTC)."""

    subject: Subject
    as_of: int
    confidence: Confidence | None
    parameters: RobustParameters | None
    lesson: Lesson | None


def moment(at: int) -> str:
    """Milliseconds UTC as ISO 8601; beyond the year 9999 the number itself."""
    if not 0 <= at <= LAST_MS:
        return f"{at} ms"
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(given: object) -> str:
    """Any text as one line that a terminal shows as it is: what does not print is escaped, and so is the backslash."""
    return "".join(
        letter if letter.isprintable() and letter != "\\" else letter.encode("unicode_escape").decode() for letter in str(given)
    )


def lesson_text(lesson: Lesson) -> str:
    """A lesson for a reader, some lines long."""
    figures, said = lesson.figures, lesson.recommendations
    reference = f", {plain(lesson.reference)}" if lesson.reference else ""
    lines = [
        f"[{moment(lesson.known_at)}] {plain(lesson.subject)} ({lesson.origin.value}{reference})",
        f"  rating {lesson.rating.value}, risk {lesson.risk.value}, score {lesson.score:.2f}, trades {figures.trades:g}",
        f"  Sharpe {_number(figures.sharpe)}, win rate {_number(figures.win_rate)}, "
        f"drawdown {_number(figures.max_drawdown)}, profit factor {_number(figures.profit_factor)}",
        f"  expected return per trade {_estimate(lesson.expected_return)}, Sharpe {_estimate(lesson.expected_sharpe)}",
        *(f"  - {plain(insight)}" for insight in lesson.insights),
        *(f"  > {plain(advice)}" for advice in (said.position_size, said.entries, said.overall)),
    ]
    return "\n".join(lines) + "\n\n"


def parameters_json(updates: Sequence[Mapping[str, Any]]) -> bytes:
    """The file of parameter updates, oldest first. `ResearchError` for what JSON cannot say."""
    try:
        return orjson.dumps({"updates": list(updates)}, option=orjson.OPT_INDENT_2) + b"\n"
    except TypeError as error:
        message = f"parameters cannot be written as JSON: {error}; give plain text and numbers"
        raise ResearchError(message) from error


def parameter_update(standing: Standing) -> dict[str, Any] | None:
    """A standing's parameters as plain JSON values; None if it has none."""
    found = standing.parameters
    if found is None:
        return None
    subject = asdict(standing.subject)
    return (
        subject | {"as_of": standing.as_of, "at": moment(standing.as_of)} | asdict(found) | {"parameters": dict(found.parameters)}
    )


def strategy_module(standings: Sequence[Standing]) -> str:
    """A Python module that assigns one literal, `STRATEGIES`, keyed by strategy, symbol and timeframe.

    Raises `ResearchError` if it would hold anything else (a number that is not finite, say).
    """
    lines = [f'"""{_DOCSTRING}"""', "", "STRATEGIES = {"]
    for standing in standings:
        subject = standing.subject
        lines.append(f"    ({_literal(subject.strategy)}, {_literal(subject.symbol)}, {_literal(subject.timeframe)}): {{")
        lines += [f"        {_literal(name)}: {_literal(each)}," for name, each in _entries(standing)]
        lines.append("    },")
    module = "\n".join([*lines, "}", ""])
    strategies_in(module)
    return module


def strategies_in(module: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The literal of a strategy module, read without running it. `ResearchError` if it holds anything else."""
    try:
        match ast.parse(module).body:
            case [
                ast.Expr(value=ast.Constant(value=str())),
                ast.Assign(targets=[ast.Name(id="STRATEGIES")], value=ast.Dict() as literal),
            ]:
                found: dict[tuple[str, str, str], dict[str, Any]] = ast.literal_eval(literal)
                return found
    except (ValueError, SyntaxError, RecursionError) as error:
        message = f"the strategy module holds more than literals: {error}; delete it, it is written again"
        raise ResearchError(message) from error
    message = "the strategy module holds more than one assignment to STRATEGIES; delete it, it is written again"
    raise ResearchError(message)


def _entries(standing: Standing) -> Iterator[tuple[str, Literal]]:
    yield "as_of", standing.as_of
    if standing.confidence is not None:
        yield "confidence", round(standing.confidence.value, 6)
        yield "trades", standing.confidence.trades
    if standing.lesson is not None:
        yield "rating", standing.lesson.rating.value
        yield "risk", standing.lesson.risk.value
        yield "size_fraction", standing.lesson.recommendations.size_fraction
    if standing.parameters is not None:
        yield "parameters", dict(standing.parameters.parameters)


def _literal(given: Literal) -> str:
    """Python's own notation in ASCII. Only the plain types: a subclass could bring a notation of its own."""
    if isinstance(given, dict):
        return "{" + ", ".join(f"{_literal(name)}: {_literal(each)}" for name, each in given.items()) + "}"
    if given is None or type(given) in (str, int, float, bool):
        return ascii(given)
    message = f"{type(given).__name__} is no literal of a strategy module: give text, a number, true or false"
    raise ResearchError(message)


def _number(figure: float | None) -> str:
    return "unknown" if figure is None else f"{figure:.3g}"


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "unknown"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3g} (interval unknown)"
    return f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"
