"""Parameters from the history of backtests: the middle of a good neighbourhood, not the single best.

The best of many backtests is mostly the luckiest. A set of parameters is trusted when the sets beside it did well too: López de
Prado, "Advances in Financial Machine Learning" (2018), chapters 11 and 13, on selection bias and overfitted parameters.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING

from bot.core.values import value
from research.memory.confidence import confidence_in
from research.memory.evidence import BacktestEvidence, Parameters, Scalar
from research.memory.figures import figures_of_backtest
from research.memory.policy import DEFAULT_POLICY, MemoryPolicy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# With fewer neighbours than this a peak cannot be told from a plateau.
_LEAST_NEIGHBOURS = 2
# How many typical results each neighbourhood is thought to hold besides its own: a small one must be better to win.
_SCEPTICISM = 2

Point = tuple[Scalar, ...]


@value
class RobustParameters:
    """A tested set in the middle of the best neighbourhood: `score` is that of the neighbourhood, 0..1, shrunk to the typical.

    `own_score` is what the set itself reached, `best_score` what the single best one did; `neighbours` counts the sets beside it.
    """

    parameters: Parameters
    score: float
    own_score: float
    best_score: float
    neighbours: int


def robust_parameters(backtests: Sequence[BacktestEvidence], policy: MemoryPolicy = DEFAULT_POLICY) -> RobustParameters | None:
    """The set whose neighbourhood did best; None where no set has two neighbours.

    A set's score is the mean confidence of its runs. Two sets are neighbours if every number differs by at most one step among
    the values that were tried, and all else is equal. A neighbourhood's score is (sum + 2 * median of all sets) / (members + 2).
    Only the names of parameters that most runs share are compared. Of equals the set that sorts first wins.
    """
    import numpy as np  # noqa: PLC0415 - a tenth of a second that whoever imports the memory need not wait

    names, scores = _scored(backtests, policy)
    if not scores:
        return None
    points = list(scores)
    places, reached = _placed(points), np.array([scores[point] for point in points])
    typical = median(scores.values())
    found: list[tuple[float, float, str, Point, int]] = []
    for place, point in zip(places, points, strict=True):
        members = reached[np.abs(places - place).max(axis=1) <= 1]
        if len(members) > _LEAST_NEIGHBOURS:
            mean = (float(members.sum()) + _SCEPTICISM * typical) / (len(members) + _SCEPTICISM)
            found.append((-mean, -scores[point], repr(point), point, len(members) - 1))
    if not found:
        return None
    mean, own, _, point, neighbours = min(found, key=lambda each: each[:3])
    return RobustParameters(dict(zip(names, point, strict=True)), -mean, -own, max(scores.values()), neighbours)


def _scored(backtests: Sequence[BacktestEvidence], policy: MemoryPolicy) -> tuple[tuple[str, ...], dict[Point, float]]:
    """The commonest names, and the mean score of each set of values for them."""
    shapes = Counter(tuple(sorted(each.parameters)) for each in backtests if each.parameters)
    if not shapes:
        return (), {}
    names = min(shapes, key=lambda shape: (-shapes[shape], shape))
    runs: defaultdict[Point, list[float]] = defaultdict(list)
    for each in backtests:
        if tuple(sorted(each.parameters)) == names:
            point = tuple(each.parameters[name] for name in names)
            runs[point].append(confidence_in(figures_of_backtest(each), policy).value)
    return names, {point: fmean(scores) for point, scores in runs.items()}


def _placed(points: Sequence[Point]) -> npt.NDArray[np.int64]:
    """Each point as whole numbers, one per parameter, such that neighbours differ by at most one in each."""
    import numpy as np  # noqa: PLC0415

    columns = [_ranks(column) for column in zip(*points, strict=True)]
    return np.array(columns, np.int64).T


def _ranks(column: Sequence[Scalar]) -> list[int]:
    """Numbers by their order among those tried; what is no number lies two apart, so that only the same is beside it."""
    numbers = sorted({each for each in column if not isinstance(each, bool | str)})
    others = sorted({_name(each) for each in column if isinstance(each, bool | str)})
    rank_of = {each: rank for rank, each in enumerate(numbers)}
    place_of = {name: len(numbers) + 1 + 2 * place for place, name in enumerate(others)}
    return [place_of[_name(each)] if isinstance(each, bool | str) else rank_of[each] for each in column]


def _name(given: bool | str) -> str:
    return f"{type(given).__name__}:{given}"
