"""Desks whose positions are guarded by a stop and a target that rest at the venue, one of which cancels the other."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from bot.core.desk import DeskConfig
from bot.core.inputs import Closing
from bot.core.orders import Leg, Order, OrderType
from bot.core.risk import RiskLimits
from bot.core.tracking import NativeProtection, TradingRules
from tests.core.guards import guards, sold
from tests.factories import BTC, NO_LIMITS, DeskHarness, a_config

PAIRS = TradingRules(native=NativeProtection.BOTH)


def paired_config(limits: RiskLimits = NO_LIMITS, trading: TradingRules = PAIRS, **changes: Any) -> DeskConfig:
    """A desk whose stops and targets also rest at the venue."""
    return a_config(limits, trading=replace(trading, native=NativeProtection.BOTH), **changes)


def paired(desk: DeskHarness | None = None, **levels: Any) -> DeskHarness:
    """A desk that holds ten bought at 100; its stop and its target, at 90 and 120 unless told otherwise, were accepted."""
    desk = desk or DeskHarness(paired_config())
    desk.quote(100)
    desk.buys(**{"stop_loss": 90.0, "take_profit": 120.0, **levels})
    accepted(desk)
    return desk


def accepted(desk: DeskHarness) -> None:
    """The venue has both of the pair."""
    for order in the_pair(desk):
        desk.accept(order.request)


def the_pair(desk: DeskHarness, symbol: str = BTC) -> tuple[Order, Order]:
    """The stop and the target of a symbol, and no other guard."""
    stop, target = sorted(guards(desk, symbol), key=lambda order: order.request.trigger is None)
    assert (stop.request.trigger is None, target.request.trigger is None) == (False, True)
    return stop, target


def closed(desk: DeskHarness, *orders: Order, how: Closing = Closing.CANCELLED) -> None:
    """The venue ends these."""
    for order in orders:
        desk.close(order.filled, order.request, how)


def sells(desk: DeskHarness) -> list[tuple[Leg, Decimal]]:
    """What the desk sells by itself."""
    return [(order.leg, order.amount) for order in sold(desk) if order.type is OrderType.MARKET]


def bought() -> DeskHarness:
    """A desk that holds ten and whose intents the test answers from now on."""
    desk = DeskHarness(paired_config())
    desk.quote(100)
    desk.propose(stop_loss=90.0, take_profit=120.0)
    desk.stores = False
    desk.fill()
    return desk
