"""What the `memory` commands show a person: aligned text, what matters first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.cli.output import table
from bot.cli.screen import clean

Found = Mapping[str, Any]

_SUBJECT = ("symbol", "strategy", "timeframe")
_NOTHING = "nothing is known of that; see `python -m bot memory subjects`"
_EMPTY = "the memory knows nothing yet: trade, or run a backtest with --analyse"


def subjects_lines(found: Found) -> Iterator[str]:
    """A line for each subject."""
    rows = [[*_names(one), _share(one["confidence"]), one["trades"], _proven(one)] for one in found["subjects"]]
    yield from _table([*_SUBJECT, "confidence", "trades", "proven"], rows, _EMPTY)


def confidence_lines(found: Found) -> Iterator[str]:
    """A line for each subject, and what the figures mean."""
    rows = [
        [
            *_names(one),
            _share(one["confidence"]),
            _share(one["quality"]),
            _share(one["credibility"]),
            one["trades"],
            _proven(one),
            f"{one['factor']:.3f}",
        ]
        for one in found["confidence"]
    ]
    yield from _table([*_SUBJECT, "confidence", "quality", "credibility", "trades", "proven", "factor"], rows, _NOTHING)
    if rows:
        yield f"below {found['min_trades']} trades the confidence is 0.5 at most and the factor never above 1"


def parameters_lines(found: Found) -> Iterator[str]:
    """A line for each subject."""
    rows = []
    for one in found["parameters"]:
        told = one["recommended"]
        if told is None:
            rows.append([*_names(one), "the history cannot tell", None, None, None])
        else:
            said = " ".join(f"{name}={value}" for name, value in told["parameters"].items())
            rows.append([*_names(one), said, _share(told["score"]), _share(told["best_score"]), told["neighbours"]])
    yield from _table([*_SUBJECT, "parameters", "score", "best", "neighbours"], rows, _NOTHING)


def recommendations_lines(found: Found) -> Iterator[str]:
    """What to do, subject by subject."""
    for one in found["recommendations"]:
        yield clean(f"{' '.join(_names(one))} ({one['origin']}, {_when(one['known_at'])}, {one['trades']:g} trades)")
        yield f"  rating {one['rating']}, risk {one['risk']}"
        yield from (clean(f"  > {one[name]}") for name in ("position_size", "entries", "overall"))
    if not found["recommendations"]:
        yield _NOTHING


def lessons_lines(found: Found) -> Iterator[str]:
    """Each lesson, the newest last."""
    for one in reversed(found["lessons"]):
        figures, said = one["figures"], one["recommendations"]
        reference = f", {one['reference']}" if one["reference"] else ""
        yield clean(f"{_when(one['known_at'])}  {' '.join(_names(one))} ({one['origin']}{reference})")
        yield f"  rating {one['rating']}, risk {one['risk']}, score {one['score']:.2f}, trades {figures['trades']:g}"
        yield (
            f"  Sharpe {_figure(figures['sharpe'])}, win rate {_share(figures['win_rate'])}, "
            f"drawdown {_share(figures['max_drawdown'])}, profit factor {_figure(figures['profit_factor'])}"
        )
        expected = f"return per trade {_estimate(one['expected_return'])}, Sharpe {_estimate(one['expected_sharpe'])}"
        yield f"  expected: {expected}"
        yield from (clean(f"  - {insight}") for insight in one["insights"])
        yield from (clean(f"  > {said[name]}") for name in ("position_size", "entries", "overall"))
    if not found["lessons"]:
        yield _NOTHING


def history_lines(found: Found) -> Iterator[str]:
    """A table for each subject, with a bar for the eye."""
    for one in found["history"]:
        yield clean(" ".join(_names(one)))
        rows = [
            [_when(point["at"]), _share(point["confidence"]), point["trades"], "#" * round((point["confidence"] or 0.0) * 40)]
            for point in one["points"]
        ]
        yield from table(["at", "confidence", "trades", ""], rows)
    if not found["history"]:
        yield _NOTHING


def _table(head: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> Sequence[str]:
    return table(head, rows) if rows else [empty]


def _names(one: Found) -> list[str]:
    return [str(one[name]) for name in _SUBJECT]


def _proven(one: Found) -> str:
    return "yes" if one["proven"] else "no"


def _share(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.3f}"


def _figure(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.2f}"


def _estimate(told: Found | None) -> str:
    if told is None:
        return "unknown"
    if told["low"] is None or told["high"] is None:
        return f"{told['value']:.3g} (interval unknown)"
    return f"{told['value']:.3g} ({told['low']:.3g} to {told['high']:.3g})"


def _when(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M}"
