"""Quotes conflate per symbol: the newest wins and carries the extremes since the last one handled: no stop between is missed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from bot.core.market import Quote


class Conflator:
    """Pending quotes, at most one per symbol, taken in the order in which their symbols began to wait.

    A busy symbol cannot starve a quiet one: a newer quote takes the place of the older in the queue, not a new place.
    """

    __slots__ = ("_pending", "_queue", "accepted", "conflated")

    def __init__(self) -> None:
        self._pending: dict[str, Quote] = {}
        self._queue: deque[str] = deque()
        self.accepted = 0
        self.conflated = 0

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, quote: Quote) -> bool:
        """Take a quote; true if nothing was pending for its symbol, false if it replaced an older one."""
        self.accepted += 1
        older = self._pending.get(quote.symbol)
        if older is None:
            self._pending[quote.symbol] = quote
            self._queue.append(quote.symbol)
            return True
        self._pending[quote.symbol] = quote.conflated_with(older)
        self.conflated += 1
        return False

    def pop(self) -> Quote | None:
        """The quote of the symbol that has waited longest; None if nothing is pending."""
        return self._pending.pop(self._queue.popleft()) if self._queue else None

    def drain(self) -> Iterator[Quote]:
        """Everything pending now; what arrives while it is handled waits for the next call."""
        for _ in range(len(self._queue)):
            yield self._pending.pop(self._queue.popleft())
