"""A store that tells what it was made to remember."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from research.memory.confidence import Confidence
from research.memory.evidence import Evidence, Subject
from research.memory.lessons import Lesson
from research.memory.parameters import RobustParameters
from research.memory.store import MemoryStore


class HeardMemory:
    """A `MemoryStore` around another; `heard` is told what was remembered once it is kept, and must not raise."""

    def __init__(self, store: MemoryStore, heard: Callable[[Sequence[Evidence]], None]) -> None:
        self._store = store
        self._tell = heard

    @property
    def inner(self) -> MemoryStore:
        """The store that it stands around."""
        return self._store

    async def remember(self, evidence: Sequence[Evidence]) -> int:
        """Keep it, then tell of it."""
        new = await self._store.remember(evidence)
        self._tell(evidence)
        return new

    async def subjects(self, as_of: int) -> Sequence[Subject]:
        """What anything is known about."""
        return await self._store.subjects(as_of)

    async def lessons(self, subject: Subject, as_of: int, limit: int = 100) -> Sequence[Lesson]:
        """Newest first."""
        return await self._store.lessons(subject, as_of, limit)

    async def confidence(self, subject: Subject, as_of: int) -> Confidence | None:
        """None if nothing is known."""
        return await self._store.confidence(subject, as_of)

    async def parameters(self, subject: Subject, as_of: int) -> RobustParameters | None:
        """None if the history cannot tell."""
        return await self._store.parameters(subject, as_of)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()
