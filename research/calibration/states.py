"""What people decided about a source's calibration: frozen as it is, frozen to nothing, or begun anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from bot.core.values import value
from research.calibration.evidence import Closed, Part, closed_of
from research.calibration.feedback import Feedback
from research.calibration.maps import CalibrationMap, Key, map_from, map_json, maps_of
from research.calibration.policy import CalibrationPolicy
from research.memory.errors import EvidenceError


@value
class SourceState:
    """`frozen`: the maps stay `maps`, and whatever has none there stays as stated; nothing is learnt into them.

    Only what became known after `since` is learnt from. `at` (ms UTC), `author` and `note` are of the last change.
    """

    frozen: bool = False
    since: int = 0
    maps: Mapping[Key, CalibrationMap] = field(default_factory=dict, hash=False)
    at: int = 0
    author: str = ""
    note: str = ""


LEARNING = SourceState()


def closed_since(
    parts: Iterable[Part], state: SourceState, as_of: int, feedback: Sequence[Feedback], policy: CalibrationPolicy
) -> list[Closed]:
    """The closed decisions that a source is judged by as of a moment: those known after it was reset, if it was by then."""
    known = closed_of(parts, as_of, feedback, policy)
    return [each for each in known if each.known_at > state.since] if state.since <= as_of else known


def maps_in_force(closed: Sequence[Closed], state: SourceState, policy: CalibrationPolicy) -> dict[Key, CalibrationMap]:
    """The maps of one source: the frozen ones, else what its closed decisions teach."""
    return dict(state.maps) if state.frozen else maps_of(closed, policy)


def state_json(state: SourceState) -> dict[str, object]:
    """A state as plain JSON values."""
    maps = [[*key, map_json(found)] for key, found in sorted(state.maps.items(), key=lambda item: item[0])]
    told = {"frozen": state.frozen, "since": state.since, "at": state.at, "author": state.author, "note": state.note}
    return {**told, "maps": maps}


def state_from(told: Mapping[str, Any]) -> SourceState:
    """From `state_json`; `EvidenceError` if it is none."""
    try:
        maps = {(str(source), str(model), str(action)): map_from(body) for source, model, action, body in told["maps"]}
        return SourceState(
            bool(told["frozen"]), int(told["since"]), maps, int(told["at"]), str(told["author"]), str(told["note"])
        )
    except (KeyError, TypeError, ValueError) as error:
        message = f"this is no state of a calibration: {error!r}; it was written by another version, or changed by hand"
        raise EvidenceError(message) from error
