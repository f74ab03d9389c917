"""The decision queue: who is heard first, and that nobody is heard twice.

It orders by (tier, -confidence, -created, id) and holds at most one live decision per source and symbol: a newer one supersedes.
A full queue drops its lowest-priority entry, never silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bot.core.decision import Decision

Priority = tuple[int, float, int, str]


def priority(decision: Decision) -> Priority:
    """Sort key: the smallest is heard first."""
    return (decision.tier, -decision.confidence, -decision.created, decision.id)


@dataclass(slots=True)
class DecisionQueue:
    """Decisions that wait to be settled, by symbol and source."""

    bound: int = 1_000
    waiting: dict[str, dict[str, Decision]] = field(default_factory=dict)
    size: int = 0

    def put(self, decision: Decision) -> tuple[Decision | None, Decision | None]:
        """Add a decision; returns the one it superseded and the one that overflowed (which may be itself)."""
        by_source = self.waiting.setdefault(decision.symbol, {})
        superseded = by_source.pop(decision.source, None)
        by_source[decision.source] = decision
        if superseded is None:
            self.size += 1
        if self.size <= self.bound:
            return superseded, None
        lowest = max(self, key=priority)
        self.remove(lowest)
        return superseded, lowest

    def remove(self, decision: Decision) -> bool:
        """Take a decision out; False if it is not waiting."""
        by_source = self.waiting.get(decision.symbol)
        kept = by_source.get(decision.source) if by_source is not None else None
        if by_source is None or kept is None or kept.id != decision.id:
            return False
        del by_source[decision.source]
        self.size -= 1
        if not by_source:
            del self.waiting[decision.symbol]
        return True

    def on(self, symbol: str) -> list[Decision]:
        """Decisions waiting on a symbol, the first to be heard first."""
        by_source = self.waiting.get(symbol)
        if not by_source:
            return []
        return sorted(by_source.values(), key=priority) if len(by_source) > 1 else list(by_source.values())

    def ids(self, symbol: str) -> list[str]:
        """Ids of the decisions waiting on a symbol."""
        return [decision.id for decision in self.waiting.get(symbol, {}).values()]

    def __iter__(self) -> Iterator[Decision]:
        return (decision for by_source in self.waiting.values() for decision in by_source.values())

    def __len__(self) -> int:
        return self.size
