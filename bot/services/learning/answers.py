"""What is answered about calibration, as plain JSON values and in words; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from research.calibration.evidence import BUY, Closed
from research.calibration.feedback import Feedback, leaning
from research.calibration.maps import IDENTITY, CalibrationMap, Fit, Key, alone, grouped, map_json, maps_in_use
from research.calibration.policy import CalibrationPolicy
from research.calibration.states import LEARNING, SourceState, maps_in_force
from research.calibration.thresholds import threshold_advice

if TYPE_CHECKING:
    from research.calibration.curve import Reliability

_SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known as of `at`, by source; `calibrate` is off, watch or on."""

    at: int
    calibrate: str
    closed: Mapping[str, Sequence[Closed]]
    states: Mapping[str, SourceState]
    feedback: Sequence[Feedback]
    policy: CalibrationPolicy

    def state(self, source: str) -> SourceState:
        """What was decided about a source."""
        return self.states.get(source, LEARNING)

    def maps(self, source: str) -> dict[Key, CalibrationMap]:
        """The maps that a source has now."""
        return maps_in_force(self.closed[source], self.state(source), self.policy)


def calibration(asked: Asked, model: str | None, action: str | None) -> dict[str, object]:
    """Curve, scores and map of every source, model and action; what a source's models have together has the model ''."""
    rows: list[dict[str, object]] = []
    for source, closed in asked.closed.items():
        maps, groups, state = asked.maps(source), grouped(closed), asked.state(source)
        meant = [key for key in sorted({*groups, *maps}) if model in {None, key[1]} and action in {None, key[2]}]
        rows += [_row(key, groups.get(key, ()), maps.get(key, IDENTITY), state) for key in meant]
    told = {"as_of": asked.at, "calibrate": asked.calibrate, "min_trades": asked.policy.min_trades}
    return {**told, "max_shift": asked.policy.max_shift, "calibration": rows, "states": _states(asked)}


def outcomes(asked: Asked, limit: int) -> dict[str, object]:
    """Closed decisions, newest first."""
    said = leaning(asked.feedback, asked.at)
    found = sorted((each for closed in asked.closed.values() for each in closed), key=lambda each: -each.known_at)
    rows = [asdict(each) | {"won": bool(each.won), "feedback": said.get(each.decision)} for each in found[:limit]]
    return {"as_of": asked.at, "closed": len(found), "outcomes": rows}


def thresholds(asked: Asked, *, adjusted: bool) -> dict[str, object]:
    """The advice for each source, and whether it is heeded."""
    rows = []
    for source, closed in asked.closed.items():
        advice = threshold_advice([each for each in closed if each.action == BUY], asked.policy)
        rows.append({"source": source, "frozen": asked.state(source).frozen} | asdict(advice))
    bounds = [asked.policy.threshold_low, asked.policy.threshold_high]
    return {"as_of": asked.at, "adjust_threshold": adjusted, "bounds": bounds, "thresholds": rows}


def insights(asked: Asked) -> dict[str, object]:
    """What there is to say of each source, the weightiest first."""
    from research.calibration.curve import reliability  # noqa: PLC0415 - numpy

    rows = []
    for source, closed in asked.closed.items():
        said: list[str] = []
        maps = asked.maps(source)
        groups = grouped(closed)
        for key, group in groups.items():
            found = None if alone(key, groups) else reliability(group)
            if found is not None:
                said += _said(key, found, maps.get(key, IDENTITY), asked)
        said += _decided(asked.state(source))
        rows.append({"source": source, "insights": said or ["no decision of it has been closed yet"]})
    return {"as_of": asked.at, "insights": rows}


def feedback_json(said: Feedback) -> dict[str, object]:
    """What somebody said, as plain JSON values."""
    return asdict(said) | {"opined": said.opined.value}


def source_state_json(state: SourceState) -> dict[str, object]:
    """What was decided about a source, with the versions of the maps that it is frozen to."""
    maps = [{"model": key[1], "action": key[2], "version": found.version} for key, found in maps_in_use(state.maps).items()]
    told = {"frozen": state.frozen, "since": state.since, "at": state.at, "author": state.author, "note": state.note}
    return {**told, "maps": maps}


def _row(key: Key, closed: Sequence[Closed], found: CalibrationMap, state: SourceState) -> dict[str, object]:
    from research.calibration.curve import reliability  # noqa: PLC0415 - numpy

    source, model, action = key
    record = reliability(closed)
    return {
        "source": source,
        "model": model,
        "action": action,
        "frozen": state.frozen,
        "since": state.since,
        "closed": len(closed),
        "reliability": None if record is None else asdict(record) | {"bins": [asdict(each) for each in record.bins]},
        "map": map_json(found) | {"curve": [[stated, found(stated)] for stated in _SHOWN]},
    }


def _states(asked: Asked) -> list[dict[str, object]]:
    return [
        {"source": source} | source_state_json(state) for source, state in sorted(asked.states.items()) if source in asked.closed
    ]


def _said(key: Key, found: Reliability, used: CalibrationMap, asked: Asked) -> list[str]:
    _, model, action = key
    whose = f"{action} decisions{f' of {model}' if model else ''}"
    said = [f"{whose}: {found.won} of {found.closed} came true ({found.won / found.closed:.0%}), {_average(found.profit)} each"]
    if found.closed < asked.policy.min_trades:
        return [*said, f"{whose}: too few to judge, {asked.policy.min_trades} are needed"]
    stated = sum(each.stated * each.closed for each in found.bins) / found.closed
    real = found.won / found.closed
    if all(each.won_low <= each.stated <= each.won_high for each in found.bins):
        said.append(f"{whose}: what it states is in line with what came true")
    else:
        word = "overconfident" if stated > real else "underconfident"
        said.append(f"{whose}: {word}, it states {stated:.0%} on average where {real:.0%} came true")
    if found.brier.score >= found.brier.uncertainty:
        said.append(f"{whose}: its confidence tells winners from losers no better than always saying {real:.0%}")
    if used.fit is not Fit.IDENTITY:
        said.append(f"{whose}: its {used.fit.value} map makes {stated:.2f} into {used(stated):.2f} ({_use(asked.calibrate)})")
    return said


def _decided(state: SourceState) -> list[str]:
    by = f" by {state.author}" if state.author else ""
    if state.frozen:
        return [f"frozen{by} {'as it was' if maps_in_use(state.maps) else 'to what it states'}; it learns nothing"]
    return [f"begun anew{by}: what was known before is not learnt from"] if state.since else []


def _average(profit: float) -> str:
    return f"a {'gain' if profit >= 0 else 'loss'} of {abs(profit):.2%}"


def _use(calibrate: str) -> str:
    return {"on": "in use", "watch": "only watched: `learning.calibrate` is watch"}.get(calibrate, "`learning.calibrate` is off")
