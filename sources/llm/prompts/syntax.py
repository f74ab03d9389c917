"""What a template may be made of: text, placeholders, `if`, and `for` over the lists that are declared.

All of it is decided on the syntax tree, before anything runs. There are no calls, no arithmetic, no attributes but three of a
loop's, no definitions and no other templates; every loop runs over a list of known length, so the most steps that a template can
take are known as well. What is not named here is not allowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import nodes

from sources.llm.prompts.placeholders import PLACEHOLDERS, SNAPSHOT, UNTRUSTED, Kind

FILTERS = frozenset({"default", "first", "join", "last", "length", "lower", "round", "title", "upper"})
TESTS = frozenset({"none"})
LOOP = frozenset({"first", "last", "index"})
MOST_STEPS = 20_000
MOST_NODES = 2_000
DEEPEST = 24
_LONGEST_CONSTANT = 200
_LARGEST_ARGUMENT = 12
_ALLOWED = (
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.If,
    nodes.For,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Tuple,
    nodes.List,
    nodes.Filter,
    nodes.Test,
    nodes.Getattr,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and in which line of the part."""

    line: int
    what: str


def faults(part: nodes.Template, *, stable: bool) -> Iterator[Fault]:
    """Everything that is wrong with one part; `stable`: it is the one that a provider may cache."""
    count = sum(1 for _ in part.find_all(nodes.Node))
    if count > MOST_NODES:
        yield Fault(1, f"it has {count} elements: at most {MOST_NODES}")
        return
    for node in part.body:
        yield from _of(node, frozenset(), 0, stable=stable)
    steps = sum(_steps(node) for node in part.body)
    if steps > MOST_STEPS:
        yield Fault(1, f"its loops may take {steps} steps: at most {MOST_STEPS}; do not loop within loops over long lists")


def names(part: nodes.Template) -> list[str]:
    """Every placeholder that is named, as often as it is."""
    return [node.name for node in part.find_all(nodes.Name) if node.name in PLACEHOLDERS]


def ends_with_untrusted(part: nodes.Template) -> bool:
    """Whether the last thing of a part, always and as it is, is the block of untrusted words."""
    if not part.body or not isinstance(part.body[-1], nodes.Output):
        return False
    written = [one for one in part.body[-1].nodes if not (isinstance(one, nodes.TemplateData) and not one.data.strip())]
    return bool(written) and isinstance(written[-1], nodes.Name) and written[-1].name == UNTRUSTED


def _of(node: nodes.Node, bound: frozenset[str], depth: int, *, stable: bool) -> Iterator[Fault]:
    if depth > DEEPEST:
        yield Fault(node.lineno, f"it is nested deeper than {DEEPEST}")
        return
    if not isinstance(node, _ALLOWED):
        yield Fault(node.lineno, f"{_word(node)} is not allowed: use text, placeholders, if, and for over a list")
        return
    fault = _fault(node, bound, stable=stable)
    if fault:
        yield Fault(node.lineno, fault)
        return
    inner = bound | {node.target.name, "loop"} if isinstance(node, nodes.For) and isinstance(node.target, nodes.Name) else bound
    for below in node.iter_child_nodes():
        # A block of JSON is written as it is, and neither compared nor filtered.
        if isinstance(below, nodes.Name) and _is_json(below.name) and not isinstance(node, nodes.Output):
            yield Fault(below.lineno, f"{{{{ {below.name} }}}} stands alone: it cannot be filtered, compared or looped over")
        elif not (isinstance(node, nodes.For) and below is node.target):
            otherwise = isinstance(node, nodes.For) and any(below is one for one in node.else_)
            yield from _of(below, bound if otherwise else inner, depth + 1, stable=stable)


def _fault(node: nodes.Node, bound: frozenset[str], *, stable: bool) -> str:
    """What is wrong with one node by itself, or nothing."""
    match node:
        case nodes.Name(name=name):
            return _name_fault(name, bound, stable=stable)
        case nodes.Const(value=value):
            return _constant_fault(value)
        case nodes.For():
            return _loop_fault(node, bound)
        case nodes.Filter():
            return _filter_fault(node)
        case nodes.Test(name=name):
            return "" if name in TESTS else f"`is {name}` is not allowed: only `is {' or '.join(sorted(TESTS))}`"
        case nodes.Getattr(node=nodes.Name(name="loop"), attr=attribute) if "loop" in bound and attribute in LOOP:
            return ""
        case nodes.Getattr(attr=attribute):
            return f".{attribute} is not allowed: placeholders have no attributes, and a loop only {', '.join(sorted(LOOP))}"
    return ""


def _name_fault(name: str, bound: frozenset[str], *, stable: bool) -> str:
    if name in bound:
        return ""
    known = PLACEHOLDERS.get(name)
    if known is None:
        return f"{{{{ {name} }}}} is not a placeholder: there are {', '.join(PLACEHOLDERS)}"
    if stable and not known.stable:
        return f"{{{{ {name} }}}} changes from call to call and belongs to the user part, or the system part is never cached"
    return ""


def _constant_fault(value: object) -> str:
    if isinstance(value, str) and len(value) > _LONGEST_CONSTANT:
        return f"a constant of {len(value)} characters: at most {_LONGEST_CONSTANT}"
    return ""


def _loop_fault(node: nodes.For, bound: frozenset[str]) -> str:
    if node.recursive:
        return "a recursive loop is not allowed"
    lists = ", ".join(name for name, one in PLACEHOLDERS.items() if one.kind is Kind.LIST)
    if not isinstance(node.iter, nodes.Name) or _length(node.iter.name) == 0 or node.iter.name in bound:
        return f"a loop runs over one of {lists}, and nothing else"
    if not isinstance(node.target, nodes.Name) or node.target.name in {*PLACEHOLDERS, *bound, "loop"}:
        return "a loop has one variable, with a name of its own"
    return ""


def _filter_fault(node: nodes.Filter) -> str:
    if node.name not in FILTERS:
        return f"|{node.name} is not allowed: there are {', '.join(sorted(FILTERS))}"
    if node.node is None or node.kwargs or node.dyn_args or node.dyn_kwargs:
        return f"|{node.name} takes plain arguments only"
    if not all(isinstance(one, nodes.Const) and _small(one.value) for one in node.args):
        return f"an argument of |{node.name} is a short constant"
    if node.name == "join" and not (isinstance(node.node, nodes.Name) and _length(node.node.name)):
        return "|join takes a list that is declared"
    return ""


def _small(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LARGEST_ARGUMENT
    return value is None or isinstance(value, bool) or (isinstance(value, int | float) and 0 <= value <= _LARGEST_ARGUMENT)


def _steps(node: nodes.Node) -> int:
    below = sum(_steps(one) for one in node.iter_child_nodes())
    times = _length(node.iter.name) if isinstance(node, nodes.For) and isinstance(node.iter, nodes.Name) else 1
    return 1 + max(1, times) * below


def _length(name: str) -> int:
    known = PLACEHOLDERS.get(name)
    return known.most if known is not None and known.kind is Kind.LIST else 0


def _is_json(name: str) -> bool:
    return name in {SNAPSHOT, UNTRUSTED}


def _word(node: nodes.Node) -> str:
    """A node as an author knows it."""
    words = {
        "Assign": "set",
        "AssignBlock": "set",
        "Call": "a call",
        "CallBlock": "call",
        "Getitem": "[...]",
        "FromImport": "import",
    }
    name = type(node).__name__
    return words.get(name, name.lower())
