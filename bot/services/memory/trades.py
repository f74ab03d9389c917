"""Trades from closed lots: what one decision opened is one trade, in however many parts it was closed.

Lots close first in, first out. Consecutive closings on one symbol are parts of one trade if side, opener and opening decision
are the same and the lot was open before the part before it was closed: what a decision opens again after it had left is another
trade. A part below 1 % of what was closed before it is the dust of an exit, and does not count. What a trade is follows from the
closings alone, so a journal read again gives the same trades; positions only say sooner that nothing of one is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from bot.core.decision import derive_id
from bot.core.market import Side
from bot.core.values import value
from research.memory.evidence import Subject, TradeEvidence

_DUST = Decimal("0.01")


class ClosedPart(Protocol):
    """A closed lot or part of one: the desk's `LotClosed`, or the journal's row of it."""

    @property
    def at(self) -> int: ...  # noqa: D102 - the names are those of `LotClosed`
    @property
    def symbol(self) -> str: ...  # noqa: D102
    @property
    def side(self) -> Side: ...  # noqa: D102
    @property
    def amount(self) -> Decimal: ...  # noqa: D102
    @property
    def entry(self) -> Decimal: ...  # noqa: D102
    @property
    def opened(self) -> int: ...  # noqa: D102
    @property
    def opener(self) -> str: ...  # noqa: D102
    @property
    def opening_decision(self) -> str | None: ...  # noqa: D102
    @property
    def pnl(self) -> Decimal: ...  # noqa: D102


@value
class ClosedTrade:
    """One trade of one source. `profit` is its net return on what it cost to open; times are ms UTC."""

    symbol: str
    source: str
    decision: str
    opened: int
    closed: int
    profit: float

    def evidence(self, subject: Subject, book: str = "") -> TradeEvidence:
        """What it teaches of a subject; `book` says whose books it was in. Known when its last part was closed."""
        return TradeEvidence(
            subject.symbol,
            subject.strategy,
            subject.timeframe,
            known_at=self.closed,
            opened=min(self.opened, self.closed),
            closed=self.closed,
            profit=self.profit,
            reference=f"{book} {self.decision}".strip(),
        )


@dataclass(slots=True)
class _Closing:
    """What has closed of a trade so far."""

    key: tuple[Side, str, str]
    symbol: str
    opened: int
    closed: int
    amount: Decimal
    cost: Decimal
    pnl: Decimal
    told: bool = False

    @classmethod
    def of(cls, part: ClosedPart) -> _Closing:
        return cls(_key(part), part.symbol, part.opened, part.at, part.amount, part.amount * part.entry, part.pnl)

    def holds(self, part: ClosedPart) -> bool:
        return self.key == _key(part) and part.opened < self.closed

    def add(self, part: ClosedPart) -> None:
        if part.amount < self.amount * _DUST:
            return
        self.opened, self.closed = min(self.opened, part.opened), part.at
        self.amount += part.amount
        self.cost += part.amount * part.entry
        self.pnl += part.pnl

    def trade(self) -> ClosedTrade:
        self.told = True
        _, source, decision = self.key
        return ClosedTrade(self.symbol, source, decision, self.opened, self.closed, float(self.pnl / self.cost))


class Closings:
    """Gathers the closed parts of each symbol, in the order in which they were closed, into trades."""

    def __init__(self) -> None:
        self._closing: dict[str, _Closing] = {}

    def closed(self, part: ClosedPart, *, cut: bool = False) -> ClosedTrade | None:
        """Take a closed part; the trade before it, if this one belongs to another.

        `cut`: parts before this one may be missing, so the trade that begins with it is never told.
        """
        before = self._closing.get(part.symbol)
        if before is not None and before.holds(part):
            # What was told is over: what still comes of it is dust.
            if not before.told:
                before.add(part)
            return None
        begun = self._closing[part.symbol] = _Closing.of(part)
        begun.told = cut
        return before.trade() if before is not None and not before.told else None

    def position(self, symbol: str, amount: Decimal, opener: str | None) -> ClosedTrade | None:
        """Hear of a position, signed, and who opened its oldest lot; the trade that it leaves nothing of."""
        found = self._closing.get(symbol)
        if found is None or found.told:
            return None
        side, source, _ = found.key
        left = amount * side.sign
        gone = left <= 0 or left < found.amount * _DUST or opener != source
        return found.trade() if gone else None

    def rest(self) -> list[ClosedTrade]:
        """What is not over yet, as far as it was closed: at the end of the data."""
        return [closing.trade() for closing in self._closing.values() if not closing.told]


def trades_of(parts: Iterable[ClosedPart]) -> list[ClosedTrade]:
    """All the trades of closings that are in the order in which they were closed, by the time they ended."""
    closings = Closings()
    found = [trade for part in parts if (trade := closings.closed(part)) is not None]
    return sorted([*found, *closings.rest()], key=lambda trade: (trade.closed, trade.symbol, trade.opened))


def by_subject(trades: Iterable[ClosedTrade]) -> Mapping[tuple[str, str], list[ClosedTrade]]:
    """Trades by (source, symbol)."""
    found: dict[tuple[str, str], list[ClosedTrade]] = {}
    for trade in trades:
        found.setdefault((trade.source, trade.symbol), []).append(trade)
    return found


def _key(part: ClosedPart) -> tuple[Side, str, str]:
    """Same key, same opening. Lots that no decision opened are told apart by when they were opened."""
    return part.side, part.opener, part.opening_decision or derive_id(part.symbol, part.opener, part.opened)
