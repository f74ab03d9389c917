"""The map from a stated confidence to a calibrated one, learnt from closed decisions.

    p = w * fitted(s) + (1 - w) * s,  w = W / (W + prior_trades),  kept within s - max_shift .. s + max_shift and 0..1

where W is the weight of the closed decisions. The fit is the identity below `min_trades`, a Beta map below `many_trades`, and
isotonic from there on. Each step keeps the order of confidences, so a map never falls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from bot.core.decision import derive_id
from bot.core.values import value
from research.calibration.beta import BetaMap, fit_beta
from research.calibration.evidence import Closed
from research.calibration.isotonic import Point, between, isotonic
from research.calibration.policy import DEFAULT_POLICY, CalibrationPolicy
from research.memory.errors import EvidenceError


class Fit(StrEnum):
    """What kind of map it is."""

    IDENTITY = "identity"
    BETA = "beta"
    ISOTONIC = "isotonic"


Key = tuple[str, str, str]
"""Whose map: source, model, action; the model is empty where all models of a source are meant."""


@value
class CalibrationMap:
    """A learnt map. `closed` decisions are behind it; `share` is what the fit counts against the stated confidence (0..1)."""

    fit: Fit = Fit.IDENTITY
    closed: int = 0
    share: float = 0.0
    max_shift: float = 0.0
    beta: BetaMap = BetaMap()
    points: tuple[Point, ...] = ()

    def __call__(self, stated: float) -> float:
        """The calibrated confidence of a stated one, both 0..1."""
        if self.fit is Fit.IDENTITY:
            return stated
        fitted = self.beta(stated) if self.fit is Fit.BETA else between(self.points, stated)
        mixed = self.share * fitted + (1.0 - self.share) * stated
        bounded = min(max(mixed, stated - self.max_shift), stated + self.max_shift)
        return min(1.0, max(0.0, bounded))

    @property
    def version(self) -> str:
        """Names the map: derived from all that it does."""
        return derive_id(self.fit.value, self.closed, self.share, self.max_shift, self.beta, self.points, length=12)


IDENTITY = CalibrationMap()


def learnt(closed: Sequence[Closed], policy: CalibrationPolicy = DEFAULT_POLICY) -> CalibrationMap:
    """The map that these closed decisions teach, the newest `policy.window` of them."""
    newest = closed[-policy.window :]
    if len(newest) < max(1, policy.min_trades):
        return CalibrationMap(closed=len(newest))
    stated = [each.stated for each in newest]
    won, weights = [float(each.won) for each in newest], [each.weight for each in newest]
    total = math.fsum(weights)
    share = total / (total + policy.prior_trades)
    if len(newest) < policy.many_trades:
        return CalibrationMap(Fit.BETA, len(newest), share, policy.max_shift, beta=fit_beta(stated, won, weights))
    return CalibrationMap(Fit.ISOTONIC, len(newest), share, policy.max_shift, points=isotonic(stated, won, weights))


def grouped(closed: Sequence[Closed]) -> dict[Key, list[Closed]]:
    """By source, model and action; those of sources that name models also as all models of that source."""
    found: dict[Key, list[Closed]] = {}
    for each in closed:
        for model in {each.model: None, "": None}:
            found.setdefault((each.source, model, each.action), []).append(each)
    return dict(sorted(found.items()))


def alone(key: Key, groups: Mapping[Key, Sequence[Closed]]) -> bool:
    """Whether it is the only model of its source, so that what is said of all models says it already."""
    source, model, action = key
    return bool(model) and len(groups.get(key, ())) == len(groups.get((source, "", action), ()))


def maps_of(closed: Sequence[Closed], policy: CalibrationPolicy = DEFAULT_POLICY) -> dict[Key, CalibrationMap]:
    """A map for each group."""
    return {key: learnt(group, policy) for key, group in grouped(closed).items()}


def maps_in_use(maps: Mapping[Key, CalibrationMap]) -> dict[Key, CalibrationMap]:
    """Those that change anything, by key."""
    return {key: found for key, found in sorted(maps.items(), key=lambda item: item[0]) if found.fit is not Fit.IDENTITY}


def map_for(maps: Mapping[Key, CalibrationMap], source: str, model: str, action: str) -> CalibrationMap:
    """The map of that model; while it has none of its own, that of all models of the source."""
    own = maps.get((source, model, action), IDENTITY)
    return own if own.fit is not Fit.IDENTITY else maps.get((source, "", action), IDENTITY)


def map_json(found: CalibrationMap) -> dict[str, object]:
    """A map as plain JSON values."""
    return asdict(found) | {"fit": found.fit.value, "points": [list(point) for point in found.points], "version": found.version}


def map_from(told: Mapping[str, Any]) -> CalibrationMap:
    """A map from `map_json`; `EvidenceError` if it is none."""
    try:
        points = tuple((float(x), float(y)) for x, y in told["points"])
        beta = BetaMap(**{name: float(told["beta"][name]) for name in ("a", "b", "c")})
        fit, closed = Fit(told["fit"]), int(told["closed"])
        return CalibrationMap(fit, closed, float(told["share"]), float(told["max_shift"]), beta, points)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"this is no calibration map: {error!r}; it was written by another version, or changed by hand"
        raise EvidenceError(message) from error
