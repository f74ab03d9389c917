"""The account of a drill: `VenueAccount` straight on the simulator's matching engine, over a network that fails by a schedule.

A request travels, the venue acts, the answer travels back; each of the three can fail, and what the venue did is done whoever
hears of it. When a process dies nothing more of it reaches the venue, but what was on its way arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from bot.core.orders import OrderRequest
from bot.core.values import value
from bot.drill.virtual.chance import Chance
from bot.drill.virtual.loop import VirtualLoop
from bot.drill.virtual.mischief import Mischief
from bot.drill.virtual.reports import bare, report_of, ticket_of, trade_of
from bot.drill.virtual.schedule import How, Moment, Op, Thing
from bot.drill.virtual.stream import Connection, Message
from bot.drill.virtual.venue import PERSON_PREFIX, SISTER_PREFIX, VirtualVenue
from execution.account import (
    AccountError,
    AccountSink,
    BalanceReport,
    NotFound,
    NotSent,
    OrderReport,
    Permissions,
    ReadFailed,
    Refused,
    TradeReport,
    TransferReport,
    Unknown,
)
from simulators.exchange.accounts import Account
from simulators.exchange.events import Event, Executed
from simulators.exchange.orders import OrderRefused, VenueOrder

T = TypeVar("T")


_NEVER_ARRIVE = frozenset({How.LOST_BEFORE, How.HUNG_BEFORE})
_USUAL, _LATE = (0.002, 0.06), (0.5, 4.0)
_RETRY_MS = 1_500
_PATIENCE = 5.0
_RECV_WINDOW_MS = 3_000
_RECONNECT = 0.5


@value
class Manner:
    """How the venue answers. `terse`: a create with ids alone, as OKX does. `names`: a list of trades tells client ids."""

    terse: bool = False
    names: bool = False


class Wire:
    """The network around the venue, for all processes of a run: its faults, its delays, and who is connected."""

    def __init__(self, loop: VirtualLoop, venue: VirtualVenue, chance: Chance, mischief: Mischief) -> None:
        self.loop = loop
        self.venue = venue
        self.chance = chance
        self.mischief = mischief
        self.manner = Manner(terse=chance.draw("terse").random() < 0.5, names=chance.draw("names").random() < 0.3)
        self.on_moment: Callable[[Moment], None] = lambda moment: None
        self.connections: list[tuple[Connection, AccountSink]] = []
        venue.engine.sinks.append(self._heard)

    def disconnect(self, reason: str) -> None:
        """Every stream breaks."""
        for connection, _ in self.connections:
            connection.end(reason)

    def _heard(self, event: Event) -> None:
        if not isinstance(event, Executed):
            return
        ours = not event.order.client_id.startswith((PERSON_PREFIX, SISTER_PREFIX))
        if ours and event.fill is not None:
            self.on_moment(Moment.TRADED)
        for connection, sink in self.connections:
            connection.push(self._message(event, sink))

    def _message(self, event: Executed, sink: AccountSink) -> Message:
        report = report_of(event.order)
        if event.fill is None:
            return (lambda: sink.on_order(report),)
        trade = trade_of(event.fill, event.order.client_id)
        calls = (lambda: sink.on_order(report), lambda: sink.on_trade(trade))
        return calls if self.manner.terse else calls[::-1]


class EngineAccount:
    """One process's way to the account. After `sever` nothing it asks reaches the venue, and nothing reaches it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._alive = True

    def sever(self) -> None:
        """The process is dead."""
        self._alive = False

    async def create(self, request: OrderRequest) -> OrderReport:
        """Send an order, once."""
        self._wire.on_moment(Moment.SENT)
        sent, terse = self._wire.loop.now(), self._wire.manner.terse

        def act() -> OrderReport:
            self._in_time(sent)
            try:
                order = self._wire.venue.engine.place(self._venue_account, ticket_of(request), self._wire.loop.now())
            except OrderRefused as refusal:
                raise Refused(str(refusal)) from None
            self._wire.on_moment(Moment.ACCEPTED)
            return bare(order) if terse else report_of(order, order.fills)

        return await self._call(Op.CREATE, act, Unknown)

    async def create_pair(self, stop: OrderRequest, target: OrderRequest) -> tuple[OrderReport, OrderReport]:
        """Send two orders of which one cancels the other, once."""
        self._wire.on_moment(Moment.SENT)
        sent, terse = self._wire.loop.now(), self._wire.manner.terse
        tickets = ticket_of(stop), ticket_of(replace(target, post_only=True))

        def act() -> tuple[OrderReport, OrderReport]:
            self._in_time(sent)
            try:
                pair = self._wire.venue.engine.place_pair(self._venue_account, tickets, "", self._wire.loop.now())
            except OrderRefused as refusal:
                raise Refused(str(refusal)) from None
            self._wire.on_moment(Moment.ACCEPTED)
            first, second = (bare(order) if terse else report_of(order, order.fills) for order in pair.orders)
            return first, second

        return await self._call(Op.CREATE, act, Unknown)

    async def cancel(self, symbol: str, client_id: str, venue_id: str | None) -> OrderReport | None:
        """Cancel an order."""
        self._wire.on_moment(Moment.CANCEL_SENT)
        sent, terse = self._wire.loop.now(), self._wire.manner.terse

        def act() -> OrderReport | None:
            self._in_time(sent)
            order = self._find(symbol, client_id, venue_id)
            if not order.status.open:
                message = "the order is over"
                raise NotFound(message)
            self._wire.venue.engine.cancel(self._venue_account, order, self._wire.loop.now())
            self._wire.on_moment(Moment.CANCELLED)
            return None if terse else report_of(order)

        return await self._call(Op.CANCEL, act, Unknown)

    async def order(self, symbol: str, client_id: str | None, venue_id: str | None = None) -> OrderReport:
        """Ask for one order."""

        def act() -> OrderReport:
            if self._wire.mischief.omits(Thing.ORDER):
                message = "the venue says that it has no such order"
                raise NotFound(message)
            return report_of(self._find(symbol, client_id, venue_id))

        return await self._call(Op.ORDER, act, ReadFailed)

    async def open_orders(self, symbols: Sequence[str]) -> Sequence[OrderReport]:
        """Every open order of the account on these symbols."""

        def act() -> Sequence[OrderReport]:
            found = [report_of(order) for order in self._venue_account.open.values() if order.symbol in symbols]
            return found[:-1] if found and self._wire.mischief.omits(Thing.ORDER) else found

        return await self._call(Op.OPEN_ORDERS, act, ReadFailed)

    async def trades(self, symbol: str, since: int) -> Sequence[TradeReport]:
        """Every trade of the account on a symbol from `since` on."""

        def act() -> Sequence[TradeReport]:
            fills = [fill for fill in self._venue_account.fills if fill.symbol == symbol and fill.ts >= since]
            if fills and self._wire.mischief.omits(Thing.TRADE):
                fills = fills[:-1]
            names = self._wire.manner.names
            orders = self._venue_account.orders
            return [trade_of(fill, orders[fill.order_id].client_id if names else None) for fill in fills]

        return await self._call(Op.TRADES, act, ReadFailed)

    async def balances(self) -> Mapping[str, BalanceReport]:
        """What the account holds."""

        def act() -> Mapping[str, BalanceReport]:
            held = self._venue_account.balances
            found = {asset: BalanceReport(balance.free, balance.locked) for asset, balance in held.items() if balance.total}
            if found and self._wire.mischief.omits(Thing.BALANCE):
                del found[max(found)]
            return found

        return await self._call(Op.BALANCES, act, ReadFailed)

    async def transfers(self, since: int) -> Sequence[TransferReport] | None:
        """Deposits and withdrawals from `since` on."""

        def act() -> Sequence[TransferReport]:
            listed = self._venue_account.transfers
            return [TransferReport(str(one.id), one.asset, one.amount, one.ts) for one in listed if one.ts >= since]

        return await self._call(Op.TRANSFERS, act, ReadFailed)

    async def permissions(self) -> Permissions:
        """What the key may do."""
        return await self._call(Op.PERMISSIONS, lambda: Permissions(trade=True, withdraw=False), ReadFailed)

    async def follow(self, sink: AccountSink) -> None:
        """Tell the sink what the stream says, for ever."""
        wire = self._wire
        while True:
            await asyncio.sleep(wire.chance.between("connect", 0.02, 0.2))
            if wire.mischief.down or not self._alive:
                await asyncio.sleep(_RECONNECT)
                continue
            connection = Connection(wire.loop, wire.chance, wire.mischief)
            wire.connections.append((connection, sink))
            try:
                sink.on_connected()
                reason = await connection.ended
            finally:
                connection.end("left")
                wire.connections.remove((connection, sink))
            sink.on_lost(reason)
            await asyncio.sleep(_RECONNECT)

    async def close(self) -> None:
        """There is nothing to let go of."""

    @property
    def _venue_account(self) -> Account:
        return self._wire.venue.account

    def _find(self, symbol: str, client_id: str | None, venue_id: str | None) -> VenueOrder:
        order = self._venue_account.order(int(venue_id) if venue_id else None, client_id)
        if order is None or order.symbol != symbol:
            message = "the venue has no such order"
            raise NotFound(message)
        return order

    def _in_time(self, sent: int) -> None:
        """A venue does not act on what was sent too long ago."""
        if self._wire.loop.now() - sent > _RECV_WINDOW_MS:
            message = "the request came after its time"
            raise Refused(message)

    async def _call(self, op: Op, act: Callable[[], T], lost: type[AccountError]) -> T:
        """Let a request travel, and wait for its answer as long as one waits."""
        wire = self._wire
        how = wire.mischief.call(op) if self._alive else How.NOT_SENT
        _fail_at_once(how, changes=lost is Unknown)
        late = how in {How.LATE, How.STRAY}
        up, down = (wire.chance.between(f"{op}-{way}", *(_LATE if late else _USUAL)) for way in ("up", "down"))
        answer: asyncio.Future[T] = wire.loop.create_future()
        if how is How.STRAY:
            wire.loop.call_later(wire.chance.between("break", *_USUAL), _break, answer)
        wire.loop.call_later(up, self._arrive, act, answer, how, down)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await answer
        except TimeoutError:
            raise lost(f"no answer to {op} within {_PATIENCE:g} s") from None
        except ConnectionError:
            raise lost(f"the connection broke during {op}") from None

    def _arrive(self, act: Callable[[], T], answer: asyncio.Future[T], how: How | None, down: float) -> None:
        """The request is at the venue, unless it was lost on the way; what the venue says travels back."""

        def tell(result: T | None, error: Exception | None) -> None:
            if not self._alive or answer.done():
                return
            if self._wire.mischief.down:
                error = ConnectionError()
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]  # without an error there is a result

        result: T | None = None
        error: Exception | None = None
        if how not in _NEVER_ARRIVE:
            try:
                result = act()
            except AccountError as problem:
                error = problem
        if how in {How.HUNG_BEFORE, How.HUNG_AFTER}:
            return
        if how in {How.LOST_BEFORE, How.LOST_AFTER}:
            result, error = None, ConnectionError()
        self._wire.loop.call_later(down, tell, result, error)


def _break(answer: asyncio.Future[T]) -> None:
    if not answer.done():
        answer.set_exception(ConnectionError())


def _fail_at_once(how: How | None, *, changes: bool) -> None:
    """Raise for what never travels. A rate limit does, but to no effect, which for the order is the same."""
    if how is How.REFUSED:
        message = "the venue refuses"
        raise Refused(message) if changes else ReadFailed(message, transient=False)
    if how in {How.NOT_SENT, How.TOO_MANY}:
        message = "too many requests" if how is How.TOO_MANY else "nothing was sent"
        raise NotSent(message, _RETRY_MS) if changes else ReadFailed(message, retry_after_ms=_RETRY_MS)
