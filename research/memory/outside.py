"""A memory outside the bot: an agent memory such as Letta, plugged in as an entry point of the group `arbiter.memory`.

The entry point names a callable `open(policy, folder)` that gives a `MemoryStore`, or an awaitable of one; `folder` is where it
may keep things of its own. It is loaded when the memory is opened, and never trusted: each call has a deadline, whatever it
raises becomes `MemoryUnavailable` with its name, and a lesson of later than the moment asked about is refused.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, TypeVar, cast

from research.memory.confidence import Confidence
from research.memory.errors import EvidenceError, MemoryUnavailable
from research.memory.evidence import Evidence, Subject, number
from research.memory.lessons import Lesson
from research.memory.parameters import RobustParameters
from research.memory.policy import MemoryPolicy
from research.memory.store import MemoryStore, sorted_subjects

T = TypeVar("T")

ENTRY_POINTS = "arbiter.memory"
_CALLS = ("remember", "subjects", "lessons", "confidence", "parameters", "close")


class OpensMemory(Protocol):
    """What an entry point of the group names."""

    def __call__(self, policy: MemoryPolicy, folder: Path) -> MemoryStore | Awaitable[MemoryStore]:
        """Open the store; `policy` is how the bot weighs evidence, `folder` the plug-in's own, made when it needs it."""
        ...


async def open_outside(name: str, policy: MemoryPolicy, data_dir: Path, *, seconds: float = 10.0) -> OutsideMemory:
    """The memory of the plug-in called `name`; its folder is `data_dir`/mem/`name`.

    Raises `MemoryUnavailable` if there is no such plug-in, or it cannot be loaded or opened within `seconds`.
    """
    made = _loaded(_entry_point(name))
    try:
        async with asyncio.timeout(seconds):
            opened = made(policy, data_dir / "mem" / name)
            store = await opened if inspect.isawaitable(opened) else opened
    except Exception as error:  # the boundary to a plug-in, which may be anybody's: opening it may raise anything
        raise MemoryUnavailable(_told(name, "cannot be opened", error)) from error
    lacking = [call for call in _CALLS if not callable(getattr(store, call, None))]
    if lacking:
        message = f"the memory {name!r} gave a {type(store).__name__} without {', '.join(lacking)}: it must be a MemoryStore"
        raise MemoryUnavailable(message)
    return OutsideMemory(name, store, seconds)


class OutsideMemory:
    """A `MemoryStore` of someone else's, held to the protocol; make it with `open_outside`, and close it."""

    def __init__(self, name: str, store: MemoryStore, seconds: float = 10.0) -> None:
        self._name = name
        self._store = store
        self._seconds = seconds

    async def remember(self, evidence: Sequence[Evidence]) -> int:
        """Keep it all or none of it; how many were new."""
        new = await self._asked("remember", self._store.remember(evidence))
        if isinstance(new, bool) or not isinstance(new, int) or not 0 <= new <= len(evidence):
            raise self._broken("remember", f"{new!r:.80} is no count of {len(evidence)} pieces")
        return new

    async def subjects(self, as_of: int) -> Sequence[Subject]:
        """What anything is known about."""
        found = await self._asked("subjects", self._store.subjects(as_of))
        self._all(found, Subject, "subjects")
        return sorted_subjects(found)

    async def lessons(self, subject: Subject, as_of: int, limit: int = 100) -> Sequence[Lesson]:
        """Newest first."""
        found = await self._asked("lessons", self._store.lessons(subject, as_of, limit))
        self._all(found, Lesson, "lessons")
        late = next((lesson for lesson in found if lesson.known_at > as_of), None)
        if late is not None:
            raise self._broken("lessons", f"one is known only at {late.known_at}, after {as_of}")
        return list(found)[: max(0, limit)]

    async def confidence(self, subject: Subject, as_of: int) -> Confidence | None:
        """None if nothing is known."""
        found = await self._asked("confidence", self._store.confidence(subject, as_of))
        if found is not None:
            self._all([found], Confidence, "confidence")
            self._sound(found)
        return found

    async def parameters(self, subject: Subject, as_of: int) -> RobustParameters | None:
        """None if the history cannot tell."""
        found = await self._asked("parameters", self._store.parameters(subject, as_of))
        if found is not None:
            self._all([found], RobustParameters, "parameters")
        return found

    async def close(self) -> None:
        """Release what it holds."""
        await self._asked("close", self._store.close())

    async def _asked(self, call: str, answer: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except MemoryUnavailable as error:
            raise MemoryUnavailable(f"the memory {self._name!r}: {error}") from error
        except Exception as error:  # the boundary to a plug-in: whatever it raises, the bot goes on
            raise MemoryUnavailable(_told(self._name, f"failed at {call}", error)) from error

    def _all(self, found: object, kind: type, call: str) -> None:
        if not isinstance(found, Sequence) or not all(isinstance(each, kind) for each in found):
            raise self._broken(call, f"{found!r:.80} is not made of {kind.__name__}")

    def _sound(self, found: Confidence) -> None:
        try:
            for name in ("value", "quality", "credibility"):
                number(name, getattr(found, name), 0.0, 1.0)
            number("trades", found.trades, 0.0)
        except EvidenceError as error:
            raise self._broken("confidence", str(error)) from error

    def _broken(self, call: str, what: str) -> MemoryUnavailable:
        return MemoryUnavailable(f"the memory {self._name!r} answered {call} wrongly: {what}; see its own documentation")


def _entry_point(name: str) -> EntryPoint:
    plugins = entry_points(group=ENTRY_POINTS)
    for plugin in plugins:
        if plugin.name == name:
            return plugin
    known = ", ".join(["sql", *sorted(plugins.names)])
    message = f"memory.store = {name!r}: no such memory is installed; use one of {known}, or install the package that has it"
    raise MemoryUnavailable(message)


def _loaded(plugin: EntryPoint) -> OpensMemory:
    try:
        made: object = plugin.load()
    except Exception as error:  # the boundary to a plug-in: importing it may raise anything
        raise MemoryUnavailable(_told(plugin.name, f"({plugin.value}) cannot be imported", error)) from error
    if not callable(made):
        message = f"the memory {plugin.name!r} ({plugin.value}) cannot be called: name a callable open(policy, folder)"
        raise MemoryUnavailable(message)
    return cast("OpensMemory", made)


def _told(name: str, what: str, error: Exception) -> str:
    said = " ".join(str(error).split())[:300]
    return f"the memory {name!r} {what}: {type(error).__name__}{': ' if said else ''}{said}"
