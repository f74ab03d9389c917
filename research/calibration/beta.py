"""Beta calibration: a rising map of three parameters that contains the identity.

    p = 1 / (1 + exp(-(a * ln(s) - b * ln(1 - s) + c))),  a, b >= 0

Kull, Silva Filho and Flach, "Beta calibration: a well-founded and easily implemented improvement on logistic calibration for
binary classifiers", AISTATS (2017). Fitted by Newton's method to the weighted log-likelihood, less a small penalty for leaving
a = b = 1 and c = 0: it keeps the fit finite where wins and losses can be told apart entirely, and is worth about one decision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from bot.core.values import value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_EDGE = 1e-3
_PENALTY = 1.0
_STEPS = 100
_SMALL = 1e-10

Floats: TypeAlias = "NDArray[np.float64]"


@value
class BetaMap:
    """The parameters; (1, 1, 0) is the identity."""

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __call__(self, stated: float) -> float:
        """The corrected confidence, 0..1. A stated one within 0.001 of 0 or 1 is taken for that far from it."""
        said = min(1.0 - _EDGE, max(_EDGE, stated))
        return _sigmoid(self.a * math.log(said) - self.b * math.log1p(-said) + self.c)


def fit_beta(stated: Sequence[float], won: Sequence[float], weights: Sequence[float]) -> BetaMap:
    """The map that makes these outcomes likeliest; the three have one length. Never falls: a and b are held at 0 or above."""
    import numpy as np  # noqa: PLC0415 - a tenth of a second that whoever only reads maps need not wait

    said = np.clip(np.asarray(stated, dtype=np.float64), _EDGE, 1.0 - _EDGE)
    outcomes, weight = np.asarray(won, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    features = np.column_stack((np.log(said), -np.log1p(-said), np.ones_like(said)))
    # What is fitted is how far it leaves the identity, whose log-odds are these.
    start = features[:, 0] + features[:, 1]
    free = [0, 1, 2]
    change = np.zeros(3)
    for _ in range(3):
        change[free] = _newton(features[:, free], start + features @ _held(change, free), outcomes, weight)
        below = [place for place in free if place < 2 and change[place] < -1.0]
        if not below:
            break
        # As in the paper: the parameter that would make the map fall is held at zero, and the others fitted again.
        worst = min(below, key=lambda place: change[place])
        change[worst] = -1.0
        free.remove(worst)
    return BetaMap(max(0.0, 1.0 + float(change[0])), max(0.0, 1.0 + float(change[1])), float(change[2]))


def _held(change: Floats, free: list[int]) -> Floats:
    held = change.copy()
    held[free] = 0.0
    return held


def _newton(features: Floats, offset: Floats, won: Floats, weight: Floats) -> Floats:
    """The penalised optimum, which is unique: the loss is strictly convex."""
    import numpy as np  # noqa: PLC0415

    found = np.zeros(features.shape[1])
    loss = _loss(found, features, offset, won, weight)
    for _ in range(_STEPS):
        likely = 1.0 / (1.0 + np.exp(-(offset + features @ found)))
        slope = features.T @ (weight * (likely - won)) + _PENALTY * found
        bend = (features.T * (weight * likely * (1.0 - likely))) @ features + _PENALTY * np.eye(len(found))
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while (after := _loss(found - size * step, features, offset, won, weight)) > loss and size > _SMALL:
            size /= 2
        if after > loss:
            break
        found, loss = found - size * step, after
        if float(np.abs(size * step).max()) < _SMALL:
            break
    return found


def _loss(found: Floats, features: Floats, offset: Floats, won: Floats, weight: Floats) -> float:
    import numpy as np  # noqa: PLC0415

    odds = offset + features @ found
    # ln(1 + exp(odds)) - won * odds, without overflow.
    return float((weight * (np.logaddexp(0.0, odds) - won * odds)).sum() + 0.5 * _PENALTY * (found @ found))


def _sigmoid(odds: float) -> float:
    if odds >= 0:
        return 1.0 / (1.0 + math.exp(-min(odds, 700.0)))
    grown = math.exp(max(odds, -700.0))
    return grown / (1.0 + grown)
