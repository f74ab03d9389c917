"""The look-ahead check: whoever decides by what he knows does not notice that the future changed.

At random moments everything that comes after is scrambled, and the run up to that moment is made again with sources built
anew from the scrambled data. Its decisions and fills must be those of the first run, to the last digit. What a rule knows from
outside the data it is given (a file of its own) cannot be found this way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from bot.core.market import timeframe_ms
from bot.market.recorded import RecordedMarket, RecordedSeries

_SHAKE = 0.1
_SHOWN = 400


class Happened(NamedTuple):
    """A decision or a fill, at a time, as text that holds every digit of it."""

    at: int
    what: str


Run = Callable[[RecordedMarket, int], Sequence[Happened]]
"""Everything that happens in a run of its own over these data, from the first bar to the last that closes at or before a time."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a run with another future, scrambled after `moment`, went another way; None means that nothing happened."""

    moment: int
    at: int
    expected: str | None
    found: str | None


@dataclass(frozen=True, slots=True)
class LookaheadReport:
    """What the check found. `compared` counts the decisions and fills that had to be identical, over all moments."""

    seed: int
    moments: tuple[int, ...]
    compared: int
    difference: Difference | None

    @property
    def passed(self) -> bool:
        """Whether nothing that happened depended on what came later."""
        return self.difference is None

    def as_json(self) -> dict[str, object]:
        """Everything, as plain JSON values."""
        found = self.difference
        return {
            "lookahead": not self.passed,
            "seed": self.seed,
            "moments": list(self.moments),
            "compared": self.compared,
            "first_difference": None
            if found is None
            else {"scrambled_after": found.moment, "at": found.at, "expected": found.expected, "found": found.found},
        }


def check_lookahead(
    market: RecordedMarket, run: Run, *, seed: int, rounds: int = 10, progress: Callable[[int, int], None] | None = None
) -> LookaheadReport:
    """Scramble the future at `rounds` random moments, the earliest first; ends at the first that makes a difference."""
    rng = np.random.default_rng(seed)
    told = progress or (lambda done, total: None)
    times = _closes(market)
    moments = sorted(int(moment) for moment in rng.choice(times[:-1], size=min(rounds, len(times) - 1), replace=False))
    told(0, len(moments) + 1)
    whole = run(market, int(times[-1]))
    compared = 0
    for number, moment in enumerate(moments, 1):
        told(number, len(moments) + 1)
        expected = [each for each in whole if each.at <= moment]
        found = run(scrambled_after(market, moment, rng), moment)
        compared += len(expected)
        difference = _difference(moment, expected, found)
        if difference is not None:
            return LookaheadReport(seed, tuple(moments[:number]), compared, difference)
    told(len(moments) + 1, len(moments) + 1)
    return LookaheadReport(seed, tuple(moments), compared, None)


def scrambled_after(market: RecordedMarket, moment: int, rng: np.random.Generator) -> RecordedMarket:
    """The same market, in which the candles that close after `moment` are shuffled, and each is moved to another price.

    Times stay, and every candle remains one: its four prices move by one factor.
    """
    return replace(market, series={name: _scrambled(series, moment, rng) for name, series in market.series.items()})


def _scrambled(series: RecordedSeries, moment: int, rng: np.random.Generator) -> RecordedSeries:
    known = int(np.searchsorted(series.ts + timeframe_ms(series.timeframe), moment, side="right"))
    later = known + rng.permutation(len(series) - known)
    order = np.concatenate([np.arange(known), later])
    factor = np.concatenate([np.ones(known), np.exp(rng.normal(0.0, _SHAKE, len(later)))])
    return replace(
        series,
        open=series.open[order] * factor,
        high=series.high[order] * factor,
        low=series.low[order] * factor,
        close=series.close[order] * factor,
        volume=series.volume[order],
    )


def _closes(market: RecordedMarket) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Every moment at which a candle closed, rising."""
    return np.unique(np.concatenate([series.ts + timeframe_ms(series.timeframe) for series in market.series.values()]))


def _difference(moment: int, expected: Sequence[Happened], found: Sequence[Happened]) -> Difference | None:
    for number in range(max(len(expected), len(found))):
        before = expected[number] if number < len(expected) else None
        after = found[number] if number < len(found) else None
        if before != after:
            at = min(each.at for each in (before, after) if each is not None)
            return Difference(moment, at, _cut(before), _cut(after))
    return None


def _cut(each: Happened | None) -> str | None:
    return None if each is None else each.what[:_SHOWN]
