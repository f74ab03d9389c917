"""The timeframes of a snapshot: closes, figures that can be cited, and a word for the trend and the volatility of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

from bot.core.market import Candle, MarketView, timeframe_ms
from sources.llm.wording import tidy

if TYPE_CHECKING:
    from sources.llm.figures import Floats

_STRONG = 20.0  # an ADX from which on a market is said to have a trend
_CALM, _WILD = 0.7, 1.4  # the usual move of the last candles against that of the whole window
_COARSE_FIGURES = (("rsi14", 5.0), ("bb_z", 0.5), ("adx14", 10.0))


class SnapshotError(ValueError):
    """What was given for a snapshot cannot go into one; the message names it."""


class Frames:
    """The timeframes of a symbol: what is told of each, the ids of their figures, and the coarse state of all of them."""

    def __init__(self, symbol: str, timeframes: Sequence[str]) -> None:
        self.symbol = symbol
        self.lengths = {timeframe: _length(timeframe) for timeframe in timeframes}
        self.shortest = min(self.lengths, key=self.lengths.__getitem__, default="")
        self.told: dict[str, Any] = {}
        self.ids: list[str] = []
        self.coarse: list[object] = []
        self.candle_id = ""
        self.close = self.reach = nan  # of the shortest timeframe: its last close, the usual range of a candle

    def read(self, view: MarketView, at: int, *, depth: int, closes: int, digits: int) -> None:
        """Take in the newest candles of every timeframe as they are at `at` (ms UTC)."""
        for timeframe in self.lengths:
            candles = _newest(view.history(self.symbol, timeframe), depth)
            found = self._tell(timeframe, candles, at, closes, digits)
            if timeframe == self.shortest and candles:
                self.candle_id = f"{self.symbol}|{timeframe}|{candles[-1].ts}"
                self.close = candles[-1].close
                self.reach = found["atr14"]

    def _tell(self, timeframe: str, candles: Sequence[Candle], at: int, closes: int, digits: int) -> dict[str, float]:
        from sources.llm.figures import CLOSE, columns, figures  # noqa: PLC0415 - numpy, which who only reads prompts does without

        if not candles:
            self.told[timeframe] = {"candles": 0, "closes": [], "evidence": {}, "trend": "unknown", "volatility": "unknown"}
            self.coarse.append(None)
            return {}
        rows = columns(candles)
        found = figures(rows)
        evidence = {f"{name}@{timeframe}": tidy(value, digits) for name, value in found.items()}
        known = {name: value for name, value in evidence.items() if value is not None}
        self.ids += known
        length, last = self.lengths[timeframe], candles[-1]
        self.told[timeframe] = {
            "candles": len(candles),
            "closed_ago_min": max(0, at - last.ts - length) // 60_000,
            "closes": [tidy(close, digits) for close in rows[CLOSE][max(0, len(candles) - closes) :].tolist()],
            "evidence": evidence,
            "gaps": max(0, (last.ts - candles[0].ts) // length + 1 - len(candles)),
            "last": _last(rows, digits),
            "trend": _trend(found),
            "volatility": _volatility(found),
        }
        self.coarse.append((last.ts, _trend(found), _volatility(found), *(step(found[name], by) for name, by in _COARSE_FIGURES)))
        return found


def _newest(history: Sequence[Candle], depth: int) -> Sequence[Candle]:
    return list(islice(history, max(0, len(history) - depth), None))


def _length(timeframe: str) -> int:
    try:
        return timeframe_ms(timeframe)
    except ValueError as error:
        message = f"timeframes: {error}"
        raise SnapshotError(message) from error


def _last(rows: Floats, digits: int) -> dict[str, float | None]:
    from sources.llm.figures import HIGH, LOW, OPEN, VOLUME  # noqa: PLC0415 - numpy

    named = (("open", OPEN), ("high", HIGH), ("low", LOW), ("volume", VOLUME))
    return {name: tidy(float(rows[row][-1]), digits) for name, row in named}


def _trend(found: Mapping[str, float]) -> str:
    fast, slow, strength = found["ema12"], found["ema26"], found["adx14"]
    if not (isfinite(fast) and isfinite(slow) and isfinite(strength)):
        return "unknown"
    if strength < _STRONG or fast == slow:
        return "flat"
    return "up" if fast > slow else "down"


def _volatility(found: Mapping[str, float]) -> str:
    lately, usual = found["move14"], found["move"]
    if not (isfinite(lately) and usual > 0.0):
        return "unknown"
    ratio = lately / usual
    return "low" if ratio < _CALM else "high" if ratio > _WILD else "normal"


def step(number: float, by: float) -> int | None:
    """The number in steps of `by`; None where there is none."""
    steps = number / by if by else nan
    return round(steps) if abs(steps) < 1e15 else None
