"""What a decision may ask without waiting: how far each subject is to be believed, kept beside a store that takes time.

Where the store gives back evidence, a copy of it answers as of any moment. Where it does not (an agent memory of someone else's),
its own answers are kept with the time at which they were asked for, and a moment before that does not see them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from bot.services.memory.heard import HeardMemory
from research.memory.confidence import Confidence
from research.memory.evidence import Evidence, Subject
from research.memory.files import MirroredMemory
from research.memory.policy import MemoryPolicy
from research.memory.store import InMemoryStore, MemoryStore, RecallsEvidence

_ANSWERS = 2


class Beliefs(Protocol):
    """The quick side of a store."""

    @property
    def ages(self) -> bool:
        """Whether it must be recalled now and then to stay true."""
        ...

    def confidence(self, subject: Subject, at: int) -> Confidence | None:
        """As of `at` (ms UTC); None if nothing is known."""
        ...

    def add(self, evidence: Iterable[Evidence]) -> None:
        """Take what is remembered from now on."""
        ...

    async def recall(self, subject: Subject, at: int) -> None:
        """Learn what the store knows of a subject; `MemoryUnavailable` if it cannot be asked."""
        ...

    async def evidence(self, subject: Subject, at: int) -> Sequence[Evidence]:
        """What the store can give back of what it was told; nothing where it gives nothing back."""
        ...


def beliefs_of(store: MemoryStore, policy: MemoryPolicy) -> Beliefs:
    """The quick side of this store."""
    recalls = recalling(store)
    return KeptAnswers(store) if recalls is None else CopiedEvidence(recalls, policy)


def recalling(store: MemoryStore) -> RecallsEvidence | None:
    """What gives back the evidence of a store, whatever stands around it; None where nothing does."""
    while isinstance(store, HeardMemory | MirroredMemory):
        store = store.inner
    return store if isinstance(store, RecallsEvidence) else None


class CopiedEvidence:
    """A copy of the evidence."""

    ages = False

    def __init__(self, store: RecallsEvidence, policy: MemoryPolicy) -> None:
        self._store = store
        self._copy = InMemoryStore(policy, forgets=True)

    def confidence(self, subject: Subject, at: int) -> Confidence | None:
        """As of `at`."""
        return self._copy.confidence_now(subject, at)

    def add(self, evidence: Iterable[Evidence]) -> None:
        """Copy it."""
        self._copy.add(evidence)

    async def recall(self, subject: Subject, at: int) -> None:
        """Copy what the store has, and work out the answer before a decision asks for it."""
        self._copy.add(await self._store.evidence(subject, at))
        self._copy.confidence_now(subject, at)

    async def evidence(self, subject: Subject, at: int) -> Sequence[Evidence]:
        """All that a look-up sees."""
        return await self._store.evidence(subject, at)


class KeptAnswers:
    """The store's last answers."""

    ages = True

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._answers: dict[Subject, deque[tuple[int, Confidence | None]]] = {}

    def confidence(self, subject: Subject, at: int) -> Confidence | None:
        """The newest answer that was asked for up to `at`."""
        found = (answer for asked, answer in reversed(self._answers.get(subject, ())) if asked <= at)
        return next(found, None)

    def add(self, evidence: Iterable[Evidence]) -> None:
        """Nothing: what the store makes of it is asked for with the next recall."""

    async def recall(self, subject: Subject, at: int) -> None:
        """Ask."""
        answer = await self._store.confidence(subject, at)
        self._answers.setdefault(subject, deque(maxlen=_ANSWERS)).append((at, answer))

    async def evidence(self, subject: Subject, at: int) -> Sequence[Evidence]:
        """Nothing: it keeps that to itself."""
        del subject, at
        return ()
