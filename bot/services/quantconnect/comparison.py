"""Backtests side by side, in the cloud and local alike: figures with the best marked, curves from a common start, correlations.

Every figure is computed by the same formulas (`bot.backtest.statistics`), wherever the run was; what the service itself reports
is not mixed in. Curves are of days (UTC), each begins at 100.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from bot.services.use_case import UseCaseError

if TYPE_CHECKING:
    from bot.backtest.result import BacktestResult
    from bot.services.quantconnect.conversion import CloudResult

DAY_MS = 86_400_000
BASE = 100.0
LEAST_RETURNS = 3
"""Fewer common days give no correlation."""

Unit = Literal["fraction", "ratio", "money", "ms", "count"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of `Statistics`. `better` is +1 where more is better, -1 where less is, 0 where neither."""

    name: str
    unit: Unit
    better: int


FIGURES: tuple[Figure, ...] = (
    Figure("total_return", "fraction", 1),
    Figure("cagr", "fraction", 1),
    Figure("sharpe", "ratio", 1),
    Figure("sortino", "ratio", 1),
    Figure("calmar", "ratio", 1),
    Figure("max_drawdown", "fraction", -1),
    Figure("max_drawdown_ms", "ms", -1),
    Figure("trades", "count", 0),
    Figure("win_rate", "fraction", 1),
    Figure("profit_factor", "ratio", 1),
    Figure("average_trade", "money", 0),
    Figure("best_trade", "money", 0),
    Figure("worst_trade", "money", 0),
    Figure("exposure", "fraction", 0),
    Figure("fees", "money", 0),
    Figure("equity_start", "money", 0),
    Figure("equity_end", "money", 0),
    Figure("days", "count", 0),
)


@dataclass(frozen=True, slots=True)
class Contender:
    """One backtest: its figures by name, its equity at the start and at the end of each day (days since 1970)."""

    name: str
    currency: str
    start: float | None
    figures: Mapping[str, float | None]
    days: Mapping[int, float]

    @classmethod
    def of(cls, result: CloudResult | BacktestResult, name: str) -> Contender:
        """Of a result. One without any equity has no figures."""
        statistics = result.statistics
        figures = {} if statistics is None else statistics.as_json()
        return cls(name, result.currency, figures.get("equity_start"), figures, _days(result.daily()))

    @classmethod
    def read(cls, name: str, body: Mapping[str, object]) -> Contender:
        """Of a result that was written as JSON; `UseCaseError` if it is none."""
        figures = {figure.name: _number(name, figure.name, body.get(figure.name)) for figure in FIGURES}
        rows = body.get("daily_equity")
        if not isinstance(rows, list) or not any(value is not None for value in figures.values()):
            message = f"{name}: this is no result of a backtest; give one written with --json, or by --out of `qc backtest`"
            raise UseCaseError(message)
        points = [_point(name, row) for row in rows]
        return cls(name, str(body.get("currency") or ""), figures["equity_start"], figures, _days(points))

    def rebased(self) -> dict[int, float]:
        """The curve by day, as if it had begun at 100."""
        first = self.start or next((self.days[day] for day in sorted(self.days)), None)
        return {} if not first else {day: BASE * self.days[day] / first for day in sorted(self.days)}

    def returns(self) -> dict[int, float]:
        """Return of each day that has an earlier one, against that."""
        days = sorted(self.days)
        return {day: self.days[day] / self.days[before] - 1.0 for before, day in pairwise(days)}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of all; `best` are the places of the best, several where they are equal, none where nobody wins."""

    name: str
    unit: Unit
    values: tuple[float | None, ...]
    best: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several backtests. `curves` has one row per day: its time (ms UTC, the end of the day) and the equity of each from 100.

    `correlation` is that of the daily returns, None where two have too few days in common or one of them never moved.
    """

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    curves: tuple[tuple[int, tuple[float | None, ...]], ...]
    correlation: tuple[tuple[float | None, ...], ...]
    notices: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """All of it as plain JSON values."""
        return {
            "names": list(self.names),
            "figures": [asdict(row) | {"values": list(row.values), "best": list(row.best)} for row in self.rows],
            "curves": [[at, *values] for at, values in self.curves],
            "correlation": [list(row) for row in self.correlation],
            "notices": list(self.notices),
        }


def compare(contenders: Sequence[Contender]) -> Comparison:
    """Side by side, in the order given."""
    curves = [each.rebased() for each in contenders]
    days = sorted({day for curve in curves for day in curve})
    returns = [each.returns() for each in contenders]
    return Comparison(
        names=tuple(each.name for each in contenders),
        rows=tuple(_row(figure, [each.figures.get(figure.name) for each in contenders]) for figure in FIGURES),
        curves=tuple(((day + 1) * DAY_MS, tuple(curve.get(day) for curve in curves)) for day in days),
        correlation=tuple(tuple(_correlation(one, other) for other in returns) for one in returns),
        notices=tuple(_notices(contenders)),
    )


def _row(figure: Figure, values: Sequence[float | None]) -> Row:
    known = [value for value in values if value is not None]
    best: tuple[int, ...] = ()
    if figure.better and len(known) > 1:
        winner = max(known) if figure.better > 0 else min(known)
        best = tuple(place for place, value in enumerate(values) if value == winner)
    return Row(figure.name, figure.unit, tuple(values), () if len(best) == len(values) else best)


def _correlation(one: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    """Pearson's, over the days that both have."""
    common = sorted(one.keys() & other.keys())
    if len(common) < LEAST_RETURNS:
        return None
    first, second = [one[day] for day in common], [other[day] for day in common]
    middle, other_middle = math.fsum(first) / len(common), math.fsum(second) / len(common)
    spread = math.fsum((value - middle) ** 2 for value in first)
    other_spread = math.fsum((value - other_middle) ** 2 for value in second)
    noise = len(common) * 1e-24  # equal returns have a spread of rounding, not of zero
    if spread <= noise * (1.0 + abs(middle)) ** 2 or other_spread <= noise * (1.0 + abs(other_middle)) ** 2:
        return None
    together = math.fsum((a - middle) * (b - other_middle) for a, b in zip(first, second, strict=True))
    return max(-1.0, min(1.0, together / (math.sqrt(spread) * math.sqrt(other_spread))))


def _notices(contenders: Sequence[Contender]) -> Iterable[str]:
    spans = {(min(each.days), max(each.days)) for each in contenders if each.days}
    if len(spans) > 1:
        yield "they cover different days: their returns and drawdowns are of different markets"
    if len({each.currency for each in contenders}) > 1:
        yield "they are in different currencies: compare no money"
    for each in contenders:
        if not each.days:
            yield f"{each.name} has no equity curve"


def _days(points: Iterable[tuple[int, float]]) -> dict[int, float]:
    return {(at - 1) // DAY_MS: worth for at, worth in points if worth > 0}


def _number(name: str, key: str, given: object) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        message = f"{name}: {key} is {given!r:.60}, no number; give a result as it was written"
        raise UseCaseError(message)
    return given


def _point(name: str, row: object) -> tuple[int, float]:
    match row:
        case [int(at), int() | float() as worth] if math.isfinite(worth):
            return at, worth
    message = f"{name}: daily_equity holds {row!r:.60}, no pair of a time and an equity; give a result as it was written"
    raise UseCaseError(message)
