"""What can be traded against at this moment: the displayed book, less what was already taken from it.

The market refreshes its book with every quote; until then nobody gets the same lot twice.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from bot.core.market import Side
from bot.market.simulated import Book
from simulators.exchange.orders import ZERO

Level = tuple[Decimal, Decimal]


class Floor(Protocol):
    """The market at this moment, by symbol."""

    def shown(self, symbol: str) -> Book:
        """The book around the newest quote; its `sequence` rises with every quote."""
        ...

    def last(self, symbol: str) -> float:
        """The price of the newest trade."""
        ...


def exactly(value: float) -> Decimal:
    """The decimal that a float of the market was printed from."""
    return Decimal(repr(value))


class Depth:
    """Liquidity by symbol."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._taken: dict[str, tuple[int, dict[tuple[Side, Decimal], Decimal]]] = {}

    def last(self, symbol: str) -> Decimal:
        """The price of the newest trade."""
        return exactly(self._floor.last(symbol))

    def offers(self, symbol: str, taker: Side, limit: Decimal | None, step: Decimal) -> list[Level]:
        """What a taker of this side gets, best first, no worse than `limit`, in whole multiples of `step`."""
        book = self._floor.shown(symbol)
        taken = self._of(symbol, book.sequence)
        found: list[Level] = []
        for price, amount in book.asks if taker is Side.BUY else book.bids:
            exact = exactly(price)
            if limit is not None and (exact - limit) * taker.sign > 0:
                break
            left = exactly(amount) - taken.get((taker, exact), ZERO)
            if left >= step:
                found.append((exact, left // step * step))
        return found

    def take(self, symbol: str, taker: Side, price: Decimal, amount: Decimal) -> None:
        """Nobody else gets this."""
        taken = self._of(symbol, self._floor.shown(symbol).sequence)
        taken[(taker, price)] = taken.get((taker, price), ZERO) + amount

    def queue(self, symbol: str, side: Side, price: Decimal) -> Decimal:
        """How much is displayed at a price on the side of a resting order: it came first."""
        book = self._floor.shown(symbol)
        levels = book.bids if side is Side.BUY else book.asks
        return sum((exactly(amount) for shown, amount in levels if exactly(shown) == price), ZERO)

    def touch(self, symbol: str) -> tuple[Decimal, Decimal]:
        """Best bid and best ask."""
        book = self._floor.shown(symbol)
        return exactly(book.bids[0][0]), exactly(book.asks[0][0])

    def _of(self, symbol: str, sequence: int) -> dict[tuple[Side, Decimal], Decimal]:
        known = self._taken.get(symbol)
        if known is None or known[0] != sequence:
            known = self._taken[symbol] = (sequence, {})
        return known[1]
