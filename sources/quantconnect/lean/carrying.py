"""The bot's own code, carried into an algorithm: a rule's text with everything it stands on, and nothing else.

LEAN's indicators smooth, seed and look back in ways of their own, so an algorithm written with them would trade a cousin of the
rule. What is carried is therefore the very text of the rule and of `bot.core.indicators`, without what only a running bot needs
(slots, snapshots, types of the framework). It comes out in an order in which Python can read it.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType

from pydantic.fields import FieldInfo

from bot.core.indicators import Indicator
from sources.base import Rule, Strict
from sources.quantconnect.lean.errors import LeanError
from sources.quantconnect.lean.literals import python
from sources.quantconnect.lean.prelude import CANDLE, PRELUDE

STANDARD = frozenset(("bisect", "collections", "functools", "heapq", "itertools", "math", "numpy", "operator", "statistics"))
"""Modules that a rule may use besides the bot's own: LEAN has them, and they touch nothing outside."""

_TYPING = frozenset(("collections.abc", "types", "typing"))
_ROOMS = ("bot.core.", "sources.")
_UNCARRIED = {"__slots__", "shape", "state", "snapshot", "restore", "_restore_slot"}
_PRAGMA = re.compile(r"\s*#\s*(type: ignore|noqa)\b(:[^#\n]*|\[[^\]]*\])?")


@dataclass(slots=True)
class Luggage:
    """What an algorithm must carry: texts in order by name, and the imports they need."""

    texts: dict[str, str] = field(default_factory=dict)
    imports: dict[str, set[str]] = field(default_factory=dict)  # module -> names; the empty name is the module itself

    def take(self, name: str) -> None:
        """Add something of the prelude, after what it needs."""
        text, needs = PRELUDE[name]
        for need in needs:
            self.take(need)
        self.add(name, text)

    def add(self, name: str, text: str) -> bool:
        """Add a text; False where the name is another's."""
        if self.texts.setdefault(name, text) != text:
            return False
        if "(Enum)" in text:
            self.imports.setdefault("enum", set()).add("Enum")
        return True

    def import_lines(self) -> list[str]:
        """`import` statements, sorted."""
        lines = []
        for module, names in sorted(self.imports.items()):
            whole = sorted(name for name in names if name.startswith("import "))
            lines += whole
            if rest := sorted(names.difference(whole)):
                lines.append(f"from {module} import {', '.join(rest)}")
        return lines


def carry(rule: type[Rule], parts: tuple[str, ...]) -> Luggage:
    """A rule and what it stands on; `parts` are the attributes of its indicators. `LeanError` for what cannot be carried."""
    luggage = Luggage()
    for name in ("Candle", "Proposal"):
        luggage.take(name)
    _Carrier(luggage, rule, parts).take(sys.modules[rule.__module__], rule.__name__)
    return luggage


@dataclass(frozen=True, slots=True)
class _Room:
    """A module's text and what it defines at its top level."""

    module: ModuleType
    text: str
    nodes: Mapping[str, ast.stmt]

    @classmethod
    def of(cls, module: ModuleType) -> _Room:
        text = inspect.getsource(module)
        return cls(module, text, _top_level(text))


@lru_cache(maxsize=32)
def _top_level(text: str) -> Mapping[str, ast.stmt]:
    return {name: node for node in ast.parse(text).body for name in _defined(node)}


def _defined(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            yield name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case ast.ImportFrom(names=names) | ast.Import(names=names):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in names)
        case _:
            return


