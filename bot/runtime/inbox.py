"""The inbox: one ordered stream out of many.

What must not wait goes first: broker updates (never dropped, counted), then commands, candles and health. Proposals (a bounded
channel that sources await), public trades (bounded, the oldest dropped and counted) and quotes, which conflate per symbol, take
turns: a source that never stops talking must not hide the price from a stop-loss.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import cycle
from time import perf_counter

from bot.core.inputs import Input
from bot.core.market import Quote, Trade
from bot.market.conflate import Conflator

Arrival = tuple[Input | Trade, float]
_LANES_IN_TURN = 3


class Inbox:
    """Where everything that reaches the desk waits. One task takes, anyone on the loop puts."""

    def __init__(self, proposals: int = 256, trades: int = 50_000) -> None:
        self._broker: deque[Arrival] = deque()
        self._commands: deque[Arrival] = deque()
        self._proposals: deque[Arrival] = deque()
        self._market: deque[Arrival] = deque()
        self._trades: deque[Arrival] = deque()
        self._quotes = Conflator()
        self._quoted: dict[str, float] = {}
        self._turns = cycle((self._take_proposal, self._take_trade, self._take_quote))
        self._proposal_room = asyncio.Semaphore(proposals)
        self._trade_bound = trades
        self._waiter: asyncio.Future[None] | None = None
        self._wake = False
        self.trades_dropped = 0
        self.deepest = 0

    def __len__(self) -> int:
        queues = (self._broker, self._commands, self._proposals, self._market, self._trades)
        return sum(map(len, queues)) + len(self._quotes)

    @property
    def broker_depth(self) -> int:
        """Broker updates that wait."""
        return len(self._broker)

    @property
    def command_depth(self) -> int:
        """Commands that wait."""
        return len(self._commands)

    def depths(self) -> dict[str, float]:
        """What waits, by lane."""
        return {
            "broker": len(self._broker),
            "commands": len(self._commands),
            "market": len(self._market),
            "proposals": len(self._proposals),
            "trades": len(self._trades),
            "quotes": len(self._quotes),
        }

    @property
    def conflated(self) -> int:
        """Quotes that a newer one of their symbol absorbed before the desk saw them."""
        return self._quotes.conflated

    def put_broker(self, event: Input) -> None:
        """A broker's or the journal's answer. Never dropped, never waits."""
        self._broker.append((event, perf_counter()))
        self._ring()

    def put_command(self, event: Input) -> None:
        """A command, a change of sources, a cash movement."""
        self._commands.append((event, perf_counter()))
        self._ring()

    async def put_proposal(self, event: Input) -> None:
        """A source's word; waits while too many wait already."""
        await self._proposal_room.acquire()
        self._proposals.append((event, perf_counter()))
        self._ring()

    def put_market(self, event: Input) -> None:
        """A closed candle, a change of health or of an instrument. Never dropped."""
        self._market.append((event, perf_counter()))
        self._ring()

    def put_trade(self, trade: Trade) -> None:
        """A public trade; the oldest is dropped, counted, when too many wait."""
        if len(self._trades) >= self._trade_bound:
            self._trades.popleft()
            self.trades_dropped += 1
        self._trades.append((trade, perf_counter()))
        self._ring()

    def put_quote(self, quote: Quote) -> None:
        """A quote; it absorbs the one of its symbol that still waits."""
        if self._quotes.put(quote):
            self._quoted[quote.symbol] = perf_counter()
        self._ring()

    def wake(self) -> None:
        """A timer is due."""
        self._wake = True
        self._ring()

    def take(self) -> Arrival | None:
        """The next thing to handle and when it arrived, None when nothing waits."""
        if self._broker:
            return self._broker.popleft()
        if self._commands:
            return self._commands.popleft()
        if self._market:
            return self._market.popleft()
        for _ in range(_LANES_IN_TURN):
            arrival = next(self._turns)()
            if arrival is not None:
                return arrival
        return None

    def _take_proposal(self) -> Arrival | None:
        if not self._proposals:
            return None
        self._proposal_room.release()
        return self._proposals.popleft()

    def _take_trade(self) -> Arrival | None:
        return self._trades.popleft() if self._trades else None

    def _take_quote(self) -> Arrival | None:
        quote = self._quotes.pop()
        return None if quote is None else (quote, self._quoted.pop(quote.symbol))

    def take_wake(self) -> bool:
        """Whether a timer rang since the last time."""
        rang, self._wake = self._wake, False
        return rang

    async def wait(self) -> None:
        """Until there is something to take; others get the loop at least once."""
        depth = len(self)
        self.deepest = max(self.deepest, depth)
        if depth or self._wake:
            await asyncio.sleep(0)
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _ring(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
