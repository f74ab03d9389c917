"""A strategy from a sentence: its keywords choose a template, its numbers the periods."""

from __future__ import annotations

import re
from typing import Any

from simulators.llm.mind.finding import symbols_in

_TIMEFRAME = re.compile(r"\b(\d{1,2})\s*-?(m|h|d|min|minutes?|hours?|days?)\b")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s?%")
_COINS = {
    "bitcoin": "BTC/USDT",
    "btc": "BTC/USDT",
    "ethereum": "ETH/USDT",
    "eth": "ETH/USDT",
    "solana": "SOL/USDT",
    "xrp": "XRP/USDT",
}
_KEYWORDS = (
    ("mean_reversion", ("mean rever", "oversold", "overbought", "dip", "rsi", "bollinger", "revert", "snap back")),
    ("breakout", ("breakout", "break out", "breaks", "channel", "new high", "donchian", "range")),
    ("volatility", ("volatil", "atr", "squeeze", "calm", "storm")),
    ("momentum", ("momentum", "strength", "macd", "roc", "winners", "acceler")),
    ("trend", ("trend", "cross", "moving average", "sma", "ema", "follow")),
)  # fmt: skip


def _condition(
    indicator: str, period: int, operator: str, value: float | None, other: str = "", slow: int | None = None
) -> dict[str, Any]:
    """A condition under the names by which schemas may ask for it."""
    right: Any = value if value is not None else other
    return {
        "indicator": indicator, "left": indicator, "name": indicator, "period": period, "window": period, "length": period,
        "operator": operator, "op": operator, "comparison": operator, "value": value, "threshold": value, "level": value,
        "right": right, "other": other or None, "compare_to": other or None, "other_period": slow, "right_period": slow,
    }  # fmt: skip


_TEMPLATES: dict[str, tuple[str, list[dict[str, Any]], list[dict[str, Any]], dict[str, float]]] = {
    "momentum": (
        "Buys strength and leaves when it fades.",
        [_condition("roc", 20, ">", 0.0), _condition("rsi", 14, ">", 55.0)],
        [_condition("rsi", 14, "<", 45.0)],
        {"period": 20, "window": 20, "lookback": 20, "rsi_period": 14},
    ),
    "mean_reversion": (
        "Buys what has fallen too far and sells the recovery.",
        [_condition("rsi", 14, "<", 30.0)],
        [_condition("rsi", 14, ">", 55.0)],
        {"period": 14, "window": 14, "rsi_period": 14, "oversold": 30, "overbought": 55, "lower": 30, "upper": 55},
    ),
    "breakout": (
        "Buys a close above the range and leaves below its middle.",
        [_condition("close", 1, ">", None, "highest", 20)],
        [_condition("close", 1, "<", None, "lowest", 10)],
        {"period": 20, "window": 20, "lookback": 20, "exit_period": 10},
    ),
    "trend": (
        "Is long while the fast average stands above the slow one.",
        [_condition("ema", 12, ">", None, "ema", 26)],
        [_condition("ema", 12, "<", None, "ema", 26)],
        {"fast": 12, "slow": 26, "fast_period": 12, "slow_period": 26, "period": 26},
    ),
    "volatility": (
        "Buys calm that begins to move and leaves when it storms.",
        [_condition("atr", 14, "<", 0.02), _condition("close", 1, ">", None, "sma", 20)],
        [_condition("atr", 14, ">", 0.05)],
        {"period": 14, "window": 14, "atr_period": 14, "multiplier": 2.0},
    ),
}  # fmt: skip


def knowledge(sentence: str) -> dict[str, Any]:
    """What a rule specification may ask for, by name."""
    lower = sentence.lower()
    family = next((name for name, words in _KEYWORDS if any(word in lower for word in words)), "trend")
    about, entry, exit_, parameters = _TEMPLATES[family]
    symbols = symbols_in(sentence) or [pair for word, pair in _COINS.items() if word in re.findall(r"[a-z]+", lower)]
    symbols = list(dict.fromkeys(symbols)) or ["BTC/USDT"]
    timeframe = _timeframe(lower)
    stop, target = _percent(lower, "stop", 0.03), _percent(lower, "target|profit|take", 0.06)
    known: dict[str, Any] = {**parameters}
    known |= dict.fromkeys(("family", "template", "kind", "style", "type", "strategy"), family)
    known |= dict.fromkeys(("name", "title"), f"{family.replace('_', '-')}-{symbols[0].split('/')[0].lower()}")
    known |= dict.fromkeys(("description", "rationale", "hypothesis", "thesis", "reasoning", "summary"), about)
    known |= dict.fromkeys(
        ("entry", "entries", "entry_rules", "entry_conditions", "enter", "buy", "buy_when", "conditions", "rows"), entry
    )
    known |= dict.fromkeys(("exit", "exits", "exit_rules", "exit_conditions", "leave", "sell", "sell_when"), exit_)
    known |= dict.fromkeys(("stop_loss", "stop", "stop_loss_fraction", "stop_fraction"), stop)
    known |= dict.fromkeys(("take_profit", "target", "take_profit_fraction", "target_fraction"), target)
    known |= dict.fromkeys(("symbols", "universe", "instruments"), symbols)
    known |= dict.fromkeys(("parameters", "params"), parameters)
    known |= dict.fromkeys(("indicators",), entry + exit_)
    return known | {
        "symbol": symbols[0], "timeframe": timeframe, "timeframes": [timeframe], "size_fraction": 0.5, "confidence": 0.6,
        "direction": "long", "side": "long", "action": "buy", "logic": "all", "cooldown_candles": 3, "cool_down": 3,
        "invalidation": "The stop.", "risks": ["Fees eat it where the market goes sideways."], "max_hold_candles": 100,
    }  # fmt: skip


def _timeframe(lower: str) -> str:
    found = _TIMEFRAME.search(lower)
    if found:
        return f"{found[1]}{found[2][0]}"
    return "1h" if "hour" in lower else "1d" if "daily" in lower or "day" in lower else "15m"


def _percent(lower: str, words: str, otherwise: float) -> float:
    """The percentage that stands near a word, as a fraction."""
    for found in _PERCENT.finditer(lower):
        around = lower[max(0, found.start() - 25) : found.end() + 25]
        if re.search(words, around):
            return round(float(found[1]) / 100, 6)
    return otherwise
