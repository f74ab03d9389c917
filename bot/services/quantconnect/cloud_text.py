"""What can be known of an algorithm's text before it is sent: it parses, it is one algorithm, and it is small enough."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from bot.services.quantconnect.cloud_errors import TextRefused

LARGEST = 32_000
"""Characters of a file, in the smallest of the service's tiers."""
_MAIN = ("main.py", "Main.cs")


def check_files(files: Mapping[str, str], largest: int = LARGEST) -> None:
    """`TextRefused` names the file, and the line where there is one, of what the service would not run."""
    if not any(name in files for name in _MAIN):
        message = f"the project has no {_MAIN[0]}; its files are {', '.join(files) or 'none'}: give the algorithm that name"
        raise TextRefused(message)
    for name, text in files.items():
        if len(text) > largest:
            message = f"{name} has {len(text):,} characters and the service takes {largest:,}; leave something out"
            raise TextRefused(message)
        if name.endswith(".py"):
            _check_python(name, text)


def _check_python(name: str, text: str) -> None:
    try:
        tree = ast.parse(text, name)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        message = f"{name}:{line}: {getattr(error, 'msg', error)}; correct the strategy or its parameters"
        raise TextRefused(message) from error
    if name != _MAIN[0]:
        return
    algorithms = [found.name for found in _algorithms(tree)]
    if len(algorithms) != 1:
        message = f"{name} has {len(algorithms)} classes that derive from QCAlgorithm ({', '.join(algorithms)}); it takes one"
        raise TextRefused(message)


def _algorithms(tree: ast.Module) -> Iterator[ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(isinstance(base, ast.Name) and base.id == "QCAlgorithm" for base in node.bases):
            yield node
