"""What a paper account holds, as a venue counts it: free, and locked by working orders.

Only clearing moves money between the two. On spot nothing ever goes below zero: what is not there cannot be locked, and what
is not locked or free cannot be paid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from bot.core.orders import ZERO


class Balance(NamedTuple):
    """One currency of an account."""

    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        """Free and locked together."""
        return self.free + self.locked


class InsufficientFunds(Exception):  # noqa: N818 - the venue's own word for it
    """More was to be withdrawn than is free."""


@dataclass(slots=True)
class PaperAccount:
    """Balances by currency. `spot` forbids selling what is not held; without it a base balance may become negative: a short."""

    free: dict[str, Decimal] = field(default_factory=dict)
    locked: dict[str, Decimal] = field(default_factory=dict)
    spot: bool = True

    @classmethod
    def of(cls, balances: Mapping[str, Decimal], *, spot: bool = True) -> PaperAccount:
        """An account that begins with these free balances."""
        return cls(dict(balances), {}, spot)

    def available(self, currency: str) -> Decimal:
        """What is free of a currency."""
        return self.free.get(currency, ZERO)

    def total(self, currency: str) -> Decimal:
        """What is held of a currency, free and locked."""
        return self.free.get(currency, ZERO) + self.locked.get(currency, ZERO)

    def move(self, currency: str, amount: Decimal) -> None:
        """A deposit (positive) or withdrawal (negative); `InsufficientFunds` if so much is not free."""
        rest = self.available(currency) + amount
        if amount < 0 and rest < 0:
            free = self.available(currency)
            message = f"{currency}: {-amount} cannot be withdrawn, only {free} is free; cancel orders or ask for less"
            raise InsufficientFunds(message)
        self.free[currency] = rest

    def credit(self, currency: str, amount: Decimal) -> None:
        """Add to what is free."""
        self.free[currency] = self.free.get(currency, ZERO) + amount

    def lock(self, currency: str, amount: Decimal) -> bool:
        """Set an amount aside for an order; False, and nothing done, if it is not free."""
        rest = self.free.get(currency, ZERO) - amount
        if rest < 0:
            return False
        self.free[currency] = rest
        self.locked[currency] = self.locked.get(currency, ZERO) + amount
        return True

    def unlock(self, currency: str, amount: Decimal) -> None:
        """Give back what an order no longer needs."""
        self.locked[currency] -= amount
        self.free[currency] += amount

    def pay(self, currency: str, amount: Decimal, reserved: Decimal) -> Decimal:
        """Pay out of an order's reserve first and the free balance then; returns what is left of the reserve."""
        from_reserve = min(amount, reserved)
        if from_reserve:
            self.locked[currency] -= from_reserve
        if amount != from_reserve:
            self.free[currency] = self.free.get(currency, ZERO) - (amount - from_reserve)
        return reserved - from_reserve

    def balances(self) -> dict[str, Balance]:
        """Every currency ever held, in the order it was first seen."""
        currencies = dict.fromkeys((*self.free, *self.locked))
        return {name: Balance(self.free.get(name, ZERO), self.locked.get(name, ZERO)) for name in currencies}
