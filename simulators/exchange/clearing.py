"""Clearing: what a fill moves between an account, the market and the venue, and what orders keep locked.

As at Binance the fee is taken from what the trade brings in, or from BNB at three quarters where the account says so and has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from bot.core.market import Side
from simulators.exchange.accounts import Account, Accounts
from simulators.exchange.orders import ZERO, Fill, Rules, Status, VenueOrder, booked

_BNB_SHARE = Decimal("0.75")


@dataclass(frozen=True, slots=True)
class _Fee:
    amount: Decimal
    asset: str


class Clearing:
    """Books fills. `last` gives the price of a symbol, for fees in BNB."""

    def __init__(self, accounts: Accounts, rules: Mapping[str, Rules], last: Callable[[str], Decimal]) -> None:
        self.accounts = accounts
        self._rules = rules
        self._last = last
        self._numbers: Counter[str] = Counter()

    def fill(self, account: Account, order: VenueOrder, price: Decimal, amount: Decimal, maker: bool, now: int) -> Fill:
        """Execute `amount` of the order at `price`: balances, fees, the order's own sums and status."""
        rules = self._rules[order.symbol]
        cost = booked(price * amount)
        fee = self._fee(account, order, amount, cost, maker)
        if order.ticket.side is Side.BUY:
            given, got, gained = cost, amount, rules.base
        else:
            given, got, gained = amount, cost, rules.quote
        account.pay(order.reserve, given)
        account.balance(gained).free += got
        account.balance(fee.asset).free -= fee.amount
        self.accounts.trade(order.reserve.asset, given)
        self.accounts.trade(gained, -got)
        self.accounts.collect(fee.asset, fee.amount)
        self._numbers[order.symbol] += 1
        number = self._numbers[order.symbol]
        side, listed = order.ticket.side, order.list_id
        booking = Fill(number, order.symbol, order.id, listed, side, price, amount, cost, fee.amount, fee.asset, maker, now)
        order.fills.append(booking)
        account.fills.append(booking)
        order.filled += amount
        order.cost += cost
        order.updated = account.updated = now
        order.status = Status.FILLED if order.filled >= order.amount else Status.PARTIALLY_FILLED
        return booking

    def affordable(self, account: Account, order: VenueOrder, price: Decimal) -> Decimal:
        """How much of an order without a limit can be paid for at a price, in whole lots."""
        if order.ticket.side is Side.SELL:
            return order.remaining
        funds = order.reserve.amount + account.balance(order.reserve.asset).free
        step = self._rules[order.symbol].amount_step
        return min(order.remaining, max(ZERO, funds) / price // step * step)

    def resize(self, account: Account, orders: tuple[VenueOrder, ...]) -> None:
        """Lock exactly what the orders that share a reserve need: the most that one of them does."""
        reserve = orders[0].reserve
        need = max(order.need() for order in orders)
        account.lock(reserve.asset, need - reserve.amount)
        reserve.amount = need

    def _fee(self, account: Account, order: VenueOrder, amount: Decimal, cost: Decimal, maker: bool) -> _Fee:
        rules = self._rules[order.symbol]
        rate = account.terms.maker_fee if maker else account.terms.taker_fee
        pair = f"BNB/{rules.quote}"
        if account.terms.fees_in_bnb and pair in self._rules:
            fee = booked(cost * rate * _BNB_SHARE / self._last(pair))
            if ZERO < fee <= account.balance("BNB").free:
                return _Fee(fee, "BNB")
        if order.ticket.side is Side.BUY:
            return _Fee(booked(amount * rate), rules.base)
        return _Fee(booked(cost * rate), rules.quote)