class _Carrier:
    """Walks from a rule to everything it names."""

    def __init__(self, luggage: Luggage, rule: type[Rule], parts: tuple[str, ...]) -> None:
        self._luggage, self._rule, self._parts = luggage, rule, parts
        self._rooms: dict[str, _Room] = {}
        self._seen: set[tuple[str, str]] = set()

    def take(self, module: ModuleType, name: str) -> None:
        """Carry a name of a module, after what it needs."""
        key = (module.__name__, name)
        if key in self._seen:
            return
        self._seen.add(key)
        if name in PRELUDE and module.__name__.startswith(_ROOMS):
            self._luggage.take(name)
            return
        room = self._rooms.get(module.__name__)
        if room is None:
            room = self._rooms[module.__name__] = _Room.of(module)
        node = room.nodes.get(name)
        match node:
            case ast.ImportFrom() | ast.Import():
                self._imported(node, name)
            case ast.ClassDef():
                self._keep(room, name, node, self._class(room, node))
            case ast.FunctionDef():
                self._keep(room, name, node, _Text(room.text, node))
            case ast.stmt():
                text = _Text(room.text, node)
                if isinstance(node, ast.AnnAssign) and node.value is not None:
                    text.bare(node)
                self._keep(room, name, node, text)
            case None:
                return  # a builtin

    def _imported(self, node: ast.ImportFrom | ast.Import, name: str) -> None:
        found = next(alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) == name)
        source = (node.module or "") if isinstance(node, ast.ImportFrom) else found.name
        root = source.partition(".")[0]
        if name in PRELUDE and source.startswith(_ROOMS):
            self._luggage.take(name)
        elif root in STANDARD and source not in _TYPING:
            renamed = f" as {found.asname}" if found.asname else ""
            kept = f"import {found.name}{renamed}" if isinstance(node, ast.Import) else f"{found.name}{renamed}"
            self._luggage.imports.setdefault(source, set()).add(kept)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and source.startswith(_ROOMS) and not found.asname:
            self.take(sys.modules[source], name)
        else:
            raise self._error(name, f"comes from {source or 'a relative import'}, which LEAN does not have; write it in the rule")

    def _keep(self, room: _Room, name: str, node: ast.stmt, text: _Text) -> None:
        text.untyped(node, room.nodes)
        for needed in text.names(node):
            if needed != name and needed in room.nodes:
                self.take(room.module, needed)
        self._add(name, text.result())

    def _add(self, name: str, text: str) -> None:
        if not self._luggage.add(name, text):
            raise self._error(name, "is the name of two things that it uses; rename one")

    def _class(self, room: _Room, node: ast.ClassDef) -> _Text:
        kind = getattr(room.module, node.name)
        text = _Text(room.text, node)
        if issubclass(kind, Strict):
            _params(text, node, kind)
            return text
        dropped = _UNCARRIED if issubclass(kind, Indicator) else {"Params", "__slots__"} if issubclass(kind, Rule) else set()
        for item in node.body:
            if dropped.intersection(_defined(item)):
                text.drop(item)
            elif isinstance(item, ast.AnnAssign) and item.value is not None:
                text.bare(item)
            elif isinstance(item, ast.FunctionDef) and item.name == "step" and issubclass(kind, Rule):
                self._step(text, item)
        if kind is self._rule:
            text.after_docstring(node, f"parts = ({', '.join(map(python, self._parts))},)" if self._parts else "parts = ()")
        return text

    def _step(self, text: _Text, node: ast.FunctionDef) -> None:
        """Only the candle is given to a rule there: there is no view of other markets."""
        names = [each.arg for each in node.args.args]
        if len(names) != 3:
            raise self._error("step", "must take a candle and a view")
        candle, view = names[1], names[2]
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and each.id == view:
                raise self._error(f"step, line {each.lineno}", f"uses {view}: an algorithm sees its own candles only")
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == candle:
                self._known_of_candle(candle, each)
        text.cut(node.args.args[1], node.args.args[2])

    def _known_of_candle(self, candle: str, used: ast.Attribute) -> None:
        if used.attr not in CANDLE:
            raise self._error(f"step, line {used.lineno}", f"uses {candle}.{used.attr}; there is {', '.join(CANDLE)}")

    def _error(self, name: str, remedy: str) -> LeanError:
        return LeanError(f"rule {self._rule.__name__}", name, None, remedy)


def _params(text: _Text, node: ast.ClassDef, kind: type[Strict]) -> None:
    """A model of parameters as a plain class: fields with plain defaults, methods, and the checks that look at several fields."""
    checks = []
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            text.field(item, kind.model_fields[item.target.id])
        elif isinstance(item, ast.FunctionDef) and item.decorator_list:
            mode = ast.unparse(item.decorator_list[0])
            if mode == "model_validator(mode='after')":
                checks.append(item.name)
                text.check(item)
            elif mode != "property":
                text.drop(item)  # it looked at what was given, which was before this text was written
    if checks:
        calls = "\n".join(f"        self.{name}()" for name in checks)
        text.tail(f"\n\n    def __init__(self, **given):\n        super().__init__(**given)\n{calls}")


