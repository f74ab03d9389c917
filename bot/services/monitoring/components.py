"""The parts of a running bot: each says how it is when it is looked at, and since when is remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

log = structlog.get_logger(__name__)


class State(StrEnum):
    """How a part is; `off` is one that nobody wants in this run."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Seen:
    """A part as it is now: what is told of it, and how often it was started again."""

    state: State
    detail: str = ""
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Component:
    """A part; `since` is when it was first seen in this state (ms UTC)."""

    name: str
    state: State
    since: int
    detail: str
    restarts: int

    def told(self) -> dict[str, object]:
        """As plain JSON."""
        return {
            "name": self.name,
            "state": self.state.value,
            "since": self.since,
            "detail": self.detail,
            "restarts": self.restarts,
        }


Look = Callable[[], Mapping[str, Seen]]
"""Looks at one part or several, by name; it must not wait."""


@dataclass(slots=True)
class Watch:
    """Looks at everything and remembers since when it is so. A look that fails is a part that is down, and is counted."""

    looks: Mapping[str, Look]
    failures: int = 0
    _since: dict[str, tuple[State, int]] = field(default_factory=dict)

    def look(self, now: int) -> list[Component]:
        """Every part as it is at `now` (ms)."""
        seen: dict[str, Seen] = {}
        for name, look in self.looks.items():
            try:
                seen.update(look())
            except Exception as error:  # the boundary to rooms that may be half-way down
                self.failures += 1
                if self.failures == 1:
                    log.warning("component_unreadable", component=name, exc_info=True)
                seen[name] = Seen(State.DOWN, f"it cannot be looked at: {type(error).__name__}")
        self._since = {name: self._held(name, one.state, now) for name, one in seen.items()}
        return [Component(name, one.state, self._since[name][1], one.detail, one.restarts) for name, one in seen.items()]

    def _held(self, name: str, state: State, now: int) -> tuple[State, int]:
        before = self._since.get(name)
        return before if before is not None and before[0] is state else (state, now)


def worst(components: Iterable[Component]) -> State:
    """The state of the whole: that of its worst part."""
    states = {one.state for one in components}
    return next((state for state in (State.DOWN, State.DEGRADED) if state in states), State.OK)
