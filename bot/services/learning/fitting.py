"""All maps learnt at once, as of a moment; pure, so that it may run in a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from research.calibration.curve import brier_of, error_of
from research.calibration.evidence import BUY, Closed, Part
from research.calibration.feedback import Feedback
from research.calibration.maps import IDENTITY, CalibrationMap, Key, grouped
from research.calibration.policy import CalibrationPolicy
from research.calibration.states import LEARNING, SourceState, closed_since, maps_in_force
from research.calibration.thresholds import threshold_advice


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to learn from: outcomes by source, what people decided about the sources, and what they said."""

    parts: Mapping[str, Sequence[Part]]
    states: Mapping[str, SourceState]
    feedback: Sequence[Feedback]


@dataclass(frozen=True, slots=True)
class Record:
    """How a source, model and action stands. `brier` and the expected calibration `error` are None where nothing is closed."""

    key: Key
    closed: int
    brier: float | None
    error: float | None
    map: CalibrationMap
    frozen: bool


@dataclass(frozen=True, slots=True)
class Fitting:
    """What was learnt from all that was known at `as_of`: the maps in force, the records, and the thresholds by source."""

    as_of: int
    maps: Mapping[Key, CalibrationMap]
    records: Sequence[Record]
    thresholds: Mapping[str, float]


def fitted(known: Known, as_of: int, policy: CalibrationPolicy) -> Fitting:
    """Learn; nothing that became known later than `as_of` counts."""
    maps: dict[Key, CalibrationMap] = {}
    records: list[Record] = []
    thresholds: dict[str, float] = {}
    for source in sorted({*known.parts, *known.states}):
        state = known.states.get(source, LEARNING)
        closed = closed_since(known.parts.get(source, ()), state, as_of, known.feedback, policy)
        ours = maps_in_force(closed, state, policy)
        maps |= ours
        records += _records(grouped(closed), ours, state)
        advised = None if state.frozen else threshold_of(closed, policy)
        if advised is not None:
            thresholds[source] = advised
    return Fitting(as_of, maps, tuple(records), thresholds)


def threshold_of(closed: Sequence[Closed], policy: CalibrationPolicy) -> float | None:
    """The threshold that a source's own buys speak for: a threshold is there to keep it out of trades, not in them."""
    return threshold_advice([each for each in closed if each.action == BUY], policy).threshold


def record_json(record: Record) -> dict[str, object]:
    """How it stands, as plain JSON values."""
    source, model, action = record.key
    told = {"source": source, "model": model, "action": action, "closed": record.closed, "brier": record.brier}
    return {**told, "ece": record.error, "map": record.map.fit.value, "version": record.map.version, "frozen": record.frozen}


def _records(groups: Mapping[Key, Sequence[Closed]], maps: Mapping[Key, CalibrationMap], state: SourceState) -> list[Record]:
    found = []
    for key in sorted({*groups, *maps}):
        closed = groups.get(key, ())
        found.append(Record(key, len(closed), brier_of(closed), error_of(closed), maps.get(key, IDENTITY), state.frozen))
    return found
