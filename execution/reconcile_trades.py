"""The trades of an account: each is followed in the ledger, and those of our orders reach the books.

A list of trades names the venue's order ids alone, on most venues. An order that is not known by it is asked for, and its client
id says whose the trade is; one that nobody can name yet waits, and is asked for again in the next pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from execution.account import TradeReport
from execution.comparison import Ledger, Owner, plain
from execution.questions import Questions
from execution.reconcile_memory import Memory, Pending
from execution.reconcile_orders import Owners
from execution.reconciliation import ReconcileRules
from execution.tracked import Tracked, TrackedOrders

_DENIALS = 3
"""How often the venue must say that it has no such order before a trade of it is a stranger's."""


@dataclass(slots=True)
class TradeFindings:
    """What one pass found of trades."""

    fills: list[TradeReport] = field(default_factory=list)
    sister: list[TradeReport] = field(default_factory=list)
    foreign: list[TradeReport] = field(default_factory=list)


@dataclass(slots=True)
class TradeSweep:
    """One pass over the trades."""

    questions: Questions
    tracked: TrackedOrders
    owners: Owners
    memory: Memory
    rules: ReconcileRules
    found: TradeFindings = field(default_factory=TradeFindings)
    _denied: set[tuple[str, str]] = field(default_factory=set)

    async def read(self, symbols: Sequence[str], ledger: Ledger, missing: Sequence[Tracked], *, history: bool) -> None:
        """List the trades of these symbols, count them, and bring ours to the books.

        As far back as the ledger has not counted, and for orders that are `missing` or lack fills from their own beginning.
        What the ledger begins with is `history`: only trades that may be of a live order are looked into.
        """

        async def ask(symbol: str) -> Sequence[TradeReport]:
            since = self._since(symbol, ledger, missing)
            return await self.questions.ask(f"the trades of {symbol}", lambda: self.questions.account.trades(symbol, since))

        listed = [trade for trades in await self.questions.each(symbols, ask) for trade in trades]
        fresh = ledger.count(listed)
        for trade in listed:
            self._book(trade)
        nameless = {one.request.symbol for one in self.tracked.live() if one.venue_id is None}
        for trade in fresh:
            if not history or trade.symbol in nameless or self.owners.named(trade.symbol, trade.venue_order_id, trade.client_id):
                self.memory.pending[(trade.symbol, trade.id)] = Pending(trade)
        await self._place(history=history)

    def doubtful(self, one: Tracked) -> bool:
        """Whether a trade whose order nobody could name may be of this one."""
        return any(symbol == one.request.symbol for symbol, _ in self.memory.pending)

    def _since(self, symbol: str, ledger: Ledger, missing: Sequence[Tracked]) -> int:
        wanted = [one for one in (*missing, *self.tracked.lacking()) if one.request.symbol == symbol]
        begun = [min(one.request.created, one.since) - self.rules.overlap_ms for one in wanted]
        return max(0, min([ledger.window(symbol).since, *begun]))

    async def _place(self, *, history: bool) -> None:
        """Find out whose the waiting trades are."""
        pending = self.memory.pending
        unnamed = [
            (one.trade.symbol, one.trade.venue_order_id)
            for one in pending.values()
            if not self.owners.named(one.trade.symbol, one.trade.venue_order_id, one.trade.client_id)
        ]
        # Once a pass: whatever the venue said a moment ago, it would say again.
        denied = await self.owners.learn([key for key in unnamed if key not in self._denied])
        self._denied |= denied
        for key, one in list(pending.items()):
            trade = one.trade
            order = (trade.symbol, trade.venue_order_id)
            one.denied += order in denied
            if self.owners.named(*order, trade.client_id) or one.denied >= _DENIALS:
                del pending[key]
                self._sort(trade, history=history)

    def _sort(self, trade: TradeReport, *, history: bool) -> None:
        """A trade whose owner is known, or will never be."""
        client_id = self.owners.client_id(trade.symbol, trade.venue_order_id, trade.client_id)
        match self.owners.of(client_id):
            case Owner.OURS if client_id is not None:
                if self.tracked.of(client_id) is not None:
                    self._book(replace(trade, client_id=client_id))
                elif not history:
                    self.memory.strays.setdefault(client_id, _stray(trade, client_id))
            case Owner.SISTER if not history:
                self.found.sister.append(trade)
            case _ if not history:
                self.found.foreign.append(trade)

    def _book(self, trade: TradeReport) -> None:
        """Bring a trade to the books, if it is of an order that is known."""
        one = self.tracked.of(trade.client_id) if trade.client_id else None
        one = one or self.tracked.of_venue(trade.symbol, trade.venue_order_id)
        if one is not None and trade.id not in one.fill_ids and self.tracked.trade(trade) is not None:
            self.found.fills.append(replace(trade, client_id=one.id))


def _stray(trade: TradeReport, client_id: str) -> str:
    figures = f"{trade.side.value} {plain(trade.amount)} at {plain(trade.price)}"
    return f"{trade.symbol}: trade {trade.id} ({figures}) is of order {client_id}, which carries our prefix and nobody here knows"
