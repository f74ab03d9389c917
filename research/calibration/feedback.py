"""What people say of a decision: useful or wrong, with a note. Of each author, the newest word on it counts."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from bot.core.decision import derive_id
from bot.core.values import value
from research.memory.evidence import LAST_MS, text, whole


class Opined(StrEnum):
    """What somebody thinks of a decision."""

    USEFUL = "useful"
    WRONG = "wrong"


@value
class Feedback:
    """One person's word on a decision, `at` ms UTC. Raises `EvidenceError` for text that is not one printable line."""

    decision: str
    opined: Opined
    at: int
    author: str
    note: str = ""

    def __post_init__(self) -> None:
        text("decision", self.decision)
        text("author", self.author)
        text("note", self.note, empty=True)
        whole("at", self.at, LAST_MS)

    @property
    def id(self) -> str:
        """Derived from all it says."""
        return derive_id(self.decision, self.opined.value, self.at, self.author, self.note)


def leaning(feedback: Iterable[Feedback], as_of: int) -> dict[str, float]:
    """By decision, the mean of what its authors last said of it up to `as_of`: from -1, all wrong, to 1, all useful."""
    last: dict[tuple[str, str], Feedback] = {}
    for each in sorted(feedback, key=lambda said: (said.at, said.id)):
        if each.at <= as_of:
            last[each.decision, each.author] = each
    votes: dict[str, list[float]] = {}
    for (decision, _), said in last.items():
        votes.setdefault(decision, []).append(1.0 if said.opined is Opined.USEFUL else -1.0)
    return {decision: sum(given) / len(given) for decision, given in votes.items()}
