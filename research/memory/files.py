"""The memory's mirror: three files that a person can read, beside the store and never read back by it.

Each is replaced whole, readable by its owner alone from its first byte, and turned over (`.1` the newest old one) before it would
outgrow its limit. A mirror that fails loses a page, not the memory: it is counted and logged.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import structlog

from bot.core.values import value
from research.memory.confidence import Confidence
from research.memory.errors import ResearchError
from research.memory.evidence import LAST_MS, Evidence, Subject
from research.memory.lessons import Lesson
from research.memory.parameters import RobustParameters
from research.memory.store import MemoryStore, RecallsEvidence, Recollection, recall, sorted_subjects
from research.memory.writing import Standing, lesson_text, parameter_update, parameters_json, strategy_module

LESSONS_FILE = "core_memory_updates.txt"
PARAMETERS_FILE = "parameter_updates.json"
STRATEGIES_FILE = "strategy_modules.py"

_MOST_LESSONS = 1_000

log = structlog.get_logger(__name__)


class MemoryFiles:
    """The three files in a folder, each up to `limit` bytes (a single entry may be longer), with `kept` old ones.

    Calls block, and may come from any thread. They raise OSError when the disk refuses.
    """

    def __init__(self, folder: Path, *, limit: int = 1_000_000, kept: int = 3) -> None:
        if limit < 1 or kept < 0:
            message = f"memory files: limit {limit} must be at least 1 byte and kept {kept} at least 0 files"
            raise ResearchError(message)
        self._folder = folder
        self._limit = limit
        self._kept = kept
        self._lock = threading.Lock()

    def write(self, lessons: Sequence[Lesson], changed: Sequence[Standing], standings: Sequence[Standing]) -> None:
        """Add the lessons and the parameters of what changed; the strategy module becomes that of all standings."""
        updates = [update for update in map(parameter_update, changed) if update is not None]
        module = strategy_module(standings)
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._append_lessons([lesson_text(lesson).encode() for lesson in lessons])
            self._append_updates(updates)
            self._replace(STRATEGIES_FILE, module.encode())

    def _append_lessons(self, added: Sequence[bytes]) -> None:
        path = self._folder / LESSONS_FILE
        page = path.read_bytes() if added and path.exists() else b""
        for number, entry in enumerate(added):
            if page and len(page) + len(entry) > self._limit:
                if number:
                    self._put(LESSONS_FILE, page)
                self._turn(LESSONS_FILE)
                page = b""
            page += entry
        if added:
            self._put(LESSONS_FILE, page)

    def _append_updates(self, added: Sequence[dict[str, Any]]) -> None:
        page = self._updates() if added else []
        for number, update in enumerate(added):
            if page and len(parameters_json([*page, update])) > self._limit:
                if number:
                    self._put(PARAMETERS_FILE, parameters_json(page))
                self._turn(PARAMETERS_FILE)
                page = []
            page.append(update)
        if added:
            self._put(PARAMETERS_FILE, parameters_json(page))

    def _updates(self) -> list[dict[str, Any]]:
        """What the file holds; one that cannot be understood is turned over, so that nothing of it is lost."""
        path = self._folder / PARAMETERS_FILE
        if not path.exists():
            return []
        try:
            found = orjson.loads(path.read_bytes())["updates"]
            if isinstance(found, list):
                return found
        except (ValueError, TypeError, KeyError):
            pass
        log.warning("memory_file_unreadable", path=str(path), remedy="it was kept under another number; a new one is begun")
        self._turn(PARAMETERS_FILE)
        return []

    def _replace(self, name: str, content: bytes) -> None:
        """Put a new state in place of the old one, which is kept if the new one is over the limit."""
        path = self._folder / name
        if path.exists() and len(content) > self._limit and path.read_bytes() != content:
            self._turn(name)
        self._put(name, content)

    def _turn(self, name: str) -> None:
        """`name` becomes `name.1`, that `name.2`, and the oldest goes."""
        path = self._folder / name
        if self._kept == 0:
            path.unlink()
            return
        for number in range(self._kept - 1, 0, -1):
            older = self._folder / f"{name}.{number}"
            if older.exists():
                older.replace(self._folder / f"{name}.{number + 1}")
        path.replace(self._folder / f"{name}.1")

    def _put(self, name: str, content: bytes) -> None:
        """The file, whole and on the disk, or as it was."""
        draft = self._folder / f".{name}.{os.getpid()}"
        draft.unlink(missing_ok=True)
        try:
            handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._folder / name)
        finally:
            draft.unlink(missing_ok=True)


class MirroredMemory:
    """A `MemoryStore` around another that keeps the files beside it; `unmirrored` counts the updates that missed the files."""

    def __init__(self, store: MemoryStore, files: MemoryFiles) -> None:
        self._store = store
        self._files = files
        self._turn = asyncio.Lock()
        # What is thought of everything, once it was read; then only what changes is read again.
        self._standings: dict[Subject, Standing] | None = None
        self.unmirrored = 0

    @property
    def inner(self) -> MemoryStore:
        """The store that it stands around."""
        return self._store

    async def remember(self, evidence: Sequence[Evidence]) -> int:
        """Keep it, then write down what it changed; the files' failure is not the caller's."""
        new = await self._store.remember(evidence)
        if new:
            try:
                async with self._turn:
                    await self._mirror(evidence)
            except (OSError, ResearchError) as error:
                self.unmirrored += 1
                log.warning("memory_not_mirrored", error=str(error), unmirrored=self.unmirrored)
        return new

    async def _mirror(self, evidence: Sequence[Evidence]) -> None:
        moments = {(each.subject, each.known_at) for each in evidence}
        touched = sorted_subjects(subject for subject, _ in moments)
        if self._standings is None:
            others = set(await self._store.subjects(LAST_MS)).difference(touched)
            self._standings = {each: (await self._page(each)).standing for each in sorted_subjects(others)}
        learnt: list[Lesson] = []
        changed: list[Standing] = []
        for subject in touched:
            before, page = self._standings.get(subject), await self._page(subject, _MOST_LESSONS)
            if before is None or before.parameters != page.standing.parameters:
                changed.append(page.standing)
            self._standings[subject] = page.standing
            learnt += [each for each in page.lessons if (subject, each.known_at) in moments]
        learnt.sort(key=lambda lesson: (lesson.known_at, lesson.id))
        standings = [self._standings[subject] for subject in sorted_subjects(self._standings)]
        await asyncio.to_thread(self._files.write, learnt, changed, standings)

    async def _page(self, subject: Subject, lessons: int = 1) -> _Page:
        """What is thought of it now, by all there is, and the newest lessons."""
        store = self._store
        if isinstance(store, RecallsEvidence):
            # The evidence is read once for all that is asked of it, and worked on where the caller's loop need not wait.
            evidence, policy = await store.evidence(subject, LAST_MS), store.policy
            return await asyncio.to_thread(lambda: _page_of(subject, recall(evidence, LAST_MS, policy), lessons))
        told = await store.lessons(subject, LAST_MS, lessons)
        confidence, parameters = await store.confidence(subject, LAST_MS), await store.parameters(subject, LAST_MS)
        return _Page(_standing(subject, told, confidence, parameters), told)

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


@value
class _Page:
    """A subject's standing, and its newest lessons, newest first."""

    standing: Standing
    lessons: Sequence[Lesson]


def _page_of(subject: Subject, known: Recollection, lessons: int) -> _Page:
    told = known.lessons(lessons)
    return _Page(_standing(subject, told, known.confidence(), known.parameters()), told)


def _standing(
    subject: Subject, told: Sequence[Lesson], confidence: Confidence | None, parameters: RobustParameters | None
) -> Standing:
    newest = told[0] if told else None
    return Standing(subject, newest.known_at if newest else 0, confidence, parameters, newest)
