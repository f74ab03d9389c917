"""Desks that several tests of the core begin with."""

from __future__ import annotations

from typing import Any

from bot.core.decision import Decision, Denial
from bot.core.desk import DeskConfig
from bot.core.inputs import TradingState
from bot.core.tracking import TradingRules
from tests.factories import LLM, QC, RULE, DeskHarness, a_config, a_source

OTHER_RULE = "rules:rsi"


def windowed(*changes: tuple[str, dict[str, Any]], config: DeskConfig | None = None) -> DeskHarness:
    """A desk with the default settle windows: none for QuantConnect, 250 ms for the others."""
    extra = dict(changes)
    names = (QC, LLM, RULE, OTHER_RULE)
    specs = [a_source(name, **{"settle_ms": 0 if name == QC else 250, **extra.get(name, {})}) for name in names]
    harness = DeskHarness(config, specs)
    harness.quote(100)
    return harness


def ready(trading: TradingRules | None = None, *, stores: bool = True) -> DeskHarness:
    """A desk that has seen a price of 100."""
    desk = DeskHarness(a_config(trading=trading), stores=stores)
    desk.quote(100)
    return desk


def denial_of(desk: DeskHarness, decision: Decision) -> Denial | None:
    """The denial in a decision's fate."""
    return desk.fates()[decision.id].denial


def state_of(desk: DeskHarness) -> TradingState:
    """The trading state now."""
    return desk.desk.state.risk.state
