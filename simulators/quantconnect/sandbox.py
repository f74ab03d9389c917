"""Where uploaded text is executed: restricted builtins, a short list of imports, no names that lead out.

This is a fence, not a wall. Python cannot be made safe from within, and somebody who wants out will find a way. The simulator
therefore runs only what was handed to it on loopback, in a process of its own with an empty environment, without the right to
open a file or a socket once it runs, with limits on time and memory (`worker`). Do not show it to strangers.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

ALLOWED_MODULES = (
    "base64", "bisect", "collections", "copy", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib",
    "heapq", "hmac", "itertools", "json", "math", "operator", "random", "statistics", "string", "time", "typing", "uuid",
)  # fmt: skip
"""What an algorithm may import besides `AlgorithmImports` and its own files; `numpy` and `np` have a few functions."""

_NUMPY = (
    "abs", "all", "any", "arange", "argmax", "argmin", "array", "clip", "corrcoef", "cumprod", "cumsum", "diff", "dot", "exp",
    "float64", "floor", "inf", "isfinite", "isnan", "linspace", "log", "max", "maximum", "mean", "median", "min", "minimum",
    "nan", "ones", "percentile", "pi", "polyfit", "prod", "quantile", "round", "sign", "sqrt", "std", "sum", "tanh", "var",
    "where", "zeros",
)  # fmt: skip
_REFUSED_BUILTINS = frozenset((
    "breakpoint", "compile", "copyright", "credits", "delattr", "eval", "exec", "exit", "getattr", "globals", "help", "input",
    "license", "locals", "memoryview", "open", "quit", "setattr", "vars", "__import__", "__loader__", "__spec__",
))  # fmt: skip
_DUNDERS = frozenset((
    "__init__", "__name__", "__class__", "__len__", "__iter__", "__next__", "__call__", "__str__", "__repr__", "__eq__",
    "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__contains__", "__getitem__", "__setitem__", "__add__", "__sub__",
    "__mul__", "__truediv__", "__neg__", "__bool__", "__float__", "__int__", "__enter__", "__exit__", "__post_init__",
    "__doc__", "__file__", "__slots__", "__iadd__", "__radd__", "__rmul__", "__abs__",
))  # fmt: skip
_FRAMES = ("f_back", "f_builtins", "f_globals", "f_locals", "f_code", "gi_frame", "gi_code", "cr_frame", "cr_code", "ag_frame",
           "tb_frame", "tb_next", "func_globals", "func_code", "mro", "qc", "format_map")  # fmt: skip
_UNSAFE_MEMBERS = {
    "dataclasses": ("make_dataclass",),
    "functools": ("get_cache_token", "singledispatch", "singledispatchmethod", "update_wrapper", "wraps"),
    "operator": ("attrgetter", "methodcaller"),
    "string": ("Formatter", "Template"),
    "time": ("sleep",),
    "typing": ("ForwardRef", "get_type_hints"),
}
"""What reaches attributes by name, evaluates texts, or waits."""


_READING_TIMES = "_strptime"
"""What `datetime.strptime` imports, in the name of whoever calls it."""


class Forbidden(Exception):  # noqa: N818 - it says what the text is
    """The text names something that an algorithm may not reach; `line` says where."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def inspect(tree: ast.AST) -> None:
    """Raise `Forbidden` at the first name that leads out of the fence."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for name in _named(node):
            if (name.startswith("__") and name.endswith("__") and name not in _DUNDERS) or name in _FRAMES:
                message = f"the name {name} is not allowed"
                raise Forbidden(message, line)


def _named(node: ast.AST) -> list[str]:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.alias(name=name, asname=other):
            return [*name.split("."), *([other] if other else [])]
        case ast.keyword(arg=str(name)):
            return [name]
        case ast.MatchClass(kwd_attrs=names):
            return names
        case _:
            return []


def execute(files: Mapping[str, str], names: Mapping[str, object], output: Callable[[str], None]) -> dict[str, Any]:
    """Run `main.py`, and what it imports of the other files, and give its names. `names` is `AlgorithmImports`.

    `print` writes to `output`. Raises what the text raises, `SyntaxError` and `Forbidden` included.
    """
    loaded: dict[str, ModuleType] = {"AlgorithmImports": _module("AlgorithmImports", names)}
    inside = {name: value for name, value in vars(builtins).items() if name not in _REFUSED_BUILTINS}

    def load(name: str, glob: Any = None, loc: Any = None, wanted: Any = (), level: int = 0) -> ModuleType:
        root = name.partition(".")[0]
        if name == _READING_TIMES:
            __import__(name)
            return ModuleType(name)  # `strptime` takes the real one, and the text gets nothing of it
        if root not in loaded:
            loaded[root] = found(name, root)
        return _leaf(loaded[root], name) if wanted else loaded[root]

    def found(name: str, root: str) -> ModuleType:
        if f"{root}.py" in files:
            module = loaded[root] = ModuleType(root)
            vars(module).update(_run(files[f"{root}.py"], f"{root}.py", inside))
            return module
        if root == "numpy":
            return numpy_part()
        if root in ALLOWED_MODULES:
            return _public(root)
        message = f"No module named '{name}' (an algorithm may import AlgorithmImports, numpy, {', '.join(ALLOWED_MODULES)})"
        raise ImportError(message)

    def guarded_getattr(thing: object, name: str, *default: object) -> object:
        _check(name)
        return getattr(thing, name, *default)

    def guarded_setattr(thing: object, name: str, value: object) -> None:
        _check(name)
        setattr(thing, name, value)

    inside |= {
        "__import__": load,
        "type": _type_of,
        "getattr": guarded_getattr,
        "setattr": guarded_setattr,
        "print": lambda *given, **_: output(" ".join(map(str, given))),
    }
    return _run(files["main.py"], "main.py", inside)


def _type_of(thing: object) -> type:
    """`type` of one argument: making classes by hand would get round the names that are not allowed."""
    return type(thing)


def _check(name: str) -> None:
    if (name.startswith("__") and name not in _DUNDERS) or name in _FRAMES:
        message = f"the name {name} is not allowed"
        raise AttributeError(message)


def _run(text: str, name: str, inside: Mapping[str, object]) -> dict[str, Any]:
    tree = ast.parse(text, name)
    inspect(tree)
    scope: dict[str, Any] = {"__builtins__": dict(inside), "__name__": name.removesuffix(".py"), "__file__": name}
    # not with this file's own future imports, which would make texts of the annotations that dataclasses read
    exec(compile(tree, name, "exec", dont_inherit=True), scope)  # noqa: S102 - what this module is for
    return scope


def _leaf(module: ModuleType, name: str) -> ModuleType:
    """What `from a.b import c` looks into: `b`."""
    for part in name.split(".")[1:]:
        inner = getattr(module, part, None)
        if not isinstance(inner, ModuleType):
            message = f"No module named '{name}'"
            raise ImportError(message)
        module = inner
    return module


def _module(name: str, names: Mapping[str, object]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(names)
    return module


def _public(name: str) -> ModuleType:
    """A module without the modules inside it and without what begins with an underscore."""
    real = __import__(name)
    refused = _UNSAFE_MEMBERS.get(name, ())
    kept = {
        key: value
        for key, value in vars(real).items()
        if not key.startswith("_") and not isinstance(value, ModuleType) and key not in refused
    }
    if name == "collections":
        import collections.abc  # noqa: PLC0415 - beside what it belongs to

        kept["abc"] = _module("collections.abc", {key: getattr(collections.abc, key) for key in collections.abc.__all__})
    return _module(name, kept)


def numpy_part() -> ModuleType:
    """The functions of numpy that touch nothing but numbers."""
    import numpy  # noqa: PLC0415 - ICN: not under the name that the part has

    return _module("numpy", {name: getattr(numpy, name) for name in _NUMPY})


def preload() -> None:
    """Import everything that may be asked for later, when no file can be opened any more."""
    for name in ALLOWED_MODULES:
        __import__(name)
    __import__(_READING_TIMES)
    numpy_part()
