"""What the matching engine tells: executions, balances, lists and transfers, each for one account (its API key)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from simulators.exchange.orders import Fill, OrderList, VenueOrder


class Execution(StrEnum):
    """What happened to an order."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class Executed:
    """Something happened to an order; `order` is a copy of that moment, without its fills."""

    key: str
    order: VenueOrder
    what: Execution
    fill: Fill | None
    ts: int


@dataclass(frozen=True, slots=True)
class BalancesMoved:
    """(asset, free, locked) of the assets that may have changed."""

    key: str
    rows: tuple[tuple[str, Decimal, Decimal], ...]
    ts: int


@dataclass(frozen=True, slots=True)
class Transferred:
    """A deposit, or a withdrawal when negative."""

    key: str
    asset: str
    amount: Decimal
    ts: int


@dataclass(frozen=True, slots=True)
class ListMoved:
    """An order list began, or ended."""

    key: str
    orders: OrderList
    done: bool
    ts: int


Event = Executed | BalancesMoved | Transferred | ListMoved
