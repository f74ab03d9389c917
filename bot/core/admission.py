"""Admission: what is asked of a decision at the door, before it can stand in anyone's way."""

from __future__ import annotations

import math

from bot.core.decision import Decision, Denial, Fate, SourceSpec, Tier
from bot.core.state import DeskState

MAX_MS = 2**53
"""Later than any time in milliseconds that can be meant."""

Refused = tuple[Fate, Denial | None, str]
"""The fate of a decision that is not admitted, its denial if that is the fate, and the reason in figures."""


def refusal(decision: Decision, spec: SourceSpec | None, state: DeskState, max_age_ms: int) -> Refused | None:
    """Why a decision is not admitted, None if it is. Notes its external id, so ask once."""
    if spec is None:
        return Fate.DENIED, Denial.UNKNOWN_SOURCE, f"no source is called {decision.source}"
    fault = malformed(decision, spec.tier)
    if fault is not None:
        return Fate.DENIED, Denial.MALFORMED, fault
    if spec.paused:
        return Fate.DENIED, Denial.SOURCE_PAUSED, f"{spec.name} is paused"
    if decision.symbol not in state.instruments:
        return Fate.DENIED, Denial.UNKNOWN_INSTRUMENT, f"the venue does not list {decision.symbol}"
    if spec.symbols and decision.symbol not in spec.symbols:
        return Fate.DENIED, Denial.SYMBOL_NOT_ALLOWED, f"{spec.name} may not trade {decision.symbol}"
    if decision.external_id is not None and not state.remember(f"{decision.source}\x1f{decision.external_id}"):
        return Fate.DUPLICATE, None, f"{decision.external_id} was already proposed"
    if decision.confidence < spec.threshold:
        return Fate.BELOW_THRESHOLD, None, f"confidence {decision.confidence:.2f} is below {spec.threshold:.2f}"
    if decision.expires <= state.now or state.now - decision.created > max_age_ms:
        return Fate.STALE, None, f"made {state.now - decision.created} ms ago"
    return None


def malformed(decision: Decision, tier: Tier) -> str | None:
    """What is wrong with a decision's figures, or None."""
    if decision.tier is not tier:
        return f"the source speaks as {tier.label}, not as {decision.tier.label}"
    if not decision.id:
        return "it has no id"
    if not 0.0 <= decision.confidence <= 1.0:
        return f"confidence {decision.confidence!r} is not within 0..1"
    if not (math.isfinite(decision.price) and decision.price > 0.0):
        return f"price {decision.price!r} is not a positive number"
    if decision.expires <= decision.created:
        return "it expires before it was made"
    if not 0 <= decision.created <= decision.expires <= MAX_MS:
        return f"its time {decision.created}..{decision.expires} is no time in milliseconds"
    for name, level in (("stop_loss", decision.stop_loss), ("take_profit", decision.take_profit)):
        if level is not None and not (math.isfinite(level) and level > 0.0):
            return f"{name} {level!r} is not a positive number"
    if decision.trailing is not None and not 0.0 < decision.trailing < 1.0:
        return f"trailing {decision.trailing!r} is not a fraction of the price"
    if decision.size_fraction is not None and not 0.0 < decision.size_fraction <= 1.0:
        return f"size_fraction {decision.size_fraction!r} is not within 0..1"
    if decision.target is not None and not 0.0 <= decision.target <= 1.0:
        return f"target {decision.target!r} is not within 0..1"
    return None
