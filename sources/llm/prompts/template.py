"""A template: one text with a system part and a user part, and what it becomes.

    What is written before the first line of dashes is a note for people.
    --- system ---
    Stable text, which a provider may cache.
    --- user ---
    What changes, and at the very end {{ untrusted }}.

Rendering is bounded twice: by the steps that the syntax admits, and by the size of what comes out.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sources.llm.asking import Ask, Caching, Message, Role, Schema, Speaker
from sources.llm.leaks import Guard
from sources.llm.models import Effort
from sources.llm.prompts.placeholders import PLACEHOLDERS, SNAPSHOT, UNTRUSTED, Terms, values
from sources.llm.prompts.syntax import FILTERS, TESTS, ends_with_untrusted, faults, names
from sources.llm.snapshot import Snapshot

LONGEST_TEMPLATE = 50_000  # characters
LONGEST_PROMPT = 200_000
_PART = re.compile(r"^---[ \t]*(system|user)[ \t]*---[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class TemplateError(ValueError):
    """A template that cannot be used. `faults` has a line for each thing that is wrong."""

    def __init__(self, name: str, found: tuple[str, ...]) -> None:
        super().__init__(f"template {name}: {'; '.join(found)}")
        self.name = name
        self.faults = found


class PromptLeak(ValueError):  # noqa: N818 - it names what was found
    """A prompt has something in it that must not leave; the message says what and where, and never what it says."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as it is sent. `label` names the template and its version."""

    system: str
    user: str
    label: str

    @property
    def text(self) -> str:
        """Both parts, as a record keeps them."""
        return f"--- system ---\n{self.system}\n--- user ---\n{self.user}"

    def check(self, guard: Guard) -> None:
        """`PromptLeak` if a secret of this bot or something like a key is in it."""
        found = guard.leaks(self.text)
        if found:
            message = (
                f"the prompt of {self.label} has {', '.join(map(str, found[:3]))}: take it out of the template or the settings"
            )
            raise PromptLeak(message)

    def ask(
        self,
        schema: Schema,
        *,
        role: Role = Role.DECISION,
        max_output_tokens: int = 4096,
        effort: Effort | None = None,
        every_s: float | None = None,
    ) -> Ask:
        """The question, without any tools. `every_s`: how far apart such questions are."""
        said = (Message(Speaker.USER, self.user),)
        return Ask(role, self.system, said, schema, max_output_tokens, effort, caching=Caching(self.label, every_s))


@dataclass(frozen=True, slots=True)
class Template:
    """A template that has been checked; made by `parse`. `version` 0: it is a file and has no versions."""

    name: str
    version: int
    body: str = field(repr=False)
    hash: str
    placeholders: frozenset[str]
    remarks: tuple[str, ...]
    _system: jinja2.Template = field(repr=False, compare=False)
    _user: jinja2.Template = field(repr=False, compare=False)

    @property
    def label(self) -> str:
        """Name and version, such as decide@3; a file is known by the beginning of its hash."""
        return f"{self.name}@{self.version or self.hash[:12]}"

    def render(self, snapshot: Snapshot, terms: Terms) -> Rendered:
        """The prompt about a snapshot; `TemplateError` where it is too long or compares what cannot be compared."""
        given = values(snapshot, terms)
        stable = {name: value for name, value in given.items() if PLACEHOLDERS[name].stable}
        system = self._written(self._system, stable, LONGEST_PROMPT)
        user = self._written(self._user, given, LONGEST_PROMPT - len(system))
        assert user.endswith(str(given[UNTRUSTED]))  # as `parse` has made sure of
        return Rendered(system, user, self.label)

    def _written(self, part: jinja2.Template, given: dict[str, Any], room: int) -> str:
        pieces: list[str] = []
        try:
            for piece in part.generate(given):
                room -= len(piece)
                if room < 0:
                    raise TemplateError(self.label, (f"the prompt is longer than {LONGEST_PROMPT} characters",))
                pieces.append(piece)
        except (jinja2.TemplateError, TypeError, ArithmeticError) as error:
            raise TemplateError(self.label, (f"it cannot be rendered: {error}",)) from error
        return "".join(pieces).strip()


