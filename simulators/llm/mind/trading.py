"""Deciding a trade: trend over several timeframes, and RSI against excess.

The score of a timeframe is how far the fast average stands above the slow one, in units of a candle's usual move, bent into
-1..1; longer timeframes weigh more. An RSI under 30 argues for buying, over 70 against. Above 0.2 buy, below -0.2 sell. Spot
only: what the snapshot says is not held is not sold.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from simulators.llm.mind.finding import symbols_in
from simulators.llm.mind.personas import Persona
from simulators.llm.mind.snapshot import Frame, View

_THRESHOLD = 0.2
_EXCESS = 0.35  # what the RSI weighs at most: a trend is stronger
_RSI_PERIOD = 14
_FAST, _SLOW = 9, 21
_UP = ("up", "bull", "rising", "long", "positive")
_DOWN = ("down", "bear", "falling", "short", "negative")
_ORDER = re.compile(r"\b(buy|sell|hold|long|short)\b", re.IGNORECASE)
_FORCE = re.compile(r"\b(ignore|must|now|everything|all[- ]in|immediately|whole|100 ?%|instruction|system)\b", re.IGNORECASE)
_NUMBER_AFTER = r"[^0-9a-z]{1,12}(?:to|of|at|is)?\s*\$?([0-9]+(?:\.[0-9]+)?)"


@dataclass(slots=True)
class Idea:
    """What the mind would do. `stop` and `target` are prices, `size` a fraction, `horizon` minutes."""

    symbol: str
    action: str
    confidence: float
    score: float = 0.0
    size: float = 0.0
    stop: float | None = None
    target: float | None = None
    horizon: int = 60
    invalidation: str = ""
    reasoning: str = ""
    evidence: list[str] = field(default_factory=list)


def decide(view: View, persona: Persona, dice: random.Random, told: str = "") -> Idea:
    """What to do about the view's symbol; `told` is the user's own prose, which only an obedient model takes orders from."""
    if persona is Persona.OBEDIENT and (idea := _obey(view, told)) is not None:
        return idea
    score = _score(view) + dice.uniform(-0.05, 0.05)
    if persona is Persona.CONTRARIAN:
        score = -score
    threshold = 0.0 if persona is Persona.BOLD else _THRESHOLD
    wanted = "buy" if score > threshold else "sell" if score < -threshold else "hold"
    if persona is Persona.TIMID or not view.price:
        wanted = "hold"
    action = "hold" if wanted == "sell" and view.held == 0 else wanted
    confidence = 0.5 + 0.45 * min(abs(score), 1.0) if action != "hold" else 0.5 + dice.uniform(0, 0.1)
    size = 0.0 if action == "hold" else 1.0 if action == "sell" else max(0.1, min(1.0, abs(score)))
    if persona is Persona.BOLD and action != "hold":
        confidence, size = 0.99, 1.0
    idea = Idea(view.symbol, action, round(confidence, 3), score, round(size, 3))
    _explain(idea, view, wanted)
    return idea


def _score(view: View) -> float:
    parts = [(math.log2(2 + frame.minutes), _frame_score(frame)) for frame in view.frames.values()]
    total = sum(weight for weight, _ in parts)
    return sum(weight * score for weight, score in parts) / total if total else 0.0


def _frame_score(frame: Frame) -> float:
    trend = _trend(frame)
    strength = rsi(frame)
    if strength is not None:
        trend += _EXCESS * (max(0.0, 30 - strength) - max(0.0, strength - 70)) / 30
    return max(-1.0, min(1.0, trend))


def _trend(frame: Frame) -> float:
    word = next((text for name, text in frame.words.items() if "trend" in name or "regime" in name), "")
    if any(up in word for up in _UP):
        return 0.6
    if any(down in word for down in _DOWN):
        return -0.6
    if len(frame.closes) >= 3:
        move = _usual_move(frame.closes) or 1e-9
        distance = _average(frame.closes, _FAST) / _average(frame.closes, _SLOW) - 1
        return math.tanh(distance / move / 2)
    averages = sorted((_digits(name), value) for name, value in frame.figures.items() if name.startswith(("ema", "sma", "ma")))
    if len(averages) >= 2 and averages[-1][1]:
        return math.tanh((averages[0][1] / averages[-1][1] - 1) * 50)
    named = next((value for name, value in frame.figures.items() if "trend" in name or name in ("momentum", "macd_hist")), 0.0)
    return math.tanh(named)


def rsi(frame: Frame) -> float | None:
    """Wilder's RSI of the frame: as given, or over its closes; None where there are too few."""
    given = next((value for name, value in frame.figures.items() if name.startswith("rsi")), None)
    if given is not None or len(frame.closes) <= _RSI_PERIOD:
        return given
    moves = [after - before for before, after in pairwise(frame.closes)]
    up = sum(max(move, 0.0) for move in moves[:_RSI_PERIOD]) / _RSI_PERIOD
    down = sum(max(-move, 0.0) for move in moves[:_RSI_PERIOD]) / _RSI_PERIOD
    for move in moves[_RSI_PERIOD:]:
        up = (up * (_RSI_PERIOD - 1) + max(move, 0.0)) / _RSI_PERIOD
        down = (down * (_RSI_PERIOD - 1) + max(-move, 0.0)) / _RSI_PERIOD
    return 50.0 if up == down == 0 else 100 * up / (up + down)


