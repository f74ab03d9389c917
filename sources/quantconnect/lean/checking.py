"""What is wrong with an algorithm's text, before it costs an upload: rules of the service, and the pitfalls of LEAN's API.

The text may be generated or a person's own; only `main.py` must hold the algorithm. What `Severity.ERROR` marks would fail in the
cloud; what `WARNING` marks would run there and do something other than it seems to say.
"""

from __future__ import annotations

import ast
import keyword
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sources.quantconnect.lean.pitfalls import PITFALLS, Reading, algorithms

MOST_CHARACTERS = 32_000
"""Largest file of the free tier, in characters; paid tiers take 64,000 and more."""
MOST_FILES = 25
"""Files of a project on the free tier."""


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where (lines count from 1; 0 is the whole file), which check says so, and what to do."""

    file: str
    line: int
    check: str
    message: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.severity}: {self.check}: {self.message}"


def check_project(
    files: Mapping[str, str], most_characters: int = MOST_CHARACTERS, most_files: int = MOST_FILES
) -> list[Finding]:
    """Everything that is wrong with the Python files of a project, by file and line; empty means nothing is."""
    found: list[Finding] = []
    if len(files) > most_files:
        found.append(Finding("", 0, "file-count", f"{len(files)} files; the project may have {most_files}"))
    if "main.py" not in files:
        found.append(Finding("main.py", 0, "main-missing", "there is no main.py; put the algorithm there"))
    for name, text in files.items():
        found += _file(name, text, most_characters)
    return sorted(found, key=lambda one: (one.file, one.line, one.check))


def check_text(text: str) -> list[Finding]:
    """The same for an algorithm of one file."""
    return check_project({"main.py": text})


def _file(name: str, text: str, most: int) -> list[Finding]:
    found = []
    if len(text) > most:
        found.append(Finding(name, 0, "file-size", f"{len(text):,} characters; at most {most:,}: split it into several files"))
    if not name.endswith(".py"):
        return found
    stem = name.removesuffix(".py").replace("/", ".")
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in stem.split(".")):
        found.append(Finding(name, 0, "file-name", "cannot be imported by this name; use letters, digits and _ and no keyword"))
    try:
        tree = ast.parse(text, name)
    except SyntaxError as error:
        return [*found, Finding(name, error.lineno or 1, "syntax", f"does not parse: {error.msg}")]
    except (ValueError, RecursionError, MemoryError) as error:
        return [*found, Finding(name, 1, "syntax", f"does not parse: {error}")]
    if name == "main.py":
        found += _main(tree)
    own = Reading(algorithms(tree))
    for check, (severity, pitfall) in PITFALLS.items():
        found += [Finding(name, at.line, check, at.message, Severity(severity)) for at in pitfall(own)]
    return found


def _main(tree: ast.Module) -> list[Finding]:
    found = []
    own = algorithms(tree)
    if len(own) != 1:
        line = own[1].lineno if own else 1
        found.append(Finding("main.py", line, "one-algorithm", f"{len(own)} classes derive from QCAlgorithm; have one"))
    first = next((node for node in tree.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))), None)
    if not (isinstance(first, ast.ImportFrom) and first.module == "AlgorithmImports" and first.names[0].name == "*"):
        told = "begin with `from AlgorithmImports import *`: it supplies the API's names"
        found.append(Finding("main.py", first.lineno if first else 1, "imports-missing", told))
    return found