class _Text:
    """The lines of one statement, with edits that are carried out together at the end."""

    def __init__(self, source: str, node: ast.stmt) -> None:
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))
        self._source = source
        decorators = node.decorator_list if isinstance(node, ast.ClassDef | ast.FunctionDef) else []
        first = min([node.lineno, *(each.lineno for each in decorators)])
        self._begin, self._end = self._starts[first - 1], self._at(node.end_lineno or 0, node.end_col_offset or 0)
        self._edits: list[tuple[int, int, str]] = []
        self._gone: list[ast.AST] = []
        self._tail = ""

    def _at(self, line: int, column: int) -> int:
        """Character of a place that `ast` gives in bytes."""
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())

    def _span(self, node: ast.expr | ast.stmt | ast.arg) -> tuple[int, int]:
        begin = self._at(node.lineno, node.col_offset)
        return begin, self._at(node.end_lineno or 0, node.end_col_offset or 0)

    def drop(self, node: ast.stmt) -> None:
        """Leave a statement out, with its decorators and the empty lines before it."""
        decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
        first = min([node.lineno, *(each.lineno for each in decorators)])
        while first > 1 and not self._lines[first - 2].strip():
            first -= 1
        self._edits.append((self._starts[first - 1], self._starts[node.end_lineno or 0], ""))
        self._gone.append(node)

    def bare(self, node: ast.AnnAssign) -> None:
        """Leave the type of an assignment out."""
        assert node.value is not None
        self._edits.append((self._span(node.target)[1], self._span(node.value)[0], " = "))
        self._gone.append(node.annotation)

    def field(self, node: ast.AnnAssign, known: FieldInfo) -> None:
        """A parameter and its default, with its description as a comment; what must be given is only named."""
        default = known.get_default(call_default_factory=True)
        name, kind = ast.unparse(node.target), ast.unparse(node.annotation)
        told = ""
        if isinstance(default, Strict) and type(default).__name__ not in PRELUDE:
            told = f" = {type(default).__name__}()"
        elif isinstance(default, bool | int | float | str | type(None)):
            told = f" = {python(default)}"
        said = f"  # {' '.join(known.description.split())}" if known.description else ""
        self._edits.append((*self._span(node), f"{name}: {kind}{told}{said}"))
        if node.value is not None:
            self._gone.append(node.value)

    def check(self, node: ast.FunctionDef) -> None:
        """A validator as a plain method."""
        last = node.body[-1]
        head = self._starts[node.decorator_list[0].lineno - 1]
        self._edits.append((head, self._starts[node.lineno - 1], ""))
        if node.returns is not None:
            self._edits.append((*self._span(node.returns), "None"))
            self._gone.append(node.returns)
        self._gone += node.decorator_list
        if isinstance(last, ast.Return):
            self.drop(last)

    def untyped(self, node: ast.AST, known: Mapping[str, ast.stmt]) -> None:
        """Leave out the types of arguments and results that only a type checker needs."""
        for each in ast.walk(node):
            if isinstance(each, ast.arg) and each not in self._gone and self._unknown(each.annotation, known):
                begin, end = self._span(each)
                self._edits.append((begin + len(each.arg), end, ""))
                self._gone.append(each)
            elif isinstance(each, ast.FunctionDef) and each.returns not in self._gone and self._unknown(each.returns, known):
                assert each.returns is not None
                end = self._span(each.returns)[1]
                self._edits.append((self._source.rindex("->", 0, end) - 1, end, ""))
                self._gone.append(each.returns)

    @staticmethod
    def _unknown(annotation: ast.expr | None, known: Mapping[str, ast.stmt]) -> bool:
        used = [] if annotation is None else [node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)]
        found = [(name, known.get(name)) for name in used]
        return any(
            (node is None and not hasattr(builtins, name)) or (isinstance(node, ast.ImportFrom) and node.module in _TYPING)
            for name, node in found
        )

    def cut(self, kept: ast.arg, gone: ast.arg) -> None:
        """Leave an argument out, the one after `kept`."""
        self._edits.append((self._span(kept)[1], self._span(gone)[1], ""))
        self._gone.append(gone)

    def after_docstring(self, node: ast.ClassDef, line: str) -> None:
        """A first line of a class's body."""
        first = node.body[0]
        documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        place = self._span(first)[1] if documented else self._source.index(":\n", self._begin) + 1
        self._edits.append((place, place, f"\n\n    {line}"))

    def tail(self, text: str) -> None:
        """More at the end."""
        self._tail += text

    def names(self, node: ast.AST) -> Iterator[str]:
        """The names it uses, of what is kept."""
        if any(node is gone for gone in self._gone):
            return
        if isinstance(node, ast.Name):
            yield node.id
        for child in ast.iter_child_nodes(node):
            yield from self.names(child)

    def result(self) -> str:
        """The text after all edits."""
        made, place = [], self._begin
        for begin, end, text in sorted(self._edits):
            made += [self._source[place:begin], text]
            place = max(place, end)
        made.append(self._source[place : self._end])
        whole = "".join(made).rstrip() + self._tail
        return "\n".join(_PRAGMA.sub("", line).rstrip() for line in whole.splitlines())
