"""Desks whose positions are guarded by a stop that rests at the venue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.core.desk import DeskConfig
from bot.core.orders import Order, OrderRequest
from bot.core.risk import RiskLimits
from bot.core.tracking import NativeProtection, TradingRules
from tests.factories import BTC, NO_LIMITS, DeskHarness, a_config

NATIVE = TradingRules(native=NativeProtection.STOP)


def guarded_config(limits: RiskLimits = NO_LIMITS, trading: TradingRules = NATIVE, **changes: Any) -> DeskConfig:
    """A desk whose stops also rest at the venue."""
    return a_config(limits, trading=replace(trading, native=NativeProtection.STOP), **changes)


def guarded(desk: DeskHarness | None = None, **levels: Any) -> DeskHarness:
    """A desk that holds ten bought at 100; its stop, at 90 unless told otherwise, was sent and accepted."""
    desk = desk or DeskHarness(guarded_config())
    desk.quote(100)
    desk.buys(**(levels or {"stop_loss": 90.0}))
    desk.accept(the_guard(desk).request)
    return desk


def guards(desk: DeskHarness, symbol: str = BTC) -> list[Order]:
    """Every guard of a symbol that has not ended."""
    return [order for order in desk.desk.state.working.values() if order.request.guards and order.request.symbol == symbol]


def the_guard(desk: DeskHarness, symbol: str = BTC) -> Order:
    """The one guard of a symbol."""
    (guard,) = guards(desk, symbol)
    return guard


def sold(desk: DeskHarness) -> list[OrderRequest]:
    """Orders sent that sell and are no guards."""
    return [order for order in desk.venue.orders if order.side.value == "sell" and not order.guards]
