"""Gates: whether enough has changed since the last question about a symbol to pay for another one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bot.core.market import timeframe_ms
from sources.llm.params import GateParams
from sources.llm.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Seen:
    """What there was when somebody was last asked about a symbol. `amount` is what was held."""

    at: int
    candle: str
    price: float | None
    figures: Mapping[str, float]
    amount: str

    @classmethod
    def of(cls, snapshot: Snapshot, params: GateParams, amount: str) -> Seen:
        """What the gates will compare with."""
        figures = figures_of(snapshot)
        kept = {name: figures[name] for name in params.indicators if name in figures}
        return cls(snapshot.at, snapshot.candle_id, snapshot.price, kept, amount)


def figures_of(snapshot: Snapshot) -> dict[str, float]:
    """The figures of all timeframes, by their ids; those that are not known are left out."""
    frames = snapshot.body["timeframes"].values()
    return {name: value for frame in frames for name, value in frame["evidence"].items() if value is not None}


def shut(params: GateParams, snapshot: Snapshot, amount: str, last: Seen | None) -> str | None:
    """Why nobody need be asked, None if somebody should. `amount` is what is held now."""
    if last is None:
        return None
    if params.at_least_every is not None and snapshot.at - last.at >= timeframe_ms(params.at_least_every):
        return None
    if params.candle and snapshot.candle_id == last.candle:
        return "no candle has closed since"
    if not params.of_change:
        return None
    if params.position and amount != last.amount:
        return None
    if params.price is not None and _moved(snapshot.price, last.price) >= params.price:
        return None
    figures = figures_of(snapshot)
    if any(_differ(figures.get(name), last.figures.get(name)) >= by for name, by in params.indicators.items()):
        return None
    return "nothing has changed enough"


def _moved(price: float | None, before: float | None) -> float:
    if price is None or not before:
        return math.inf  # what cannot be compared has changed
    return abs(price / before - 1.0)


def _differ(value: float | None, before: float | None) -> float:
    if value is None or before is None:
        return 0.0 if value is before else math.inf
    return abs(value - before)
