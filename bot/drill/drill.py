"""What a drill is: a promise in a sentence, and a play that raises when it is broken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.drill.rig import Ground

Play = Callable[[Ground], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Drill:
    """`play` tries the promise and tells what it saw, within `seconds`; `quick` ones are played in the ordinary suite too."""

    name: str
    promise: str
    play: Play
    quick: bool = False
    seconds: float = 150.0


@dataclass(frozen=True, slots=True)
class Result:
    """How a drill went; `detail` says what was seen, or what was broken and where the pieces are."""

    promise: str
    drill: str
    kept: bool
    detail: str
    seconds: float

    def as_json(self) -> dict[str, object]:
        """As `--json` prints it."""
        return {"promise": self.promise, "drill": self.drill, "kept": self.kept, "detail": self.detail}