def parse(name: str, body: str, version: int = 0) -> Template:
    """A template of this text, or `TemplateError` with all that is wrong with it."""
    found = list(_text_faults(name, body))
    if found:
        raise TemplateError(name, tuple(found))
    marks = [(mark.group(1), mark.start(), mark.end()) for mark in _PART.finditer(body)]
    if [mark[0] for mark in marks] != ["system", "user"]:
        raise TemplateError(name, ("give a line `--- system ---` and after it a line `--- user ---`, each once",))
    system, found_in_system = _parsed(body, marks[0][2], marks[1][1], stable=True)
    user, found_in_user = _parsed(body, marks[1][2], len(body), stable=False)
    found = [*found_in_system, *found_in_user]
    if system is None or user is None or found:
        raise TemplateError(name, tuple(found))
    found = list(_placement_faults(system, user))
    if found:
        raise TemplateError(name, tuple(found))
    digest = hashlib.sha256(body.encode()).hexdigest()
    used, remarks = frozenset((*names(system), *names(user))), tuple(_remarks(system, user))
    environment = _environment()
    try:
        parts = environment.from_string(system), environment.from_string(user)
    except (jinja2.TemplateError, RecursionError, SyntaxError) as error:
        raise TemplateError(name, (f"it cannot be compiled: {error}",)) from error
    return Template(name, version, body, digest, used, remarks, *parts)


def is_name(name: str) -> bool:
    """Whether a template may be called that."""
    return _NAME.fullmatch(name) is not None


def diff(old: Template, new: Template) -> str:
    """What changed from one to the other, as a unified diff; empty if nothing did."""
    lines = difflib.unified_diff(old.body.splitlines(), new.body.splitlines(), old.label, new.label, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _text_faults(name: str, body: str) -> list[str]:
    found = []
    if not is_name(name):
        found.append("its name: use lower-case letters, digits, dashes and underscores, at most 64")
    if not 0 < len(body) <= LONGEST_TEMPLATE:
        found.append(f"it has {len(body)} characters: give 1 to {LONGEST_TEMPLATE}")
    if "\x00" in body or body.encode(errors="replace").decode() != body:
        found.append("it has characters that are no text")
    leaks = Guard().leaks(body[:LONGEST_TEMPLATE])
    if leaks:
        found.append(f"it has {leaks[0]}: no keys in prompts")
    return found


def _parsed(body: str, start: int, end: int, *, stable: bool) -> tuple[nodes.Template | None, list[str]]:
    """The syntax tree of one part and what is wrong with it, by lines of the whole text."""
    before = body.count("\n", 0, start)
    try:
        tree = _environment().parse(body[start:end])
        return tree, [f"line {before + fault.line}: {fault.what}" for fault in faults(tree, stable=stable)]
    except jinja2.TemplateSyntaxError as error:
        return None, [f"line {before + error.lineno}: {error.message}"]
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of thousands of digits
        return None, [f"line {before + 1}: it cannot be read: {type(error).__name__}"]


def _placement_faults(system: nodes.Template, user: nodes.Template) -> list[str]:
    in_user = names(user)
    used = {*names(system), *in_user}
    found = [f"{{{{ {name} }}}} is missing" for name, one in PLACEHOLDERS.items() if one.required and name not in used]
    found += [
        f"{{{{ {name} }}}} stands {in_user.count(name)} times: give it once"
        for name in (SNAPSHOT, UNTRUSTED)
        if in_user.count(name) > 1
    ]
    if UNTRUSTED in used and not ends_with_untrusted(user):
        found.append(
            f"{{{{ {UNTRUSTED} }}}} must be the last of the user part, outside of every if and for, and nothing may follow it"
        )
    return found


def _remarks(system: nodes.Template, user: nodes.Template) -> list[str]:
    """What is allowed and yet perhaps not meant."""
    found = []
    if "symbol" in names(system):
        found.append("{{ symbol }} in the system part: what a provider caches of it serves one symbol alone")
    after = [one for node in user.body if isinstance(node, nodes.Output) for one in node.nodes]
    at = next((at for at, one in enumerate(after) if isinstance(one, nodes.Name) and one.name == SNAPSHOT), len(after))
    text = sum(len(one.data.strip()) for one in after[at:] if isinstance(one, nodes.TemplateData))
    if text > 2_000:
        found.append(f"{text} characters stand after {{{{ {SNAPSHOT} }}}}: what does not change is cheaper in the system part")
    return found


def _shown(value: object) -> object:
    """A value as it is written."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "none" if value is None else value


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    """Sandboxed, with nothing in it but what the syntax admits; it is never changed."""
    made = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # it writes no HTML; what comes from outside is JSON with its markup escaped
        loader=None,
        optimized=False,  # nothing of a template runs while it is only read
        cache_size=0,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.globals.clear()
    for table, kept in ((made.filters, FILTERS), (made.tests, TESTS)):
        for name in set(table) - kept:
            del table[name]
    return made
