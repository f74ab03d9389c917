"""The matching engine: orders of accounts against the simulated market.

It reads no clock and does no I/O: the time is an argument, the market a `Floor`. It was written apart from the bot's own fill
arithmetic, so that each can check the other. An order takes what the book displays; what is left of it rests behind the amount
displayed at its price, and trades when prints have eaten that queue or when the market moves through it. Stops watch the prints.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from bot.core.market import Side, Trade
from simulators.exchange.accounts import Account, Accounts, Transfer
from simulators.exchange.clearing import Clearing
from simulators.exchange.depth import Depth, Floor, exactly
from simulators.exchange.events import BalancesMoved, Event, Executed, Execution, ListMoved, Transferred
from simulators.exchange.orders import (
    ZERO,
    Fill,
    Kind,
    OrderList,
    OrderRefused,
    Reason,
    Reserve,
    Rules,
    Status,
    Ticket,
    TimeInForce,
    VenueOrder,
)


@dataclass(slots=True)
class Slicing:
    """The next `left` new orders fill by at most `fraction` of their amount at a time."""

    fraction: Decimal
    left: int


class Engine:
    """All orders of all accounts. `sinks` hear every event, in order; `rules` may be changed at any time by `change`.

    `now` is the market's time in milliseconds; what is written on orders, fills and events is that plus `skew()`.
    """

    def __init__(self, floor: Floor, rules: Mapping[str, Rules], accounts: Accounts, skew: Callable[[], int] = lambda: 0) -> None:
        self._skew = skew
        self.rules = dict(rules)
        self.accounts = accounts
        self.sinks: list[Callable[[Event], None]] = []
        self.slicing: Slicing | None = None
        self._depth = Depth(floor)
        self._clearing = Clearing(accounts, self.rules, self._depth.last)
        self._live: dict[str, dict[int, VenueOrder]] = {symbol: {} for symbol in rules}
        self._sliced: dict[int, Decimal] = {}
        self._ids = itertools.count(1)
        self._list_ids = itertools.count(1)

    def place(self, account: Account, ticket: Ticket, now: int) -> VenueOrder:
        """Take an order and let it work at once; `OrderRefused` when the venue does not take it."""
        self._admit(account, ticket)
        order = self._new_order(account, ticket, now, Reserve(self._pays_with(ticket)))
        self._fund(account, (order,))
        account.register(order)
        self._begin(account, order, order.created)
        self._tell_balances(account, order.symbol, order.created)
        return order

    def place_pair(self, account: Account, tickets: tuple[Ticket, Ticket], client_id: str, now: int) -> OrderList:
        """Two orders under one reserve, of which one cancels the other; `OrderRefused` when the venue does not take them."""
        for ticket in tickets:
            self._admit(account, ticket)
        first = tickets[0]
        reserve, number = Reserve(self._pays_with(first)), next(self._list_ids)
        orders = tuple(self._new_order(account, ticket, now, reserve, number) for ticket in tickets)
        if orders[0].client_id == orders[1].client_id:
            raise OrderRefused(Reason.DUPLICATE)
        self._fund(account, orders)
        now += self._skew()
        pair = OrderList(number, account.terms.key, first.symbol, client_id or f"list{number}", now, orders)
        account.lists[number] = pair
        self._tell(ListMoved(account.terms.key, pair, False, now))
        for order in orders:
            account.register(order)
            self._begin(account, order, now)
        self._tell_balances(account, first.symbol, now)
        return pair

    def cancel(self, account: Account, order: VenueOrder, now: int, cancel_id: str = "") -> tuple[VenueOrder, ...]:
        """Cancel an open order, and with it the list it belongs to; gives what was cancelled."""
        if not order.status.open:
            raise OrderRefused(Reason.CANNOT_CANCEL)
        now += self._skew()
        cancelled = tuple(one for one in self._together(account, order) if one.status.open)
        for one in cancelled:
            one.cancel_id = cancel_id or f"cancel{one.id}"
            self._close(account, one, Status.CANCELED, now)
        self._tell_balances(account, order.symbol, now)
        return cancelled

    def transfer(self, account: Account, asset: str, amount: Decimal, now: int) -> Transfer:
        """A deposit, or a withdrawal when negative; `ValueError` when that cannot be."""
        now += self._skew()
        transfer = self.accounts.transfer(account, asset, amount, now)
        self._tell(Transferred(account.terms.key, asset, amount, now))
        balance = account.balance(asset)
        self._tell(BalancesMoved(account.terms.key, ((asset, balance.free, balance.locked),), now))
        return transfer

    def change(self, rules: Rules) -> None:
        """From now on these rules hold for new orders of the symbol."""
        self.rules[rules.symbol] = rules

    def delist(self, symbol: str, now: int) -> None:
        """Trading of the symbol ends: its open orders are cancelled and none is taken any more; `KeyError` for an unknown one."""
        self.change(replace(self.rules[symbol], tradable=False))
        for order in list(self._live[symbol].values()):
            if order.status.open:
                self.cancel(self._owner(order), order, now)

    def on_quote(self, symbol: str, now: int) -> None:
        """The market shows a new book: it may trade with resting orders."""
        if not self._live[symbol]:
            return
        now += self._skew()
        bid, ask = self._depth.touch(symbol)
        for order in list(self._live[symbol].values()):
            limit = order.limit
            if limit is None or not (order.working and order.status.open):
                continue
            if limit >= ask if order.ticket.side is Side.BUY else limit <= bid:
                filled = order.filled
                self._sweep(self._owner(order), order, now, maker=True)
                if order.filled > filled:
                    self._tell_balances(self._owner(order), symbol, now)
            elif limit == (bid if order.ticket.side is Side.BUY else ask):
                order.ahead = min(order.ahead, self._depth.queue(symbol, order.ticket.side, limit))

    def on_trade(self, trade: Trade) -> None:
        """The market prints a trade: it may eat a queue, or trigger a stop."""
        live = self._live[trade.symbol]
        if not live:
            return
        price, amount = exactly(trade.price), exactly(trade.amount)
        resting = [order for order in live.values() if self._feels(order, trade, price)]
        resting.sort(key=lambda order: (-order.ticket.side.sign * order.ticket.price, order.id))
        now = trade.ts + self._skew()
        self._print(resting, price, amount, now)
        for order in sorted(live.values(), key=lambda order: order.id):
            if not order.working and order.status.open and order.entered <= trade.ts and _triggered(order.ticket, price):
                self._trigger(self._owner(order), order, now)

    def _admit(self, account: Account, ticket: Ticket) -> None:
        rules = self.rules[ticket.symbol]
        if account.full:
            raise OrderRefused(Reason.TOO_MANY)
        if not rules.tradable:
            raise OrderRefused(Reason.CLOSED)
        market, kind = not ticket.kind.limited, ticket.kind
        if kind.limited:
            rules.check_price(ticket.price)
        if kind.waits:
            rules.check_price(ticket.stop)
        value = ticket.cost
        if value is None:
            rules.check_amount(ticket.amount, market)
            worth = ticket.price if kind.limited else ticket.stop if kind.waits else self._depth.last(ticket.symbol)
            value = ticket.amount * worth
        rules.check_cost(value, market)
        before = account.order(None, ticket.client_id) if ticket.client_id else None
        if before is not None and before.status.open:
            raise OrderRefused(Reason.DUPLICATE)
        if kind.waits and _triggered(ticket, self._depth.last(ticket.symbol)):
            raise OrderRefused(Reason.WOULD_TRIGGER)
        if kind is Kind.LIMIT_MAKER and not ticket.crossing_cancels and self._crosses(ticket):
            raise OrderRefused(Reason.WOULD_MATCH)

    def _crosses(self, ticket: Ticket) -> bool:
        return bool(self._depth.offers(ticket.symbol, ticket.side, ticket.price, self.rules[ticket.symbol].amount_step))

    def _pays_with(self, ticket: Ticket) -> str:
        rules = self.rules[ticket.symbol]
        return rules.quote if ticket.side is Side.BUY else rules.base

    def _new_order(self, account: Account, ticket: Ticket, now: int, reserve: Reserve, list_id: int = -1) -> VenueOrder:
        amount = ticket.amount
        if ticket.cost is not None:
            amount = sum((bit for _, bit in self._within_cost(ticket)), ZERO)
            if not amount:
                raise OrderRefused(Reason.LOT_SIZE)
        number = next(self._ids)
        client_id, stamp = ticket.client_id or f"sim{number}", now + self._skew()
        working = not ticket.kind.waits
        return VenueOrder(
            number, account.terms.key, ticket, client_id, now, stamp, stamp, amount, list_id, working=working, reserve=reserve
        )

    def _within_cost(self, ticket: Ticket) -> list[tuple[Decimal, Decimal]]:
        """What a market order by cost gets of each level."""
        assert ticket.cost is not None
        step, left = self.rules[ticket.symbol].amount_step, ticket.cost
        found = []
        for price, shown in self._depth.offers(ticket.symbol, ticket.side, None, step):
            bit = min(shown, left / price // step * step)
            if not bit:
                break
            found.append((price, bit))
            left -= price * bit
        return found

    def _fund(self, account: Account, orders: tuple[VenueOrder, ...]) -> None:
        """Lock what new orders need; a market order pays at once, so it needs only be able to."""
        order = orders[0]
        if order.ticket.kind is not Kind.MARKET:
            self._clearing.resize(account, orders)
            return
        needed, left = order.amount, order.amount
        if order.ticket.side is Side.BUY:
            needed = ZERO
            for price, shown in self._depth.offers(order.symbol, Side.BUY, None, self.rules[order.symbol].amount_step):
                needed += price * min(shown, left)
                left -= min(shown, left)
        if needed > account.balance(order.reserve.asset).free:
            raise OrderRefused(Reason.INSUFFICIENT)

    def _begin(self, account: Account, order: VenueOrder, now: int) -> None:
        self._live[order.symbol][order.id] = order
        if self.slicing is not None:
            self._sliced[order.id] = self.slicing.fraction
            self.slicing.left -= 1
            if self.slicing.left <= 0:
                self.slicing = None
        account.updated = now
        self._report(order, Execution.NEW, now)
        if order.working:
            self._work(account, order, now)

    def _work(self, account: Account, order: VenueOrder, now: int) -> None:
        """Take what can be taken; what is left rests, or expires where it must not."""
        ticket = order.ticket
        if ticket.kind is Kind.LIMIT_MAKER and self._crosses(ticket):
            self._close(account, order, Status.CANCELED, now)
            return
        if ticket.tif is TimeInForce.FOK and self._available(order) < order.remaining:
            self._close(account, order, Status.EXPIRED, now)
            return
        self._sweep(account, order, now, maker=False)
        if not order.status.open:
            return
        if not ticket.kind.limited or ticket.tif is not TimeInForce.GTC:
            unpaid = not order.filled and ticket.kind.waits and not ticket.kind.limited
            self._close(account, order, Status.REJECTED if unpaid else Status.EXPIRED, now)
            return
        order.ahead = self._depth.queue(order.symbol, ticket.side, ticket.price)

    def _available(self, order: VenueOrder) -> Decimal:
        step = self.rules[order.symbol].amount_step
        offers = self._depth.offers(order.symbol, order.ticket.side, order.limit, step)
        return sum((amount for _, amount in offers), ZERO)

    def _sweep(self, account: Account, order: VenueOrder, now: int, maker: bool) -> None:
        """Trade with the displayed book: as a taker at its prices, as a maker at the order's own."""
        side, step = order.ticket.side, self.rules[order.symbol].amount_step
        room = self._room(order)
        for price, shown in self._depth.offers(order.symbol, side, order.limit, step):
            at = order.ticket.price if maker else price
            amount = min(shown, order.remaining, room)
            if not order.ticket.kind.limited:
                amount = min(amount, self._clearing.affordable(account, order, at))
            if amount <= 0:
                break
            self._depth.take(order.symbol, side, price, amount)
            self._execute(account, order, at, amount, maker, now)
            room -= amount
            if not order.status.open:
                break

    def _room(self, order: VenueOrder) -> Decimal:
        """The most that one match may fill."""
        fraction = self._sliced.get(order.id)
        if fraction is None or order.ticket.tif is TimeInForce.FOK:
            return order.remaining
        step = self.rules[order.symbol].amount_step
        return max(step, order.amount * fraction // step * step)

    def _execute(self, account: Account, order: VenueOrder, price: Decimal, amount: Decimal, maker: bool, now: int) -> None:
        fill = self._clearing.fill(account, order, price, amount, maker, now)
        if not order.status.open:
            self._forget(account, order)
        for other in self._together(account, order):
            if other is not order and other.status.open:
                self._close(account, other, Status.EXPIRED, now)
        self._clearing.resize(account, self._together(account, order))
        self._report(order, Execution.TRADE, now, fill)
        self._end_list(account, order, now)

    def _feels(self, order: VenueOrder, trade: Trade, price: Decimal) -> bool:
        """Whether a print reaches a resting order: from the other side, at its price or through it."""
        if order.limit is None or not (order.working and order.status.open) or order.entered > trade.ts:
            return False
        return trade.side is not order.ticket.side and (order.limit - price) * order.ticket.side.sign >= 0

    def _print(self, resting: Iterable[VenueOrder], price: Decimal, amount: Decimal, now: int) -> None:
        """Give a print's amount to the orders it reaches, best price first; at the print's own price the queue comes first."""
        left = amount
        for order in resting:
            if order.status.open:
                passing = left
                if order.ticket.price == price:
                    passing = min(left, amount - order.ahead)
                    order.ahead = max(ZERO, order.ahead - amount)
                bit = min(order.remaining, passing, self._room(order))
                if bit > 0:
                    left -= bit
                    account = self._owner(order)
                    self._execute(account, order, order.ticket.price, bit, True, now)
                    self._tell_balances(account, order.symbol, now)

    def _trigger(self, account: Account, order: VenueOrder, now: int) -> None:
        for other in self._together(account, order):
            if other is not order and other.status.open:
                self._close(account, other, Status.EXPIRED, now)
        order.working = True
        order.updated = now
        if order.ticket.kind.limited:
            self._report(order, Execution.NEW, now)
        self._work(account, order, now)
        self._end_list(account, order, now)
        self._tell_balances(account, order.symbol, now)

    def _close(self, account: Account, order: VenueOrder, status: Status, now: int) -> None:
        order.status = status
        order.updated = account.updated = now
        self._forget(account, order)
        self._clearing.resize(account, self._together(account, order))
        self._report(order, Execution(status.value), now)
        self._end_list(account, order, now)

    def _forget(self, account: Account, order: VenueOrder) -> None:
        self._live[order.symbol].pop(order.id, None)
        self._sliced.pop(order.id, None)
        account.open.pop(order.id, None)

    def _end_list(self, account: Account, order: VenueOrder, now: int) -> None:
        pair = account.lists.get(order.list_id)
        if pair is not None and not pair.done and not any(one.status.open for one in pair.orders):
            pair.done = True
            self._tell(ListMoved(account.terms.key, pair, True, now))

    def _together(self, account: Account, order: VenueOrder) -> tuple[VenueOrder, ...]:
        """The orders that share this one's reserve, itself among them."""
        pair = account.lists.get(order.list_id)
        return (order,) if pair is None else pair.orders

    def _owner(self, order: VenueOrder) -> Account:
        account = self.accounts.get(order.key)
        assert account is not None
        return account

    def _report(self, order: VenueOrder, what: Execution, now: int, fill: Fill | None = None) -> None:
        self._tell(Executed(order.key, replace(order, fills=[]), what, fill, now))

    def _tell_balances(self, account: Account, symbol: str, now: int) -> None:
        rules = self.rules[symbol]
        assets = [rules.base, rules.quote]
        if account.terms.fees_in_bnb and "BNB" not in assets:
            assets.append("BNB")
        rows = tuple((asset, account.balance(asset).free, account.balance(asset).locked) for asset in assets)
        self._tell(BalancesMoved(account.terms.key, rows, now))

    def _tell(self, event: Event) -> None:
        for sink in self.sinks:
            sink(event)


def _triggered(ticket: Ticket, last: Decimal) -> bool:
    """Whether the newest price has reached the stop price."""
    falls = (ticket.side is Side.SELL) == ticket.kind.stops
    return last <= ticket.stop if falls else last >= ticket.stop
