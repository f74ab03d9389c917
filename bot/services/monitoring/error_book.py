"""Errors by fingerprint: what kind, since when, how often, and whether somebody settled it. Bounded, and safe from any thread."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

HOUR_MS = 3_600_000
HOURS = 48
MOST = 500
_SAMPLE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Kind:
    """What makes two log events the same error; `exception` is the name of its type, empty if there was none."""

    event: str
    logger: str
    level: str
    exception: str = ""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, the same in every process."""
        text = "\x1f".join((self.event, self.logger, self.level, self.exception))
        return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Somebody settled it; it is open again when it happens again. `at` is ms UTC."""

    at: int
    author: str
    note: str = ""


@dataclass(slots=True)
class ErrorEntry:
    """One error. Times are ms UTC; `hours` counts by the hour's first moment, for 48 hours; `reopened` after a resolution."""

    kind: Kind
    first: int
    last: int
    count: int = 0
    sample: str = ""
    hours: dict[int, int] = field(default_factory=dict)
    resolved: Resolved | None = None
    reopened: int = 0
    sampled: int = 0

    @property
    def fingerprint(self) -> str:
        """Of its kind."""
        return self.kind.fingerprint

    def happened(self, at: int) -> None:
        """Once more."""
        self.last, self.count = max(self.last, at), self.count + 1
        hour = at - at % HOUR_MS
        self.hours[hour] = self.hours.get(hour, 0) + 1
        self.forget_before(at)
        if self.resolved is not None:
            self.resolved = None
            self.reopened += 1

    def forget_before(self, now: int) -> None:
        """Let go of hours that are over for long."""
        oldest = now - now % HOUR_MS - (HOURS - 1) * HOUR_MS
        if len(self.hours) > HOURS or any(hour < oldest for hour in self.hours):
            self.hours = {hour: count for hour, count in self.hours.items() if hour >= oldest}


@dataclass(slots=True)
class Unsaved:
    """What is to be written: entries that changed, and fingerprints that were let go."""

    entries: list[ErrorEntry]
    gone: list[str]


class ErrorBook:
    """At most `most` errors. A new one takes the place of the one longest settled or silent for 48 h, else it is `dropped`."""

    def __init__(self, most: int = MOST) -> None:
        self.dropped = 0
        self._most = most
        self._entries: dict[str, ErrorEntry] = {}
        self._changed: set[str] = set()
        self._gone: set[str] = set()
        self._lock = threading.Lock()

    def note(self, kind: Kind, at: int) -> bool:
        """Count an error (`at` in ms); whether a sample of it is wanted: the first, then one a minute at most."""
        fingerprint = kind.fingerprint
        with self._lock:
            entry = self._entries.get(fingerprint)
            if entry is None:
                if not self._room(at):
                    self.dropped += 1
                    return False
                entry = self._entries[fingerprint] = ErrorEntry(kind, at, at)
                self._gone.discard(fingerprint)
            entry.happened(at)
            self._changed.add(fingerprint)
            return not entry.sample or at - entry.sampled >= _SAMPLE_MS

    def show(self, kind: Kind, at: int, sample: str) -> None:
        """Keep a line of it, as it may be shown."""
        with self._lock:
            entry = self._entries.get(kind.fingerprint)
            if entry is not None:
                entry.sample, entry.sampled = sample, at

    def resolve(self, fingerprint: str, resolved: Resolved) -> ErrorEntry | None:
        """Somebody settled it; None if there is no such error."""
        with self._lock:
            entry = self._entries.get(fingerprint)
            if entry is None:
                return None
            entry.resolved = resolved
            self._changed.add(fingerprint)
            return _copy(entry)

    def entries(self) -> list[ErrorEntry]:
        """All of them, the newest first."""
        with self._lock:
            return sorted((_copy(entry) for entry in self._entries.values()), key=lambda entry: (-entry.last, entry.fingerprint))

    def remember(self, earlier: Iterable[ErrorEntry]) -> None:
        """Take up what was kept before; what happened meanwhile is counted on top, and opens again what was settled."""
        with self._lock:
            for old in earlier:
                entry = self._entries.get(old.fingerprint)
                if entry is None:
                    if len(self._entries) < self._most:
                        self._entries[old.fingerprint] = _copy(old)
                    continue
                entry.first, entry.count = min(entry.first, old.first), entry.count + old.count
                entry.reopened += old.reopened + (old.resolved is not None)
                entry.hours = _summed(entry.hours, old.hours)
                self._changed.add(old.fingerprint)

    def unsaved(self) -> Unsaved:
        """What changed since it was asked for last; give it back with `again` if it could not be written."""
        with self._lock:
            made = Unsaved([_copy(self._entries[each]) for each in sorted(self._changed)], sorted(self._gone))
            self._changed.clear()
            self._gone.clear()
            return made

    def again(self, unsaved: Unsaved) -> None:
        """It could not be written: it waits for the next time."""
        with self._lock:
            self._changed |= {entry.fingerprint for entry in unsaved.entries} & self._entries.keys()
            self._gone |= {each for each in unsaved.gone if each not in self._entries}

    def _room(self, now: int) -> bool:
        if len(self._entries) < self._most:
            return True
        silent = now - HOURS * HOUR_MS
        given_up = [one for one in self._entries.values() if one.resolved is not None or one.last < silent]
        if not given_up:
            return False
        oldest = min(given_up, key=lambda one: one.last).fingerprint
        del self._entries[oldest]
        self._changed.discard(oldest)
        self._gone.add(oldest)
        return True


def _copy(entry: ErrorEntry) -> ErrorEntry:
    return replace(entry, hours=dict(entry.hours))


def _summed(one: Mapping[int, int], other: Mapping[int, int]) -> dict[int, int]:
    return {hour: one.get(hour, 0) + other.get(hour, 0) for hour in one.keys() | other.keys()}
