"""Scenarios: what a shock would cost the book. Impacts are signed fractions of equity; below zero is a loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from sources.analysis.returns import ReturnTable
from sources.analysis.tails import Method, compounded, tail_risk
from sources.analysis.values import AnalysisError, Floats, Told, span


@dataclass(frozen=True, slots=True)
class SymbolFalls:
    """One symbol's price falls by `fraction` (of all others nothing is said)."""

    symbol: str
    fraction: float


@dataclass(frozen=True, slots=True)
class AllFall:
    """Every price falls by `fraction`."""

    fraction: float


@dataclass(frozen=True, slots=True)
class Together:
    """The value at risk (normal, no mean) if all positions lose together.

    Of longs that is a correlation of one between all; shorts are taken to lose as well, so that nothing offsets anything.
    """

    level: float = 0.95
    horizon: int = 1


@dataclass(frozen=True, slots=True)
class VolatilityTimes:
    """Every volatility is multiplied: the value at risk (normal, no mean) after that."""

    times: float = 2.0
    level: float = 0.95
    horizon: int = 1


@dataclass(frozen=True, slots=True)
class WorstRun:
    """The worst run of `horizon` periods in the past happens again to the book of today."""

    horizon: int = 1


Shock: TypeAlias = SymbolFalls | AllFall | Together | VolatilityTimes | WorstRun


@dataclass(frozen=True, slots=True)
class ScenarioOutcome(Told):
    """What a shock does: `impact` on equity as a fraction, `money` in the book's currency; None with the reason in `words`."""

    name: str
    impact: float | None
    money: float | None
    by_symbol: Mapping[str, float]
    words: str


def default_shocks(weights: Mapping[str, float], period: int) -> tuple[Shock, ...]:
    """Each symbol -20 %, all -20 %, correlation one, volatility twofold, and the worst day of the past."""
    day = max(1, 86_400_000 // period)
    return (*(SymbolFalls(symbol, 0.2) for symbol in weights), AllFall(0.2), Together(), VolatilityTimes(), WorstRun(day))


def scenarios(
    weights: Mapping[str, float], equity: float, table: ReturnTable, shocks: Sequence[Shock]
) -> tuple[ScenarioOutcome, ...]:
    """Every shock on a book of `weights` (signed fractions of equity) worth `equity`. `table` may lack symbols: that is said.

    Raises `AnalysisError` if a shock's number cannot be used.
    """
    return tuple(_outcome(weights, equity, table, shock) for shock in shocks)


def _outcome(weights: Mapping[str, float], equity: float, table: ReturnTable, shock: Shock) -> ScenarioOutcome:
    match shock:
        case SymbolFalls(symbol, fraction):
            share = _fraction(fraction)
            return _known(f"{symbol} -{share:.0%}", {symbol: -weights.get(symbol, 0.0) * share}, equity)
        case AllFall(fraction):
            share = _fraction(fraction)
            return _known(f"all -{share:.0%}", {symbol: -weight * share for symbol, weight in weights.items()}, equity)
        case Together():
            return _together(weights, equity, table, shock)
        case VolatilityTimes():
            return _more_volatile(weights, equity, table, shock)
        case WorstRun(horizon):
            return _worst(weights, equity, table, horizon)


def _fraction(number: float) -> float:
    if not 0.0 <= number <= 1.0:
        message = f"a price cannot fall by {number:g}: give a fraction in 0..1"
        raise AnalysisError(message)
    return number


def _known(name: str, parts: Mapping[str, float], equity: float) -> ScenarioOutcome:
    impact = math.fsum(parts.values())
    verb = "costs" if impact < 0 else "earns" if impact > 0 else "changes"
    amount = f"{abs(impact):.1%} of equity" if impact else "nothing"
    return ScenarioOutcome(name, impact, impact * equity, parts, f"{name} {verb} {amount}")


def _unknown(name: str, reason: str) -> ScenarioOutcome:
    return ScenarioOutcome(name, None, None, {}, f"{name}: unknown ({reason})")


def _lacking(weights: Mapping[str, float], table: ReturnTable) -> str | None:
    lacking = [symbol for symbol, weight in weights.items() if weight and symbol not in table.symbols]
    if lacking:
        return f"no returns of {', '.join(lacking)}"
    return None if len(table) >= 30 else f"{len(table)} returns are too few"


def _together(weights: Mapping[str, float], equity: float, table: ReturnTable, shock: Together) -> ScenarioOutcome:
    name, reason = "all correlations one", _lacking(weights, table)
    if reason is not None:
        return _unknown(name, reason)
    own = {symbol: -_centred(values, shock.level, shock.horizon) for symbol, values in _parts(weights, table).items()}
    return _at_risk(_known(name, own, equity), shock, table.period)


def _more_volatile(weights: Mapping[str, float], equity: float, table: ReturnTable, shock: VolatilityTimes) -> ScenarioOutcome:
    """Each symbol's part is its share of the sum of what each risks alone."""
    if not (math.isfinite(shock.times) and shock.times > 0):
        message = f"volatility cannot be multiplied by {shock.times}"
        raise AnalysisError(message)
    name, reason = f"volatility x{shock.times:g}", _lacking(weights, table)
    if reason is not None:
        return _unknown(name, reason)
    parts = _parts(weights, table)
    whole = -shock.times * _centred(sum(parts.values(), np.zeros(len(table))), shock.level, shock.horizon)
    alone = {symbol: _centred(values, shock.level, shock.horizon) for symbol, values in parts.items()}
    total = math.fsum(alone.values())
    shares = {symbol: each * whole / total if total else 0.0 for symbol, each in alone.items()}
    return _at_risk(_known(name, shares, equity), shock, table.period)


def _parts(weights: Mapping[str, float], table: ReturnTable) -> dict[str, Floats]:
    """What each position returned, as fractions of equity."""
    return {symbol: np.asarray(table.of(symbol)) * weight for symbol, weight in weights.items() if weight}


def _at_risk(found: ScenarioOutcome, shock: Together | VolatilityTimes, period: int) -> ScenarioOutcome:
    over = span(shock.horizon * period)
    words = f"{found.name}: {-(found.impact or 0.0):.1%} of equity is at risk at {shock.level:.0%} over {over}"
    return replace(found, words=words)


def _centred(returns: Floats, level: float, horizon: int) -> float:
    found = tail_risk(returns - returns.mean(), Method.NORMAL, level, horizon).value_at_risk
    return 0.0 if found is None else found


def _worst(weights: Mapping[str, float], equity: float, table: ReturnTable, horizon: int) -> ScenarioOutcome:
    name = f"worst {span(horizon * table.period)} of the past"
    reason = _lacking(weights, table)
    if reason is None and len(table) < horizon:
        reason = f"{len(table)} returns are too few"
    if reason is not None:
        return _unknown(name, reason)
    held = [symbol for symbol, weight in weights.items() if weight]
    runs = [compounded(np.asarray(table.of(symbol)), horizon) * weights[symbol] for symbol in held]
    if not runs:
        return _known(name, {}, equity)
    worst = int(np.argmin(np.sum(runs, axis=0)))
    return _known(name, {symbol: float(run[worst]) for symbol, run in zip(held, runs, strict=True)}, equity)
