"""Who pays. Each try is reserved before it is sent and settled after; what nobody knows the end of stays spent."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from sources.llm.asking import Usage
from sources.llm.models import Candidate


class PurseEmpty(Exception):  # noqa: N818 - a state of the purse, no fault
    """A limit leaves no room for a reservation; the message names the limit. Nothing is reserved."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A reservation."""

    id: str
    candidate: Candidate
    amount: Decimal


class Purse(Protocol):
    """Reserves and settles; each ticket is ended exactly once, by `settle`, `lost` or `release`."""

    async def reserve(self, candidate: Candidate, amount: Decimal) -> Ticket:
        """Set `amount` USD aside, or `PurseEmpty`."""
        ...

    async def settle(self, ticket: Ticket, cost: Decimal, usage: Usage) -> None:
        """The answer arrived and cost this; it may be more than was reserved."""
        ...

    async def lost(self, ticket: Ticket) -> None:
        """Nobody knows whether it was billed: the reservation counts as spent."""
        ...

    async def release(self, ticket: Ticket) -> None:
        """Nothing was sent, or it was refused unbilled: the reservation is free again."""
        ...


class FreePurse:
    """Takes every reservation and adds up what was spent: for tests and for key checks."""

    def __init__(self) -> None:
        self.spent = Decimal(0)
        self.open: dict[str, Ticket] = {}
        self._made = 0

    async def reserve(self, candidate: Candidate, amount: Decimal) -> Ticket:
        """A ticket, always."""
        self._made += 1
        ticket = Ticket(str(self._made), candidate, amount)
        self.open[ticket.id] = ticket
        return ticket

    async def settle(self, ticket: Ticket, cost: Decimal, usage: Usage) -> None:
        """Spend what it cost."""
        del usage
        del self.open[ticket.id]
        self.spent += cost

    async def lost(self, ticket: Ticket) -> None:
        """Spend what was reserved."""
        del self.open[ticket.id]
        self.spent += ticket.amount

    async def release(self, ticket: Ticket) -> None:
        """Spend nothing."""
        del self.open[ticket.id]
