"""What a language model is asked for: a strategy as data, in a form that every provider can be held to.

Bounds and sense are not this form's business; `bot.services.ideas.specification` judges what comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any

from sources.llm.asking import Schema
from sources.rules.composed import MOST_CONDITIONS, Logic
from sources.rules.conditions import LONGEST_PERIOD, MEANINGS, Measure, Operator

TIMEFRAMES = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
COMPOSED = "composed"
NO_OTHER = "none"


class Template(StrEnum):
    """Families of strategies to begin with."""

    MOMENTUM = "momentum"
    MEAN_REVERSION = "mean_reversion"
    BREAKOUT = "breakout"
    TREND = "trend"
    VOLATILITY = "volatility"

    @property
    def about(self) -> str:
        """What it lives on, in a sentence."""
        return _TEMPLATES[self]


_TEMPLATES: Mapping[Template, str] = {
    Template.MOMENTUM: "momentum: strength goes on for a while; buy a rate of change above zero, leave as it fades",
    Template.MEAN_REVERSION: "mean reversion: what fell too far comes back; buy oversold, leave near the mean",
    Template.BREAKOUT: "breakout: a close above the range begins a move; buy it, leave below a shorter range",
    Template.TREND: "trend: be long while the fast average is above the slow one",
    Template.VOLATILITY: "volatility: calm comes before movement; buy as calm ends, leave when it storms",
}
_NUMBERS = {
    "stop_loss": "stop-loss below the entry, as a fraction of its price, 0.001 to 0.5",
    "take_profit": "take-profit above the entry, as a fraction of its price, at most 5; 0: none",
    "trailing": "trailing stop's distance as a fraction of the price, at most 0.5; 0: none",
    "size_fraction": "part of the usual size, above 0, at most 1",
    "confidence": "how sure its proposals are, above 0, at most 1",
}
_COUNTS = {
    "max_hold_candles": "candles after which it sells in any case; 0: never",
    "cooldown_candles": "candles after a sell in which it does not buy; 0: none",
}


def form(kinds: Sequence[str], symbols: Sequence[str]) -> Schema:
    """The form of the answer: `kinds` are the built-in rules, `symbols` those that may be traded."""
    return Schema("strategy", _body(tuple(kinds), tuple(symbols)))


@cache
def _body(kinds: tuple[str, ...], symbols: tuple[str, ...]) -> Mapping[str, Any]:
    properties: dict[str, Any] = {
        "name": {"type": "string", "description": "a few words, at most 40 letters"},
        "description": {"type": "string", "description": "why it should earn, in at most 300 letters"},
        "rule": _enum([COMPOSED, *kinds], "composed: the conditions below; else a built-in rule with the settings below"),
        "settings": {"type": "array", "items": _setting(), "description": "of a built-in rule; empty for composed"},
        "symbols": {"type": "array", "items": _enum(symbols), "description": "what it trades; empty: all"},
        "timeframe": _enum(TIMEFRAMES, "its candles"),
        **{name: _conditions(about) for name, about in _LISTS.items()},
        **{name: _enum([each.value for each in Logic], about) for name, about in _LOGICS.items()},
        **{name: {"type": "number", "description": about} for name, about in _NUMBERS.items()},
        **{name: {"type": "integer", "description": about} for name, about in _COUNTS.items()},
    }
    return _object(properties)


_LISTS = {"entry": "when to buy", "filters": "what must hold besides for a buy", "exit": "when to sell; at least one way out"}
_LOGICS = {"entry_logic": "whether all or any of `entry` must hold", "exit_logic": "whether all or any of `exit` must hold"}


def _conditions(about: str) -> dict[str, Any]:
    return {"type": "array", "items": _condition(), "description": f"{about}; at most {MOST_CONDITIONS}"}


def _condition() -> dict[str, Any]:
    measures = [each.value for each in Measure]
    period = f"candles, 1 to {LONGEST_PERIOD}; 1 where it has no period"
    number = {"type": ["number", "null"], "description": "the number it is compared with, in its unit; null with `other`"}
    return _object(
        {
            "indicator": _enum(measures, "; ".join(f"{each.value}: {about}" for each, about in MEANINGS.items())),
            "period": {"type": "integer", "description": period},
            "operator": _enum([each.value for each in Operator], "a cross holds only at the candle at which it happens"),
            "value": number,
            "other": _enum([*measures, NO_OTHER], "the indicator of the same unit it is compared with; none with `value`"),
            "other_period": {"type": "integer", "description": period},
        }
    )


def _setting() -> dict[str, Any]:
    return _object({"name": {"type": "string"}, "value": {"type": "number"}})


def _enum(values: Sequence[str], about: str = "") -> dict[str, Any]:
    return {"type": "string", "enum": list(values)} | ({"description": about} if about else {})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties), "additionalProperties": False}
