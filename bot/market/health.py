"""The health of each symbol's data: several causes may trouble it, it is fresh again when the last one is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bot.core.inputs import MarketHealth
from bot.core.market import Health


@dataclass(slots=True)
class HealthBook:
    """Open causes per symbol; `tell` hears of every change of what they add up to (STALE outweighs GAP)."""

    tell: Callable[[MarketHealth], None]
    _causes: dict[str, dict[str, Health]] = field(default_factory=dict)
    _told: dict[str, Health] = field(default_factory=dict)

    def of(self, symbol: str) -> Health | None:
        """What was last told of a symbol; None before anything was."""
        return self._told.get(symbol)

    def mark(self, at: int, symbol: str, cause: str, health: Health, detail: str) -> None:
        """Something troubles the symbol."""
        self._causes.setdefault(symbol, {})[cause] = health
        self._settle(at, symbol, detail)

    def clear(self, at: int, symbol: str, cause: str, detail: str = "") -> None:
        """This trouble is over, or never was: the first clear of a symbol makes it fresh."""
        causes = self._causes.get(symbol)
        if causes:
            causes.pop(cause, None)
        elif self._told.get(symbol) is Health.FRESH:
            return
        self._settle(at, symbol, detail)

    def _settle(self, at: int, symbol: str, detail: str) -> None:
        causes = self._causes.get(symbol, {})
        worst = Health.GAP if causes else Health.FRESH
        if Health.STALE in causes.values():
            worst = Health.STALE
        if self._told.get(symbol) is not worst:
            self._told[symbol] = worst
            self.tell(MarketHealth(at, symbol, worst, detail))