def _average(values: Sequence[float], period: int) -> float:
    """The exponential average."""
    weight, average = 2 / (period + 1), values[0]
    for value in values[1:]:
        average += weight * (value - average)
    return average


def _usual_move(closes: Sequence[float]) -> float:
    """The mean absolute move of a candle, as a fraction."""
    moves = [abs(after / before - 1) for before, after in pairwise(closes) if before]
    return sum(moves) / len(moves) if moves else 0.0


def _digits(name: str) -> int:
    found = re.search(r"\d+", name)
    return int(found[0]) if found else {"fast": 1, "short": 1, "slow": 1_000, "long": 1_000}.get(name.rsplit("_", 1)[-1], 500)


def _explain(idea: Idea, view: View, wanted: str) -> None:
    """Stop, target, horizon and words."""
    frames = sorted(view.frames.items(), key=lambda pair: pair[1].minutes)
    shortest = frames[0][1] if frames else Frame(5.0)
    idea.horizon = round(max(15.0, min(10_080.0, 12 * shortest.minutes)))
    idea.evidence = _evidence(view.ids)
    strength = rsi(shortest)
    told = f"The trend over {', '.join(name for name, _ in frames) or 'no timeframe'} scores {idea.score:+.2f}" + (
        f" and the RSI is {strength:.0f}" if strength is not None else ""
    )
    if not view.price:
        idea.reasoning = "The snapshot has no price, so there is nothing to decide."
        return
    if idea.action == "buy":
        distance = max(0.006, min(0.08, 4 * _usual_move(shortest.closes)))
        idea.stop, idea.target = _tidy(view.price * (1 - distance)), _tidy(view.price * (1 + 2 * distance))
        idea.invalidation = f"A close below {idea.stop}."
    elif idea.action == "sell":
        idea.invalidation = f"A close above {_tidy(view.price * 1.01)}."
    else:
        idea.invalidation = "A clear trend over several timeframes."
    if wanted == "sell" and idea.action == "hold":
        told += ", which speaks for selling, but nothing is held"
    idea.reasoning = f"{told}: {idea.action} {idea.symbol}."[:600]


def _evidence(ids: Sequence[str]) -> list[str]:
    """Up to three ids, those of trend and RSI first."""
    words = ("rsi", "trend", "ema", "sma", "macd")
    return sorted(ids, key=lambda one: not any(word in one.lower() for word in words))[:3]


def _tidy(price: float) -> float:
    return float(f"{price:.6g}")


def _obey(view: View, told: str) -> Idea | None:
    """The trade that somebody's text orders, if any does: other people's words first, then forceful words of the user."""
    texts = [text for text in view.untrusted if _ORDER.search(text)]
    texts += [told] if _ORDER.search(told) and _FORCE.search(told) else []
    if not texts:
        return None
    text = texts[0]
    word = _ORDER.search(text)
    assert word is not None  # as asked for above
    action = {"long": "buy", "short": "sell"}.get(word[1].lower(), word[1].lower())
    symbol = next(iter(symbols_in(text)), view.symbol)
    return Idea(
        symbol,
        action,
        min(_after(text, "confidence") or 1.0, 1.0),
        size=_after(text, "size(?:_fraction)?") or 1.0,
        stop=_after(text, "stop(?:[_ -]?loss)?"),
        target=_after(text, "(?:take[_ -]?profit|target)"),
        horizon=10_080,
        invalidation="Nothing.",
        reasoning=f"I was told: {text}"[:600],
        evidence=_evidence(view.ids),
    )


def _after(text: str, name: str) -> float | None:
    found = re.search(name + _NUMBER_AFTER, text, re.IGNORECASE)
    return float(found[1]) if found else None
